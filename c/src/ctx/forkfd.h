/* forkfd.h - fds that somebody waits on, kept out of the host's forks
 *
 * Whoever holds the other end of such an fd learns something when the last
 * copy is closed: that a program has been executed, that a child's input or
 * output is complete. A child that the host forks at that moment, in another
 * thread, would hold a copy for as long as it lives. So these fds are noted,
 * and atfork.c closes them in every forked child but the one they are for.
 */
#ifndef XL_FORKFD_H
#define XL_FORKFD_H

#include "kernel/list.h"

struct xl_forkfd {
    struct xl_list link;
    int fd;             /* -1: closed */
    const void *keeper; /* the thread whose own forks keep it; NULL: none */
};

void xl_forkfd_init(struct xl_forkfd *f);
/* Under the process lock, which has been held since fd was made. keep: a fork
 * by this thread is the one that the fd is for. */
void xl_forkfd_note(struct xl_forkfd *f, int fd, int keep);
/* Gives the fd to another owner, whom no fork is for. */
void xl_forkfd_move(struct xl_forkfd *to, struct xl_forkfd *from);
void xl_forkfd_close(struct xl_forkfd *f); /* closed already: nothing */

void xl_forkfd_forget(struct xl_forkfd *f); /* it is not ours any more */

/* Not sure that they are ours still: they are only forgotten. */
void xl_forkfd_atfork_child(int sure);

#endif
