/* ctx_close.h - closing what a ctx has open
 *
 * ctx.c does it at the end of a ctx, postfork.c in a forked child.
 */
#ifndef XL_CTX_CLOSE_H
#define XL_CTX_CLOSE_H

#include "ctx_impl.h"

void xl_ctx_close_fds(libxl_ctx *ctx);

#endif
