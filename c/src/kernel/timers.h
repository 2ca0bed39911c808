/* timers.h - deadlines of a ctx, soonest first
 *
 * A pairing heap of nodes that are embedded in what they belong to: arming
 * needs no memory and cannot fail. Times are nanoseconds of CLOCK_MONOTONIC.
 * Armed by exit_watch.c, kill.c, reap.c and operation.c; run by pump.c.
 */
#ifndef XL_TIMERS_H
#define XL_TIMERS_H

#include <stdint.h>

struct libxl_ctx;

#define XL_NEVER INT64_MAX

struct xl_timer {
    int64_t due;
    /* Called under the ctx's lock; the timer is disarmed by then. */
    void (*fire)(struct libxl_ctx *ctx, struct xl_timer *timer);
    struct xl_timer *child, *next;
    struct xl_timer **at; /* whoever points here; NULL: not armed */
};

struct xl_timers {
    struct xl_timer *root;
};

int64_t xl_now(void);
/* now + ms, XL_NEVER for a negative one */
int64_t xl_after_ms(int ms);
/* What is left until due, in milliseconds rounded up; -1 for XL_NEVER. */
int xl_ms_until(int64_t due);

void xl_timer_arm(struct xl_timers *timers, struct xl_timer *timer,
                  int64_t due); /* again, if it is armed */
void xl_timer_disarm(struct xl_timers *timers, struct xl_timer *timer);
int xl_timer_armed(const struct xl_timer *timer);
int64_t xl_timers_soonest(const struct xl_timers *timers);
/* Fires those that are due. */
void xl_timers_run(struct libxl_ctx *ctx, struct xl_timers *timers);

#endif
