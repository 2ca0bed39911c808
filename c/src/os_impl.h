/* os_impl.h - keeping a host loop's registrations in line
 *
 * spawn.c and exec.c arm before a start, so that a hook's refusal reaches the
 * caller (O3); enter.c settles on the way out.
 */
#ifndef XL_OS_IMPL_H
#define XL_OS_IMPL_H

#include "ctx_impl.h"

/* The fd, and a timeout no later than due, are registered. 0 or the positive
 * code of a hook, or ERROR_SYSTEM. Gives the lock up while it calls. */
int xl_os_arm(libxl_ctx *ctx, int64_t due);
void xl_os_settle(libxl_ctx *ctx);
/* Deregisters everything: the ctx goes. */
void xl_os_release(libxl_ctx *ctx);

#endif
