/* flights.h - starting many children one after the other, overlapping
 *
 * starters.c calls it on the thread that started a batch or on starter
 * threads.
 */
#ifndef XL_FLIGHTS_H
#define XL_FLIGHTS_H

#include "ctx_impl.h"

/* Starts what next gives until it gives NULL, and fills the entries' answers.
 * Without any lock. mask: see struct xl_spawn. */
void xl_flights_run(libxl_ctx *ctx, const xl_sigset *mask,
                    libxl_childproc_batch_entry *(*next)(void *user),
                    void *user);

#endif
