/* events.h - making events occur
 *
 * child.c and the operations make events occur; events.c routes them to the
 * hook or to the queue; the host takes them from there (event_take.c).
 */
#ifndef XL_EVENTS_H
#define XL_EVENTS_H

#include "ctx/ctx_impl.h"

/* box->event is filled in; it is the host's, or the queue's, from now on. */
void xl_event_occurred(libxl_ctx *ctx, struct xl_box *box,
                       struct xl_strand *strand, int last);
/* Takes an event out of the queue. at: what points to it. */
void xl_event_unlink(struct xl_events *events, libxl_event **at);

/* Prepares a notice, for the end of one child, and adds it to the child's
 * notices. 0 or ERROR_NOMEM. */
int xl_notice_add(struct xl_list *notices, libxl_evgen_childproc_exit *evgen);
/* Those of every evenable that concerns a new child. 0 or ERROR_NOMEM,
 * nothing kept. */
int xl_notices_prepare(libxl_ctx *ctx, struct xl_list *notices);
/* Sends all notices of a child. result NULL: drops them. */
void xl_notices_send(libxl_ctx *ctx, struct xl_list *notices,
                     const libxl_childproc_result *result);
/* With its notices. */
void xl_evgen_free(libxl_evgen_childproc_exit *evgen);

/* Frees queue and evenables, when the ctx goes. */
void xl_events_destroy(libxl_ctx *ctx);

#endif
