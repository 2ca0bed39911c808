/* sequence_events.c - steps: taking events, having them delivered, evenables */
#define _GNU_SOURCE
#include "sequence.h"

/* ---- taking ------------------------------------------------------------- */

void check_events(int c, uint64_t mask)
{
    libxl_event *event;
    int before = sim.interfered;
    int rc;

    if (mask != LIBXL_EVENTMASK_ALL)
        m.host[c].rerouted = 1;
    while ((rc = libxl_event_check(enter(c), &event, mask, NULL, NULL)) == 0)
        take(c, event);
    FZ_EQ(rc, ERROR_NOT_READY);
    if (mask == LIBXL_EVENTMASK_ALL)
        m.host[c].rerouted = 0;
    if (sim.interfered == before)
        check_done(c);
}

void wait_for_events(int c, struct fz_input *in)
{
    libxl_event *events[4];
    int max = 1 + (int)fz_below(in, 4), timeout = fz_one_in(in, 2) ? 60 : 0;
    int n = libxl_event_wait_many(enter(c), events, max, LIBXL_EVENTMASK_ALL,
                                  timeout, 0);

    FZ_TRUE(n == ERROR_TIMEDOUT || (n > 0 && n <= max));
    for (int i = 0; i < n; i++)
        take(c, events[i]);
}

static int odd(const libxl_event *event, void *user)
{
    (void)user;
    return event->for_user & 1;
}

void check_odd_ones(int c)
{
    libxl_event *event;
    int rc =
        libxl_event_check(enter(c), &event, LIBXL_EVENTMASK_ALL, odd, NULL);

    m.host[c].rerouted = 1;
    if (rc == 0) {
        FZ_TRUE(event->for_user & 1);
        take(c, event);
    } else {
        FZ_EQ(rc, ERROR_NOT_READY);
    }
}

void route(int c, int to_hook)
{
    const libxl_event_hooks hooks = {to_hook ? LIBXL_EVENTMASK_ALL : 0,
                                     to_hook ? event_occurs : NULL, disaster,
                                     sizeof(hooks)};

    m.host[c].rerouted = 1;
    FZ_EQ(libxl_event_register_callbacks(enter(c), &hooks, &m.host[c]), 0);
}

void enable(int c, struct kid *k)
{
    int g, rc;

    for (g = 0; g < GENS && m.gen[g].ctx >= 0; g++)
        ;
    if (g == GENS)
        return;
    m.gen[g].pid = k && k->ctx == c ? k->process->pid : 0;
    m.gen[g].ctx = c; /* it may be told within the call: of a held end */
    rc = libxl_evenable_childproc_exit(
        enter(c), m.gen[g].pid, (libxl_ev_user)(FOR_GEN + g), &m.gen[g].evgen);
    if (rc) {
        FZ_EQ(rc, ERROR_UNKNOWN_CHILD);
        FZ_TRUE(m.gen[g].pid && is_ended(k));
        m.gen[g].evgen = NULL;
        m.gen[g].ctx = -1;
        return;
    }
    for (int i = 0; i < m.nkids; i++)
        m.kid[i].gen_due[g] =
            m.kid[i].ctx == c && m.kid[i].process->alive &&
            (!m.gen[g].pid || m.gen[g].pid == m.kid[i].process->pid);
}

void disable(int g)
{
    if (!m.gen[g].evgen)
        return;
    for (int i = 0; i < m.nkids; i++) { /* what has occurred may still come */
        m.kid[i].gen_due[g] = 0;
        m.kid[i].gen_over[g] = m.kid[i].process->alive;
    }
    libxl_evdisable_childproc_exit(enter(m.gen[g].ctx), m.gen[g].evgen);
    m.gen[g].evgen = NULL;
}
