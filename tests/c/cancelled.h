/* cancelled.h - threads that are cancelled, and whose stacks go then
 *
 * Used by host_cancel.c and host_cancel_hands.c.
 */
#ifndef XT_CANCELLED_H
#define XT_CANCELLED_H

#include <pthread.h>

#include "xlchild/childproc.h"

struct xc_thread {
    pthread_t id;
    unsigned char *stack;
};

void xc_begin(struct xc_thread *t, void *(*fn)(void *), void *arg);
/* What it returned. Whatever still points to its stack crashes from now on. */
void *xc_end(struct xc_thread *t);
/* And it has ended by that. */
void xc_cancel(struct xc_thread *t);

struct xc_caller {
    libxl_ctx *ctx;
    libxl_childproc_id child; /* for childproc_wait */
    int came_back;
};

/* For xc_begin: waits for what does not come. arg: a struct xc_caller. */
void *xc_in_event_wait(void *arg);

/* For XT_EVENTUALLY: none but the one that is waited for. user: the ctx. */
int xc_no_child_lives(void *user);
/* The ctx is as good as new. */
void xc_goes_on(libxl_ctx *ctx);

#endif
