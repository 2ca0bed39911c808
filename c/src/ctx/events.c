/* events.c - events occur: to the hook, or to the queue
 *
 * Called by child.c and the operations. Next: event_occurs, by way of the
 * deferred calls, or the queue, from which event_take.c serves the host.
 */
#include "ctx/events.h"

#include "ctx/defer.h"
#include "ctx/waiters.h"

static void run_event_occurs(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_box *box = xl_container(d, struct xl_box, deferred);

    (void)ctx;
    box->call.event_occurs(box->user, &box->event);
}

void xl_event_occurred(libxl_ctx *ctx, struct xl_box *box,
                       struct xl_strand *strand, int last)
{
    struct xl_events *events = &ctx->events;

    if (events->hooks.event_occurs != NULL &&
        (events->hooks.event_occurs_mask & LIBXL_EVENTMASK(box->event.type))) {
        box->call.event_occurs = events->hooks.event_occurs;
        box->user = events->user;
        box->deferred.run = run_event_occurs;
        xl_defer(ctx, &box->deferred, strand, last);
        return;
    }
    box->event.next = NULL;
    *events->tail = &box->event;
    events->tail = &box->event.next;
    xl_waiters_wake_event(ctx, box->event.type);
}

void xl_event_unlink(struct xl_events *events, libxl_event **at)
{
    libxl_event *event = *at;

    *at = event->next;
    if (events->tail == &event->next)
        events->tail = at;
    event->next = NULL;
}

/* ---- notices, for evenables --------------------------------------------- */

int xl_notice_add(struct xl_list *notices, libxl_evgen_childproc_exit *evgen)
{
    struct xl_notice *notice = xl_sys.malloc(sizeof *notice);

    if (notice == NULL)
        return ERROR_NOMEM;
    notice->box = xl_sys.calloc(1, sizeof *notice->box);
    if (notice->box == NULL) {
        xl_free(notice);
        return ERROR_NOMEM;
    }
    xl_list_append(notices, &notice->of_child);
    xl_list_append(&evgen->notices, &notice->of_evgen);
    notice->box->event.for_user = evgen->user;
    return 0;
}

static void notice_drop(struct xl_notice *notice)
{
    xl_list_remove(&notice->of_child);
    xl_list_remove(&notice->of_evgen);
    xl_free(notice->box);
    xl_free(notice);
}

int xl_notices_prepare(libxl_ctx *ctx, struct xl_list *notices)
{
    struct xl_list *node;

    for (node = ctx->events.evgens.next; node != &ctx->events.evgens;
         node = node->next) {
        libxl_evgen_childproc_exit *evgen =
            xl_container(node, libxl_evgen_childproc_exit, link);

        if (evgen->child == NULL && xl_notice_add(notices, evgen) != 0) {
            xl_notices_send(ctx, notices, NULL);
            return ERROR_NOMEM;
        }
    }
    return 0;
}

void xl_notices_send(libxl_ctx *ctx, struct xl_list *notices,
                     const libxl_childproc_result *result)
{
    while (!xl_list_empty(notices)) {
        struct xl_notice *notice =
            xl_container(notices->next, struct xl_notice, of_child);

        if (result != NULL) {
            notice->box->event.type = LIBXL_EVENT_TYPE_CHILDPROC_EXIT;
            notice->box->event.u.childproc_exit = *result;
            xl_event_occurred(ctx, notice->box, NULL, 0);
            notice->box = NULL;
        }
        notice_drop(notice);
    }
}

void xl_evgen_free(libxl_evgen_childproc_exit *evgen)
{
    while (!xl_list_empty(&evgen->notices))
        notice_drop(
            xl_container(evgen->notices.next, struct xl_notice, of_evgen));
    xl_list_remove(&evgen->link);
    xl_free(evgen);
}

/* ---- with the ctx ------------------------------------------------------- */

void xl_events_destroy(libxl_ctx *ctx)
{
    struct xl_events *events = &ctx->events;

    while (!xl_list_empty(&events->evgens))
        xl_evgen_free(xl_container(events->evgens.next,
                                   libxl_evgen_childproc_exit, link));
    while (events->head != NULL) {
        libxl_event *event = events->head;

        xl_event_unlink(events, &events->head);
        xl_free(event);
    }
}
