/* exit_watch.h - how the end of a living child will be noticed
 *
 * By its pidfd in the ctx's epoll; by looking, for the last few children that
 * were started (many end before anybody blocks); by a tick, for children that
 * nothing announces. reap.c is next.
 */
#ifndef XL_EXIT_WATCH_H
#define XL_EXIT_WATCH_H

#include "ctx/ctx_impl.h"

#define XL_TICK_SOON_MS 20 /* children that nothing announces */
#define XL_TICK_RETRY_MS 2 /* a status that is being taken by somebody */
#define XL_TICK_SAFETY_MS 1000

/* A child that has just been started. */
void xl_exit_watch_new(libxl_ctx *ctx, struct xl_child *child);
/* One that is to be adopted, and may be no child of ours: nothing but its
 * pidfd would tell. 0, or -1 and errno. */
int xl_exit_watch_adopted(libxl_ctx *ctx, const struct xl_child *child,
                          int pidfd);
/* Has epoll watch for the (next) change of the child's state. */
void xl_exit_watch(libxl_ctx *ctx, struct xl_child *child, int again);
/* It is not ours, and has ended: for its parent's reaping; or for that to end,
 * and it to be ours, where orphans come to us. No pidfd tells that: a kin
 * does, or the tick looks. */
void xl_exit_watch_for_its_parent(libxl_ctx *ctx, struct xl_child *child);
/* Its pidfd tells of an end that cannot be waited for yet (a debugger has it):
 * the tick looks again. */
void xl_exit_watch_later(libxl_ctx *ctx, struct xl_child *child);
/* Mainloop mode: its end has been told, the host's reaping is to be. */
void xl_exit_watch_for_reaping(libxl_ctx *ctx, struct xl_child *child);
/* The parent of a process that is not ours has ended, and we may be who reaps
 * it now: its end is told again, if it has ended. */
void xl_exit_watch_anew(libxl_ctx *ctx, const struct xl_child *child);
/* What epoll has told may have been lost: it tells again. */
void xl_exit_watch_tell_again(libxl_ctx *ctx);
/* The host has closed its pidfd: the tick looks. */
void xl_exit_watch_lost(libxl_ctx *ctx, struct xl_child *child);
/* No epoll will tell: the tick looks. */
void xl_exit_watch_unannounced(libxl_ctx *ctx, struct xl_child *child);

/* One more would have to be put under watch at once. */
int xl_exit_watch_recent_full(const libxl_ctx *ctx);
/* The last few are among the last of ctx->live: from here on. */
struct xl_list *xl_exit_watch_first_recent(libxl_ctx *ctx);
/* Puts one of them under watch, if it is one. */
void xl_exit_watch_no_longer_recent(libxl_ctx *ctx, struct xl_child *child);
/* Puts all of them under watch: somebody is about to block. */
void xl_exit_watch_recent(libxl_ctx *ctx);

/* Nothing but SIGCHLD and looking announces exits here. */
int xl_exit_watch_without_pidfd(const libxl_ctx *ctx);
void xl_exit_watch_tick_soon(libxl_ctx *ctx);
/* SIGCHLD has come, and what it was about may not have been found: the tick
 * looks. */
void xl_exit_watch_missed(libxl_ctx *ctx);
void xl_exit_watch_tick_settle(libxl_ctx *ctx);

#endif
