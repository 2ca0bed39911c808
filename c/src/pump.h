/* pump.h - waiting for what is to happen, and having it happen
 *
 * One epoll a ctx watches self-pipe, wakeup, pidfds and streams. Of the
 * threads that block, one (the leader) waits on it; the others (followers)
 * wait on an eventfd each until the leader has something for them, or hands
 * its place over. Called by every call that pumps; next are reap.c, exec.c
 * (through xl_watched) and the timers.
 */
#ifndef XL_PUMP_H
#define XL_PUMP_H

#include "ctx_impl.h"

/* What epoll's data says: a tag, and below it an id (slots.h). */
#define XL_TAG_MASK (UINT64_C(7) << 60)
#define XL_TAG_WAKEUP (UINT64_C(1) << 60)
#define XL_TAG_SELFPIPE (UINT64_C(2) << 60)
#define XL_TAG_CHILD (UINT64_C(3) << 60)
#define XL_TAG_STREAM (UINT64_C(4) << 60)

/* First member of whatever ctx->streams holds. */
struct xl_watched {
    void (*ready)(libxl_ctx *ctx, struct xl_watched *watched, unsigned events);
};

/* Does the work that is due, without blocking. */
void xl_pump_once(libxl_ctx *ctx);

void xl_waiter_init(struct xl_waiter *waiter);
/* Pumps until done() says so. done is called under the lock, which it may
 * give up. 0, ERROR_TIMEDOUT, ERROR_INTERRUPTED, ERROR_SYSTEM. */
int xl_pump_wait(libxl_ctx *ctx, struct xl_waiter *waiter,
                 int (*done)(libxl_ctx *ctx, void *user), void *user,
                 int timeout_ms, unsigned flags);

/* Where the thread cannot block for want of an fd: a moment's rest, and what
 * is due. */
void xl_pump_yield(libxl_ctx *ctx);

/* Wakes those who wait for it. */
void xl_pump_wake_event(libxl_ctx *ctx, libxl_event_type type);
void xl_pump_wake_child(libxl_ctx *ctx, libxl_childproc_id id);
void xl_pump_wake_ao(libxl_ctx *ctx, const struct xl_ao *ao);

/* The fd for foreign loops, made at the first call; or ERROR_SYSTEM. */
int xl_pump_fileno(libxl_ctx *ctx);
/* Brings level, timerfd and the leader's timeout in line. */
void xl_pump_settle(libxl_ctx *ctx);

int xl_pump_open(libxl_ctx *ctx); /* 0, or -1 and errno */
void xl_pump_close(libxl_ctx *ctx);

#endif
