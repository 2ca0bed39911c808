/* sigplan.h - which dispositions and which mask the child is to have
 *
 * start_shared.c and start_forked.c ask; child_setup.c carries it out.
 */
#ifndef XL_SIGPLAN_H
#define XL_SIGPLAN_H

#include "start/start_request.h"

/* Fills im->reset, ignore and final_mask. cleared: the kernel has reset the
 * handlers (CLONE_CLEAR_SIGHAND), so that only ignored signals are left. */
void xl_sigplan_make(const struct xl_start_request *request,
                     struct xl_child_setup *im, int cleared,
                     const xl_sigset *caller_mask);
/* Whether somebody traces this process, or did a few milliseconds ago. */
int xl_sigplan_traced(int stat_fd);

#endif
