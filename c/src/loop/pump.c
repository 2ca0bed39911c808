/* pump.c - waiting for what is to happen, and having it happen
 *
 * See pump.h. A thread that blocks in epoll_wait sees fds that are added
 * meanwhile; a timeout that has become sooner is told to it through the
 * wakeup (O6).
 */
#define _GNU_SOURCE
#include "loop/pump.h"

#include <errno.h>

#include "child/child.h"
#include "ctx/defer.h"
#include "kernel/cancel.h"
#include "loop/enter.h"
#include "kernel/stop_point.h"
#include "ctx/process.h"
#include "child/reap.h"
#include "ctx/waiters.h"
#include "child/exit_watch.h"
#include "child/flights.h"

#define BATCH 64
#define BATCHES_PER_PUMP 8

/* ---- work --------------------------------------------------------------- */

static void handle(libxl_ctx *ctx, const struct epoll_event *event)
{
    uint64_t id = event->data.u64 & ~XL_TAG_MASK;
    unsigned reasons;

    switch (event->data.u64 & XL_TAG_MASK) {
    case XL_TAG_WAKEUP:
        reasons = xl_wakeup_take(&ctx->wakeup);
        /* It was for the leader, who may not be asleep yet: had we kept it,
         * nothing would wake it (E2, O6). */
        if ((reasons & XL_WAKE_POKE) && ctx->pump.leader != NULL)
            xl_wakeup_post(&ctx->wakeup, XL_WAKE_POKE);
        if (reasons & XL_WAKE_HANDED)
            xl_reap_handed(ctx);
        if (reasons & XL_WAKE_LIMBO)
            xl_reap_limbo(ctx);
        if (reasons & XL_WAKE_PIDFD)
            xl_reap_pidfds(ctx);
        break;
    case XL_TAG_SELFPIPE:
        if (xl_selfpipe_drain(&ctx->selfpipe))
            ctx->mode.sigchld_due = XL_SIGCHLD_CAME;
        break;
    case XL_TAG_CHILD: {
        struct xl_child *child = xl_child_get(ctx, id);

        if (child != NULL && !child->ended)
            xl_reap_announced(ctx, child, event->events);
        break;
    }
    case XL_TAG_STREAM: {
        struct xl_watched *watched = xl_slots_get(&ctx->streams, id);

        if (watched != NULL)
            watched->ready(ctx, watched, event->events);
        break;
    }
    }
}

static void handle_all(libxl_ctx *ctx, const struct epoll_event *events, int n)
{
    int i;

    for (i = 0; i < n; i++)
        handle(ctx, &events[i]);
    /* our own children have been reaped by pidfd by now */
    if (ctx->mode.sigchld_due)
        xl_reap_sigchld(ctx);
    xl_reap_audit(ctx);
    xl_timers_run(ctx, &ctx->timers);
    if (ctx->mode.sigchld_due && !ctx->pump.more)
        xl_reap_sigchld(ctx); /* a tick asked for it */
}

/* Whatever became due while nobody pumped is due now. 1: there may be an event
 * that was not there before. */
static int begin(libxl_ctx *ctx)
{
    int told = xl_flights_look(ctx, BATCH);

    ctx->pump.idle_starts = 0;
    xl_defer_postponed(ctx);
    return told > 0;
}

void xl_pump_once(libxl_ctx *ctx)
{
    struct epoll_event events[BATCH];
    int round;

    (void)begin(ctx);
    ctx->pump.more = 0;
    (void)xl_reap_recent(ctx);
    for (round = 0; round < BATCHES_PER_PUMP; round++) {
        int n = xl_sys.epoll_wait(ctx->pump.epfd, events, BATCH, 0);

        if (n < 0 && errno != EINTR)
            (void)xl_fds_gone(ctx); /* else it says readable for ever */
        handle_all(ctx, events, n > 0 ? n : 0);
        if (n < BATCH)
            return;
    }
    ctx->pump.more = 1;
}

void xl_pump_in_passing(libxl_ctx *ctx)
{
    struct epoll_event events[BATCH];
    int round;
    int n = BATCH;
    int i;

    if (ctx->pump.idle_starts++ == 0 || ctx->pump.leader != NULL ||
        ctx->nlive == 0)
        return;
    ctx->in_passing = 1;
    (void)xl_reap_recent(ctx);
    if (ctx->nlive == ctx->nrecent && xl_list_empty(&ctx->aos))
        n = 0; /* the epoll watches none */
    for (round = 0; round < BATCHES_PER_PUMP && n == BATCH; round++) {
        n = xl_sys.epoll_wait(ctx->pump.epfd, events, BATCH, 0);
        for (i = 0; i < n; i++) {
            uint64_t kind = events[i].data.u64 & XL_TAG_MASK;

            if (kind == XL_TAG_CHILD || kind == XL_TAG_STREAM)
                handle(ctx, &events[i]);
            else if (kind == XL_TAG_SELFPIPE && ctx->nunwatched > 0 &&
                     !xl_owner_reaps_all(ctx->mode.in_force))
                xl_reap_unannounced(ctx, 0);
        }
    }
    ctx->in_passing = 0;
}

/* ---- blocking ----------------------------------------------------------- */

/* What a cancelled epoll_wait had fetched is lost, and most of what is watched
 * tells only once: it is to tell again. */
static void tell_again(libxl_ctx *ctx)
{
    uint32_t i;

    xl_exit_watch_tell_again(ctx);
    for (i = 0; i < ctx->streams.n; i++) {
        struct xl_watched *watched = xl_slots_at(&ctx->streams, i);

        if (watched != NULL)
            watched->ready(ctx, watched, 0);
    }
}

struct blocked {
    libxl_ctx *ctx;
    struct xl_waiter *waiter;
};

/* The thread was cancelled while it blocked: somebody else goes on with what
 * it was about, and it leaves. Its stack is there until this returns. */
static void cancelled(void *arg)
{
    const struct blocked *blocked = arg;
    struct xl_waiter *waiter = blocked->waiter;
    libxl_ctx *ctx = blocked->ctx;

    xl_cancel_shut();
    pthread_mutex_lock(&ctx->lock);
    if (ctx->pump.leader == waiter) {
        ctx->pump.leader = NULL;
        tell_again(ctx);
    }
    xl_list_remove(&waiter->link);
    xl_waiter_drop_fd(ctx, waiter);
    if (waiter->cancelled != NULL)
        waiter->cancelled(ctx, waiter);
    xl_waiters_hand_over(ctx);
    (void)xl_leave(ctx, 0);
}

/* The only places where a thread blocks in a wait, and is cancelled. They are
 * without the lock. */
static int epoll_wait_or_end(struct blocked blocked, struct epoll_event *events)
{
    int saved;
    int n;

    pthread_cleanup_push(cancelled, &blocked);
    xl_cancel_open();
    n = xl_sys.epoll_wait(blocked.ctx->pump.epfd, events, BATCH,
                          xl_ms_until(blocked.ctx->pump.leader_due));
    saved = errno;
    xl_cancel_shut();
    errno = saved;
    pthread_cleanup_pop(0);
    return n;
}

static int poll_or_end(struct blocked blocked, struct pollfd *pollfd, nfds_t n,
                       int timeout_ms)
{
    int saved;
    int r;

    pthread_cleanup_push(cancelled, &blocked);
    xl_cancel_open();
    r = xl_sys.poll(pollfd, n, timeout_ms);
    saved = errno;
    xl_cancel_shut();
    errno = saved;
    pthread_cleanup_pop(0);
    return r;
}

/* Blocks on the epoll. 0, or -1 and errno. */
static int lead(libxl_ctx *ctx, struct xl_waiter *waiter, int64_t due)
{
    struct epoll_event events[BATCH];
    int64_t soonest;
    int saved;
    int n;

    if (begin(ctx) || ctx->deferred.head != NULL)
        return 0;
    if (xl_reap_recent(ctx) > 0) {
        /* the handler may go with it: first see to strangers that ended */
        if (ctx->nlive == 0 && xl_owner_reaps_all(ctx->mode.in_force))
            xl_pump_once(ctx);
        return 0; /* it may be what the caller waits for */
    }
    xl_exit_watch_recent(ctx);
    soonest = xl_timers_soonest(&ctx->timers);
    ctx->pump.leader = waiter;
    ctx->pump.leader_due = soonest < due ? soonest : due;
    if (ctx->pump.more)
        ctx->pump.leader_due = 0;
    pthread_mutex_unlock(&ctx->lock);
    XL_STOP_POINT("pump: about to sleep");
    n = epoll_wait_or_end((struct blocked){ctx, waiter}, events);
    saved = errno;
    XL_STOP_POINT("pump: woken");
    pthread_mutex_lock(&ctx->lock);
    ctx->pump.leader = NULL;
    ctx->pump.more = n == BATCH;
    handle_all(ctx, events, n > 0 ? n : 0);
    errno = saved;
    return n < 0 ? -1 : 0;
}

static int follow(libxl_ctx *ctx, struct xl_waiter *waiter, int64_t due)
{
    struct pollfd pollfd;
    int saved;
    int n;

    if (xl_waiter_need_fd(ctx, waiter) != 0)
        return -1;
    pollfd.fd = waiter->fd;
    pollfd.events = POLLIN;
    pthread_mutex_unlock(&ctx->lock);
    n = poll_or_end((struct blocked){ctx, waiter}, &pollfd, 1,
                    xl_ms_until(due));
    saved = errno;
    pthread_mutex_lock(&ctx->lock);
    xl_waiter_calm(waiter);
    errno = saved;
    if (n > 0 && (pollfd.revents & POLLNVAL)) {
        errno = EBADF;
        return -1;
    }
    return n < 0 ? -1 : 0;
}

#define DOZE_MS 100

int xl_pump_wait(libxl_ctx *ctx, struct xl_waiter *waiter,
                 int (*done)(libxl_ctx *ctx, void *user), void *user,
                 int timeout_ms, unsigned flags)
{
    int64_t due;
    int64_t doze;
    int looked = 0;
    int rc = 0;

    xl_list_append(&ctx->pump.waiters, &waiter->link);
    if (timeout_ms == 0) {
        if (done(ctx, user))
            goto out;
        xl_pump_once(ctx);
        xl_dispatch(ctx);
        rc = done(ctx, user) ? 0 : ERROR_TIMEDOUT;
        goto out;
    }
    due = xl_after_ms(timeout_ms);
    for (;;) {
        int r;

        xl_dispatch(ctx);
        if (done(ctx, user))
            break;
        if (due != XL_NEVER && xl_now() >= due) {
            rc = ERROR_TIMEDOUT;
            break;
        }
        /* another's epoll would tell of nothing, and be slept on for ever:
         * nobody sleeps long before there was a look, which most are spared */
        if (!looked && xl_fds_stale(ctx)) {
            if (xl_fds_gone(ctx)) {
                rc = ERROR_FDS_CLOSED;
                break;
            }
            looked = 1;
        }
        doze = looked ? due : xl_after_ms(DOZE_MS);
        if (doze > due)
            doze = due;
        r = ctx->pump.leader == NULL ? lead(ctx, waiter, doze)
                                     : follow(ctx, waiter, doze);
        if (r == 0) {
            /* while we are busy with callbacks somebody else should wait */
            if (ctx->deferred.head != NULL)
                xl_waiters_hand_over(ctx);
            continue;
        }
        if (errno != EINTR) {
            rc = xl_fds_gone(ctx) ? ERROR_FDS_CLOSED : ERROR_SYSTEM;
            break;
        }
        if (flags & LIBXL_WAIT_INTERRUPTIBLE) {
            xl_dispatch(ctx);
            rc = done(ctx, user) ? 0 : ERROR_INTERRUPTED;
            break;
        }
    }
out:
    xl_list_remove(&waiter->link);
    xl_waiter_drop_fd(ctx, waiter);
    xl_waiters_hand_over(ctx);
    return rc;
}

void xl_pump_yield(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    pthread_mutex_unlock(&ctx->lock);
    (void)poll_or_end((struct blocked){ctx, waiter}, NULL, 0, 10);
    pthread_mutex_lock(&ctx->lock);
    xl_pump_once(ctx);
}
