/* start_shared.h - starting a child that shares memory with the parent
 *
 * start.c chooses this way where the kernel allows.
 */
#ifndef XL_START_SHARED_H
#define XL_START_SHARED_H

#include "start/prepare.h"

/* A start between its two halves. It must stay where it is: the child reads
 * it, and so does the registry. */
struct xl_shared_start {
    struct xl_registry_start registered;
    struct xl_prepared prepared;
    pid_t pid; /* -1: */
    int errnoval;
    int unshared_only;     /* the fd table is not to be shared */
    atomic_int until_exec; /* the kernel makes it 0; see xl_sys.clone3 */
};

/* Can the parent go on while the child still is in its memory? */
int xl_start_shared_apart(const struct xl_start_request *request);

/* request->stack is there, and *shared is zero. 0, or ERROR_* and there is no
 * second half. */
int xl_start_shared_begin(struct xl_start_request *request,
                          struct xl_shared_start *shared);
/* Waits, for ms at most, until the child has left our memory, by executing its
 * program or by ending. 1: it has, or there is none. */
int xl_start_shared_await(struct xl_start_request *request,
                          struct xl_shared_start *shared, int ms);
/* Does it have a table of its own? The caller's may change then. */
int xl_start_shared_has_its_fds(const struct xl_shared_start *shared);
/* Waits until it may; only with request->nowait. */
void xl_start_shared_await_fds(struct xl_shared_start *shared);
/* 0 and the registry knows the child; or ERROR_*. A child that has not left
 * yet may still fail: then that is its end. */
int xl_start_shared_end(struct xl_start_request *request,
                        struct xl_shared_start *shared);
/* What the child read in our memory. It has left, or ended. */
void xl_start_shared_release(struct xl_shared_start *shared);

#endif
