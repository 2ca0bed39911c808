/* defer.h - calls into user code: put off until no lock is held, and marked
 *
 * A call that is due is put on ctx->deferred; enter.c makes it on the way out.
 * The few that cannot wait (hooks whose answer is needed) stand in brackets,
 * which give the lock up.
 */
#ifndef XL_DEFER_H
#define XL_DEFER_H

#include "ctx/ctx_impl.h"

/* Brackets user code that may not re-enter. The lock is given up. */
void xl_hook_begin(libxl_ctx *ctx);
void xl_hook_end(libxl_ctx *ctx);
/* Brackets user code that may. */
void xl_callback_begin(libxl_ctx *ctx);
void xl_callback_end(libxl_ctx *ctx);
/* As xl_hook_begin (1) and xl_hook_end (-1), where no lock is held. */
void xl_hook_mark(int delta);
/* This thread is in user code that may not re-enter. */
int xl_in_hook(void);

void xl_queue_init(struct xl_deferred_queue *q);
void xl_strand_init(struct xl_strand *s);
/* d is called as soon as may be; with a strand, when what was put on it
 * before has returned. last: the strand may go then. */
void xl_defer(libxl_ctx *ctx, struct xl_deferred *d, struct xl_strand *strand,
              int last);
/* What became due while nobody pumped is due now. */
void xl_defer_postponed(libxl_ctx *ctx);
/* The next call that is due, or NULL. */
struct xl_deferred *xl_defer_take(struct xl_deferred_queue *q);
/* A call of this strand (NULL: of none) has returned. */
void xl_defer_ran(libxl_ctx *ctx, struct xl_strand *strand);

#endif
