/* enter.c - entering and leaving the library
 *
 * Called by every public function. Next: the outside is brought in line with
 * the inside (handler, registrations, fds, blocked threads), then the deferred
 * calls are made, one by one, without the lock.
 */
#include "loop/enter.h"

#include <time.h>

#include "child/cgroup_due.h"
#include "child/child.h"
#include "child/family.h"
#include "child/stream.h"
#include "ctx/ctx_fds.h"
#include "ctx/defer.h"
#include "ctx/log.h"
#include "kernel/cancel.h"
#include "kernel/own.h"
#include "loop/fileno.h"
#include "child/mode.h"
#include "ctx/process.h"
#include "loop/registration.h"
#include "ctx/waiters.h"

void xl_enter_again(libxl_ctx *ctx)
{
    xl_cancel_hold();
    pthread_mutex_lock(&ctx->lock);
    ctx->inside++;
}

/* ---- fds that somebody else has closed ---------------------------------- */

#define LOOK_LASTS_MS 10

int xl_fds_gone(libxl_ctx *ctx)
{
    struct xl_list *node;
    uint32_t i;

    if (ctx->fds_gone || xl_ctx_fds_ours(ctx))
        return ctx->fds_gone;
    ctx->fds_gone = 1;
    for (node = ctx->live.next; node != &ctx->live; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        xl_own_forget(child->pidfd);
        child->pidfd = -1;
    }
    xl_family_forget_fds(ctx);
    for (i = 0; i < ctx->streams.n; i++) {
        struct xl_stream *stream = xl_slots_at(&ctx->streams, i);

        if (stream != NULL)
            xl_stream_forget(ctx, stream);
    }
    xl_ctx_forget_fds(ctx);
    xl_log(ctx, LIBXL_LOG_ERROR, 0, "%s: it is of no use any more",
           libxl_strerror(ERROR_FDS_CLOSED));
    return 1;
}

int xl_fds_stale(libxl_ctx *ctx)
{
    unsigned disturbances = xl_own_disturbances();
    struct timespec now;
    int64_t ms;

    (void)xl_sys.clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - ctx->fds_looked_at < LOOK_LASTS_MS &&
        ctx->disturbances == disturbances)
        return 0;
    ctx->fds_looked_at = ms;
    ctx->disturbances = disturbances;
    return 1;
}

/* A look is a system call: not at each call of the host's. What fails for want
 * of the fds is looked at anyway, by xl_leave. */
static int gone_some_time_ago(libxl_ctx *ctx)
{
    return ctx->fds_gone || (xl_fds_stale(ctx) && xl_fds_gone(ctx));
}

/* ---- entering ----------------------------------------------------------- */

static int may_enter(const libxl_ctx *ctx)
{
    return ctx != NULL && !xl_in_hook() &&
           ctx->generation == xl_process_generation();
}

int xl_enter(libxl_ctx *ctx)
{
    if (!may_enter(ctx))
        return ERROR_INVAL;
    xl_enter_again(ctx);
    return gone_some_time_ago(ctx) ? xl_leave(ctx, ERROR_FDS_CLOSED) : 0;
}

int xl_enter_surely(libxl_ctx *ctx)
{
    if (!may_enter(ctx))
        return ERROR_INVAL;
    xl_enter_again(ctx);
    return xl_fds_gone(ctx) ? xl_leave(ctx, ERROR_FDS_CLOSED) : 0;
}

int xl_enter_to_free(libxl_ctx *ctx)
{
    if (!may_enter(ctx))
        return ERROR_INVAL;
    xl_enter_again(ctx);
    (void)xl_fds_gone(ctx); /* then none is closed */
    return 0;
}

static void settle(libxl_ctx *ctx)
{
    xl_mode_settle(ctx);
    xl_registration_settle(ctx);
    xl_fileno_settle(ctx);
    xl_waiters_settle(ctx);
}

void xl_dispatch(libxl_ctx *ctx)
{
    struct xl_deferred *d;

    settle(ctx);
    if (ctx->nfamily_scans > 0)
        xl_family_scan_due(ctx);
    xl_accounts_due(ctx); /* before a family's cgroup is removed */
    /* Another thread that is signalling a cgroup sees to all that is due. */
    while (xl_cgroup_signal_due(ctx)) {
        struct xl_strand *strand;

        xl_accounts_due(ctx);
        d = xl_defer_take(&ctx->deferred);
        if (d == NULL)
            break;
        strand = d->strand;

        pthread_mutex_unlock(&ctx->lock);
        d->run(ctx, d);
        pthread_mutex_lock(&ctx->lock);
        xl_defer_ran(ctx, strand);
        if (ctx->deferred.head == NULL)
            settle(ctx); /* the call may have changed what is needed */
    }
}

int xl_leave(libxl_ctx *ctx, int rc)
{
    if (rc == ERROR_SYSTEM && xl_fds_gone(ctx))
        rc = ERROR_FDS_CLOSED;
    xl_dispatch(ctx);
    ctx->inside--;
    pthread_mutex_unlock(&ctx->lock);
    xl_cancel_release();
    return rc;
}
