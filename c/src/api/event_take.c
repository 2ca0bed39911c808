/* event_take.c - taking events from the queue, and who else gets them
 *
 * Called by the host: libxl_event_check, _wait, _wait_many, _free and
 * _register_callbacks. Events come from events.c; who waits pumps (pump.c).
 */
#include <stddef.h>
#include <string.h>

#include "ctx/defer.h"
#include "kernel/sized.h"
#include "loop/enter.h"
#include "ctx/events.h"
#include "ctx/log.h"
#include "loop/pump.h"
#include "ctx/waiters.h"

static struct xl_box *box_of(libxl_event *event)
{
    return (struct xl_box *)(void *)event; /* it comes first */
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
            xl_event_unlink(&ctx->events, at);
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
            xl_event_unlink(events, at);
            return event;
        }
        /* a thread may have passed over it meanwhile */
        xl_waiters_wake_event(ctx, event->type);
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
        libxl_event *event = r->predicate == NULL
                                 ? take_any(ctx, r->typemask)
                                 : take_chosen(ctx, r->typemask, r->predicate,
                                               r->predicate_user);

        if (event == NULL)
            break;
        r->ret_events[r->got++] = event;
    }
    return r->got > 0;
}

/* What a start found in passing would be returned alone: whoever takes many at
 * a time has those, too, that have ended since. */
static void look_for_more(libxl_ctx *ctx, const struct request *r)
{
    if (r->max > 1 && ctx->pump.leader == NULL &&
        (ctx->events.head != NULL || ctx->postponed.head != NULL)) {
        xl_pump_once(ctx);
        xl_dispatch(ctx);
    }
}

static int wait_for(libxl_ctx *ctx, struct request *r, int timeout_ms,
                    unsigned flags)
{
    struct xl_waiter waiter;
    int rc;

    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    look_for_more(ctx, r);
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

int libxl_event_register_callbacks(libxl_ctx *ctx,
                                   const libxl_event_hooks *hooks, void *user)
{
    const size_t founding = offsetof(libxl_event_hooks, size);
    const char *wrong = NULL;
    libxl_event_hooks copy;
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    memset(&copy, 0, sizeof copy);
    if (hooks != NULL &&
        xl_sized_take(&copy, sizeof copy, hooks,
                      hooks->size != 0 ? hooks->size : founding, founding) != 0)
        wrong = "hooks.size";
    else if (copy.event_occurs_mask != 0 && copy.event_occurs == NULL)
        wrong = "hooks.event_occurs";
    if (wrong != NULL) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_event_register_callbacks: bad argument: %s", wrong);
        return xl_leave(ctx, ERROR_INVAL);
    }
    ctx->events.hooks = copy;
    ctx->events.user = user;
    return xl_leave(ctx, 0);
}
