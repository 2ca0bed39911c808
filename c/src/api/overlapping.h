/* overlapping.h - starting many children one after the other, overlapping
 *
 * starters.c calls it on the thread that started a batch or on starter
 * threads.
 */
#ifndef XL_OVERLAPPING_H
#define XL_OVERLAPPING_H

#include "ctx/ctx_impl.h"

/* Starts what next gives until it gives NULL, and fills the entries' answers.
 * Without any lock. mask: see struct xl_spawn. */
void xl_overlapping_run(libxl_ctx *ctx, const xl_sigset *mask,
                        libxl_childproc_batch_entry *(*next)(void *user),
                        void *user);

#endif
