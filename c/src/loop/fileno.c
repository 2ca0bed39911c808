/* fileno.c - the one fd that tells a foreign loop of work
 *
 * An epoll over the ctx's own epoll, an eventfd for what is queued, and a
 * timerfd: level-triggered, readable exactly when there is work (O5). Called
 * by the host, registration.c, and enter.c on each way out. Next: whoever
 * polls the fd comes back through pump.c.
 */
#include "loop/fileno.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "ctx/process.h"
#include "child/exit_watch.h"

static int add(int epfd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return xl_sys.epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
}

int xl_fileno(libxl_ctx *ctx)
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
    if (add(outer, pump->epfd) != 0 || add(outer, level) != 0 ||
        add(outer, timer) != 0)
        goto out;
    pump->outer = outer;
    pump->level = level;
    pump->timerfd = timer;
    pump->level_set = 0;
    pump->timerfd_due = XL_NEVER;
    xl_process_unlock();
    xl_exit_watch_recent(ctx);
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
    int wanted = ctx->events.head != NULL || pump->more ||
                 ctx->postponed.head != NULL;
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

void xl_fileno_settle(libxl_ctx *ctx)
{
    if (ctx->pump.outer < 0)
        return;
    settle_level(ctx);
    settle_timerfd(ctx);
}
