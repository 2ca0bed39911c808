/* registration.h - what is registered with a host's event loop
 *
 * spawn.c, adopt.c and kill.c arm first, so that a hook's refusal reaches the
 * caller (O3); enter.c settles on the way out.
 */
#ifndef XL_REGISTRATION_H
#define XL_REGISTRATION_H

#include "ctx/ctx_impl.h"

/* The fd, and a timeout no later than due, are registered. 0 or the positive
 * code of a hook, or ERROR_SYSTEM. Gives the lock up while it calls. */
int xl_registration_arm(libxl_ctx *ctx, int64_t due);
/* There is something, or may be, that the fd would tell. */
int xl_registration_fd_wanted(const libxl_ctx *ctx);
void xl_registration_settle(libxl_ctx *ctx);
/* The host may drop its record of the timeout when this has returned: waits
 * until no hook that may name it is under way. */
void xl_registration_timer_occurred(libxl_ctx *ctx);
/* Deregisters everything: the ctx goes. */
void xl_registration_release(libxl_ctx *ctx);

#endif
