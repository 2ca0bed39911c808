/* pump.h - waiting for what is to happen, and having it happen
 *
 * One epoll a ctx watches self-pipe, wakeup, pidfds and streams; of the
 * threads that block, one waits on it (waiters.h). Called by every call that
 * pumps; next are reap.c, stream.c (through xl_watched) and the timers.
 */
#ifndef XL_PUMP_H
#define XL_PUMP_H

#include "ctx/ctx_impl.h"

/* Does the work that is due, without blocking. */
void xl_pump_once(libxl_ctx *ctx);

/* At a start: where nobody has pumped since the one before, those that have
 * ended meanwhile are not to cost anything any more. What there is to tell is
 * left for a call that pumps. */
void xl_pump_in_passing(libxl_ctx *ctx);

/* Pumps until done() says so. done is called under the lock, which it may
 * give up. 0, ERROR_TIMEDOUT, ERROR_INTERRUPTED, ERROR_SYSTEM. */
int xl_pump_wait(libxl_ctx *ctx, struct xl_waiter *waiter,
                 int (*done)(libxl_ctx *ctx, void *user), void *user,
                 int timeout_ms, unsigned flags);

/* Where the thread cannot block for want of an fd: a moment's rest, and what
 * is due. */
void xl_pump_yield(libxl_ctx *ctx);

#endif
