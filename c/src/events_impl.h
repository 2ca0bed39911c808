/* events_impl.h - making events occur
 *
 * child.c and exec.c make events occur; events.c routes them to the hook or
 * to the queue; the host takes them from there.
 */
#ifndef XL_EVENTS_IMPL_H
#define XL_EVENTS_IMPL_H

#include "ctx_impl.h"

/* box->event is filled in; it is the host's, or the queue's, from now on. */
void xl_event_occurred(libxl_ctx *ctx, struct xl_box *box,
                       struct xl_strand *strand, int last);
/* Prepares the notices of every evenable that concerns a new child. 0 or
 * ERROR_NOMEM, nothing kept. */
int xl_notices_prepare(libxl_ctx *ctx, struct xl_child *child);
/* Sends, or drops, all notices of a child. result NULL: drops. */
void xl_notices_send(libxl_ctx *ctx, struct xl_child *child,
                     const libxl_childproc_result *result);
/* Frees queue and evenables, when the ctx goes. */
void xl_events_destroy(libxl_ctx *ctx);

#endif
