/* enter.h - entering and leaving the library
 *
 * Every public function that takes a ctx starts with xl_enter and ends with
 * xl_leave. Between them the ctx's lock is held; user code is called by
 * xl_leave, or by xl_dispatch in the midst of a wait. The thread is not
 * cancelled meanwhile, but for where pump.c blocks.
 */
#ifndef XL_ENTER_H
#define XL_ENTER_H

#include "ctx/ctx_impl.h"

/* 0 and the lock is held; or ERROR_INVAL: no ctx, the parent's, or called
 * from a hook that may not re-enter; or ERROR_FDS_CLOSED. */
int xl_enter(libxl_ctx *ctx);
/* The same, and it has looked at the fds just now: a child that comes next is
 * waited for in the same call, and would be left alone by it; a signal may go
 * by a pidfd. */
int xl_enter_surely(libxl_ctx *ctx);
/* The same for a ctx whose fds are gone, too. */
int xl_enter_to_free(libxl_ctx *ctx);
/* Has somebody else closed its fds? Looks; and then none of the numbers is
 * used, or closed, any more. */
int xl_fds_gone(libxl_ctx *ctx);
/* The last look was some milliseconds ago, or somebody has found since that the
 * host closes what is not its own: the caller looks. */
int xl_fds_stale(libxl_ctx *ctx);
/* For a second part of a call whose first part has entered, and left. */
void xl_enter_again(libxl_ctx *ctx);
/* Brings handler, registrations and timers in line, calls what is due,
 * releases the lock, returns rc. */
int xl_leave(libxl_ctx *ctx, int rc);
/* The same without leaving. The lock is given up meanwhile. */
void xl_dispatch(libxl_ctx *ctx);

#endif
