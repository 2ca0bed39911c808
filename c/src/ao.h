/* ao.h - an operation in progress: a child, its streams and its timeout
 *
 *      started: child runs, streams are watched, timeout is armed
 *        | libxl_ao_abort, the timeout, or a stream that fails: terminating
 *      child ended (child.c tells)
 *        | what is in the pipes is taken (or all, with LIBXL_LINGER_EOF)
 *      completed: the result is filled; callback, event, or the waiter wakes
 *
 * exec.c makes them; stream.c moves the bytes; this is what they share.
 */
#ifndef XL_AO_H
#define XL_AO_H

#include "ctx_impl.h"
#include "pump.h"
#include "xlchild/exec.h"

#define XL_STREAM_CHUNK 65536

struct xl_stream {
    struct xl_watched watched; /* first */
    struct xl_ao *ao;
    uint64_t slot;
    int which; /* 0, 1 or 2 */
    int fd;    /* the parent's end; -1: closed */
    /* stdin */
    const char *data;
    size_t length, done;
    /* stdout, stderr */
    libxl_captured *captured; /* NULL: goes to the callback */
    size_t room;              /* allocated in captured->data */
    size_t limit;
    char *chunk; /* on its way to the callback */
    size_t chunk_length;
    int chunk_due; /* … which has not run yet */
    int end_due;   /* the callback is to be told the end */
    int end_told;
    size_t drain; /* after the exit: how much may still be read */
    struct xl_deferred deferred;
};

struct xl_ao {
    struct xl_list link; /* ctx->aos */
    libxl_ctx *ctx;
    libxl_asyncop_how how;
    int synchronous;
    int rc; /* what ended it early; 0 */
    int abort_asked;
    int child_ended;
    int complete;
    libxl_childproc_id child;
    libxl_kill_policy kill;
    libxl_linger linger;
    libxl_childproc_exec_result *result;
    struct xl_stream streams[3];
    void (*stream_data)(libxl_ctx *ctx, int stream, const void *data,
                        size_t length, void *user);
    void *stream_user;
    struct xl_timer timer;
    struct xl_strand strand; /* progress, data, completion: in this order */
    struct xl_deferred completion;
    struct xl_box *completion_event; /* prepared; NULL: callback or waiter */
    int64_t due; /* of the timeout; XL_NEVER */
    libxl_asyncprogress_how progress;
    struct xl_box *started;          /* prepared; NULL: nobody wants it */
    char *data_copy;
};

/* Ends the child by the operation's policy. rc: why, for the completion. */
void xl_ao_cut_short(libxl_ctx *ctx, struct xl_ao *ao, int rc);
void xl_ao_child_started(libxl_ctx *ctx, struct xl_ao *ao,
                         libxl_childproc_id id, pid_t pid);
void xl_ao_child_ended(libxl_ctx *ctx, struct xl_ao *ao,
                       const libxl_childproc_result *result);
/* Completes it if nothing more is to come. ao may be gone afterwards. */
void xl_ao_advance(libxl_ctx *ctx, struct xl_ao *ao);
void xl_ao_postfork(struct xl_list *node);
/* Without completing: the ctx goes. */
void xl_ao_drop(libxl_ctx *ctx, struct xl_ao *ao);

/* stream.c */
void xl_stream_init(struct xl_ao *ao, int which);
/* Has the epoll watch the parent's end. 0 or -1 and errno. */
int xl_stream_watch(libxl_ctx *ctx, struct xl_stream *stream, int fd);
void xl_stream_close(libxl_ctx *ctx, struct xl_stream *stream);
/* The child has ended: reads what is there, up to what is there now. */
void xl_stream_drain(libxl_ctx *ctx, struct xl_stream *stream);
int xl_stream_settled(const struct xl_stream *stream);

#endif
