/* waiters.c - the threads that block in a ctx, and waking them
 *
 * Called by whatever a thread may be waiting for (events.c, child.c, the
 * operations) and by pump.c, whose threads they are. See waiters.h.
 */
#include "ctx/waiters.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "ctx/process.h"
#include "kernel/own.h"

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

void xl_waiters_wake_event(libxl_ctx *ctx, libxl_event_type type)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->typemask & LIBXL_EVENTMASK(type))
            signal_waiter(ctx, waiter);
    }
}

void xl_waiters_wake_child(libxl_ctx *ctx, libxl_childproc_id id)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->child == id)
            signal_waiter(ctx, waiter);
    }
}

void xl_waiters_answer_child(libxl_ctx *ctx,
                             const libxl_childproc_result *result)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->child == result->id) {
            waiter->result = *result;
            waiter->answered = 1;
            signal_waiter(ctx, waiter);
        }
    }
}

void xl_waiters_wake_ao(libxl_ctx *ctx, const struct xl_operation *ao)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->ao == ao)
            signal_waiter(ctx, waiter);
    }
}

void xl_waiters_wake_family(libxl_ctx *ctx, libxl_family_id id)
{
    struct xl_list *node;

    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        if (waiter->family == id)
            signal_waiter(ctx, waiter);
    }
}

void xl_waiters_hand_over(libxl_ctx *ctx)
{
    if (ctx->pump.leader == NULL && !xl_list_empty(&ctx->pump.waiters))
        signal_waiter(
            ctx, xl_container(ctx->pump.waiters.next, struct xl_waiter, link));
}

static int take_fd(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    int saved;
    int fd;

    if (pump->nidle_fds > 0)
        return pump->idle_fds[--pump->nidle_fds];
    xl_process_lock();
    fd = xl_own(xl_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    saved = errno;
    xl_process_unlock();
    errno = saved;
    return fd;
}

int xl_waiter_need_fd(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    if (waiter->fd < 0)
        waiter->fd = take_fd(ctx);
    return waiter->fd < 0 ? -1 : 0;
}

void xl_waiter_calm(struct xl_waiter *waiter)
{
    uint64_t count;

    if (!waiter->signaled)
        return;
    waiter->signaled = 0;
    (void)!xl_sys.read(waiter->fd, &count, sizeof count);
}

void xl_waiter_drop_fd(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    const int room = sizeof ctx->pump.idle_fds / sizeof ctx->pump.idle_fds[0];

    if (waiter->fd < 0)
        return;
    xl_waiter_calm(waiter);
    if (ctx->pump.nidle_fds < room)
        ctx->pump.idle_fds[ctx->pump.nidle_fds++] = waiter->fd;
    else
        xl_own_close(waiter->fd);
    waiter->fd = -1;
}

void xl_waiters_settle(libxl_ctx *ctx)
{
    const struct xl_pump *pump = &ctx->pump;

    if (pump->leader != NULL &&
        (xl_timers_soonest(&ctx->timers) < pump->leader_due || pump->more))
        xl_wakeup_post(&ctx->wakeup, XL_WAKE_POKE);
}
