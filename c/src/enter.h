/* enter.h - entering and leaving the library; calling user code
 *
 * Every public function that takes a ctx starts with xl_enter and ends with
 * xl_leave. Between them the ctx's lock is held; user code is called by
 * xl_leave, or by xl_dispatch in the midst of a wait.
 */
#ifndef XL_ENTER_H
#define XL_ENTER_H

#include "ctx_impl.h"

/* 0 and the lock is held; or ERROR_INVAL: no ctx, the parent's, or called
 * from a hook that may not re-enter. */
int xl_enter(libxl_ctx *ctx);
/* Brings handler, registrations and timers in line, calls what is due,
 * releases the lock, returns rc. */
int xl_leave(libxl_ctx *ctx, int rc);
/* The same without leaving. The lock is given up meanwhile. */
void xl_dispatch(libxl_ctx *ctx);

/* Brackets user code that may not re-enter. The lock is given up. */
void xl_hook_begin(libxl_ctx *ctx);
void xl_hook_end(libxl_ctx *ctx);
/* Brackets user code that may. */
void xl_callback_begin(libxl_ctx *ctx);
void xl_callback_end(libxl_ctx *ctx);
/* The same on a thread that does not hold the lock. */
void xl_hook_mark(int delta);

void xl_queue_init(struct xl_deferred_queue *q);
void xl_defer(libxl_ctx *ctx, struct xl_deferred *d, struct xl_strand *strand,
              int last);
void xl_strand_init(struct xl_strand *s);

/* A message for the logger, under the lock. */
void xl_log(libxl_ctx *ctx, libxl_log_level level, int errnoval,
            const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Reports of this type (0: of any) can no longer be relied on. */
void xl_disaster(libxl_ctx *ctx, libxl_event_type type, int rc, int errnoval,
                 const char *message);

#endif
