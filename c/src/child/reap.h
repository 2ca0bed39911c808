/* reap.h - learning how children ended, by the policy of each mode
 *
 * pump.c calls here when something announces an exit; child.c is next.
 */
#ifndef XL_REAP_H
#define XL_REAP_H

#include "ctx/ctx_impl.h"

/* The child's pidfd is readable (events as epoll gave them). */
void xl_reap_announced(libxl_ctx *ctx, struct xl_child *child, unsigned events);
/* Looks whether the child has ended. 1: it has, and is gone. */
int xl_reap_look(libxl_ctx *ctx, struct xl_child *child);
/* SIGCHLD came: looks at what no pidfd announces, and at strangers. */
void xl_reap_sigchld(libxl_ctx *ctx);
/* Other ctxs' wait(-1) took statuses of ours. */
void xl_reap_handed(libxl_ctx *ctx);
/* Strangers came out of limbo. Calls the host's callback. */
void xl_reap_limbo(libxl_ctx *ctx);
/* The ctx goes: the same, and what may be a blind start's is left to the ctx
 * that starts. */
void xl_reap_limbo_left(libxl_ctx *ctx);

/* Looks at the last few that were started; those that go on living are put
 * under watch by the second look. Returns how many have ended. */
int xl_reap_recent(libxl_ctx *ctx);
/* Looks at those that nothing announces, or at all. */
void xl_reap_unannounced(libxl_ctx *ctx, int all);
/* Now and then: looks whether the host has closed pidfds of living children. */
void xl_reap_audit(libxl_ctx *ctx);
/* Now, for one is known to be gone. */
void xl_reap_pidfds(libxl_ctx *ctx);
/* The tick that finds what nothing announces. */
void xl_reap_tick(libxl_ctx *ctx, struct xl_timer *timer);

#endif
