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
    int pidfd;
    atomic_int until_exec; /* the kernel makes it 0; see xl_sys.clone3 */
};

/* As xl_start_begin and xl_start_end; request->stack is there, and *shared is
 * zero. Without 0 from the first there is no second half. */
int xl_start_shared_begin(struct xl_start_request *request,
                          struct xl_shared_start *shared);
int xl_start_shared_end(struct xl_start_request *request,
                        struct xl_shared_start *shared);

#endif
