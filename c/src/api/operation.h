/* operation.h - an operation in progress: a child, its streams and its timeout
 *
 *      started: child runs, streams are watched, timeout is armed
 *        | libxl_ao_abort, the timeout, or a stream that fails: terminating
 *      child ended (child.c tells)
 *        | what is in the pipes is taken (or all, with LIBXL_LINGER_EOF)
 *      completed: the result is filled; callback, event, or the waiter wakes
 *
 * exec.c makes them and waits for the synchronous ones.
 */
#ifndef XL_OPERATION_H
#define XL_OPERATION_H

#include "child/child.h"
#include "child/stream.h"

struct xl_operation {
    struct xl_guardian guardian; /* first: of the child */
    struct xl_list link;         /* ctx->aos */
    libxl_asyncop_how how;
    int synchronous;
    int rc; /* what ended it early; 0 */
    int abort_asked;
    int child_ended;
    struct xl_child *leader; /* it has ended; its group may be wanted; NULL */
    int complete;
    libxl_childproc_id child;
    libxl_kill_policy kill;
    libxl_linger linger;
    libxl_childproc_exec_result *result;
    struct xl_stream streams[3];
    struct xl_timer timer;
    struct xl_strand strand; /* progress, data, completion: in this order */
    struct xl_deferred completion;
    struct xl_box *completion_event; /* prepared; NULL: callback or waiter */
    int64_t due;                     /* of the timeout; XL_NEVER */
    libxl_asyncprogress_how progress;
    struct xl_box *started; /* prepared; NULL: nobody wants it */
    char *data_copy;
};

/* Everything that a completion needs, before there is anything to complete.
 * NULL: no memory. */
struct xl_operation *xl_operation_new(libxl_ctx *ctx,
                                      const libxl_childproc_spec *spec,
                                      const libxl_childproc_exec_opts *opts,
                                      libxl_childproc_exec_result *result,
                                      const libxl_asyncop_how *how);
/* Without completing it: it has, or never started, or the ctx goes. */
void xl_operation_free(libxl_ctx *ctx, struct xl_operation *ao);
/* spawn.c tells: its child is about to be made. From now on it can be aborted,
 * and time out. */
void xl_operation_starts(libxl_ctx *ctx, struct xl_operation *ao,
                         libxl_childproc_id id);
/* Before anything else can happen to the child. */
void xl_operation_child_started(libxl_ctx *ctx, struct xl_operation *ao,
                                pid_t pid);

#endif
