/* flights.c - children that have not become their programs yet
 *
 * Called by spawn.c (a start that does not wait), by pump.c and the next start
 * (a look), and by whoever is about to signal or let go of such a child. Next:
 * events.c, where a start is to be told of. See flights.h.
 */
#include "child/flights.h"

#include <limits.h>
#include <sys/wait.h>

#include "child/wait_one.h"
#include "ctx/events.h"
#include "kernel/procstat.h"

/* A program is usually executed within a fifth of a millisecond; the longer one
 * has taken, the less it matters when that is noticed. */
#define FIRST_LOOK_NS INT64_C(150000)
#define LAST_LOOK_NS INT64_C(50000000)
#define AGE_PARTS 4 /* noticed late by so much of its age at most */

int64_t xl_flights_first_look(void)
{
    return xl_now() + FIRST_LOOK_NS;
}

/* Until the next look at one that is so old. */
static int64_t delay(int64_t age)
{
    int64_t ns = age / AGE_PARTS;

    if (ns < FIRST_LOOK_NS)
        return FIRST_LOOK_NS;
    return ns < LAST_LOOK_NS ? ns : LAST_LOOK_NS;
}

/* Somebody waits to be told of it, and pumps for that. */
static int is_awaited(const struct xl_setting_up *flight)
{
    return flight->started != NULL;
}

static struct xl_setting_up *flight_of(struct xl_list *node)
{
    return xl_container(node, struct xl_setting_up, link);
}

void xl_flights_add(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_setting_up *flight = child->setting_up;
    int64_t due;

    flight->child = child;
    flight->began = xl_now();
    xl_list_append(&ctx->flights, &flight->link);
    due = flight->began + FIRST_LOOK_NS;
    if (is_awaited(flight) &&
        (!xl_timer_armed(&ctx->flights_look) || ctx->flights_look.due > due))
        xl_timer_arm(&ctx->timers, &ctx->flights_look, due);
}

static void tell(libxl_ctx *ctx, struct xl_child *child, struct xl_box *started)
{
    started->event.type = LIBXL_EVENT_TYPE_CHILDPROC_STARTED;
    started->event.for_user = child->box.event.for_user;
    started->event.u.childproc_started.id = child->id;
    started->event.u.childproc_started.pid = child->pid;
    xl_event_occurred(ctx, started, xl_child_strand(child), 0);
}

static int lives(struct xl_child *child)
{
    siginfo_t info;

    return xl_wait_one(child, WEXITED | WNOWAIT, &info, NULL) == 0;
}

/* One that was killed on its way has left our memory, too: that is not told as
 * a start, nor has it a time; its end, which comes, says all. */
static int may_never_run(struct xl_child *child,
                         const struct xl_setting_up *flight)
{
    return (is_awaited(flight) || child->more->account != NULL) &&
           xl_procstat_executed(child->pid) == 0;
}

int xl_flights_settle(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_setting_up *flight = child->setting_up;
    libxl_childproc_failure failure;

    if (flight == NULL)
        return 0;
    if (!flight->settled(flight))
        return 1;
    if (flight->failed(flight, &failure)) {
        xl_list_remove(&flight->link);
        return 0;
    }
    if (may_never_run(child, flight))
        return 1;
    xl_list_remove(&flight->link);
    xl_account_exec(child->more->account);
    if (flight->started != NULL && lives(child)) {
        tell(ctx, child, flight->started);
        flight->started = NULL;
    }
    child->setting_up = NULL;
    flight->free(flight, ctx);
    return 0;
}

int xl_flights_look(libxl_ctx *ctx, int max)
{
    struct xl_list *node = ctx->flights.next;
    struct xl_list *last = ctx->flights.prev;
    int64_t soonest = XL_NEVER;
    int64_t now;
    int more = node != &ctx->flights;
    int told = 0;

    if (!more)
        return 0;
    now = xl_now();
    while (more && max-- > 0) {
        struct xl_setting_up *flight = flight_of(node);
        int awaited = is_awaited(flight);

        more = node != last;
        node = node->next;
        if (!xl_flights_settle(ctx, flight->child)) {
            told += awaited;
            continue;
        }
        if (awaited && delay(now - flight->began) < soonest)
            soonest = delay(now - flight->began);
        /* next time it is the others' turn first */
        xl_list_remove(&flight->link);
        xl_list_append(&ctx->flights, &flight->link);
    }
    if (soonest != XL_NEVER)
        xl_timer_arm(&ctx->timers, &ctx->flights_look, now + soonest);
    else if (!more)
        xl_timer_disarm(&ctx->timers, &ctx->flights_look);
    return told;
}

void xl_flights_due(libxl_ctx *ctx, struct xl_timer *timer)
{
    (void)timer;
    (void)xl_flights_look(ctx, INT_MAX);
}
