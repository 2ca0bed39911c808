/* events.c - events: queue, predicates, hooks, evenables
 *
 * An event occurs in child.c or exec.c; here it goes to event_occurs (by way
 * of enter.c's deferred calls) or to the queue, from which libxl_event_check
 * and libxl_event_wait* take it.
 */
#include "events_impl.h"

#include <string.h>

#include "child.h"
#include "enter.h"
#include "pump.h"

/* ---- occurring ---------------------------------------------------------- */

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
    xl_pump_wake_event(ctx, box->event.type);
}

/* ---- taking ------------------------------------------------------------- */

static struct xl_box *box_of(libxl_event *event)
{
    return (struct xl_box *)(void *)event; /* it comes first */
}

static void unlink_event(struct xl_events *events, libxl_event **at)
{
    libxl_event *event = *at;

    *at = event->next;
    if (events->tail == &event->next)
        events->tail = at;
    event->next = NULL;
}

static int matches_mask(const libxl_event *event, uint64_t typemask)
{
    return (typemask & LIBXL_EVENTMASK(event->type)) != 0;
}

static libxl_event *take_any(libxl_ctx *ctx, uint64_t typemask)
{
    libxl_event **at;

    for (at = &ctx->events.head; *at != NULL; at = &(*at)->next) {
        libxl_event *event = *at;

        if (matches_mask(event, typemask) &&
            !box_of(event)->deferred.examined) {
            unlink_event(&ctx->events, at);
            return event;
        }
    }
    return NULL;
}

static libxl_event **find_event(struct xl_events *events,
                                const libxl_event *event)
{
    libxl_event **at = &events->head;

    while (*at != event)
        at = &(*at)->next;
    return at;
}

/* The predicate is called without the lock; meanwhile the event stays where
 * it is, and others pass over it. */
static libxl_event *take_chosen(libxl_ctx *ctx, uint64_t typemask,
                                libxl_event_predicate *predicate, void *user)
{
    struct xl_events *events = &ctx->events;
    libxl_event **at = &events->head;

    while (*at != NULL) {
        libxl_event *event = *at;
        int chosen;

        if (!matches_mask(event, typemask) ||
            box_of(event)->deferred.examined) {
            at = &event->next;
            continue;
        }
        box_of(event)->deferred.examined = 1;
        xl_hook_begin(ctx);
        chosen = predicate(event, user);
        xl_hook_end(ctx);
        box_of(event)->deferred.examined = 0;
        at = find_event(events, event);
        if (chosen) {
            unlink_event(events, at);
            return event;
        }
        /* a thread may have passed over it meanwhile */
        xl_pump_wake_event(ctx, event->type);
        at = &event->next;
    }
    return NULL;
}

struct request {
    uint64_t typemask;
    libxl_event_predicate *predicate;
    void *predicate_user;
    libxl_event **ret_events;
    int max;
    int got;
};

static int satisfied(libxl_ctx *ctx, void *user)
{
    struct request *r = user;

    while (r->got < r->max) {
        libxl_event *event =
            r->predicate == NULL
                ? take_any(ctx, r->typemask)
                : take_chosen(ctx, r->typemask, r->predicate,
                              r->predicate_user);

        if (event == NULL)
            break;
        r->ret_events[r->got++] = event;
    }
    return r->got > 0;
}

static int wait_for(libxl_ctx *ctx, struct request *r, int timeout_ms,
                    unsigned flags)
{
    struct xl_waiter waiter;
    int rc;

    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    xl_waiter_init(&waiter);
    waiter.typemask = r->typemask;
    rc = xl_pump_wait(ctx, &waiter, satisfied, r, timeout_ms, flags);
    return xl_leave(ctx, rc);
}

int libxl_event_check(libxl_ctx *ctx, libxl_event **ret_event,
                      uint64_t typemask, libxl_event_predicate *predicate,
                      void *predicate_user)
{
    struct request r = {typemask, predicate, predicate_user, ret_event, 1, 0};
    int rc;

    if (ret_event == NULL)
        return ERROR_INVAL;
    rc = wait_for(ctx, &r, 0, 0);
    return rc == ERROR_TIMEDOUT ? ERROR_NOT_READY : rc;
}

int libxl_event_wait(libxl_ctx *ctx, libxl_event **ret_event, uint64_t typemask,
                     libxl_event_predicate *predicate, void *predicate_user)
{
    struct request r = {typemask, predicate, predicate_user, ret_event, 1, 0};

    if (ret_event == NULL)
        return ERROR_INVAL;
    return wait_for(ctx, &r, LIBXL_WAIT_FOREVER, 0);
}

int libxl_event_wait_many(libxl_ctx *ctx, libxl_event **ret_events, int max,
                          uint64_t typemask, int timeout_ms, unsigned flags)
{
    struct request r = {typemask, NULL, NULL, ret_events, max, 0};
    int rc;

    if (ret_events == NULL || max < 1 || timeout_ms < LIBXL_WAIT_FOREVER ||
        (flags & ~LIBXL_WAIT_INTERRUPTIBLE) != 0)
        return ERROR_INVAL;
    rc = wait_for(ctx, &r, timeout_ms, flags);
    return rc == 0 ? r.got : rc;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    (void)ctx; /* it is not asked: the event may outlive the ctx */
    xl_free(event);
}

/* ---- hooks -------------------------------------------------------------- */

int libxl_event_register_callbacks(libxl_ctx *ctx,
                                   const libxl_event_hooks *hooks, void *user)
{
    const size_t founding = offsetof(libxl_event_hooks, size);
    libxl_event_hooks copy;
    int rc;

    memset(&copy, 0, sizeof copy);
    if (hooks != NULL) {
        if (hooks->size != 0 && hooks->size != sizeof copy)
            return ERROR_INVAL;
        memcpy(&copy, hooks, founding);
        if (copy.event_occurs_mask != 0 && copy.event_occurs == NULL)
            return ERROR_INVAL;
    }
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    ctx->events.hooks = copy;
    ctx->events.user = user;
    return xl_leave(ctx, 0);
}

/* ---- evenables ---------------------------------------------------------- */

static struct xl_notice *notice_new(struct xl_child *child,
                                    libxl_evgen_childproc_exit *evgen)
{
    struct xl_notice *notice = xl_sys.malloc(sizeof *notice);

    if (notice == NULL)
        return NULL;
    notice->box = xl_sys.calloc(1, sizeof *notice->box);
    if (notice->box == NULL) {
        xl_free(notice);
        return NULL;
    }
    xl_list_append(&child->notices, &notice->of_child);
    xl_list_append(&evgen->notices, &notice->of_evgen);
    notice->box->event.for_user = evgen->user;
    return notice;
}

static void notice_drop(struct xl_notice *notice)
{
    xl_list_remove(&notice->of_child);
    xl_list_remove(&notice->of_evgen);
    xl_free(notice->box);
    xl_free(notice);
}

int xl_notices_prepare(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_list *node;

    for (node = ctx->events.evgens.next; node != &ctx->events.evgens;
         node = node->next) {
        libxl_evgen_childproc_exit *evgen =
            xl_container(node, libxl_evgen_childproc_exit, link);

        if (evgen->child == NULL && notice_new(child, evgen) == NULL) {
            xl_notices_send(ctx, child, NULL);
            return ERROR_NOMEM;
        }
    }
    return 0;
}

void xl_notices_send(libxl_ctx *ctx, struct xl_child *child,
                     const libxl_childproc_result *result)
{
    while (!xl_list_empty(&child->notices)) {
        struct xl_notice *notice =
            xl_container(child->notices.next, struct xl_notice, of_child);

        if (result != NULL) {
            notice->box->event.type = LIBXL_EVENT_TYPE_CHILDPROC_EXIT;
            notice->box->event.u.childproc_exit = *result;
            xl_event_occurred(ctx, notice->box, NULL, 0);
            notice->box = NULL;
        }
        notice_drop(notice);
    }
}

static void evgen_free(libxl_evgen_childproc_exit *evgen)
{
    while (!xl_list_empty(&evgen->notices))
        notice_drop(
            xl_container(evgen->notices.next, struct xl_notice, of_evgen));
    xl_list_remove(&evgen->link);
    xl_free(evgen);
}

static int notices_of_all(struct xl_list *children,
                          libxl_evgen_childproc_exit *evgen)
{
    struct xl_list *node;

    for (node = children->next; node != children; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        if (notice_new(child, evgen) == NULL)
            return ERROR_NOMEM;
    }
    return 0;
}

int libxl_evenable_childproc_exit(libxl_ctx *ctx, pid_t pid, libxl_ev_user user,
                                  libxl_evgen_childproc_exit **ret_evgen)
{
    libxl_evgen_childproc_exit *evgen = NULL;
    int rc;

    if (ret_evgen == NULL || pid < 0)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    evgen = xl_sys.calloc(1, sizeof *evgen);
    if (evgen == NULL) {
        rc = ERROR_NOMEM;
        goto out;
    }
    xl_list_init(&evgen->link);
    xl_list_init(&evgen->notices);
    evgen->user = user;
    if (pid > 0) {
        evgen->child = xl_child_by_pid(ctx, pid);
        if (evgen->child == NULL) {
            rc = ERROR_UNKNOWN_CHILD;
            goto out;
        }
        rc = notice_new(evgen->child, evgen) != NULL ? 0 : ERROR_NOMEM;
    } else {
        rc = notices_of_all(&ctx->live, evgen);
        if (rc == 0)
            rc = notices_of_all(&ctx->starting, evgen);
    }
    if (rc != 0)
        goto out;
    xl_list_append(&ctx->events.evgens, &evgen->link);
    *ret_evgen = evgen;
out:
    if (rc != 0 && evgen != NULL)
        evgen_free(evgen);
    return xl_leave(ctx, rc);
}

void libxl_evdisable_childproc_exit(libxl_ctx *ctx,
                                    libxl_evgen_childproc_exit *evgen)
{
    if (evgen == NULL || xl_enter(ctx) != 0)
        return;
    evgen_free(evgen);
    (void)xl_leave(ctx, 0);
}

void xl_events_destroy(libxl_ctx *ctx)
{
    struct xl_events *events = &ctx->events;

    while (!xl_list_empty(&events->evgens))
        evgen_free(xl_container(events->evgens.next,
                                libxl_evgen_childproc_exit, link));
    while (events->head != NULL) {
        libxl_event *event = events->head;

        unlink_event(events, &events->head);
        xl_free(event);
    }
}
