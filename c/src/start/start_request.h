/* start_request.h - what a start is asked for, and what it has come to
 *
 * spawn.c fills it; start.c, start_shared.c and start_forked.c answer.
 */
#ifndef XL_START_REQUEST_H
#define XL_START_REQUEST_H

#include "start/child_setup.h"
#include "kernel/registry.h"
#include "ctx/keeper.h"
#include "kernel/sys.h"
#include "xlchild/childproc.h"

#define XL_STACK_SIZE (256 * 1024)

struct xl_start_request {
    /* in */
    const libxl_childproc_spec *spec;
    const libxl_childproc_fd *map; /* in place of the spec's, if it is there: */
    size_t nmap;
    const struct xl_child_file *files; /* what sources of it mean */
    pid_t (*fork_replacement)(void *user);
    void *fork_user;
    void *stack;                  /* XL_STACK_SIZE bytes; NULL: fork */
    const xl_sigset *caller_mask; /* NULL: the calling thread's */
    int apart;   /* the thread must not sleep until the child has left our
                    memory: other starts overlap with it, or it may have to
                    be given up: then it is impatient as well */
    int impatient;
    int nowait;  /* the thread must not sleep for the child at all: apart, or
                    by a fork */
    int opens;   /* the child opens something that may block for ever */
    int stat_fd; /* /proc/self/status; -1 */
    struct xl_registry_entry *entry;
    struct xl_keeper *keeper; /* it makes the child, whose parent it is; NULL */
    /* out, when the child runs */
    pid_t pid;
    int pidfd;
    enum xl_start_news news;
    int status;
    struct rusage rusage;
    /* out otherwise */
    libxl_childproc_failure failure;
    int failed_file; /* the one that could not be opened; -1 */
};

#endif
