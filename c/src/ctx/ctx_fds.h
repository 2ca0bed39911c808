/* ctx_fds.h - the fds that every ctx has, opened and closed
 *
 * ctx.c and postfork.c.
 */
#ifndef XL_CTX_FDS_H
#define XL_CTX_FDS_H

#include "ctx/ctx_impl.h"

/* 0, or -1 and errno; xl_ctx_close_fds in either case. */
int xl_ctx_open_fds(libxl_ctx *ctx);
void xl_ctx_close_fds(libxl_ctx *ctx);
/* They are somebody else's by now: none is closed, or used again. */
void xl_ctx_forget_fds(libxl_ctx *ctx);
/* In a forked child, where they are closed and not marked: the numbers are
 * dropped, whoever has them. */
void xl_ctx_drop_fds(libxl_ctx *ctx);
/* Are the numbers its files still? A host that closes all has closed them. */
int xl_ctx_fds_ours(libxl_ctx *ctx);

#endif
