/* defer.c - calls into user code: put off until no lock is held, and marked
 *
 * Called by whatever has something to tell the host: log.c, events.c, child.c
 * and the operations. Next: enter.c takes what is due and runs it. See
 * defer.h.
 */
#include "ctx/defer.h"

static __thread int in_hook;

/* ---- brackets ----------------------------------------------------------- */

int xl_in_hook(void)
{
    return in_hook > 0;
}

void xl_hook_mark(int delta)
{
    in_hook += delta;
}

void xl_callback_begin(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
}

void xl_callback_end(libxl_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
}

void xl_hook_begin(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
    in_hook++;
}

void xl_hook_end(libxl_ctx *ctx)
{
    in_hook--;
    pthread_mutex_lock(&ctx->lock);
}

/* ---- deferred calls ----------------------------------------------------- */

void xl_queue_init(struct xl_deferred_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

void xl_strand_init(struct xl_strand *s)
{
    xl_queue_init(&s->waiting);
    s->busy = 0;
}

static void append(struct xl_deferred_queue *q, struct xl_deferred *d)
{
    d->next = NULL;
    *q->tail = d;
    q->tail = &d->next;
}

struct xl_deferred *xl_defer_take(struct xl_deferred_queue *q)
{
    struct xl_deferred *d = q->head;

    if (d != NULL) {
        q->head = d->next;
        if (q->head == NULL)
            q->tail = &q->head;
        d->next = NULL;
    }
    return d;
}

static void make_due(libxl_ctx *ctx, struct xl_deferred *d)
{
    if (d->last)
        d->strand = NULL; /* it may not be there afterwards */
    append(ctx->in_passing ? &ctx->postponed : &ctx->deferred, d);
}

void xl_defer_postponed(libxl_ctx *ctx)
{
    struct xl_deferred *d;

    while ((d = xl_defer_take(&ctx->postponed)) != NULL)
        append(&ctx->deferred, d);
}

void xl_defer(libxl_ctx *ctx, struct xl_deferred *d, struct xl_strand *strand,
              int last)
{
    d->strand = strand;
    d->last = (short)last;
    if (strand != NULL && strand->busy) {
        append(&strand->waiting, d);
        return;
    }
    if (strand != NULL)
        strand->busy = 1;
    make_due(ctx, d);
}

void xl_defer_ran(libxl_ctx *ctx, struct xl_strand *strand)
{
    struct xl_deferred *next;

    if (strand == NULL)
        return;
    next = xl_defer_take(&strand->waiting);
    strand->busy = 0;
    if (next != NULL) {
        strand->busy = 1;
        make_due(ctx, next);
    }
}
