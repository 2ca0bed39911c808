/* send.h - a signal to a child, its group or its cgroup, and to nobody else */
#ifndef XL_SEND_H
#define XL_SEND_H

#include "child.h"

/* 0 or ERROR_*, as libxl_childproc_kill. */
int xl_send(struct xl_child *child, int signo, libxl_kill_scope scope);
/* Before a child is reaped: whoever is left of the group or cgroup that was
 * told to end with it gets SIGKILL. Of an adopted one: when it has ended. */
void xl_send_rest(struct xl_child *child);

#endif
