/* flights.h - children that have not become their programs yet
 *
 * A start that waits for nobody (LIBXL_SPAWN_NOWAIT), or not for long, hands
 * its child over while that is still being set up: it reads the start's copy
 * of the spec, and runs on a stack of ours. Nothing that could be polled tells
 * when it has left our memory; the kernel clears a word there. So whoever
 * pumps, or starts the next one, looks; and a timer looks where somebody wants
 * to be told.
 *
 *      xl_flights_add      handed over by spawn.c
 *        |   \ its end: child.c has the failure, or that there was none
 *      xl_flights_settle   it has become its program: told, if that is wanted,
 *                          and what it needed of us goes
 */
#ifndef XL_FLIGHTS_H
#define XL_FLIGHTS_H

#include "child/child.h"

/* The child has setting_up. It is live. */
void xl_flights_add(libxl_ctx *ctx, struct xl_child *child);
/* Is it in flight still? What it needed goes if not; unless it failed: that its
 * end tells. */
int xl_flights_settle(libxl_ctx *ctx, struct xl_child *child);
/* The same for up to max of them, in turn. How many of them were told of. */
int xl_flights_look(libxl_ctx *ctx, int max);
/* A timer of the ctx's. */
void xl_flights_due(libxl_ctx *ctx, struct xl_timer *timer);
/* When a start that is to be told of is first looked at. */
int64_t xl_flights_first_look(void);

#endif
