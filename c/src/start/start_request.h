/* start_request.h - what a start is asked for, and what it has come to
 *
 * spawn.c fills it; start.c, start_shared.c and start_forked.c answer.
 */
#ifndef XL_START_REQUEST_H
#define XL_START_REQUEST_H

#include "start/child_setup.h"
#include "kernel/registry.h"
#include "kernel/sys.h"
#include "xlchild/childproc.h"

#define XL_STACK_SIZE (256 * 1024)

struct xl_start_request {
    /* in */
    const libxl_childproc_spec *spec;
    pid_t (*fork_replacement)(void *user);
    void *fork_user;
    void *stack;                  /* XL_STACK_SIZE bytes; NULL: fork */
    const xl_sigset *caller_mask; /* NULL: the calling thread's */
    int overlap;                  /* with other starts of the same thread */
    int stat_fd;                  /* /proc/self/status; -1 */
    struct xl_registry_entry *entry;
    /* out, when xl_start returns 0 */
    pid_t pid;
    int pidfd;
    int reaped; /* somebody's wait(-1) was quicker: */
    int status;
    /* out otherwise */
    libxl_childproc_failure failure;
};

#endif
