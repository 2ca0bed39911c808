/* waiters.h - the threads that block in a ctx, and waking them
 *
 * Of the threads that block, one (the leader) waits on the ctx's epoll; the
 * others (followers) wait on an eventfd each until there is something for
 * them, or until the leader hands its place over (pump.c).
 */
#ifndef XL_WAITERS_H
#define XL_WAITERS_H

#include "ctx/ctx_impl.h"

void xl_waiter_init(struct xl_waiter *waiter);
/* Sees to a follower's eventfd. 0, or -1 and errno. */
int xl_waiter_need_fd(libxl_ctx *ctx, struct xl_waiter *waiter);
/* Takes back what it was woken by. */
void xl_waiter_calm(struct xl_waiter *waiter);
void xl_waiter_drop_fd(libxl_ctx *ctx, struct xl_waiter *waiter);

/* Wakes those who wait for it. */
void xl_waiters_wake_event(libxl_ctx *ctx, libxl_event_type type);
void xl_waiters_wake_child(libxl_ctx *ctx, libxl_childproc_id id);
/* The same for one that is not kept: they get its end. */
void xl_waiters_answer_child(libxl_ctx *ctx,
                             const libxl_childproc_result *result);
void xl_waiters_wake_ao(libxl_ctx *ctx, const struct xl_operation *ao);
void xl_waiters_wake_family(libxl_ctx *ctx, libxl_family_id id);
/* Somebody has to wait on the epoll while there are waiters: wakes one. */
void xl_waiters_hand_over(libxl_ctx *ctx);
/* Pokes a leader that would sleep too long. */
void xl_waiters_settle(libxl_ctx *ctx);

#endif
