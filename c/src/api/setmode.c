/* setmode.c - choosing who owns SIGCHLD
 *
 * Called by the host. Next: process.c knows which modes go together, mode.c
 * brings the handler in line.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "kernel/sized.h"
#include "loop/enter.h"
#include "ctx/log.h"
#include "child/mode.h"
#include "child/reap.h"
#include "ctx/process.h"

static int known_owner(libxl_sigchld_owner owner)
{
    return owner >= libxl_sigchld_owner_libxl &&
           owner <= libxl_sigchld_owner_none;
}

/* On failure *ret_wrong may name the member at fault. */
static int copy_hooks(libxl_childproc_hooks *copy,
                      const libxl_childproc_hooks *hooks,
                      const char **ret_wrong)
{
    size_t size;

    memset(copy, 0, sizeof *copy);
    if (hooks == NULL)
        return 0; /* all zero: owner libxl, no hooks */
    /* without a size: the founding text's members */
    size =
        hooks->size != 0 ? hooks->size : offsetof(libxl_childproc_hooks, size);
    if (xl_sized_take(copy, sizeof *copy, hooks, size,
                      offsetof(libxl_childproc_hooks, size)) != 0) {
        *ret_wrong = ": hooks.size";
        return ERROR_INVAL;
    }
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
    struct xl_mode before;
    const char *reason;
    libxl_sigchld_owner owner;
    int rc;

    /* what was reaped for somebody else is told by the hooks it was reaped
     * under; but not what may be the child of a start that is under way */
    xl_reap_limbo(ctx);
    if (ctx->nlive + ctx->nstarting > 0 || !xl_list_empty(&ctx->aos))
        return ERROR_BUSY;
    before = ctx->mode;
    owner = xl_mode_effective(hooks->chldowner, hooks->fork_replacement != NULL,
                              &reason);
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
        rc = xl_mode_open_selfpipe(ctx);
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
    const char *wrong = "";
    int saved = 0;
    int rc;

    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    rc = copy_hooks(&copy, hooks, &wrong);
    if (rc == 0)
        rc = change(ctx, &copy, user);
    if (rc != 0) {
        saved = errno;
        xl_log(ctx, LIBXL_LOG_ERROR, rc == ERROR_SYSTEM ? errno : 0,
               "libxl_childproc_setmode: %s%s", libxl_strerror(rc), wrong);
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
