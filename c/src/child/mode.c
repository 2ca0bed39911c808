/* mode.c - who owns SIGCHLD, and keeping the handler in line with it
 *
 * Called by setmode.c, by spawn.c before a start, by enter.c on the way out.
 * Next: sigchld.c installs or restores. See xlchild/childproc.h for
 * what each owner promises.
 */
#include "child/mode.h"

#include <errno.h>

#include "kernel/facility.h"
#include "ctx/log.h"
#include "ctx/process.h"
#include "child/exit_watch.h"

static const char no_pidfd_reason[] =
    "pidfds are refused here (old kernel, or a seccomp filter): reaping "
    "selectively with a SIGCHLD handler";

libxl_sigchld_owner xl_mode_effective(libxl_sigchld_owner owner, int forks,
                                      const char **ret_reason)
{
    *ret_reason = NULL;
    if (owner != libxl_sigchld_owner_none || !xl_facility_no_pidfds(forks))
        return owner;
    *ret_reason = no_pidfd_reason;
    return libxl_sigchld_owner_libxl_always_selective_reap;
}

int xl_mode_wants_handler(const libxl_ctx *ctx)
{
    const struct xl_mode *mode = &ctx->mode;
    int active = ctx->nlive + ctx->nstarting > 0;

    switch (mode->in_force) {
    case libxl_sigchld_owner_mainloop:
        return 0;
    case libxl_sigchld_owner_libxl:
        return active;
    case libxl_sigchld_owner_libxl_always:
        return mode->claimed;
    case libxl_sigchld_owner_libxl_always_selective_reap:
        /* where it only stands in for `none` it goes when it is not needed */
        return mode->reason != NULL ? active : mode->claimed;
    case libxl_sigchld_owner_none:
        return ctx->nstops > 0;
    }
    return 0;
}

int xl_mode_open_selfpipe(libxl_ctx *ctx)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = XL_TAG_SELFPIPE};
    int saved;
    int rc = 0;

    if (ctx->selfpipe.slot != NULL)
        return 0;
    xl_process_lock();
    if (xl_selfpipe_open(&ctx->selfpipe) != 0)
        rc = ERROR_SYSTEM;
    saved = errno;
    xl_process_unlock();
    if (rc == 0 && xl_sigchld_reserve(&ctx->selfpipe) != 0)
        rc = ERROR_NOMEM;
    if (rc == 0 && xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_ADD,
                                    ctx->selfpipe.read_fd, &event) != 0) {
        saved = errno;
        rc = ERROR_SYSTEM;
    }
    if (rc != 0)
        xl_selfpipe_close(&ctx->selfpipe);
    errno = saved;
    return rc;
}

int xl_mode_arm(libxl_ctx *ctx)
{
    const char *reason;
    libxl_sigchld_owner owner;
    int rc;

    /* for a child it must be known what there is; for a mode that is set the
     * answer may come later */
    if (ctx->nstarting > 0 && xl_facility_ask() != 0)
        return ERROR_SYSTEM;
    owner = xl_mode_effective(
        ctx->mode.asked, ctx->mode.hooks.fork_replacement != NULL, &reason);
    /* pidfds may have been refused only when a child needed one */
    if (!ctx->mode.claimed || owner != ctx->mode.in_force) {
        rc = xl_process_claim(ctx, owner);
        if (rc != 0)
            return rc;
        if (reason != NULL && ctx->mode.reason == NULL)
            xl_log(ctx, LIBXL_LOG_WARNING, 0, "mode %s: %s",
                   libxl_childproc_owner_name(ctx->mode.asked), reason);
        ctx->mode.reason = reason;
    }
    if (!xl_mode_wants_handler(ctx) || xl_sigchld_subscribed(&ctx->selfpipe))
        return 0;
    rc = xl_mode_open_selfpipe(ctx);
    if (rc != 0)
        return rc;
    if (xl_sigchld_subscribe(&ctx->selfpipe) != 0)
        return ERROR_SYSTEM;
    ctx->mode.displaced_warned = 0;
    ctx->mode.sigchld_due = XL_SIGCHLD_CAME;
    return 0;
}

static void give_up_handler(libxl_ctx *ctx)
{
    if (!xl_sigchld_subscribed(&ctx->selfpipe))
        return;
    if (xl_sigchld_unsubscribe(&ctx->selfpipe) == 1 &&
        !ctx->mode.displaced_warned) {
        ctx->mode.displaced_warned = 1;
        xl_log(ctx, LIBXL_LOG_WARNING, 0,
               "somebody replaced the library's SIGCHLD handler without "
               "chaining to it; theirs is left in place");
    }
    (void)xl_selfpipe_drain(&ctx->selfpipe);
}

void xl_mode_settle(libxl_ctx *ctx)
{
    if (!xl_mode_wants_handler(ctx))
        give_up_handler(ctx);
    xl_exit_watch_tick_settle(ctx);
}

void xl_mode_release(libxl_ctx *ctx)
{
    give_up_handler(ctx);
    xl_selfpipe_close(&ctx->selfpipe);
    xl_process_unclaim(ctx);
}

void xl_mode_check_displaced(libxl_ctx *ctx)
{
    struct xl_sigchld_state state;

    if (ctx->mode.displaced_warned || !xl_sigchld_subscribed(&ctx->selfpipe) ||
        xl_sigchld_look(&state) != 0 || !state.displaced)
        return;
    ctx->mode.displaced_warned = 1;
    xl_log(ctx, LIBXL_LOG_WARNING, 0,
           "somebody replaced the library's SIGCHLD handler: exits are now "
           "noticed by pidfds, and by looking once a second");
}
