/* pump.c - waiting for what is to happen, and having it happen
 *
 * See pump.h. A thread that blocks in epoll_wait sees fds that are added
 * meanwhile; a timeout that has become sooner is told to it through the
 * wakeup (O6).
 */
#define _GNU_SOURCE
#include "pump.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "child.h"
#include "enter.h"
#include "process.h"
#include "reap.h"

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
        if (reasons & XL_WAKE_HANDED)
            xl_reap_handed(ctx);
        if (reasons & XL_WAKE_LIMBO)
            xl_reap_limbo(ctx);
        break;
    case XL_TAG_SELFPIPE:
        if (xl_selfpipe_drain(&ctx->selfpipe))
            ctx->mode.sigchld_due = 1;
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
    xl_timers_run(ctx, &ctx->timers);
    if (ctx->mode.sigchld_due && !ctx->pump.more)
        xl_reap_sigchld(ctx); /* a tick asked for it */
}

void xl_pump_once(libxl_ctx *ctx)
{
    struct epoll_event events[BATCH];
    int round;

    ctx->pump.more = 0;
    (void)xl_child_look_at_recent(ctx);
    for (round = 0; round < BATCHES_PER_PUMP; round++) {
        int n = xl_sys.epoll_wait(ctx->pump.epfd, events, BATCH, 0);

        handle_all(ctx, events, n > 0 ? n : 0);
        if (n < BATCH)
            return;
    }
    ctx->pump.more = 1;
}

/* ---- waiters ------------------------------------------------------------ */

void xl_waiter_init(struct xl_waiter *waiter)
{
    memset(waiter, 0, sizeof *waiter);
    xl_list_init(&waiter->link);
    waiter->fd = -1;
}

static void signal_waiter(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    const uint64_t one = 1;

    if (waiter == ctx->pump.leader) {
        xl_wakeup_post(&ctx->wakeup, XL_WAKE_POKE);
    } else if (waiter->fd >= 0 && !waiter->signaled) {
        waiter->signaled = 1;
        (void)!xl_sys.write(waiter->fd, &one, sizeof one);
    }
}

void xl_pump_wake_event(libxl_ctx *ctx, libxl_event_type type)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->typemask & LIBXL_EVENTMASK(type))
            signal_waiter(ctx, waiter);
    }
}

void xl_pump_wake_child(libxl_ctx *ctx, libxl_childproc_id id)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->child == id)
            signal_waiter(ctx, waiter);
    }
}

void xl_pump_wake_ao(libxl_ctx *ctx, const struct xl_ao *ao)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->ao == ao)
            signal_waiter(ctx, waiter);
    }
}

/* Somebody has to wait on the epoll while there are waiters. */
static void hand_over(libxl_ctx *ctx)
{
    if (ctx->pump.leader == NULL && !xl_list_empty(&ctx->pump.waiters))
        signal_waiter(ctx, xl_container(ctx->pump.waiters.next,
                                        struct xl_waiter, link));
}

static int follower_fd(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    int saved;
    int fd;

    if (pump->nidle_fds > 0)
        return pump->idle_fds[--pump->nidle_fds];
    xl_process_lock();
    fd = xl_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    saved = errno;
    xl_process_unlock();
    errno = saved;
    return fd;
}

static void drop_follower_fd(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    const int room = sizeof ctx->pump.idle_fds / sizeof ctx->pump.idle_fds[0];
    uint64_t count;

    if (waiter->fd < 0)
        return;
    if (waiter->signaled)
        (void)!xl_sys.read(waiter->fd, &count, sizeof count);
    if (ctx->pump.nidle_fds < room)
        ctx->pump.idle_fds[ctx->pump.nidle_fds++] = waiter->fd;
    else
        xl_close(waiter->fd);
    waiter->fd = -1;
}

/* Blocks on the epoll. 0, or -1 and errno. */
static int lead(libxl_ctx *ctx, struct xl_waiter *waiter, int64_t due)
{
    struct epoll_event events[BATCH];
    int64_t soonest;
    int saved;
    int n;

    if (xl_child_look_at_recent(ctx) > 0) {
        /* the handler may go with it: first see to strangers that ended */
        if (ctx->nlive == 0 && xl_owner_reaps_all(ctx->mode.in_force))
            xl_pump_once(ctx);
        return 0; /* it may be what the caller waits for */
    }
    xl_child_watch_recent(ctx);
    soonest = xl_timers_soonest(&ctx->timers);
    ctx->pump.leader = waiter;
    ctx->pump.leader_due = soonest < due ? soonest : due;
    if (ctx->pump.more)
        ctx->pump.leader_due = 0;
    pthread_mutex_unlock(&ctx->lock);
    n = xl_sys.epoll_wait(ctx->pump.epfd, events, BATCH,
                          xl_ms_until(ctx->pump.leader_due));
    saved = errno;
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
    uint64_t count;
    int saved;
    int n;

    if (waiter->fd < 0) {
        waiter->fd = follower_fd(ctx);
        if (waiter->fd < 0)
            return -1;
    }
    pollfd.fd = waiter->fd;
    pollfd.events = POLLIN;
    pthread_mutex_unlock(&ctx->lock);
    n = xl_sys.poll(&pollfd, 1, xl_ms_until(due));
    saved = errno;
    pthread_mutex_lock(&ctx->lock);
    if (waiter->signaled) {
        waiter->signaled = 0;
        (void)!xl_sys.read(waiter->fd, &count, sizeof count);
    }
    errno = saved;
    return n < 0 ? -1 : 0;
}

int xl_pump_wait(libxl_ctx *ctx, struct xl_waiter *waiter,
                 int (*done)(libxl_ctx *ctx, void *user), void *user,
                 int timeout_ms, unsigned flags)
{
    int64_t due;
    int rc = 0;

    if (timeout_ms == 0) {
        if (done(ctx, user))
            return 0;
        xl_pump_once(ctx);
        xl_dispatch(ctx);
        return done(ctx, user) ? 0 : ERROR_TIMEDOUT;
    }
    due = xl_after_ms(timeout_ms);
    xl_list_append(&ctx->pump.waiters, &waiter->link);
    for (;;) {
        int r;

        xl_dispatch(ctx);
        if (done(ctx, user))
            break;
        if (due != XL_NEVER && xl_now() >= due) {
            rc = ERROR_TIMEDOUT;
            break;
        }
        r = ctx->pump.leader == NULL ? lead(ctx, waiter, due)
                                     : follow(ctx, waiter, due);
        if (r == 0) {
            /* while we are busy with callbacks somebody else should wait */
            if (ctx->deferred.head != NULL)
                hand_over(ctx);
            continue;
        }
        if (errno != EINTR) {
            rc = ERROR_SYSTEM;
            break;
        }
        if (flags & LIBXL_WAIT_INTERRUPTIBLE) {
            xl_dispatch(ctx);
            rc = done(ctx, user) ? 0 : ERROR_INTERRUPTED;
            break;
        }
    }
    xl_list_remove(&waiter->link);
    drop_follower_fd(ctx, waiter);
    hand_over(ctx);
    return rc;
}

void xl_pump_yield(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
    (void)poll(NULL, 0, 10);
    pthread_mutex_lock(&ctx->lock);
    xl_pump_once(ctx);
}

/* ---- foreign loops ------------------------------------------------------ */

static int add(int epfd, int fd, uint64_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

    return xl_sys.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
}

int xl_pump_fileno(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    int outer = -1;
    int level = -1;
    int timer = -1;
    int saved;

    if (pump->outer >= 0)
        return pump->outer;
    xl_process_lock();
    outer = xl_sys.epoll_create1(EPOLL_CLOEXEC);
    if (outer < 0)
        goto out;
    level = xl_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (level < 0)
        goto out;
    timer = xl_sys.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer < 0)
        goto out;
    if (add(outer, pump->epfd, 0) != 0 || add(outer, level, 0) != 0 ||
        add(outer, timer, 0) != 0)
        goto out;
    pump->outer = outer;
    pump->level = level;
    pump->timerfd = timer;
    pump->level_set = 0;
    pump->timerfd_due = XL_NEVER;
    xl_process_unlock();
    xl_child_watch_recent(ctx);
    return pump->outer;
out:
    saved = errno;
    xl_close(outer);
    xl_close(level);
    xl_close(timer);
    xl_process_unlock();
    errno = saved;
    return ERROR_SYSTEM;
}

static void settle_level(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    int wanted = ctx->events.head != NULL || pump->more;
    uint64_t count = 1;

    if (wanted == pump->level_set)
        return;
    if (wanted)
        (void)!xl_sys.write(pump->level, &count, sizeof count);
    else
        (void)!xl_sys.read(pump->level, &count, sizeof count);
    pump->level_set = wanted;
}

static void settle_timerfd(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    int64_t soonest = xl_timers_soonest(&ctx->timers);
    struct itimerspec value;

    if (soonest == pump->timerfd_due)
        return;
    memset(&value, 0, sizeof value);
    if (soonest != XL_NEVER) {
        value.it_value.tv_sec = soonest / 1000000000;
        value.it_value.tv_nsec = soonest % 1000000000;
        if (soonest <= 0)
            value.it_value.tv_nsec = 1;
    }
    /* setting it makes it unreadable, too, so that it need not be read */
    (void)xl_sys.timerfd_settime(pump->timerfd, TFD_TIMER_ABSTIME, &value,
                                 NULL);
    pump->timerfd_due = soonest;
}

void xl_pump_settle(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;

    if (pump->outer >= 0) {
        settle_level(ctx);
        settle_timerfd(ctx);
    }
    if (pump->leader != NULL &&
        (xl_timers_soonest(&ctx->timers) < pump->leader_due || pump->more))
        xl_wakeup_post(&ctx->wakeup, XL_WAKE_POKE);
}

int libxl_ctx_fileno(libxl_ctx *ctx)
{
    int saved;
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    rc = xl_pump_fileno(ctx);
    saved = errno;
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}

/* ---- with the ctx ------------------------------------------------------- */

int xl_pump_open(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    int r;

    pump->epfd = -1;
    pump->outer = -1;
    pump->level = -1;
    pump->timerfd = -1;
    pump->timerfd_due = XL_NEVER;
    xl_list_init(&pump->waiters);
    ctx->wakeup.fd = -1;
    xl_process_lock();
    pump->epfd = xl_sys.epoll_create1(EPOLL_CLOEXEC);
    r = pump->epfd < 0 ? -1 : xl_wakeup_open(&ctx->wakeup);
    xl_process_unlock();
    if (r == 0)
        r = add(pump->epfd, ctx->wakeup.fd, XL_TAG_WAKEUP);
    return r;
}

void xl_pump_close(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;

    while (pump->nidle_fds > 0)
        xl_close(pump->idle_fds[--pump->nidle_fds]);
    xl_close(pump->timerfd);
    xl_close(pump->level);
    xl_close(pump->outer);
    xl_wakeup_close(&ctx->wakeup);
    xl_close(pump->epfd);
    pump->epfd = pump->outer = pump->level = pump->timerfd = -1;
}
