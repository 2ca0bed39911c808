/* families.h - a ctx goes, and its families with it (ctx.c) */
#ifndef XL_FAMILIES_H
#define XL_FAMILIES_H

#include "ctx/ctx_impl.h"

/* Before the children go: each is let go of, and put on that list. */
void xl_families_release(libxl_ctx *ctx, struct xl_list *ret_last);
/* When every signal that was asked for has been sent: their cgroups go, as far
 * as they are empty, and their memory. Gives the lock up meanwhile. */
void xl_families_remove(libxl_ctx *ctx, struct xl_list *last);
/* In a forked child: their memory alone. */
void xl_families_forget(libxl_ctx *ctx);

#endif
