/* sequence_due.c - what must have happened by now
 *
 * Called after steps that give the library an opportunity to work: at once
 * (check_done, settle), or for as long as it may take (quiesce).
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "sequence.h"

/* ---- kills -------------------------------------------------------------- */

/* A timeout of an operation may be noticed only now. */
static void timeout_passed(struct kid *k)
{
    int64_t due = sim.now;

    if (k->timeout > sim.now || k->abort_asked)
        return;
    if (k->policy.first_signal)
        due += k->policy.grace_ms * INT64_C(1000000);
    if (due < k->kill_late)
        k->kill_late = due;
    k->rest_goes |= k->policy.scope == LIBXL_KILL_GROUP;
}

/* The library has been given the opportunity to do all that is due in c. */
void check_done(int c)
{
    for (int i = 0; i < m.nkids; i++) {
        struct kid *k = &m.kid[i];
        struct sim_process *p = k->process;

        if (k->ctx != c)
            continue;
        if (p->alive) {
            int first = k->timeout != NEVER && k->timeout <= sim.now;

            if (first && k->kill_late == NEVER)
                timeout_passed(k);
            FZ_TRUE(sim.now < k->kill_late);
            continue;
        }
        /* the rest of a group goes before its leader is reaped */
        if (k->rest_goes && (p->reaped == SIM_LIBRARY ||
                             (p->reaped == SIM_UNREAPED && m.pidfds)))
            FZ_EQ(p->rest, 0);
    }
}

/* ---- reports, counts, the state of the signal --------------------------- */

int is_live(const struct kid *k, int c)
{
    return k->ctx == c && !k->told && !is_noticeable(k);
}

static int wants_handler(int c)
{
    const struct host *h = &m.host[c];
    int live = 0, stops = 0;

    for (int i = 0; i < m.nkids; i++) {
        live += is_live(&m.kid[i], c);
        stops +=
            is_live(&m.kid[i], c) && m.kid[i].wants_stops && !m.kid[i].detached;
    }
    switch (h->owner) {
    case libxl_sigchld_owner_mainloop:
        return 0;
    case libxl_sigchld_owner_libxl:
        return live > 0;
    case libxl_sigchld_owner_libxl_always:
    case libxl_sigchld_owner_libxl_always_selective_reap:
        return h->claimed;
    case libxl_sigchld_owner_none:
        return m.pidfds ? stops > 0 : live > 0;
    }
    return 0;
}

static void check_signal_state(void)
{
    struct sigaction now;
    int wanted = 0;

    for (int c = 0; c < CTXS; c++)
        wanted |= wants_handler(c);
    FZ_EQ(sigaction(SIGCHLD, NULL, &now), 0);
    FZ_EQ(now.sa_handler != m.before.sa_handler, wanted);
    FZ_TRUE(wanted || now.sa_flags == m.before.sa_flags);
}

static void check_told(const struct kid *k)
{
    if (k->ctx < 0 || !is_noticeable(k))
        return;
    if (!k->detached && k->kind != NONE && k->kind != HOLD)
        FZ_EQ(k->told, 1);
    for (int g = 0; g < GENS; g++)
        FZ_TRUE(!k->gen_due[g] || k->gen_told[g] == 1);
}

static void check_count(int c)
{
    libxl_childproc_diagnosis d;
    int n = 0;

    for (int i = 0; i < m.nkids; i++) {
        const struct kid *k = &m.kid[i];

        n += is_live(k, c) ||
             (k->ctx == c && !k->told && k->kind == HOLD && !k->detached);
    }
    FZ_EQ(libxl_childproc_count(enter(c)), n);
    memset(&d, 0, sizeof(d));
    d.size = sizeof(d);
    FZ_EQ(libxl_childproc_diagnose(enter(c), &d, NULL), 0);
    FZ_EQ(d.mode_asked, m.host[c].owner);
    FZ_EQ(d.mode_in_force != d.mode_asked, d.mode_reason != NULL);
    FZ_EQ(d.handler_wanted, wants_handler(c));
    FZ_EQ(d.handler_displaced, 0);
}

void quiesce(void)
{
    sim.later = NULL;
    for (int round = 0; round < 4; round++) {
        sim_advance(LONG_MS);
        for (int c = 0; c < CTXS; c++)
            check_events(c, LIBXL_EVENTMASK_ALL);
    }
    for (int i = 0; i < m.nkids; i++)
        check_told(&m.kid[i]);
    for (int c = 0; c < CTXS; c++)
        check_count(c);
    check_signal_state();
}

/* Without any waiting: what is plain is noticed at once. */
void settle(int c)
{
    int was_plain[KIDS], n = m.nkids;

    for (int i = 0; i < n; i++)
        was_plain[i] = m.kid[i].ctx == c && is_plain(&m.kid[i]);
    check_events(c, LIBXL_EVENTMASK_ALL);
    for (int i = 0; i < n; i++)
        if (was_plain[i])
            check_told(&m.kid[i]);
}

/* Readable exactly when there is work (O5). */
void look_at_fileno(int c)
{
    struct pollfd fd = {libxl_ctx_fileno(enter(c)), POLLIN, 0};
    int work = 0, before = sim.interfered;

    FZ_TRUE(fd.fd >= 0);
    for (int i = 0; i < m.nkids; i++)
        work |= m.kid[i].ctx == c && !m.kid[i].told && m.kid[i].kind == EVENT &&
                !m.kid[i].detached && is_plain(&m.kid[i]);
    FZ_TRUE(poll(&fd, 1, 0) >= 0);
    FZ_TRUE(!work || (fd.revents & POLLIN));
    for (int i = 0; i < 2; i++) /* the first may kill somebody */
        check_events(c, LIBXL_EVENTMASK_ALL);
    FZ_TRUE(poll(&fd, 1, 0) == 0 || sim.interfered > before);
}
