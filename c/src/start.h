/* start.h - the parent's half of a start
 *
 * spawn.c (and starters.c's threads) call xl_start without any lock; the
 * child's half is image.c. What is needed is allocated before the child is
 * made; afterwards nothing here can fail.
 */
#ifndef XL_START_H
#define XL_START_H

#include "registry.h"
#include "sys.h"
#include "xlchild/childproc.h"

/* A stack for a shared-memory child, kept for the next one. */
struct xl_stack {
    struct xl_stack *next;
    void *memory;
};

struct xl_start_request {
    /* in */
    const libxl_childproc_spec *spec;
    pid_t (*fork_replacement)(void *user);
    void *fork_user;
    void *stack;                /* XL_STACK_SIZE bytes; NULL: fork */
    const xl_sigset *caller_mask; /* NULL: the calling thread's */
    int stat_fd;                /* /proc/self/status; -1 */
    int sigchld_untouched;      /* mainloop mode: not even asked about */
    struct xl_registry_entry *entry;
    /* out, when xl_start returns 0 */
    pid_t pid;
    int pidfd;
    int reaped; /* somebody's wait(-1) was quicker: */
    int status;
    /* out otherwise */
    libxl_childproc_failure failure;
};

#define XL_STACK_SIZE (256 * 1024)

/* Checks the spec. 0 or ERROR_INVAL with failure->argument. */
int xl_start_check(const libxl_childproc_spec *spec,
                   libxl_childproc_failure *failure);
/* 0 or ERROR_*; uses up entry's reservation in the registry either way. */
int xl_start(struct xl_start_request *request);

#endif
