/* operation.c - an operation in progress: a child, its streams and its timeout
 *
 * Called by exec.c and spawn.c (start), child.c (the child's end, as its
 * guardian), stream.c (its hooks), the timeout, and the host (abort). Next:
 * the completion, by way of the deferred calls. See operation.h.
 */
#include "api/operation.h"

#include <string.h>

#include "child/flights.h"
#include "ctx/defer.h"
#include "loop/enter.h"
#include "ctx/events.h"
#include "api/kill.h"
#include "child/reaper_thread.h"
#include "child/send.h"
#include "ctx/waiters.h"

/* ---- ending ------------------------------------------------------------- */

/* Whoever holds a pipe open may hold it: take what is there, and no more. */
static void stop_lingering(libxl_ctx *ctx, struct xl_operation *ao)
{
    int i;

    ao->linger = LIBXL_LINGER_DRAIN;
    for (i = 0; i < 3; i++)
        xl_stream_drain(ctx, &ao->streams[i]);
}

/* The kernel refuses the kill: the child is another user's by now, and may run
 * for ever. Nobody waits for that: it is let go of, and the completion says
 * so. */
static void leave_running(libxl_ctx *ctx, struct xl_operation *ao,
                          struct xl_child *child)
{
    libxl_childproc_result *result = &ao->result->child;

    child->guardian = NULL;
    child->report = LIBXL_REPORT_NONE;
    child->detached = 1;
    xl_account_unwanted(&child->more->account); /* nobody will know the end */
    xl_timer_disarm(&ctx->timers, &child->timer);
    xl_reaper_thread_let_go(ctx, child);
    result->id = child->id;
    result->pid = child->pid;
    result->lost = LIBXL_LOST_LEFT;
    ao->rc = ERROR_PERMISSION;
    ao->child_ended = 1; /* as far as we are concerned */
    xl_timer_disarm(&ctx->timers, &ao->timer);
    xl_stream_drain(ctx, &ao->streams[0]);
    stop_lingering(ctx, ao);
}

/* Ends the child by the operation's policy. rc: why, for the completion. */
static void cut_short(libxl_ctx *ctx, struct xl_operation *ao, int rc)
{
    struct xl_child *child = xl_child_get(ctx, ao->child);
    int sent;

    if (ao->rc != 0)
        return;
    if (ao->child_ended) {
        /* There is nobody to kill. An abort changes nothing but the waiting;
         * that output is lost is told all the same. */
        if (rc != ERROR_ABORTED)
            ao->rc = rc;
        if (ao->leader != NULL) /* … but for whoever is left of its group */
            (void)xl_send(ao->leader, SIGKILL, ao->kill.scope);
        stop_lingering(ctx, ao);
        return;
    }
    if (child != NULL)
        (void)xl_account_reason(child->more->account, rc == ERROR_TIMEDOUT
                                                          ? LIBXL_ENDED_TIMEOUT
                                                          : LIBXL_ENDED_ABORT);
    sent = child != NULL ? xl_terminate(ctx, child, &ao->kill) : 0;
    if (sent == ERROR_NOTFOUND) {
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
    if (sent == ERROR_PERMISSION)
        leave_running(ctx, ao, child);
}

static void run_completion(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_operation *ao = xl_container(d, struct xl_operation, completion);
    libxl_asyncop_how how = ao->how;
    int rc = ao->rc;

    pthread_mutex_lock(&ctx->lock);
    if (ao->abandoned) {
        xl_operation_free(ctx, ao);
    } else if (ao->synchronous) {
        ao->complete = 2; /* the waiting thread frees it */
        xl_waiters_wake_ao(ctx, ao);
    } else {
        struct xl_box *box = ao->completion_event;

        ao->completion_event = NULL;
        xl_operation_free(ctx, ao);
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

/* Completes it if nothing more is to come. ao may be gone afterwards. */
static void advance(libxl_ctx *ctx, struct xl_operation *ao)
{
    int i;

    if (ao->complete || !ao->child_ended)
        return;
    for (i = 0; i < 3; i++)
        if (!xl_stream_settled(&ao->streams[i]))
            return;
    ao->complete = 1;
    ao->result->stdin_written = ao->streams[0].done;
    xl_timer_disarm(&ctx->timers, &ao->timer);
    ao->completion.run = run_completion;
    xl_defer(ctx, &ao->completion, &ao->strand, 1);
}

static void timed_out(libxl_ctx *ctx, struct xl_timer *timer)
{
    struct xl_operation *ao = xl_container(timer, struct xl_operation, timer);

    /* after the child's end: only somebody who holds a pipe open is left to
     * wait for */
    if (ao->child_ended)
        ao->result->timed_out = 1;
    cut_short(ctx, ao, ERROR_TIMEDOUT);
    advance(ctx, ao);
}

/* Somebody may hold its output open when it has ended, and may have to be ended
 * with its group. */
static int keeps_leader(const struct xl_operation *ao)
{
    return ao->rc == 0 && ao->linger == LIBXL_LINGER_EOF &&
           ao->kill.scope != LIBXL_KILL_PROCESS &&
           !(xl_stream_settled(&ao->streams[1]) &&
             xl_stream_settled(&ao->streams[2]));
}

static int child_ended(libxl_ctx *ctx, struct xl_guardian *guardian,
                       const libxl_childproc_result *result,
                       const libxl_childproc_failure *failure)
{
    struct xl_operation *ao = (struct xl_operation *)(void *)guardian;

    if (failure != NULL) {
        ao->result->failure = *failure;
        if (ao->rc == 0)
            ao->rc = ERROR_SPAWN;
    }

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
    if (keeps_leader(ao))
        ao->leader = xl_child_get(ctx, ao->child);
    advance(ctx, ao);
    return ao->leader != NULL;
}

static void kill_refused(libxl_ctx *ctx, struct xl_guardian *guardian,
                         struct xl_child *child)
{
    struct xl_operation *ao = (struct xl_operation *)(void *)guardian;

    leave_running(ctx, ao, child);
    advance(ctx, ao);
}

static struct xl_operation *owner(struct xl_stream *stream)
{
    return xl_container(stream - stream->which, struct xl_operation, streams);
}

static void stream_advanced(libxl_ctx *ctx, struct xl_stream *stream)
{
    advance(ctx, owner(stream));
}

static void stream_failed(libxl_ctx *ctx, struct xl_stream *stream, int rc)
{
    cut_short(ctx, owner(stream), rc);
}

static const struct xl_stream_hooks stream_hooks = {stream_advanced,
                                                    stream_failed};

/* ---- starting ----------------------------------------------------------- */

static void run_progress(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_box *box = xl_container(d, struct xl_box, deferred);

    box->call.progress(ctx, &box->event, box->user);
}

static void tell_started(libxl_ctx *ctx, struct xl_operation *ao, pid_t pid)
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

void xl_operation_starts(libxl_ctx *ctx, struct xl_operation *ao,
                         libxl_childproc_id id)
{
    ao->child = id;
    xl_timer_arm(&ctx->timers, &ao->timer, ao->due);
    xl_list_append(&ctx->aos, &ao->link);
}

void xl_operation_child_started(libxl_ctx *ctx, struct xl_operation *ao,
                                pid_t pid)
{
    tell_started(ctx, ao, pid);
}

struct xl_operation *xl_operation_new(libxl_ctx *ctx,
                                      const libxl_childproc_spec *spec,
                                      const libxl_childproc_exec_opts *opts,
                                      libxl_childproc_exec_result *result,
                                      const libxl_asyncop_how *how)
{
    struct xl_operation *ao = xl_sys.calloc(1, sizeof *ao);
    const libxl_stream *out[3] = {NULL, &opts->stdout_stream,
                                  &opts->stderr_stream};
    libxl_captured *captured[3];
    int i;

    if (ao == NULL)
        return NULL;
    if (how == NULL)
        result = &ao->own;
    captured[1] = &result->out;
    captured[2] = &result->err;
    ao->guardian.child_ended = child_ended;
    ao->guardian.kill_refused = kill_refused;
    xl_list_init(&ao->link);
    xl_strand_init(&ao->strand);
    ao->synchronous = how == NULL;
    if (how != NULL)
        ao->how = *how;
    ao->kill = spec->kill;
    ao->linger = opts->linger;
    ao->result = result;
    ao->timer.fire = timed_out;
    for (i = 0; i < 3; i++)
        xl_stream_init(&ao->streams[i], i, &stream_hooks, &ao->strand);
    for (i = 1; i < 3; i++) {
        if (out[i]->kind == LIBXL_STREAM_CAPTURE) {
            ao->streams[i].captured = captured[i];
            ao->streams[i].limit = out[i]->limit;
        } else if (out[i]->kind == LIBXL_STREAM_CALLBACK) {
            ao->streams[i].callback = opts->stream_data;
            ao->streams[i].user = opts->stream_user;
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
    xl_operation_free(ctx, ao);
    return NULL;
}

/* ---- without completing ------------------------------------------------- */

void xl_operation_free(libxl_ctx *ctx, struct xl_operation *ao)
{
    int i;

    for (i = 0; i < 3; i++) {
        xl_stream_close(ctx, &ao->streams[i]);
        xl_free(ao->streams[i].chunk);
    }
    xl_timer_disarm(&ctx->timers, &ao->timer);
    xl_list_remove(&ao->link);
    if (ao->leader != NULL)
        xl_child_forget(ctx, ao->leader);
    xl_free(ao->completion_event);
    xl_free(ao->started);
    xl_free(ao->data_copy);
    xl_free(ao->own.out.data); /* nobody took it */
    xl_free(ao->own.err.data);
    xl_free(ao);
}

static void let_others_in(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
    (void)xl_sys.poll(NULL, 0, 1);
    pthread_mutex_lock(&ctx->lock);
}

/* The thread's stack is about to go, and a child that is not its program yet
 * reads the spec there. It has been sent SIGKILL. */
static void await_setting_up(libxl_ctx *ctx, libxl_childproc_id id)
{
    struct xl_child *child;

    while ((child = xl_child_get(ctx, id)) != NULL) {
        if (!xl_flights_settle(ctx, child))
            break;
        let_others_in(ctx);
    }
}

void xl_operation_abandon(libxl_ctx *ctx, struct xl_operation *ao)
{
    struct xl_child *child;
    int i;

    for (i = 0; i < 3; i++)
        xl_stream_close(ctx, &ao->streams[i]);
    cut_short(ctx, ao, ERROR_ABORTED);
    advance(ctx, ao);
    await_setting_up(ctx, ao->child);
    /* calls with what was the thread's: those that are due are made, and one
     * that another thread is in the midst of has ended then */
    for (;;) {
        xl_dispatch(ctx);
        if (ao->complete == 2 || (!ao->complete && !ao->strand.busy))
            break;
        let_others_in(ctx);
    }
    ao->abandoned = 1;
    if (ao->complete) {
        xl_operation_free(ctx, ao);
        return;
    }
    /* nobody may ever pump again */
    child = xl_child_get(ctx, ao->child);
    if (child != NULL && !child->ended && child->pid > 0 && !child->let_go)
        xl_reaper_thread_let_go(ctx, child);
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
        struct xl_operation *ao = xl_container(node, struct xl_operation, link);

        if (ao->complete || ao->synchronous ||
            ao->how.callback != how->callback ||
            ao->how.u.for_event != how->u.for_event)
            continue;
        rc = ao->abort_asked ? ERROR_ABORTED : 0;
        if (rc == 0) {
            ao->abort_asked = 1;
            cut_short(ctx, ao, ERROR_ABORTED);
            advance(ctx, ao);
            break;
        }
    }
    return xl_leave(ctx, rc);
}
