/* postfork.h - what a forked child has of its parent's ctxs
 *
 * Called by postfork.c and ctx.c.
 */
#ifndef XL_POSTFORK_H
#define XL_POSTFORK_H

#include "ctx/ctx_impl.h"

/* Its fds were closed in the fork, and its children are the parent's: none of
 * the numbers is used, closed or taken for this process's any more. */
void xl_postfork_drop(libxl_ctx *ctx);

#endif
