/* osevent.c - running inside somebody else's event loop
 *
 * Called by the host's loop; next is pump.c. What is registered with it is
 * kept in line by registration.c.
 */
#include "xlchild/osevent.h"

#include <errno.h>
#include <string.h>

#include "ctx/log.h"
#include "kernel/sized.h"
#include "loop/enter.h"
#include "loop/fileno.h"
#include "loop/pump.h"
#include "loop/registration.h"

int libxl_ctx_fileno(libxl_ctx *ctx)
{
    int saved;
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    rc = xl_fileno(ctx);
    saved = errno;
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}

/* NULL, or the member at fault. */
static const char *copy_hooks(libxl_osevent_hooks *copy,
                              const libxl_osevent_hooks *hooks)
{
    const size_t founding = offsetof(libxl_osevent_hooks, size);

    memset(copy, 0, sizeof *copy);
    if (hooks == NULL)
        return NULL;
    if (xl_sized_take(copy, sizeof *copy, hooks,
                      hooks->size != 0 ? hooks->size : founding, founding) != 0)
        return "hooks.size";
    if (copy->fd_register == NULL || copy->fd_modify == NULL ||
        copy->fd_deregister == NULL || copy->timeout_register == NULL ||
        copy->timeout_modify == NULL || copy->timeout_deregister == NULL)
        return "hooks";
    return NULL;
}

int libxl_osevent_register_hooks(libxl_ctx *ctx,
                                 const libxl_osevent_hooks *hooks, void *user)
{
    libxl_osevent_hooks copy;
    struct xl_os before;
    const char *wrong;
    int saved = 0;
    int rc;

    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    wrong = copy_hooks(&copy, hooks);
    if (wrong != NULL) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_osevent_register_hooks: bad argument: %s", wrong);
        rc = ERROR_INVAL;
        goto out;
    }
    if (ctx->nlive + ctx->nstarting > 0 || !xl_list_empty(&ctx->aos) ||
        ctx->os.busy) {
        rc = ERROR_BUSY;
        goto out;
    }
    if (hooks != NULL && xl_fileno(ctx) < 0) {
        saved = errno;
        rc = ERROR_SYSTEM;
        goto out;
    }
    before = ctx->os;
    xl_registration_release(ctx);
    ctx->os.hooks = copy;
    ctx->os.user = user;
    ctx->os.hooked = hooks != NULL;
    if (ctx->os.hooked && xl_registration_fd_wanted(ctx))
        rc = xl_registration_arm(ctx, XL_NEVER);
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
    fd = xl_fileno(ctx);
    if (fd < 0) {
        rc = ERROR_SYSTEM;
        goto out;
    }
    room = *nfds_io;
    *nfds_io = xl_registration_fd_wanted(ctx);
    if (room >= *nfds_io && *nfds_io > 0) {
        fds[0].fd = fd;
        fds[0].events = POLLIN;
        fds[0].revents = 0;
    } else if (room < *nfds_io) {
        rc = ERROR_BUFFERFULL;
    }
    left = ctx->events.head != NULL || ctx->pump.more ||
                   ctx->postponed.head != NULL
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
        xl_registration_timer_occurred(ctx);
    xl_pump_once(ctx);
    (void)xl_leave(ctx, 0);
}
