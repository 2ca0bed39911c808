/* cancels.c - threads of the host's that are cancelled while they wait
 *
 * Called by chaos.c. What such a thread was about to be told is told to
 * somebody else (C26): model.c finds what is missing, or told twice.
 */
#define _GNU_SOURCE
#include "calls.h"

#include <pthread.h>

struct waiting {
    struct xc_chance chance;
    int place;
    struct xc_ours *child; /* NULL: for events */
};

/* Only inside the call: what it has returned is this thread's to note. */
static void *waits(void *arg)
{
    struct waiting *w = arg;
    libxl_ctx *ctx = xc_ctx[w->place];
    libxl_childproc_result result;
    libxl_event *event[4];
    int n, before;

    if (w->child) {
        n = libxl_childproc_wait(ctx, w->child->id, 100, LIBXL_WAIT_KEEP,
                                 &result);
        (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        if (n == 0)
            xc_reported(w->child, &result);
        return NULL;
    }
    n = libxl_event_wait_many(ctx, event, 4, LIBXL_EVENTMASK_ALL, 100, 0);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    for (int i = 0; i < n; i++)
        xc_calls_take(ctx, event[i]);
    return NULL;
}

void *xc_cancels(void *arg)
{
    struct xc_chance *chance = arg;
    uint64_t stream = 1000;

    while (!atomic_load(&xc_stop)) {
        struct waiting w = {.place = (int)xc_below(chance,
                                                   (unsigned)xc_run.places)};
        pthread_t thread;

        xc_chance_init(&w.chance, xc_run.seed, stream++);
        w.child = xc_percent(chance, 50) ? xc_calls_some_held(chance) : NULL;
        if (w.child)
            w.place = w.child->place;
        if (pthread_create(&thread, NULL, waits, &w))
            xc_fail("pthread_create");
        xc_pause_ms((int)xc_below(chance, 4));
        (void)pthread_cancel(thread);
        (void)pthread_join(thread, NULL);
    }
    return NULL;
}
