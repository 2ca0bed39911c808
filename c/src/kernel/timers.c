/* timers.c - deadlines of a ctx, soonest first
 *
 * Called under the ctx's lock. See timers.h.
 */
#define _GNU_SOURCE
#include "kernel/timers.h"

#include <stddef.h>
#include <time.h>

#include "kernel/sys.h"

int64_t xl_now(void)
{
    struct timespec t;

    (void)xl_sys.clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t xl_after_ms(int ms)
{
    return ms < 0 ? XL_NEVER : xl_now() + (int64_t)ms * 1000000;
}

int xl_ms_until(int64_t due)
{
    int64_t left;

    if (due == XL_NEVER)
        return -1;
    left = due - xl_now();
    if (left <= 0)
        return 0;
    left = (left + 999999) / 1000000;
    return left > 86400000 ? 86400000 : (int)left;
}

static void set_at(struct xl_timer **at, struct xl_timer *t)
{
    *at = t;
    if (t != NULL)
        t->at = at;
}

/* Both are roots without siblings. */
static struct xl_timer *merge(struct xl_timer *a, struct xl_timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->due < a->due) {
        struct xl_timer *swap = a;

        a = b;
        b = swap;
    }
    set_at(&b->next, a->child);
    set_at(&a->child, b);
    return a;
}

static struct xl_timer *merge_siblings(struct xl_timer *first)
{
    struct xl_timer *paired = NULL;
    struct xl_timer *root = NULL;

    while (first != NULL) {
        struct xl_timer *a = first;
        struct xl_timer *b = a->next;

        first = b != NULL ? b->next : NULL;
        a->next = NULL;
        if (b != NULL)
            b->next = NULL;
        a = merge(a, b);
        a->next = paired;
        paired = a;
    }
    while (paired != NULL) {
        struct xl_timer *rest = paired->next;

        paired->next = NULL;
        root = merge(root, paired);
        paired = rest;
    }
    return root;
}

int xl_timer_armed(const struct xl_timer *timer)
{
    return timer->at != NULL;
}

void xl_timer_disarm(struct xl_timers *timers, struct xl_timer *timer)
{
    struct xl_timer *orphans;

    if (timer->at == NULL)
        return;
    set_at(timer->at, timer->next);
    timer->at = NULL;
    timer->next = NULL;
    orphans = merge_siblings(timer->child);
    timer->child = NULL;
    set_at(&timers->root, merge(timers->root, orphans));
}

void xl_timer_arm(struct xl_timers *timers, struct xl_timer *timer, int64_t due)
{
    xl_timer_disarm(timers, timer);
    if (due == XL_NEVER)
        return;
    timer->due = due;
    timer->child = NULL;
    timer->next = NULL;
    set_at(&timers->root, merge(timers->root, timer));
}

int64_t xl_timers_soonest(const struct xl_timers *timers)
{
    return timers->root != NULL ? timers->root->due : XL_NEVER;
}

void xl_timers_run(struct libxl_ctx *ctx, struct xl_timers *timers)
{
    int64_t now;

    if (timers->root == NULL)
        return;
    now = xl_now();
    while (timers->root != NULL && timers->root->due <= now) {
        struct xl_timer *timer = timers->root;

        xl_timer_disarm(timers, timer);
        timer->fire(ctx, timer);
    }
}
