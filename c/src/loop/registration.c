/* registration.c - what is registered with a host's event loop
 *
 * Called by spawn.c and its like before a start (arm), by enter.c on the way
 * out (settle). Next: the host's hooks. One fd (fileno.c) and at most one
 * timeout are registered. A timeout that is no longer wanted is brought
 * forward and consumed when it occurs: a host that has dropped its own
 * registration by then is never given it back (see libxl_osevent_hooks).
 */
#include "loop/registration.h"

#include <sys/time.h>

#include "ctx/defer.h"
#include "loop/fileno.h"
#include "ctx/log.h"

/* ---- hooks, one at a time ----------------------------------------------- */

static void await_hooks(libxl_ctx *ctx)
{
    while (ctx->os.busy)
        pthread_cond_wait(&ctx->os.idle, &ctx->lock);
}

static void hooks_begin(libxl_ctx *ctx)
{
    await_hooks(ctx);
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
    int fd = xl_fileno(ctx);
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

void xl_registration_timer_occurred(libxl_ctx *ctx)
{
    await_hooks(ctx);
    ctx->os.timer_registered = 0;
}

/* ---- arming and settling ------------------------------------------------ */

int xl_registration_fd_wanted(const libxl_ctx *ctx)
{
    return ctx->nlive + ctx->nstarting > 0 || !xl_list_empty(&ctx->aos) ||
           ctx->nfamily_waits > 0 ||
           ctx->events.head != NULL || ctx->postponed.head != NULL ||
           xl_sigchld_subscribed(&ctx->selfpipe);
}

int xl_registration_arm(libxl_ctx *ctx, int64_t due)
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

void xl_registration_settle(libxl_ctx *ctx)
{
    struct xl_os *os = &ctx->os;
    int64_t soonest;
    int rc = 0;

    if (!os->hooked)
        return;
    soonest = xl_timers_soonest(&ctx->timers);
    if (xl_registration_fd_wanted(ctx) == os->fd_registered &&
        (soonest == XL_NEVER
             ? !os->timer_registered || os->timer_due == 0
             : os->timer_registered && os->timer_due <= soonest))
        return;
    if (os->busy)
        return; /* whoever is busy settles next */
    hooks_begin(ctx);
    if (!xl_registration_fd_wanted(ctx) && os->fd_registered)
        deregister_fd(ctx);
    else if (xl_registration_fd_wanted(ctx) && !os->fd_registered)
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

void xl_registration_release(libxl_ctx *ctx)
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
