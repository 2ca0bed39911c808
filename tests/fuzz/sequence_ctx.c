/* sequence_ctx.c - steps: calls about a context, from its making to its end */
#define _GNU_SOURCE
#include <string.h>

#include "sequence.h"

/* ---- modes -------------------------------------------------------------- */

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
        FZ_TRUE(!in_conflict(c, h->owner));
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
        FZ_TRUE(in_conflict(c, hooks.chldowner));
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
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].ctx == c && is_mainloop(&m.kid[i]))
            m.kid[i].missed |= m.kid[i].process->reaped == SIM_HOST;
}

/* ---- making and ending -------------------------------------------------- */

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

/* ---- one step ----------------------------------------------------------- */

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
