/* osevent.c - running inside somebody else's event loop
 *
 * Called by the host's loop; next is pump.c. One fd (the one that
 * libxl_ctx_fileno returns) and at most one timeout are registered. A timeout
 * that is no longer wanted is brought forward and consumed when it occurs:
 * a host that has dropped its own registration by then is never given it back
 * (see libxl_osevent_hooks).
 */
#include "xlchild/osevent.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>

#include "enter.h"
#include "mode.h"
#include "os_impl.h"
#include "pump.h"

/* ---- hooks, one at a time ----------------------------------------------- */

static void hooks_begin(libxl_ctx *ctx)
{
    while (ctx->os.busy)
        pthread_cond_wait(&ctx->os.idle, &ctx->lock);
    ctx->os.busy = 1;
}

static void hooks_end(libxl_ctx *ctx)
{
    ctx->os.busy = 0;
    pthread_cond_broadcast(&ctx->os.idle);
}

static int register_fd(libxl_ctx *ctx)
{
    struct xl_os *os = &ctx->os;
    int fd = xl_pump_fileno(ctx);
    void *for_app = NULL;
    int rc;

    if (fd < 0)
        return ERROR_SYSTEM;
    xl_hook_begin(ctx);
    rc = os->hooks.fd_register(os->user, fd, &for_app, POLLIN, &os->fd_token);
    xl_hook_end(ctx);
    if (rc == 0) {
        os->fd_registered = 1;
        os->fd_for_app = for_app;
    }
    return rc;
}

static void deregister_fd(libxl_ctx *ctx)
{
    struct xl_os *os = &ctx->os;
    void *for_app = os->fd_for_app;

    os->fd_registered = 0;
    os->fd_for_app = NULL;
    xl_hook_begin(ctx);
    os->hooks.fd_deregister(os->user, ctx->pump.outer, for_app);
    xl_hook_end(ctx);
}

static struct timeval wall_time(int64_t due)
{
    struct timeval t = {0, 0};
    int64_t left = due - xl_now();

    if (left <= 0)
        return t;
    (void)gettimeofday(&t, NULL);
    left = (left + 999) / 1000 + t.tv_usec;
    t.tv_sec += left / 1000000;
    t.tv_usec = left % 1000000;
    return t;
}

static int register_timer(libxl_ctx *ctx, int64_t due)
{
    struct xl_os *os = &ctx->os;
    void *for_app = NULL;
    int rc;

    os->timer_registered = 1; /* it may occur before the hook returns */
    os->timer_due = due;
    xl_hook_begin(ctx);
    rc = os->hooks.timeout_register(os->user, &for_app, wall_time(due),
                                    &os->timer_token);
    xl_hook_end(ctx);
    os->timer_for_app = for_app;
    if (rc != 0)
        os->timer_registered = 0;
    return rc;
}

static int hasten_timer(libxl_ctx *ctx)
{
    static const struct timeval at_once = {0, 0};
    struct xl_os *os = &ctx->os;
    void *for_app = os->timer_for_app;
    int64_t before = os->timer_due;
    int rc;

    os->timer_due = 0;
    xl_hook_begin(ctx);
    rc = os->hooks.timeout_modify(os->user, &for_app, at_once);
    xl_hook_end(ctx);
    os->timer_for_app = for_app;
    if (rc != 0 && os->timer_registered)
        os->timer_due = before;
    return rc;
}

static int timer_needed(libxl_ctx *ctx, int64_t due)
{
    struct xl_os *os = &ctx->os;

    if (due == XL_NEVER)
        return 0;
    if (!os->timer_registered)
        return register_timer(ctx, due);
    return due < os->timer_due ? hasten_timer(ctx) : 0;
}

/* ---- arming and settling ------------------------------------------------ */

static int fd_wanted(libxl_ctx *ctx)
{
    return ctx->nlive + ctx->nstarting > 0 || !xl_list_empty(&ctx->aos) ||
           ctx->events.head != NULL || xl_sigchld_subscribed(&ctx->selfpipe);
}

int xl_os_arm(libxl_ctx *ctx, int64_t due)
{
    int rc = 0;

    if (!ctx->os.hooked)
        return 0;
    hooks_begin(ctx);
    if (!ctx->os.fd_registered)
        rc = register_fd(ctx);
    if (rc == 0)
        rc = timer_needed(ctx, due);
    hooks_end(ctx);
    return rc;
}

void xl_os_settle(libxl_ctx *ctx)
{
    struct xl_os *os = &ctx->os;
    int64_t soonest;
    int rc = 0;

    if (!os->hooked)
        return;
    soonest = xl_timers_soonest(&ctx->timers);
    if (fd_wanted(ctx) == os->fd_registered &&
        (soonest == XL_NEVER
             ? !os->timer_registered || os->timer_due == 0
             : os->timer_registered && os->timer_due <= soonest))
        return;
    if (os->busy)
        return; /* whoever is busy settles next */
    hooks_begin(ctx);
    if (!fd_wanted(ctx) && os->fd_registered)
        deregister_fd(ctx);
    else if (fd_wanted(ctx) && !os->fd_registered)
        rc = register_fd(ctx);
    soonest = xl_timers_soonest(&ctx->timers);
    if (rc == 0 && soonest != XL_NEVER)
        rc = timer_needed(ctx, soonest);
    else if (soonest == XL_NEVER && os->timer_registered && os->timer_due != 0)
        (void)hasten_timer(ctx);
    hooks_end(ctx);
    if (rc != 0)
        xl_disaster(ctx, 0, ERROR_OSEVENT_REG_FAIL, 0,
                    "an event loop hook failed where no caller can be told");
}

void xl_os_release(libxl_ctx *ctx)
{
    struct xl_os *os = &ctx->os;

    if (!os->hooked)
        return;
    hooks_begin(ctx);
    if (os->fd_registered)
        deregister_fd(ctx);
    if (os->timer_registered) {
        os->timer_registered = 0;
        xl_hook_begin(ctx);
        os->hooks.timeout_deregister(os->user, os->timer_for_app);
        xl_hook_end(ctx);
    }
    hooks_end(ctx);
    os->hooked = 0;
}

/* ---- what the host calls ------------------------------------------------ */

int libxl_osevent_register_hooks(libxl_ctx *ctx,
                                 const libxl_osevent_hooks *hooks, void *user)
{
    const size_t founding = offsetof(libxl_osevent_hooks, size);
    libxl_osevent_hooks copy;
    struct xl_os before;
    int saved = 0;
    int rc;

    memset(&copy, 0, sizeof copy);
    if (hooks != NULL) {
        if (hooks->size != 0 && hooks->size != sizeof copy)
            return ERROR_INVAL;
        memcpy(&copy, hooks, founding);
        if (copy.fd_register == NULL || copy.fd_modify == NULL ||
            copy.fd_deregister == NULL || copy.timeout_register == NULL ||
            copy.timeout_modify == NULL || copy.timeout_deregister == NULL)
            return ERROR_INVAL;
    }
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    if (ctx->nlive + ctx->nstarting > 0 || !xl_list_empty(&ctx->aos) ||
        ctx->os.busy) {
        rc = ERROR_BUSY;
        goto out;
    }
    if (hooks != NULL && xl_pump_fileno(ctx) < 0) {
        saved = errno;
        rc = ERROR_SYSTEM;
        goto out;
    }
    before = ctx->os;
    xl_os_release(ctx);
    ctx->os.hooks = copy;
    ctx->os.user = user;
    ctx->os.hooked = hooks != NULL;
    if (ctx->os.hooked && fd_wanted(ctx))
        rc = xl_os_arm(ctx, XL_NEVER);
    if (rc != 0) {
        ctx->os.hooks = before.hooks;
        ctx->os.user = before.user;
        ctx->os.hooked = before.hooked; /* leaving settles it */
    }
out:
    rc = xl_leave(ctx, rc);
    if (rc == ERROR_SYSTEM)
        errno = saved;
    return rc;
}

int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds,
                             int *timeout_io, struct timeval now)
{
    int room;
    int left;
    int fd;
    int rc;

    (void)now; /* our timeouts are of CLOCK_MONOTONIC */
    if (nfds_io == NULL || timeout_io == NULL || *nfds_io < 0 ||
        (fds == NULL && *nfds_io > 0))
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    fd = xl_pump_fileno(ctx);
    if (fd < 0) {
        rc = ERROR_SYSTEM;
        goto out;
    }
    room = *nfds_io;
    *nfds_io = fd_wanted(ctx);
    if (room >= *nfds_io && *nfds_io > 0) {
        fds[0].fd = fd;
        fds[0].events = POLLIN;
        fds[0].revents = 0;
    } else if (room < *nfds_io) {
        rc = ERROR_BUFFERFULL;
    }
    left = ctx->events.head != NULL || ctx->pump.more
               ? 0
               : xl_ms_until(xl_timers_soonest(&ctx->timers));
    if (left >= 0 && (*timeout_io < 0 || left < *timeout_io))
        *timeout_io = left;
out:
    return xl_leave(ctx, rc);
}

static void pump(libxl_ctx *ctx)
{
    if (xl_enter(ctx) != 0)
        return;
    xl_pump_once(ctx);
    (void)xl_leave(ctx, 0);
}

void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds, const struct pollfd *fds,
                             struct timeval now)
{
    (void)nfds; /* the epoll says which; a look at it is cheap */
    (void)fds;
    (void)now;
    pump(ctx);
}

void libxl_osevent_occurred_fd(libxl_ctx *ctx, void *for_libxl, int fd,
                               short events, short revents)
{
    (void)for_libxl; /* late or not, the epoll has the last word */
    (void)fd;
    (void)events;
    (void)revents;
    pump(ctx);
}

void libxl_osevent_occurred_timeout(libxl_ctx *ctx, void *for_libxl)
{
    if (xl_enter(ctx) != 0)
        return;
    if (for_libxl == &ctx->os.timer_token)
        ctx->os.timer_registered = 0;
    xl_pump_once(ctx);
    (void)xl_leave(ctx, 0);
}
