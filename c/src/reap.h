/* reap.h - learning how children ended, by the policy of each mode
 *
 * pump.c calls here when something announces an exit; child.c is next.
 */
#ifndef XL_REAP_H
#define XL_REAP_H

#include "ctx_impl.h"

#define XL_TICK_SOON_MS 20   /* children that nothing announces */
#define XL_TICK_RETRY_MS 2   /* a status that is being taken by somebody */
#define XL_TICK_SAFETY_MS 1000

/* The child's pidfd is readable (events as epoll gave them). */
void xl_reap_announced(libxl_ctx *ctx, struct xl_child *child, unsigned events);
/* Looks whether the child has ended. 1: it has, and is gone. */
int xl_reap_look(libxl_ctx *ctx, struct xl_child *child);
/* SIGCHLD came: looks at what no pidfd announces, and at strangers. */
void xl_reap_sigchld(libxl_ctx *ctx);
/* Other ctxs' wait(-1) took statuses of ours. */
void xl_reap_handed(libxl_ctx *ctx);
/* Strangers came out of limbo. */
void xl_reap_limbo(libxl_ctx *ctx);

/* The tick that finds what nothing announces. */
void xl_reap_tick_soon(libxl_ctx *ctx);
void xl_reap_tick_settle(libxl_ctx *ctx);
void xl_reap_tick(libxl_ctx *ctx, struct xl_timer *timer);

/* As waitpid gives it, from what waitid gave. */
int xl_wait_status(const siginfo_t *info);

#endif
