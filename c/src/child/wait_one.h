/* wait_one.h - what the kernel says of one child
 *
 * Used by whoever reaps it or wants to know whether it lives: reap.c, send.c,
 * reaper_thread.c.
 */
#ifndef XL_WAIT_ONE_H
#define XL_WAIT_ONE_H

#include <signal.h>

#include "child/child.h"

/* waitid for this child alone, with options (also XL_WAIT_PROVED) and WNOHANG, by its pidfd or by a
 * number that is its own still. 1 and *info; 0: not yet; -1 and errno. */
int xl_wait_one(struct xl_child *child, int options, siginfo_t *info,
                struct rusage *rusage);

#endif
