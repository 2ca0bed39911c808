/* send.h - a signal to a child, its group or its cgroup, and to nobody else */
#ifndef XL_SEND_H
#define XL_SEND_H

#include "child/child.h"

/* 0 or ERROR_*, as libxl_childproc_kill. A cgroup is only asked for (cgroup.h),
 * and ERROR_NOTFOUND then says that the child itself has ended. */
int xl_send(struct xl_child *child, int signo, libxl_kill_scope scope);
/* For its account, around a signal to a whole cgroup that is sent without the
 * lock: it is about to be … */
void xl_send_asked(struct xl_child *child, int signo);
/* … and what that came to, which may have been another signal. The child may be
 * gone by then: NULL. */
void xl_send_done(struct xl_child *child, int asked, int signo, int rc);
/* Whoever is left of the group or cgroup in scope is to end with the child.
 * Returns what was said before. */
libxl_kill_scope xl_send_goes_with(struct xl_child *child,
                                   libxl_kill_scope scope);
/* Before a child is reaped: whoever is to end with it gets SIGKILL. Of an
 * adopted one: when it has ended. 0: it has not ended, and must not be reaped
 * by a wait that could find it ended by then. */
int xl_send_rest(struct xl_child *child);
/* The same when somebody has reaped it: as far as its cgroup's name or a pidfd
 * reaches. */
void xl_send_rest_late(struct xl_child *child);

#endif
