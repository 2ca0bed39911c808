/* mode.c - who owns SIGCHLD, and keeping the handler in line with it
 *
 * Called by the host (setmode), by spawn.c before a start, by enter.c on the
 * way out. Next: sigchld.c installs or restores. See xlchild/childproc.h for
 * what each owner promises.
 */
#include "mode.h"

#include <errno.h>
#include <string.h>

#include "enter.h"
#include "facility.h"
#include "process.h"
#include "pump.h"
#include "reap.h"

/* A child of fork has its pidfd from pidfd_open. */
static int without_pidfd(int forks)
{
    unsigned have = xl_facilities();

    return (have & LIBXL_FACILITY_PIDFD) == 0 ||
           (forks && (have & XL_FACILITY_PIDFD_OPEN) == 0);
}

int xl_mode_without_pidfd(const libxl_ctx *ctx)
{
    return without_pidfd(ctx->mode.hooks.fork_replacement != NULL);
}

static const char no_pidfd_reason[] =
    "pidfds are refused here (old kernel, or a seccomp filter): reaping "
    "selectively with a SIGCHLD handler";

/* What `owner` amounts to on this kernel. */
static libxl_sigchld_owner effective(libxl_sigchld_owner owner, int forks,
                                     const char **ret_reason)
{
    *ret_reason = NULL;
    if (owner != libxl_sigchld_owner_none || !without_pidfd(forks))
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

static int open_selfpipe(libxl_ctx *ctx)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = XL_TAG_SELFPIPE};
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
    libxl_sigchld_owner owner =
        effective(ctx->mode.asked, ctx->mode.hooks.fork_replacement != NULL,
                  &reason);
    int rc;

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
    rc = open_selfpipe(ctx);
    if (rc != 0)
        return rc;
    if (xl_sigchld_subscribe(&ctx->selfpipe) != 0)
        return ERROR_SYSTEM;
    ctx->mode.displaced_warned = 0;
    ctx->mode.sigchld_due = 1; /* what ended before we could hear of it */
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
    xl_reap_tick_settle(ctx);
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

/* ---- setmode ------------------------------------------------------------ */

static int known_owner(libxl_sigchld_owner owner)
{
    return owner >= libxl_sigchld_owner_libxl &&
           owner <= libxl_sigchld_owner_none;
}

static int copy_hooks(libxl_childproc_hooks *copy,
                      const libxl_childproc_hooks *hooks)
{
    const size_t founding = offsetof(libxl_childproc_hooks, size);

    memset(copy, 0, sizeof *copy);
    if (hooks == NULL)
        return 0; /* all zero: owner libxl, no hooks */
    if (hooks->size != 0 && hooks->size != sizeof *copy)
        return ERROR_INVAL;
    memcpy(copy, hooks, founding);
    if (!known_owner(copy->chldowner))
        return ERROR_INVAL;
    if (copy->childproc_exited_callback != NULL &&
        !xl_owner_reaps_all(copy->chldowner))
        return ERROR_INVAL;
    return 0;
}

/* Other ctxs look whether there is somebody to ask about strangers. */
static void set_hooks(libxl_ctx *ctx, const libxl_childproc_hooks *hooks,
                      void *user)
{
    xl_process_lock();
    ctx->mode.hooks = *hooks;
    ctx->mode.user = user;
    xl_process_unlock();
}

static int change(libxl_ctx *ctx, const libxl_childproc_hooks *hooks,
                  void *user)
{
    struct xl_mode before = ctx->mode;
    const char *reason;
    libxl_sigchld_owner owner;
    int rc;

    if (ctx->nlive + ctx->nstarting > 0 || !xl_list_empty(&ctx->aos))
        return ERROR_BUSY;
    owner =
        effective(hooks->chldowner, hooks->fork_replacement != NULL, &reason);
    rc = xl_process_claim(ctx, owner);
    if (rc != 0)
        return rc;
    ctx->mode.asked = hooks->chldowner;
    ctx->mode.reason = reason;
    set_hooks(ctx, hooks, user);
    /* open now what a start would need, so that a start that fails leaves
     * nothing open that was not */
    if (owner != libxl_sigchld_owner_mainloop &&
        owner != libxl_sigchld_owner_none)
        rc = open_selfpipe(ctx);
    if (rc == 0)
        rc = xl_mode_arm(ctx);
    if (rc != 0) {
        int saved = errno;

        /* the former mode was compatible, and the others have not changed
         * since unless they relied on our leaving it: then it is unclaimed
         * until the next start */
        if (xl_process_claim(ctx, before.in_force) != 0 || !before.claimed)
            xl_process_unclaim(ctx);
        ctx->mode.asked = before.asked;
        ctx->mode.reason = before.reason;
        set_hooks(ctx, &before.hooks, before.user);
        errno = saved;
        return rc;
    }
    if (reason != NULL)
        xl_log(ctx, LIBXL_LOG_WARNING, 0, "mode %s: %s",
               libxl_childproc_owner_name(hooks->chldowner), reason);
    return 0;
}

int libxl_childproc_setmode_checked(libxl_ctx *ctx,
                                    const libxl_childproc_hooks *hooks,
                                    void *user)
{
    libxl_childproc_hooks copy;
    int saved = 0;
    int rc;

    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    rc = copy_hooks(&copy, hooks);
    if (rc == 0)
        rc = change(ctx, &copy, user);
    if (rc != 0) {
        saved = errno;
        xl_log(ctx, LIBXL_LOG_ERROR, rc == ERROR_SYSTEM ? errno : 0,
               "libxl_childproc_setmode: %s", libxl_strerror(rc));
    }
    rc = xl_leave(ctx, rc);
    if (rc == ERROR_SYSTEM)
        errno = saved;
    return rc;
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks,
                             void *user)
{
    (void)libxl_childproc_setmode_checked(ctx, hooks, user);
}
