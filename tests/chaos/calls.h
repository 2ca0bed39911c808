/* calls.h - the calls of the library that chaos.c makes at random
 *
 * Each function is a thread's; arg is a struct xc_chance of its own.
 */
#ifndef XC_CALLS_H
#define XC_CALLS_H

#include "model.h"

void *xc_calls_work(void *arg);   /* every call, on the fixed contexts */
void *xc_calls_wander(void *arg); /* contexts of its own, freed in use */
void *xc_calls_pump(void *arg);   /* events, of the fixed contexts */
void *xc_cancels(void *arg);      /* threads that wait, and are cancelled */

libxl_ctx *xc_calls_ctx(int mode, int starters);
/* Notes what the event tells, and frees it. */
void xc_calls_take(libxl_ctx *ctx, libxl_event *event);
/* A held child of late, which is about to be asked for; or NULL. */
struct xc_ours *xc_calls_some_held(struct xc_chance *chance);
/* One round over all contexts and held children, for the end. */
void xc_calls_settle(void);

#endif
