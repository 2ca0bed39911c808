/* start_forked.h - starting a child by fork, or the host's fork_replacement
 *
 * start.c chooses this way where memory cannot be shared.
 */
#ifndef XL_START_FORKED_H
#define XL_START_FORKED_H

#include "ctx/forkfd.h"
#include "start/prepare.h"

/* Each [0] is read, [1] written: the gate by the parent, errors by the child.
 * Both sides wait for the other's end of file. */
struct xl_forked_pipes {
    struct xl_forkfd gate[2];
    struct xl_forkfd error[2];
};

/* A start between its two halves. */
struct xl_forked_start {
    struct xl_registry_start registered;
    struct xl_prepared prepared;
    struct xl_forked_pipes pipes;
    pid_t pid;
    int pidfd;
    int heard; /* the child has executed its program, or failed: */
    struct xl_child_setup_failure failure;
};

/* 0 and the child is on its way, or ERROR_* and there is no second half. */
int xl_start_forked_begin(struct xl_start_request *request,
                          struct xl_forked_start *forked);
/* Waits, for ms at most, until the child has executed its program or failed.
 * 1: it has. */
int xl_start_forked_await(struct xl_forked_start *forked, int ms);
/* As xl_start_shared_end. */
int xl_start_forked_end(struct xl_start_request *request,
                        struct xl_forked_start *forked);
void xl_start_forked_release(struct xl_forked_start *forked);

#endif
