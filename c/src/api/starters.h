/* starters.h - threads that start children for a ctx
 *
 * libxl_childproc_spawn_many hands its entries to them; ctx.c ends them.
 */
#ifndef XL_STARTERS_H
#define XL_STARTERS_H

#include "ctx/ctx_impl.h"

/* Under the lock, which it gives up while they end. */
void xl_starters_stop(libxl_ctx *ctx);
/* In a forked child: the threads are not there. */
void xl_starters_forget(libxl_ctx *ctx);

#endif
