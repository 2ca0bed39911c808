/* enter.c - entering and leaving the library
 *
 * Called by every public function. Next: the outside is brought in line with
 * the inside (handler, registrations, fds, blocked threads), then the deferred
 * calls are made, one by one, without the lock.
 */
#include "loop/enter.h"

#include "ctx/defer.h"
#include "kernel/cancel.h"
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

int xl_enter(libxl_ctx *ctx)
{
    if (ctx == NULL || xl_in_hook() ||
        ctx->generation != xl_process_generation())
        return ERROR_INVAL;
    xl_enter_again(ctx);
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
    while ((d = xl_defer_take(&ctx->deferred)) != NULL) {
        struct xl_strand *strand = d->strand;

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
    xl_dispatch(ctx);
    ctx->inside--;
    pthread_mutex_unlock(&ctx->lock);
    xl_cancel_release();
    return rc;
}
