/* ctx_fds.c - the fds that every ctx has, opened and closed
 *
 * Called by ctx.c at a ctx's beginning and end, and by postfork.c in a forked
 * child, where those of its parent's ctxs are open.
 */
#include "ctx/ctx_fds.h"

#include <errno.h>
#include <fcntl.h>

#include "ctx/process.h"
#include "kernel/own.h"

int xl_ctx_open_fds(libxl_ctx *ctx)
{
    static const struct xl_selfpipe closed = XL_SELFPIPE_INIT;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = XL_TAG_WAKEUP};
    struct xl_pump *pump = &ctx->pump;
    int r;

    ctx->selfpipe = closed; /* mode.c opens it when it is needed */
    pump->outer = pump->level = pump->timerfd = -1; /* fileno.c does */
    pump->timerfd_due = XL_NEVER;
    ctx->wakeup.fd = -1;
    xl_process_lock();
    pump->epfd = xl_own(xl_sys.epoll_create1(EPOLL_CLOEXEC));
    r = pump->epfd < 0 ? -1 : xl_wakeup_open(&ctx->wakeup);
    /* -1: no /proc; then signals are asked about one by one */
    ctx->stat_fd =
        r != 0
            ? -1
            : xl_own(xl_sys.open("/proc/self/status", O_RDONLY | O_CLOEXEC, 0));
    xl_process_unlock();
    if (r == 0)
        r = xl_sys.epoll_ctl(pump->epfd, EPOLL_CTL_ADD, ctx->wakeup.fd, &event);
    return r;
}

void xl_ctx_close_fds(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;

    while (pump->nidle_fds > 0)
        xl_own_close(pump->idle_fds[--pump->nidle_fds]);
    xl_own_close(pump->timerfd);
    xl_own_close(pump->level);
    xl_own_close(pump->outer);
    xl_wakeup_close(&ctx->wakeup);
    xl_own_close(pump->epfd);
    pump->epfd = pump->outer = pump->level = pump->timerfd = -1;
    xl_selfpipe_close(&ctx->selfpipe);
    xl_own_close(ctx->stat_fd);
    ctx->stat_fd = -1;
}

void xl_ctx_forget_fds(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;
    const int all[] = {pump->epfd,      pump->outer,
                       pump->level,     pump->timerfd,
                       ctx->wakeup.fd,  ctx->stat_fd,
                       ctx->selfpipe.read_fd, ctx->selfpipe.write_fd};
    struct xl_list *node;
    size_t i;
    int k;

    for (i = 0; i < sizeof all / sizeof all[0]; i++)
        xl_own_forget(all[i]);
    for (k = 0; k < pump->nidle_fds; k++)
        xl_own_forget(pump->idle_fds[k]);
    for (node = pump->waiters.next; node != &pump->waiters; node = node->next) {
        struct xl_waiter *waiter = xl_container(node, struct xl_waiter, link);

        xl_own_forget(waiter->fd);
        waiter->fd = -1;
    }
    if (xl_sigchld_subscribed(&ctx->selfpipe))
        (void)xl_sigchld_unsubscribe(&ctx->selfpipe);
    xl_ctx_drop_fds(ctx);
}

void xl_ctx_drop_fds(libxl_ctx *ctx)
{
    struct xl_pump *pump = &ctx->pump;

    pump->epfd = pump->outer = pump->level = pump->timerfd = -1;
    pump->nidle_fds = 0;
    ctx->wakeup.fd = ctx->stat_fd = -1;
    ctx->selfpipe.read_fd = ctx->selfpipe.write_fd = -1;
    xl_selfpipe_close(&ctx->selfpipe); /* gives its slot back */
}

/* The pair epfd and wakeup is in the kernel's table of that epoll, or either
 * number is another file's by now. Those of a newer ctx would pass
 * for ours; it has others (xl_own). */
int xl_ctx_fds_ours(libxl_ctx *ctx)
{
    struct epoll_event event = {.events = 0, .data.u64 = 0};
    int saved = errno;
    int ours = 1;

    if (xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_ADD, ctx->wakeup.fd,
                         &event) == 0) {
        (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_DEL, ctx->wakeup.fd,
                               &event);
        ours = 0;
    } else if (errno == EBADF || errno == EINVAL || errno == EPERM ||
               errno == ELOOP) {
        ours = 0;
    }
    errno = saved;
    return ours;
}
