/* exec.c - running a command to completion
 *
 * Called by the host. Makes the streams, then the child (spawn.c), and lets
 * stream.c, the timeout and child.c move the operation to its completion.
 * Streams, timeout and abort are in place before the child runs, and before
 * the first byte of stdin is written (C18).
 */
#define _GNU_SOURCE
#include "xlchild/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "ao.h"
#include "child.h"
#include "enter.h"
#include "events_impl.h"
#include "kill_impl.h"
#include "process.h"
#include "spawn_impl.h"

void libxl_childproc_exec_opts_init(libxl_childproc_exec_opts *opts)
{
    memset(opts, 0, sizeof *opts);
    opts->size = sizeof *opts;
    opts->stdin_stream.kind = LIBXL_STREAM_NULL;
    opts->stdin_stream.fd = -1;
    opts->stdout_stream.fd = -1;
    opts->stderr_stream.fd = -1;
}

void libxl_childproc_exec_result_dispose(libxl_childproc_exec_result *result)
{
    if (result == NULL)
        return;
    xl_free(result->out.data);
    xl_free(result->err.data);
    memset(result, 0, sizeof *result);
}

/* ---- checking ----------------------------------------------------------- */

static int bad_stream(const libxl_stream *s, int which)
{
    switch (s->kind) {
    case LIBXL_STREAM_INHERIT:
    case LIBXL_STREAM_NULL:
        return 0;
    case LIBXL_STREAM_FD:
        return s->fd < 0 || fcntl(s->fd, F_GETFD) < 0;
    case LIBXL_STREAM_FILE:
        return s->path == NULL;
    case LIBXL_STREAM_APPEND:
        return s->path == NULL || which == 0;
    case LIBXL_STREAM_BUFFER:
        return which != 0 || (s->data == NULL && s->length > 0);
    case LIBXL_STREAM_CAPTURE:
    case LIBXL_STREAM_CALLBACK:
        return which == 0;
    case LIBXL_STREAM_MERGE:
        return which != 2;
    }
    return 1;
}

static const char *bad_member(const libxl_childproc_exec_opts *opts)
{
    if (opts->size != sizeof *opts)
        return "opts.size";
    if (bad_stream(&opts->stdin_stream, 0))
        return "stdin_stream";
    if (bad_stream(&opts->stdout_stream, 1))
        return "stdout_stream";
    if (bad_stream(&opts->stderr_stream, 2))
        return "stderr_stream";
    if (opts->timeout_ms < LIBXL_WAIT_FOREVER)
        return "timeout_ms";
    if (opts->linger != LIBXL_LINGER_DRAIN && opts->linger != LIBXL_LINGER_EOF)
        return "linger";
    if ((opts->stdout_stream.kind == LIBXL_STREAM_CALLBACK ||
         opts->stderr_stream.kind == LIBXL_STREAM_CALLBACK) &&
        opts->stream_data == NULL)
        return "stream_data";
    return NULL;
}

/* ---- streams ------------------------------------------------------------ */

/* What the child's three streams become, while the operation is made. */
struct wiring {
    int source[3]; /* for the child: an fd, or LIBXL_FD_…; -1: inherit */
    int opened[3]; /* to be closed once the child has it; -1 */
    int ours[3];   /* the parent's end of a pipe; -1 */
};

static int open_pipe(struct wiring *w, int which)
{
    int fds[2];
    int ours;

    if (xl_sys.pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    ours = which == 0 ? fds[1] : fds[0];
    w->ours[which] = ours;
    w->opened[which] = w->source[which] = which == 0 ? fds[0] : fds[1];
    /* only our end: the child's is a file description of its own */
    return fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
}

static int open_file(struct wiring *w, int which, const libxl_stream *s)
{
    int flags = which == 0 ? O_RDONLY : O_WRONLY | O_CREAT;

    if (which != 0)
        flags |= s->kind == LIBXL_STREAM_APPEND ? O_APPEND : O_TRUNC;
    w->opened[which] = xl_sys.open(s->path, flags | O_CLOEXEC | O_NOCTTY, 0666);
    w->source[which] = w->opened[which];
    return w->opened[which] < 0 ? -1 : 0;
}

static int wire(struct wiring *w, int which, const libxl_stream *s)
{
    switch (s->kind) {
    case LIBXL_STREAM_INHERIT:
        return 0;
    case LIBXL_STREAM_NULL:
        w->source[which] = LIBXL_FD_NULL;
        return 0;
    case LIBXL_STREAM_FD:
        w->source[which] = s->fd;
        return 0;
    case LIBXL_STREAM_FILE:
    case LIBXL_STREAM_APPEND:
        return open_file(w, which, s);
    case LIBXL_STREAM_BUFFER:
    case LIBXL_STREAM_CAPTURE:
    case LIBXL_STREAM_CALLBACK:
        return open_pipe(w, which);
    case LIBXL_STREAM_MERGE:
        w->source[2] = w->source[1];
        return 0;
    }
    return 0;
}

static void unwire(struct wiring *w)
{
    int i;

    for (i = 0; i < 3; i++) {
        xl_close(w->opened[i]);
        w->opened[i] = -1;
    }
}

/* The spec's map, with our three streams in place of its own. */
static size_t merge_map(const libxl_childproc_spec *spec, struct wiring *w,
                        int merged, libxl_childproc_fd *map)
{
    size_t n = 0;
    size_t i;

    for (i = 0; i < spec->nfds; i++) {
        if (merged && spec->fds[i].target == 1 && w->source[1] == -1)
            w->source[2] = spec->fds[i].source;
    }
    if (merged && w->source[1] == -1 && w->source[2] == -1)
        w->source[2] = 1;
    for (i = 0; i < spec->nfds; i++) {
        int target = spec->fds[i].target;

        if (target > 2 || w->source[target] == -1)
            map[n++] = spec->fds[i];
    }
    for (i = 0; i < 3; i++) {
        if (w->source[i] != -1) {
            map[n].target = (int)i;
            map[n].source = w->source[i];
            n++;
        }
    }
    return n;
}

/* ---- the operation ------------------------------------------------------ */

static void free_ao(libxl_ctx *ctx, struct xl_ao *ao)
{
    int i;

    for (i = 0; i < 3; i++) {
        xl_stream_close(ctx, &ao->streams[i]);
        xl_free(ao->streams[i].chunk);
    }
    xl_timer_disarm(&ctx->timers, &ao->timer);
    xl_list_remove(&ao->link);
    xl_free(ao->completion_event);
    xl_free(ao->started);
    xl_free(ao->data_copy);
    xl_free(ao);
}

void xl_ao_drop(libxl_ctx *ctx, struct xl_ao *ao)
{
    free_ao(ctx, ao);
}

void xl_ao_postfork(struct xl_list *node)
{
    struct xl_ao *ao = xl_container(node, struct xl_ao, link);
    int i;

    for (i = 0; i < 3; i++) {
        xl_close(ao->streams[i].fd);
        ao->streams[i].fd = -1;
    }
}

/* Whoever holds a pipe open may hold it: take what is there, and no more. */
static void stop_lingering(libxl_ctx *ctx, struct xl_ao *ao)
{
    int i;

    ao->linger = LIBXL_LINGER_DRAIN;
    for (i = 0; i < 3; i++)
        xl_stream_drain(ctx, &ao->streams[i]);
}

void xl_ao_cut_short(libxl_ctx *ctx, struct xl_ao *ao, int rc)
{
    struct xl_child *child = xl_child_get(ctx, ao->child);

    if (ao->rc != 0)
        return;
    if (ao->child_ended) {
        /* There is nobody to kill. An abort changes nothing but the waiting;
         * that output is lost is told all the same. */
        if (rc != ERROR_ABORTED)
            ao->rc = rc;
        stop_lingering(ctx, ao);
        return;
    }
    if (child != NULL &&
        xl_terminate(ctx, child, &ao->kill) == ERROR_NOTFOUND) {
        /* It has ended by itself, and nobody has looked yet. */
        if (rc != ERROR_ABORTED && rc != ERROR_TIMEDOUT)
            ao->rc = rc;
        ao->linger = LIBXL_LINGER_DRAIN;
        return;
    }
    ao->rc = rc;
    if (rc == ERROR_TIMEDOUT)
        ao->result->timed_out = 1;
    else
        ao->result->aborted = 1;
}

static void timed_out(libxl_ctx *ctx, struct xl_timer *timer)
{
    struct xl_ao *ao = xl_container(timer, struct xl_ao, timer);

    /* after the child's end: only somebody who holds a pipe open is left to
     * wait for */
    if (ao->child_ended)
        ao->result->timed_out = 1;
    xl_ao_cut_short(ctx, ao, ERROR_TIMEDOUT);
    xl_ao_advance(ctx, ao);
}

static void run_completion(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_ao *ao = xl_container(d, struct xl_ao, completion);
    libxl_asyncop_how how = ao->how;
    int rc = ao->rc;

    pthread_mutex_lock(&ctx->lock);
    if (ao->synchronous) {
        ao->complete = 2; /* the waiting thread frees it */
        xl_pump_wake_ao(ctx, ao);
    } else {
        struct xl_box *box = ao->completion_event;

        ao->completion_event = NULL;
        free_ao(ctx, ao);
        if (box != NULL) {
            box->event.type = LIBXL_EVENT_TYPE_OPERATION_COMPLETE;
            box->event.for_user = how.u.for_event;
            box->event.u.operation_complete.rc = rc;
            xl_event_occurred(ctx, box, NULL, 0);
        }
    }
    pthread_mutex_unlock(&ctx->lock);
    /* how is a copy: a synchronous one has no callback */
    if (how.callback != NULL)
        how.callback(ctx, rc, how.u.for_callback);
}

void xl_ao_advance(libxl_ctx *ctx, struct xl_ao *ao)
{
    int i;

    if (ao->complete || !ao->child_ended)
        return;
    for (i = 0; i < 3; i++)
        if (!xl_stream_settled(&ao->streams[i]))
            return;
    ao->complete = 1;
    xl_timer_disarm(&ctx->timers, &ao->timer);
    ao->completion.run = run_completion;
    xl_defer(ctx, &ao->completion, &ao->strand, 1);
}

void xl_ao_child_ended(libxl_ctx *ctx, struct xl_ao *ao,
                       const libxl_childproc_result *result)
{
    ao->result->child = *result;
    ao->child_ended = 1;
    if (ao->rc != 0)
        ao->linger = LIBXL_LINGER_DRAIN; /* whoever holds a pipe, holds it */
    xl_stream_drain(ctx, &ao->streams[0]);
    if (ao->linger == LIBXL_LINGER_DRAIN) {
        xl_timer_disarm(&ctx->timers, &ao->timer);
        xl_stream_drain(ctx, &ao->streams[1]);
        xl_stream_drain(ctx, &ao->streams[2]);
    }
    xl_ao_advance(ctx, ao);
}

static void run_progress(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_box *box = xl_container(d, struct xl_box, deferred);

    box->call.progress(ctx, &box->event, box->user);
}

static void tell_started(libxl_ctx *ctx, struct xl_ao *ao, pid_t pid)
{
    const libxl_asyncprogress_how *how = &ao->progress;
    struct xl_box *box = ao->started;

    ao->started = NULL;
    if (box == NULL)
        return;
    box->event.type = LIBXL_EVENT_TYPE_CHILDPROC_STARTED;
    box->event.u.childproc_started.id = ao->child;
    box->event.u.childproc_started.pid = pid;
    if (how->callback == NULL) {
        box->event.for_user = how->u.for_event;
        xl_event_occurred(ctx, box, &ao->strand, 0);
        return;
    }
    box->call.progress = how->callback;
    box->user = how->u.for_callback;
    box->deferred.run = run_progress;
    xl_defer(ctx, &box->deferred, &ao->strand, 0);
}

void xl_ao_child_started(libxl_ctx *ctx, struct xl_ao *ao,
                         libxl_childproc_id id, pid_t pid)
{
    ao->child = id;
    xl_timer_arm(&ctx->timers, &ao->timer, ao->due);
    xl_list_append(&ctx->aos, &ao->link);
    tell_started(ctx, ao, pid);
}

/* Everything that a completion needs, before there is anything to complete. */
static struct xl_ao *new_ao(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                            const libxl_childproc_exec_opts *opts,
                            libxl_childproc_exec_result *result,
                            const libxl_asyncop_how *how)
{
    struct xl_ao *ao = xl_sys.calloc(1, sizeof *ao);
    const libxl_stream *out[3] = {NULL, &opts->stdout_stream,
                                  &opts->stderr_stream};
    libxl_captured *captured[3] = {NULL, &result->out, &result->err};
    int i;

    if (ao == NULL)
        return NULL;
    xl_list_init(&ao->link);
    xl_strand_init(&ao->strand);
    ao->ctx = ctx;
    ao->synchronous = how == NULL;
    if (how != NULL)
        ao->how = *how;
    ao->kill = spec->kill;
    ao->linger = opts->linger;
    ao->result = result;
    ao->stream_data = opts->stream_data;
    ao->stream_user = opts->stream_user;
    ao->timer.fire = timed_out;
    for (i = 0; i < 3; i++)
        xl_stream_init(ao, i);
    for (i = 1; i < 3; i++) {
        if (out[i]->kind == LIBXL_STREAM_CAPTURE) {
            ao->streams[i].captured = captured[i];
            ao->streams[i].limit = out[i]->limit;
        } else if (out[i]->kind == LIBXL_STREAM_CALLBACK) {
            ao->streams[i].chunk = xl_sys.malloc(XL_STREAM_CHUNK);
            if (ao->streams[i].chunk == NULL)
                goto out;
        }
    }
    if (opts->stdin_stream.kind == LIBXL_STREAM_BUFFER) {
        ao->streams[0].data = opts->stdin_stream.data;
        ao->streams[0].length = opts->stdin_stream.length;
        if (how != NULL && opts->stdin_stream.length > 0) {
            ao->data_copy = xl_sys.malloc(opts->stdin_stream.length);
            if (ao->data_copy == NULL)
                goto out;
            memcpy(ao->data_copy, opts->stdin_stream.data,
                   opts->stdin_stream.length);
            ao->streams[0].data = ao->data_copy;
        }
    }
    if (how != NULL && how->callback == NULL) {
        ao->completion_event = xl_sys.calloc(1, sizeof(struct xl_box));
        if (ao->completion_event == NULL)
            goto out;
    }
    if (opts->started != NULL) {
        ao->progress = *opts->started;
        ao->started = xl_sys.calloc(1, sizeof(struct xl_box));
        if (ao->started == NULL)
            goto out;
    }
    return ao;
out:
    free_ao(ctx, ao);
    return NULL;
}

static int ao_done(libxl_ctx *ctx, void *user)
{
    const struct xl_ao *ao = user;

    (void)ctx;
    return ao->complete == 2;
}

static int prepare_failed(libxl_childproc_failure *failure,
                          libxl_childproc_stage stage, int errnoval,
                          const char *argument)
{
    failure->stage = stage;
    failure->errnoval = errnoval;
    failure->argument = argument;
    errno = errnoval;
    if (stage == LIBXL_STAGE_ARGUMENT)
        return ERROR_INVAL;
    return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
}

/* Makes the streams and puts our ends under watch. */
static int wire_all(libxl_ctx *ctx, struct xl_ao *ao, struct wiring *w,
                    const libxl_childproc_exec_opts *opts)
{
    const libxl_stream *streams[3] = {
        &opts->stdin_stream, &opts->stdout_stream, &opts->stderr_stream};
    int r = 0;
    int i;

    xl_process_lock();
    for (i = 0; i < 3 && r == 0; i++)
        r = wire(w, i, streams[i]);
    xl_process_unlock();
    for (i = 0; i < 3 && r == 0; i++) {
        if (w->ours[i] < 0)
            continue;
        r = xl_stream_watch(ctx, &ao->streams[i], w->ours[i]);
        if (r == 0)
            w->ours[i] = -1; /* the stream's now */
    }
    return r;
}

static int start(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                 const libxl_childproc_exec_opts *opts, struct xl_ao *ao,
                 libxl_childproc_failure *failure)
{
    struct wiring w = {{-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}};
    libxl_childproc_spec own = *spec;
    libxl_childproc_fd *map = NULL;
    struct xl_spawn spawn;
    int timeout = opts->timeout_ms > 0 ? opts->timeout_ms : LIBXL_WAIT_FOREVER;
    int saved;
    int rc;
    int i;

    memset(&spawn, 0, sizeof spawn);
    map = xl_sys.malloc((spec->nfds + 3) * sizeof *map);
    if (map == NULL) {
        rc = prepare_failed(failure, LIBXL_STAGE_PREPARE, ENOMEM, NULL);
        goto out;
    }
    if (wire_all(ctx, ao, &w, opts) != 0) {
        rc = prepare_failed(failure, LIBXL_STAGE_PREPARE, errno, NULL);
        goto out;
    }
    own.nfds = merge_map(spec, &w,
                         opts->stderr_stream.kind == LIBXL_STREAM_MERGE, map);
    own.fds = map;
    spawn.spec = &own;
    spawn.ao = ao;
    spawn.due = xl_after_ms(timeout);
    ao->due = spawn.due;
    rc = xl_spawn(ctx, &spawn);
    *failure = spawn.failure;
out:
    saved = errno;
    unwire(&w);
    for (i = 0; i < 3; i++)
        xl_close(w.ours[i]);
    xl_free(map);
    errno = saved;
    return rc;
}

int libxl_childproc_exec(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                         const libxl_childproc_exec_opts *opts,
                         libxl_childproc_exec_result *ret_result,
                         libxl_childproc_failure *ret_failure,
                         const libxl_asyncop_how *how)
{
    libxl_childproc_exec_opts defaults;
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    struct xl_ao *ao = NULL;
    const char *member;
    int saved = 0;
    int rc;

    if (opts == NULL) {
        libxl_childproc_exec_opts_init(&defaults);
        opts = &defaults;
    }
    rc = xl_enter(ctx);
    if (rc != 0) {
        (void)prepare_failed(&failure, LIBXL_STAGE_ARGUMENT, 0, "ctx");
        goto out;
    }
    if (ret_result == NULL)
        member = "ret_result";
    else if (spec == NULL)
        member = "spec";
    else
        member = bad_member(opts);
    if (member != NULL) {
        rc = prepare_failed(&failure, LIBXL_STAGE_ARGUMENT, 0, member);
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_childproc_exec: bad argument: %s", member);
        goto leave;
    }
    memset(ret_result, 0, sizeof *ret_result);
    rc = xl_start_check(spec, &failure);
    if (rc != 0)
        goto leave;
    ao = new_ao(ctx, spec, opts, ret_result, how);
    if (ao == NULL) {
        rc = prepare_failed(&failure, LIBXL_STAGE_PREPARE, ENOMEM, NULL);
        saved = ENOMEM;
        goto leave;
    }
    rc = start(ctx, spec, opts, ao, &failure);
    saved = errno;
    if (rc != 0) {
        free_ao(ctx, ao);
        goto leave;
    }
    if (ao->synchronous) {
        struct xl_waiter waiter;

        xl_waiter_init(&waiter);
        waiter.ao = ao;
        for (;;) {
            rc = xl_pump_wait(ctx, &waiter, ao_done, ao, LIBXL_WAIT_FOREVER, 0);
            if (rc == 0)
                break;
            /* no eventfd to wait on: be the leader as soon as we can */
            xl_pump_yield(ctx);
        }
        rc = ao->rc;
        free_ao(ctx, ao);
    }
leave:
    rc = xl_leave(ctx, rc);
out:
    if (ret_failure != NULL)
        *ret_failure = failure;
    if (rc != 0)
        errno = saved;
    return rc;
}

int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    struct xl_list *node;
    int rc;

    if (how == NULL)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    rc = ERROR_NOTFOUND;
    for (node = ctx->aos.next; node != &ctx->aos; node = node->next) {
        struct xl_ao *ao = xl_container(node, struct xl_ao, link);

        if (ao->complete || ao->synchronous ||
            ao->how.callback != how->callback ||
            ao->how.u.for_event != how->u.for_event)
            continue;
        rc = ao->abort_asked ? ERROR_ABORTED : 0;
        if (rc == 0) {
            ao->abort_asked = 1;
            xl_ao_cut_short(ctx, ao, ERROR_ABORTED);
            xl_ao_advance(ctx, ao);
            break;
        }
    }
    return xl_leave(ctx, rc);
}
