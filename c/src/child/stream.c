/* stream.c - moving the bytes of an operation's standard streams
 *
 * Called by pump.c when a pipe is ready and by operation.c at the child's end.
 * Next: the operation, through its hooks, when a stream is done. A chunk that
 * is on its way to the host's callback stops the reading of its stream, which
 * is the back-pressure.
 */
#define _GNU_SOURCE
#include "child/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "ctx/defer.h"

static void ready(libxl_ctx *ctx, struct xl_watched *watched, unsigned events);

void xl_stream_init(struct xl_stream *s, int which,
                    const struct xl_stream_hooks *hooks,
                    struct xl_strand *strand)
{
    s->watched.ready = ready;
    s->hooks = hooks;
    s->strand = strand;
    s->which = which;
    xl_forkfd_init(&s->end);
}

/* One readiness at a time, so that a stream that waits for its callback does
 * not keep the epoll ready. */
static int rearm(libxl_ctx *ctx, struct xl_stream *s, int op, int fd)
{
    struct epoll_event event;

    event.events = (s->which == 0 ? EPOLLOUT : EPOLLIN) | EPOLLONESHOT;
    event.data.u64 = s->slot | XL_TAG_STREAM;
    return xl_sys.epoll_ctl(ctx->pump.epfd, op, fd, &event);
}

int xl_stream_watch(libxl_ctx *ctx, struct xl_stream *s, struct xl_forkfd *end)
{
    if (s->captured != NULL && ctx->chunk == NULL)
        ctx->chunk = xl_sys.malloc(XL_STREAM_CHUNK);
    if (s->captured != NULL && ctx->chunk == NULL) {
        errno = ENOMEM;
        return -1;
    }
    s->slot = xl_slots_add(&ctx->streams, s);
    if (s->slot == 0) {
        errno = ENOMEM;
        return -1;
    }
    if (rearm(ctx, s, EPOLL_CTL_ADD, end->fd) == 0) {
        xl_forkfd_move(&s->end, end);
        return 0;
    }
    xl_slots_remove(&ctx->streams, s->slot);
    s->slot = 0;
    return -1;
}

void xl_stream_close(libxl_ctx *ctx, struct xl_stream *s)
{
    struct epoll_event unused;

    if (s->end.fd < 0)
        return;
    /* a fork that went round the handlers may hold a copy: closing is not
     * enough */
    (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_DEL, s->end.fd, &unused);
    xl_slots_remove(&ctx->streams, s->slot);
    xl_forkfd_close(&s->end);
    s->slot = 0;
}

void xl_stream_forget(libxl_ctx *ctx, struct xl_stream *s)
{
    xl_slots_remove(&ctx->streams, s->slot);
    xl_forkfd_forget(&s->end);
    s->slot = 0;
}

static void rearm_or_fail(libxl_ctx *ctx, struct xl_stream *s)
{
    if (rearm(ctx, s, EPOLL_CTL_MOD, s->end.fd) == 0)
        return;
    xl_stream_close(ctx, s);
    s->hooks->failed(ctx, s, ERROR_FAIL);
}

/* ---- stdin -------------------------------------------------------------- */

/* write(), without a SIGPIPE for the host: it is blocked meanwhile, and one
 * that this write made pending is taken back. */
static ssize_t write_quietly(int fd, const char *data, size_t length)
{
    static const struct timespec at_once = {0, 0};
    sigset_t pipe_only, pending, before;
    int was_pending;
    ssize_t n;
    int saved;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    (void)sigpending(&pending);
    was_pending = sigismember(&pending, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    n = xl_sys.write(fd, data, length);
    saved = errno;
    if (n < 0 && saved == EPIPE && !was_pending)
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR)
            ;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return n;
}

static void feed(libxl_ctx *ctx, struct xl_stream *s)
{
    while (s->done < s->length) {
        size_t left = s->length - s->done;
        ssize_t n =
            write_quietly(s->end.fd, s->data + s->done,
                          left < XL_STREAM_CHUNK ? left : XL_STREAM_CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            rearm_or_fail(ctx, s);
            return;
        }
        if (n < 0)
            break; /* the child does not want the rest: that is its right */
        s->done += (size_t)n;
    }
    xl_stream_close(ctx, s);
}

/* ---- stdout and stderr -------------------------------------------------- */

/* Room for size more bytes and a NUL. */
static int make_room(struct xl_stream *s, size_t size)
{
    size_t wanted = s->captured->length + size + 1;
    size_t room = s->room == 0 ? 4096 : s->room;
    char *data;

    if (wanted <= s->room)
        return 0;
    while (room < wanted)
        room *= 2;
    data = xl_sys.realloc(s->captured->data, room);
    if (data == NULL)
        return -1;
    s->captured->data = data;
    s->room = room;
    return 0;
}

static int keep(struct xl_stream *s, const char *data, size_t length)
{
    size_t kept = length;

    if (s->limit > 0 && s->captured->length + kept > s->limit)
        kept = s->limit - s->captured->length;
    if (make_room(s, kept) != 0)
        return -1;
    memcpy(s->captured->data + s->captured->length, data, kept);
    s->captured->length += kept;
    s->captured->data[s->captured->length] = '\0';
    s->captured->dropped += length - kept;
    return 0;
}

static void collect(libxl_ctx *ctx, struct xl_stream *s);

static void run_chunk(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_stream *s = xl_container(d, struct xl_stream, deferred);

    s->callback(ctx, s->which, s->chunk, s->chunk_length, s->user);
    pthread_mutex_lock(&ctx->lock);
    s->chunk_due = 0;
    if (s->end_told)
        s->end_due = 0;
    else if (s->end.fd >= 0)
        collect(ctx, s);
    s->hooks->advanced(ctx, s);
    pthread_mutex_unlock(&ctx->lock);
}

static void send_chunk(libxl_ctx *ctx, struct xl_stream *s, size_t length)
{
    s->chunk_length = length;
    s->chunk_due = 1;
    s->deferred.run = run_chunk;
    xl_defer(ctx, &s->deferred, s->strand, 0);
}

static void finish(libxl_ctx *ctx, struct xl_stream *s)
{
    xl_stream_close(ctx, s);
    if (s->captured == NULL && !s->end_told) {
        s->end_told = 1;
        s->end_due = 1;
        send_chunk(ctx, s, 0);
    }
}

static void give_up(libxl_ctx *ctx, struct xl_stream *s)
{
    if (s->captured != NULL)
        s->captured->held_open = 1;
    finish(ctx, s);
}

/* Reads what there is. After the child's end only what was there then. */
static void collect(libxl_ctx *ctx, struct xl_stream *s)
{
    char *buffer = s->captured != NULL ? ctx->chunk : s->chunk;
    int limited = s->draining;
    int rounds;

    if (s->chunk_due)
        return;
    for (rounds = 0; limited || rounds < 16; rounds++) {
        size_t wanted = XL_STREAM_CHUNK;
        ssize_t n;

        if (limited && s->drain == 0) {
            give_up(ctx, s);
            return;
        }
        if (limited && s->drain < wanted)
            wanted = s->drain;
        n = xl_sys.read(s->end.fd, buffer, wanted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (limited)
                give_up(ctx, s);
            else
                rearm_or_fail(ctx, s);
            return;
        }
        if (n <= 0) {
            finish(ctx, s);
            return;
        }
        if (limited)
            s->drain -= (size_t)n;
        if (s->captured == NULL) {
            send_chunk(ctx, s, (size_t)n);
            return;
        }
        if (keep(s, buffer, (size_t)n) != 0) {
            give_up(ctx, s);
            s->hooks->failed(ctx, s, ERROR_NOMEM);
            return;
        }
        if ((size_t)n < wanted && !limited)
            break; /* it is empty, most likely */
    }
    rearm_or_fail(ctx, s);
}

void xl_stream_drain(libxl_ctx *ctx, struct xl_stream *s)
{
    int there = 0;

    if (s->end.fd < 0)
        return;
    if (s->which == 0) {
        xl_stream_close(ctx, s);
        return;
    }
    s->draining = 1;
    /* one more than there is, so that an end of file is seen as one */
    if (ioctl(s->end.fd, FIONREAD, &there) != 0 || there < 0)
        there = 0;
    s->drain = (size_t)there + 1;
    collect(ctx, s);
}

int xl_stream_settled(const struct xl_stream *s)
{
    return s->end.fd < 0 && !s->chunk_due && !s->end_due;
}

static void ready(libxl_ctx *ctx, struct xl_watched *watched, unsigned events)
{
    struct xl_stream *s = (struct xl_stream *)(void *)watched;

    (void)events;
    if (s->which == 0)
        feed(ctx, s);
    else
        collect(ctx, s);
    s->hooks->advanced(ctx, s);
}
