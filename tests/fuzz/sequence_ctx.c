/* sequence_ctx.c - steps: calls about a context, from its making to its end */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sequence.h"

/* ---- events -------------------------------------------------------------- */

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
static void check_done(int c)
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

static void wait_for_events(int c, struct fz_input *in)
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

static void check_odd_ones(int c)
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

static void route(int c, int to_hook)
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
    rc = libxl_evenable_childproc_exit(
        enter(c), m.gen[g].pid, (libxl_ev_user)(FOR_GEN + g), &m.gen[g].evgen);
    if (rc) {
        FZ_EQ(rc, ERROR_UNKNOWN_CHILD);
        FZ_TRUE(m.gen[g].pid && is_ended(k));
        m.gen[g].evgen = NULL;
        return;
    }
    m.gen[g].ctx = c;
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

/* ---- everything that is due ---------------------------------------------- */

static int is_live(const struct kid *k, int c)
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
static void settle(int c)
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
static void look_at_fileno(int c)
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

/* ---- modes --------------------------------------------------------------- */

static int in_conflict(libxl_sigchld_owner a, libxl_sigchld_owner b)
{
    return (a == libxl_sigchld_owner_mainloop && reaps_all(b)) ||
           (b == libxl_sigchld_owner_mainloop && reaps_all(a));
}

static void set_mode(int c, struct fz_input *in)
{
    struct host *h = &m.host[c];
    unsigned how = fz_byte(in);
    libxl_childproc_hooks hooks;
    int asks = (how & 16) != 0;
    int rc;

    memset(&hooks, 0, sizeof(hooks));
    hooks.chldowner = (libxl_sigchld_owner)(how % 16 % 5);
    if (asks)
        hooks.childproc_exited_callback = stranger_ended;
    enter(c);
    sim.may_wait_any |= reaps_all(hooks.chldowner);
    sim.may_reap |= hooks.chldowner != libxl_sigchld_owner_mainloop;
    rc = libxl_childproc_setmode_checked(h->ctx, &hooks, h);
    fz_say("%d: setmode %d: %d", c, hooks.chldowner, rc);
    if (rc == 0) {
        h->owner = hooks.chldowner;
        h->claimed = 1;
        h->knows_strangers = asks;
        h->stranger_answer = how & 32 ? ERROR_NOT_READY : 0;
        FZ_TRUE(!asks || reaps_all(h->owner));
        FZ_TRUE(!m.host[!c].claimed ||
                !in_conflict(h->owner, m.host[!c].owner));
        for (int i = 0; i < m.nkids; i++)
            FZ_TRUE(!is_live(&m.kid[i], c));
    } else if (rc == ERROR_BUSY) {
        int some = 0;

        for (int i = 0; i < m.nkids; i++)
            some |= is_open(&m.kid[i]) && m.kid[i].ctx == c;
        FZ_TRUE(some && !m.idle);
    } else if (rc == ERROR_INVAL) {
        FZ_TRUE(asks && !reaps_all(hooks.chldowner));
    } else {
        FZ_EQ(rc, ERROR_SIGCHLD_CONFLICT);
        FZ_TRUE(m.host[!c].claimed &&
                in_conflict(hooks.chldowner, m.host[!c].owner));
    }
}

/* All of its children end, and then the mode changes, or may not beside the
 * other's: but not because it is in use. */
static void set_mode_while_idle(int c, struct fz_input *in)
{
    for (int i = 0; i < m.nkids; i++) {
        struct kid *k = &m.kid[i];

        if (k->ctx != c || k->told)
            continue;
        if (k->process->alive)
            sim_exit(k->process, 3 << 8);
        if (k->process->elsewhere && k->process->reaped == SIM_UNREAPED)
            sim_host_reaps(k->process);
        if (is_mainloop(k) && !k->passed)
            pass_on(k);
    }
    quiesce();
    for (int i = 0; i < m.nkids; i++) {
        if (m.kid[i].ctx != c || m.kid[i].told || m.kid[i].detached)
            continue;
        if (m.kid[i].kind == HOLD && (i & 1)) /* some are kept */
            wait_for(&m.kid[i], 0);
    }
    m.idle = 1;
    set_mode(c, in);
    m.idle = 0;
}

static void host_saw_sigchld(int c)
{
    enter(c);
    sim.may_reap = 1; /* that is what the call is for */
    libxl_childproc_sigchld_occurred(m.host[c].ctx);
    enter(c);
}

/* ---- making and ending --------------------------------------------------- */

void new_ctx(int c)
{
    struct host *h = &m.host[c];

    memset(h, 0, sizeof(*h));
    h->fd = -1;
    FZ_EQ(libxl_ctx_alloc(&h->ctx, LIBXL_VERSION, 0, &sim_silent), 0);
    route(c, 0);
    h->rerouted = 0;
}

/* What is to become of a child, before its ctx is freed … */
static void about_to_be_freed(struct kid *k)
{
    k->was_alive = k->process->alive;
    if (k->on_free == LIBXL_FREE_LEAVE)
        return;
    k->process->orphan = 1;
    k->kill_asked |= k->on_free == LIBXL_FREE_KILL;
}

/* … and what has. */
static void was_freed(struct kid *k)
{
    struct sim_process *p = k->process;

    k->ctx = -1;
    libxl_childproc_exec_result_dispose(&k->result);
    if (k->told)
        return;
    k->told = 1;
    if (k->on_free == LIBXL_FREE_LEAVE) {
        if (!kid_of_process(p))
            p->ours = 0;
        return;
    }
    if (k->on_free == LIBXL_FREE_KILL) {
        FZ_TRUE(!p->alive);
        FZ_TRUE(k->policy.scope != LIBXL_KILL_GROUP || !k->was_alive ||
                !p->rest);
    }
    if (!k->was_alive || k->on_free == LIBXL_FREE_KILL)
        FZ_TRUE(p->reaped != SIM_UNREAPED);
}

void free_ctx(int c)
{
    struct host *h = &m.host[c];

    m.within = NOTHING;
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].ctx == c && !m.kid[i].told)
            about_to_be_freed(&m.kid[i]);
    FZ_EQ(libxl_ctx_free(enter(c)), 0);
    FZ_TRUE(h->fd == -1 && h->timer_for_libxl == NULL);
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].ctx == c)
            was_freed(&m.kid[i]);
    for (int g = 0; g < GENS; g++)
        if (m.gen[g].ctx == c)
            m.gen[g].evgen = NULL;
}

/* ---- one step ------------------------------------------------------------ */

void about_ctx(struct fz_input *in, unsigned what, int c)
{
    static const int times[] = {1, 20, 400, LONG_MS};

    fz_say("%d: step %u", c, what);
    switch (what) {
    case 0:
        check_events(c, LIBXL_EVENTMASK_ALL);
        break;
    case 1:
        settle(c);
        break;
    case 2:
        check_events(c, fz_below(in, 2)
                            ? LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_EXIT)
                            : 0);
        break;
    case 3:
        check_odd_ones(c);
        break;
    case 4:
        wait_for_events(c, in);
        break;
    case 5:
        route(c, (int)fz_below(in, 2));
        break;
    case 6: {
        unsigned one = fz_below(in, 2);

        enable(c, one ? some_kid(in) : NULL);
        break;
    }
    case 7:
        disable((int)fz_below(in, GENS));
        break;
    case 8:
        set_mode(c, in);
        break;
    case 9:
        set_mode_while_idle(c, in);
        break;
    case 10:
        host_saw_sigchld(c);
        break;
    case 11:
        poll_round(c);
        break;
    case 12:
        loop_call(c, in);
        break;
    case 13:
        hook_up(c, (int)fz_below(in, 2));
        break;
    case 14:
        look_at_fileno(c);
        break;
    case 15:
        sim_advance(times[fz_below(in, 4)]);
        break;
    case 16:
        quiesce();
        break;
    case 17:
        m.within = (enum within)fz_below(in, WITHIN);
        m.within_which = (int)fz_byte(in);
        break;
    case 18:
        set_starters(c, in);
        break;
    case 19:
        free_ctx(c);
        new_ctx(c);
        break;
    }
}
