/* wait_one.h - what the kernel says of one child
 *
 * Used by whoever reaps it or wants to know whether it lives: reap.c, send.c,
 * reaper_thread.c.
 */
#ifndef XL_WAIT_ONE_H
#define XL_WAIT_ONE_H

#include <signal.h>

#include "child/child.h"

/* waitid for this child alone, with options (also XL_WAIT_PROVED) and WNOHANG,
 * by its pidfd or by a number that is its own still. 1 and *info; 0: not yet;
 * -1 and errno. */
int xl_wait_one(struct xl_child *child, int options, siginfo_t *info,
                struct rusage *rusage);

/* A host has closed a number that was not its own, this child's pidfd: whoever
 * has the number now keeps it, and the child goes by its pid. xl_wait_one does
 * that where it finds out; nothing announces the end of such a child, but
 * whoever pumps is told to see to it (xl_reap_pidfds). */
void xl_wait_drop_pidfd(struct xl_child *child);
/* Looks whether that has happened, and drops it then. */
void xl_wait_prove_pidfd(struct xl_child *child);
/* An adopted process, which has nothing else, is given a new pidfd. 0; or -1
 * and errno: ESRCH if there is no such process any more. */
int xl_wait_renew_pidfd(struct xl_child *child);

#endif
