/* stream.h - moving the bytes of an operation's standard streams
 *
 * operation.c has three of them; stream.c moves the bytes.
 */
#ifndef XL_STREAM_H
#define XL_STREAM_H

#include "ctx/ctx_impl.h"
#include "ctx/forkfd.h"
#include "xlchild/exec.h"

#define XL_STREAM_CHUNK 65536

struct xl_stream;

/* What an operation is told of its streams, under the lock. */
struct xl_stream_hooks {
    /* It may be done: see xl_stream_settled. The stream may go. */
    void (*advanced)(libxl_ctx *ctx, struct xl_stream *stream);
    /* It cannot be moved any more: ERROR_NOMEM, ERROR_FAIL. */
    void (*failed)(libxl_ctx *ctx, struct xl_stream *stream, int rc);
};

struct xl_stream {
    struct xl_watched watched; /* first */
    const struct xl_stream_hooks *hooks;
    struct xl_strand *strand; /* of the operation's calls */
    uint64_t slot;
    int which;            /* 0, 1 or 2 */
    struct xl_forkfd end; /* the parent's */
    /* stdin */
    const char *data;
    size_t length, done;
    /* stdout, stderr */
    libxl_captured *captured; /* NULL: goes to the callback */
    size_t room;              /* allocated in captured->data */
    size_t limit;
    void (*callback)(libxl_ctx *ctx, int stream, const void *data,
                     size_t length, void *user);
    void *user;
    char *chunk; /* on its way to the callback */
    size_t chunk_length;
    int chunk_due; /* … which has not run yet */
    int end_due;   /* the callback is to be told the end */
    int end_told;
    int draining; /* after the exit: what is there, and no more … */
    size_t drain; /* … which is so much */
    struct xl_deferred deferred;
};

void xl_stream_init(struct xl_stream *stream, int which,
                    const struct xl_stream_hooks *hooks,
                    struct xl_strand *strand);
/* Takes the parent's end, and has the epoll watch it. 0; or -1 and errno, and
 * it is the caller's still. */
int xl_stream_watch(libxl_ctx *ctx, struct xl_stream *stream,
                    struct xl_forkfd *end);
void xl_stream_close(libxl_ctx *ctx, struct xl_stream *stream);
/* Its fd is somebody else's by now: it is left alone. */
void xl_stream_forget(libxl_ctx *ctx, struct xl_stream *stream);
/* The child has ended: reads what is there, up to what is there now. */
void xl_stream_drain(libxl_ctx *ctx, struct xl_stream *stream);
int xl_stream_settled(const struct xl_stream *stream);

#endif
