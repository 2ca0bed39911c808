/* exit_watch.c - how the end of a living child will be noticed
 *
 * Called by spawn.c and adopt.c for a new child, and by reap.c when a look was
 * too early. Next: the epoll, or the tick, wakes pump.c, and reap.c looks.
 */
#include "child/exit_watch.h"

#include <sys/prctl.h>
#include <unistd.h>

#include "child/child.h"
#include "child/wait_one.h"
#include "kernel/facility.h"

#define MAX_RECENT 16

/* ---- the tick ----------------------------------------------------------- */

int xl_exit_watch_without_pidfd(const libxl_ctx *ctx)
{
    return !xl_facility_pidfds(ctx->mode.hooks.fork_replacement != NULL);
}

void xl_exit_watch_missed(libxl_ctx *ctx)
{
    int64_t due = xl_after_ms(XL_TICK_SOON_MS);

    if (ctx->mode.in_force != libxl_sigchld_owner_mainloop &&
        (!xl_timer_armed(&ctx->tick) || ctx->tick.due > due))
        xl_timer_arm(&ctx->timers, &ctx->tick, due);
}

void xl_exit_watch_tick_soon(libxl_ctx *ctx)
{
    /* else SIGCHLD announces; the safety tick is enough */
    if (!xl_exit_watch_without_pidfd(ctx))
        xl_exit_watch_missed(ctx);
}

void xl_exit_watch_tick_settle(libxl_ctx *ctx)
{
    int wanted = (ctx->nunwatched > 0 &&
                  ctx->mode.in_force != libxl_sigchld_owner_mainloop) ||
                 xl_sigchld_subscribed(&ctx->selfpipe);

    if (!wanted)
        xl_timer_disarm(&ctx->timers, &ctx->tick);
    else if (!xl_timer_armed(&ctx->tick))
        xl_timer_arm(&ctx->timers, &ctx->tick, xl_after_ms(XL_TICK_SAFETY_MS));
}

/* ---- the epoll ---------------------------------------------------------- */

void xl_exit_watch_unannounced(libxl_ctx *ctx, struct xl_child *child)
{
    if (!child->unwatched) {
        child->unwatched = 1;
        ctx->nunwatched++;
    }
}

void xl_exit_watch_lost(libxl_ctx *ctx, struct xl_child *child)
{
    if (child->recent) {
        child->recent = 0;
        ctx->nrecent--;
    }
    xl_exit_watch_unannounced(ctx, child);
    xl_exit_watch_tick_soon(ctx);
}

/* By what epoll names the child in its events. */
static uint64_t tag(const struct xl_child *child)
{
    return child->id | XL_TAG_CHILD;
}

int xl_exit_watch_adopted(libxl_ctx *ctx, const struct xl_child *child,
                          int pidfd)
{
    struct epoll_event event;

    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u64 = tag(child);
    return xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_ADD, pidfd, &event);
}

/* What it is to be told of. Level-triggered: between the epoll and the lock a
 * thread may stand with an event that another one must not miss. */
static unsigned interest(const struct xl_child *child, int again)
{
    /* An adopted process's status is there only when its parent has reaped
     * it: that is EPOLLHUP, which comes unasked. */
    if ((again && child->adopted) || child->retries > 0)
        return EPOLLONESHOT;
    return child->adopted ? EPOLLIN | EPOLLONESHOT : EPOLLIN;
}

void xl_exit_watch(libxl_ctx *ctx, struct xl_child *child, int again)
{
    struct epoll_event event;
    int op = again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (child->pidfd < 0)
        goto unwatched;
    event.events = interest(child, again);
    event.data.u64 = tag(child);
    if (xl_sys.epoll_ctl(ctx->pump.epfd, op, child->pidfd, &event) == 0)
        return;
unwatched:
    /* the child runs: look for its end by ourselves */
    xl_exit_watch_unannounced(ctx, child);
    xl_exit_watch_tick_soon(ctx);
}

static int orphans_come_to_us(void)
{
    int reaper = 0;

    return getpid() == 1 ||
           (prctl(PR_GET_CHILD_SUBREAPER, &reaper) == 0 && reaper);
}

void xl_exit_watch_for_its_parent(libxl_ctx *ctx, struct xl_child *child)
{
    xl_exit_watch(ctx, child, 1);
    if (child->more->kin != NULL || !orphans_come_to_us() ||
        ctx->mode.in_force == libxl_sigchld_owner_mainloop)
        return;
    xl_exit_watch_unannounced(ctx, child);
    xl_exit_watch_tick_soon(ctx);
}

void xl_exit_watch_later(libxl_ctx *ctx, struct xl_child *child)
{
    struct epoll_event event = {.events = EPOLLONESHOT, .data.u64 = tag(child)};

    (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_MOD, child->pidfd, &event);
    xl_exit_watch_unannounced(ctx, child);
    xl_exit_watch_tick_soon(ctx);
}

void xl_exit_watch_for_reaping(libxl_ctx *ctx, struct xl_child *child)
{
    struct epoll_event event = {.events = 0, .data.u64 = tag(child)};

    if (child->pidfd < 0)
        return;
    if (child->reaped)
        (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_DEL, child->pidfd,
                               &event);
    else
        (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_MOD, child->pidfd,
                               &event);
}

void xl_exit_watch_anew(libxl_ctx *ctx, const struct xl_child *child)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
                                .data.u64 = tag(child)};

    /* a child of ours is told of for as long as it is so */
    if (child->adopted && child->pidfd >= 0 && !child->unwatched)
        (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_MOD, child->pidfd,
                               &event);
}

void xl_exit_watch_tell_again(libxl_ctx *ctx)
{
    struct xl_list *node;

    for (node = ctx->live.next; node != &ctx->live; node = node->next)
        xl_exit_watch_anew(ctx, xl_container(node, struct xl_child, link));
}

/* ---- the last few that were started ------------------------------------- */

/* Its pidfd has a number that was another's: the host has closed that one. Only
 * the same ctx's are known here; xl_reap_audit finds others. */
static void number_taken(libxl_ctx *ctx, const struct xl_child *taker)
{
    struct xl_list *node;

    for (node = ctx->live.next; node != &ctx->live; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        if (child == taker || child->pidfd != taker->pidfd)
            continue;
        xl_wait_drop_pidfd(child);
        xl_exit_watch_lost(ctx, child);
    }
}

void xl_exit_watch_new(libxl_ctx *ctx, struct xl_child *child)
{
    if (child->number_taken)
        number_taken(ctx, child);
    /* nobody is blocked, and nobody may block without our knowing */
    if (child->pidfd >= 0 && ctx->pump.leader == NULL && ctx->pump.outer < 0 &&
        ctx->nrecent < MAX_RECENT &&
        ctx->mode.in_force != libxl_sigchld_owner_mainloop) {
        child->recent = 1;
        ctx->nrecent++;
        return;
    }
    xl_exit_watch(ctx, child, 0);
}

int xl_exit_watch_recent_full(const libxl_ctx *ctx)
{
    return ctx->nrecent == MAX_RECENT;
}

struct xl_list *xl_exit_watch_first_recent(libxl_ctx *ctx)
{
    struct xl_list *node = &ctx->live;
    int left = ctx->nrecent;

    while (left > 0) {
        node = node->prev;
        left -= xl_container(node, struct xl_child, link)->recent;
    }
    return node;
}

void xl_exit_watch_no_longer_recent(libxl_ctx *ctx, struct xl_child *child)
{
    if (!child->recent)
        return; /* looking at it has put it under watch */
    child->recent = 0;
    ctx->nrecent--;
    xl_exit_watch(ctx, child, 0);
}

void xl_exit_watch_recent(libxl_ctx *ctx)
{
    struct xl_list *node;

    if (ctx->nrecent == 0)
        return;
    for (node = xl_exit_watch_first_recent(ctx); node != &ctx->live;
         node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        xl_exit_watch_no_longer_recent(ctx, child);
    }
}
