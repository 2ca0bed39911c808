/* sequence.c - fuzz target: any sequence of calls, against a naive model
 *
 * Two contexts, children of the simulated kernel, evenables, operations and a
 * host loop; the input chooses what happens next. The model remembers of each
 * child only what became of its process and how often it was reported. Proves
 * that reports and completions come exactly once and tell the kernel's status
 * (E1, E6, A1, A2, C5, C6), that a mode reaps nothing which is not its to reap
 * (C1 to C4), that no signal goes astray (C13), that late and refused calls of
 * loops are harmless (O2, O3), and that nothing is left behind (X2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "facility.h"
#include "fuzz.h"
#include "simkernel.h"
#include "xlchild.h"

#define CTXS 2
#define KIDS SIM_PROCESSES
#define GENS 8
#define OLD 16
#define FOR_KID 1000
#define FOR_GEN 2000

enum kind { HOLD, EVENT, CALLBACK, NONE, OPERATION, KINDS };

struct kid {
    libxl_childproc_id id;
    struct sim_process *process;
    enum kind kind;
    int ctx;
    int told; /* its report was taken or made */
    int detached;
    int passed; /* mainloop: the host passed the end on */
    int completed, abort_asked;
    int gen_due[GENS], gen_told[GENS];
    libxl_asyncop_how how;
    libxl_childproc_exec_result result;
};

struct gen {
    libxl_evgen_childproc_exit *evgen; /* NULL: none */
    int ctx;
    pid_t pid; /* 0: every child */
};

struct host { /* of one context */
    libxl_ctx *ctx;
    libxl_sigchld_owner owner;
    int hooked;
    int refuse;   /* the next registration, with this code */
    int refusals; /* so far */
    int fd;       /* registered; -1 */
    void *fd_for_libxl, *timer_for_libxl;
    void *old[OLD]; /* all that there ever was */
    int nold;
};

static struct {
    struct kid kid[KIDS];
    int nkids;
    struct gen gen[GENS];
    struct host host[CTXS];
    int pidfds; /* the kernel has them */
} m;

/* ---- what the model knows ------------------------------------------------ */

static int reaps_all(libxl_sigchld_owner owner)
{
    return owner == libxl_sigchld_owner_libxl ||
           owner == libxl_sigchld_owner_libxl_always;
}

/* What the library may do in a call on this context. */
static libxl_ctx *enter(int c)
{
    sim.may_wait_any = reaps_all(m.host[c].owner);
    sim.may_reap = m.host[c].owner != libxl_sigchld_owner_mainloop;
    return m.host[c].ctx;
}

static int is_ended(const struct kid *k)
{
    return !k->process->alive;
}

/* Its status can be learnt, and at once. */
static int is_plain(const struct kid *k)
{
    return m.pidfds &&
           (k->process->reaped != SIM_HOST || sim.exit_info || k->passed);
}

static int is_mainloop(const struct kid *k)
{
    return m.host[k->ctx].owner == libxl_sigchld_owner_mainloop;
}

static struct kid *kid_of(int c, libxl_childproc_id id)
{
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].id == id && m.kid[i].ctx == c)
            return &m.kid[i];
    FZ_FAIL("a report about no child");
}

static void check_result(const struct kid *k, const libxl_childproc_result *r)
{
    const struct sim_process *p = k->process;

    FZ_EQ(r->pid, p->pid);
    FZ_TRUE(!p->alive);
    if (r->lost == LIBXL_LOST_NONE) {
        FZ_EQ(r->status, p->status);
        FZ_EQ(p->reaped,
              r->source == LIBXL_SOURCE_REAPED ? SIM_LIBRARY : SIM_HOST);
        if (r->source == LIBXL_SOURCE_PASSED)
            FZ_TRUE(k->passed);
    } else {
        FZ_EQ(r->lost, LIBXL_LOST_STOLEN);
        FZ_EQ(r->status, 0);
        FZ_EQ(p->reaped, SIM_HOST);
        FZ_TRUE(!sim.exit_info || !m.pidfds);
    }
}

static void completed(struct kid *k, int rc)
{
    FZ_EQ(k->completed++, 0);
    FZ_TRUE(rc == 0 || (rc == ERROR_ABORTED && k->abort_asked));
    check_result(k, &k->result.child);
    libxl_childproc_exec_result_dispose(&k->result);
    k->told++;
    FZ_EQ(k->told, 1);
}

static void take(int c, libxl_event *event)
{
    const libxl_childproc_result *r = &event->u.childproc_exit;
    struct kid *k;

    if (event->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE) {
        k = &m.kid[event->for_user - FOR_KID];
        FZ_TRUE(k->kind == OPERATION && k->ctx == c && !k->how.callback);
        completed(k, event->u.operation_complete.rc);
        libxl_event_free(m.host[c].ctx, event);
        return;
    }
    FZ_EQ(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    k = kid_of(c, r->id);
    check_result(k, r);
    if (event->for_user >= FOR_GEN) {
        int g = (int)event->for_user - FOR_GEN;

        FZ_EQ(m.gen[g].ctx, c);
        FZ_TRUE(!m.gen[g].pid || m.gen[g].pid == r->pid);
        FZ_EQ(k->gen_told[g]++, 0);
    } else {
        FZ_EQ(event->for_user, FOR_KID + (k - m.kid));
        FZ_EQ(k->kind, EVENT);
        FZ_EQ(k->told++, 0);
    }
    libxl_event_free(m.host[c].ctx, event);
}

/* ---- callbacks ----------------------------------------------------------- */

static void kid_ended(libxl_ctx *ctx, const libxl_childproc_result *result,
                      void *user)
{
    struct kid *k = user;

    FZ_TRUE(ctx == m.host[k->ctx].ctx && result->id == k->id);
    FZ_EQ(k->kind, CALLBACK);
    check_result(k, result);
    FZ_EQ(k->told++, 0);
    /* it may call the library; the child is forgotten */
    FZ_EQ(libxl_childproc_kill(ctx, k->id, SIGTERM, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
}

static void operation_ended(libxl_ctx *ctx, int rc, void *user)
{
    (void)ctx;
    completed(user, rc);
}

static void event_occurs(void *user, libxl_event *event)
{
    take((int)((struct host *)user - m.host), event);
}

static void disaster(void *user, libxl_event_type type, const char *msg,
                     int errnoval)
{
    const struct host *h = user;

    (void)type;
    if (!h->refusals) /* where no caller could be told */
        FZ_FAIL("disaster: %s, errno %d", msg, errnoval);
}

/* ---- the host's loop ----------------------------------------------------- */

static void remember(struct host *h, void *for_libxl)
{
    if (h->nold < OLD)
        h->old[h->nold++] = for_libxl;
}

static int refused(struct host *h)
{
    int code = h->refuse;

    h->refuse = 0;
    h->refusals++;
    return code;
}

static int fd_register(void *user, int fd, void **out, short events,
                       void *for_libxl)
{
    struct host *h = user;

    (void)events;
    if (h->refuse)
        return refused(h);
    FZ_EQ(h->fd, -1);
    h->fd = fd;
    h->fd_for_libxl = for_libxl;
    *out = h;
    remember(h, for_libxl);
    return 0;
}

static int fd_modify(void *user, int fd, void **out, short events)
{
    struct host *h = user;

    (void)events;
    FZ_EQ(h->fd, fd);
    FZ_TRUE(*out == h);
    return 0;
}

static void fd_deregister(void *user, int fd, void *registration)
{
    struct host *h = user;

    FZ_EQ(h->fd, fd);
    FZ_TRUE(registration == h);
    h->fd = -1;
}

static int timeout_register(void *user, void **out, struct timeval abs,
                            void *for_libxl)
{
    struct host *h = user;

    (void)abs;
    if (h->refuse)
        return refused(h);
    FZ_TRUE(h->timer_for_libxl == NULL);
    h->timer_for_libxl = for_libxl;
    *out = h;
    remember(h, for_libxl);
    return 0;
}

static int timeout_modify(void *user, void **out, struct timeval abs)
{
    struct host *h = user;

    FZ_TRUE(h->timer_for_libxl != NULL && *out == h);
    FZ_TRUE(abs.tv_sec == 0 && abs.tv_usec == 0);
    return 0;
}

static void timeout_deregister(void *user, void *registration)
{
    struct host *h = user;

    FZ_TRUE(h->timer_for_libxl != NULL && registration == h);
    h->timer_for_libxl = NULL;
}

/* ---- starting ------------------------------------------------------------ */

static void fill_spec(libxl_childproc_spec *spec)
{
    static const char *const argv[] = {"/nonexistent/simulated", NULL};

    libxl_childproc_spec_init(spec);
    spec->argv = argv;
    spec->on_free = LIBXL_FREE_LEAVE;
    spec->exited_grace_ms = 1000000; /* real time plays no part */
}

static void start(int c, enum kind kind, struct fz_input *in)
{
    libxl_childproc_exec_opts opts;
    libxl_childproc_failure failure;
    libxl_childproc_report report;
    libxl_childproc_spec spec;
    struct kid *k = &m.kid[m.nkids];
    pid_t pid = -1;
    int before = sim.n, refusing, rc;

    if (m.nkids == KIDS)
        return;
    memset(k, 0, sizeof(*k));
    memset(&report, 0, sizeof(report));
    fill_spec(&spec);
    k->kind = kind;
    k->ctx = c;
    sim.exec_errno = fz_one_in(in, 16) ? ENOENT : 0;
    sim.clone_errno = fz_one_in(in, 16) ? EAGAIN : 0;
    refusing = m.host[c].refuse;
    /* it is counted first: its report may come before the call returns */
    m.nkids++;
    k->process = &sim.process[sim.n];
    if (kind == OPERATION) {
        libxl_childproc_exec_opts_init(&opts);
        opts.stdout_stream.kind = LIBXL_STREAM_NULL;
        opts.stderr_stream.kind = LIBXL_STREAM_NULL;
        if (fz_one_in(in, 2)) {
            k->how.callback = operation_ended;
            k->how.u.for_callback = k;
        } else {
            k->how.u.for_event = FOR_KID + (k - m.kid);
        }
        rc = libxl_childproc_exec(enter(c), &spec, &opts, &k->result, &failure,
                                  &k->how);
        if (rc == 0) { /* nothing else tells its id */
            pid = k->process->pid;
            if (libxl_childproc_lookup(enter(c), pid, &k->id) != 0)
                k->id = k->result.child.id;
        }
    } else {
        report.kind = (libxl_childproc_report_kind)kind;
        if (kind == CALLBACK) {
            report.callback = kid_ended;
            report.u.for_callback = k;
        } else {
            report.u.for_event = FOR_KID + (k - m.kid);
        }
        rc = libxl_childproc_spawn(enter(c), &spec, &report, &k->id, &pid,
                                   &failure);
    }
    if (rc == 0) {
        FZ_TRUE(!sim.exec_errno && !sim.clone_errno);
        FZ_EQ(sim.n, before + 1);
        FZ_EQ(pid, k->process->pid);
        for (int g = 0; g < GENS; g++)
            k->gen_due[g] =
                m.gen[g].evgen && m.gen[g].ctx == c && !m.gen[g].pid;
        return;
    }
    m.nkids--;
    if (rc > 0)
        FZ_TRUE(rc == refusing && sim.n == before); /* C12: before the fork */
    else if (rc == ERROR_SPAWN)
        FZ_TRUE(sim.exec_errno && failure.stage == LIBXL_STAGE_EXEC &&
                failure.errnoval == sim.exec_errno);
    else if (rc == ERROR_SIGCHLD_CONFLICT)
        FZ_TRUE(sim.n == before &&
                (m.host[0].owner == libxl_sigchld_owner_mainloop ||
                 m.host[1].owner == libxl_sigchld_owner_mainloop));
    else
        FZ_TRUE(rc == ERROR_SYSTEM && failure.stage == LIBXL_STAGE_FORK &&
                failure.errnoval == EAGAIN &&
                (sim.clone_errno || before == SIM_PROCESSES));
    for (int i = before; i < sim.n; i++) /* no zombie of a failed start */
        FZ_EQ(sim.process[i].reaped, SIM_LIBRARY);
}

/* ---- calls about a child ------------------------------------------------- */

static void kill_it(struct kid *k, int terminate)
{
    static const libxl_kill_policy now = {0, 0, LIBXL_KILL_PROCESS};
    int was_alive = k->process->alive, rc;

    rc = terminate ? libxl_childproc_terminate(enter(k->ctx), k->id, &now)
                   : libxl_childproc_kill(enter(k->ctx), k->id, SIGTERM,
                                          LIBXL_KILL_PROCESS);
    if (rc == 7)
        return; /* the host's refusal */
    if (!k->detached)
        FZ_EQ(rc, was_alive ? 0 : ERROR_NOTFOUND);
    FZ_TRUE(!was_alive || rc || !k->process->alive);
}

static void wait_for(struct kid *k)
{
    libxl_childproc_result r;
    int rc = libxl_childproc_wait(enter(k->ctx), k->id, 0, 0, &r);

    if (k->told || k->detached || k->kind == OPERATION) {
        FZ_EQ(rc, ERROR_NOTFOUND); /* an operation's child is its own */
    } else if (k->kind != HOLD) {
        /* its end may just have been noticed */
        FZ_TRUE(rc == ERROR_INVAL || (rc == ERROR_NOTFOUND && is_ended(k)));
    } else if (rc == 0) {
        FZ_EQ(r.id, k->id);
        check_result(k, &r);
        k->told++;
    } else {
        FZ_EQ(rc, ERROR_TIMEDOUT);
        FZ_TRUE(!is_ended(k) || !is_plain(k) || (is_mainloop(k) && !k->passed));
    }
}

static void pass_on(struct kid *k)
{
    int rc, mainloop = is_mainloop(k), untold = !k->told;

    if (!is_ended(k) || k->process->reaped != SIM_UNREAPED)
        return;
    sim_host_reaps(k->process); /* in the other modes: a theft */
    for (int c = 0; c < CTXS; c++) {
        int expected = mainloop && untold && c == k->ctx ? 0 : ERROR_NOT_READY;

        if (c == k->ctx)
            k->passed = mainloop;
        rc = libxl_childproc_exited(enter(c), k->process->pid,
                                    k->process->status);
        FZ_EQ(rc, expected);
    }
}

static void detach(struct kid *k)
{
    int rc = libxl_childproc_detach(enter(k->ctx), k->id);

    if (k->told || k->detached || k->kind == OPERATION)
        FZ_EQ(rc, ERROR_NOTFOUND);
    else if (rc)
        FZ_TRUE(rc == ERROR_NOTFOUND && is_ended(k) && k->kind != HOLD);
    else
        k->detached = 1;
}

static void abort_it(struct kid *k)
{
    int rc;

    if (k->kind != OPERATION)
        return;
    rc = libxl_ao_abort(enter(k->ctx), &k->how);
    if (k->completed && !k->abort_asked)
        FZ_TRUE(rc == ERROR_NOTFOUND || rc == 0);
    if (rc == 0)
        k->abort_asked = 1;
    else
        FZ_TRUE(rc == ERROR_NOTFOUND ? is_ended(k)
                                     : rc == ERROR_ABORTED && k->abort_asked);
}

/* ---- calls about a context ----------------------------------------------- */

static void check_events(int c, uint64_t mask)
{
    libxl_event *event;
    int rc;

    while ((rc = libxl_event_check(enter(c), &event, mask, NULL, NULL)) == 0)
        take(c, event);
    FZ_EQ(rc, ERROR_NOT_READY);
}

/* Everything that is due has been done: nothing may be left unnoticed. */
static void settle(int c)
{
    int unreported = 0, exact = 1;

    check_events(c, 0);
    for (int i = 0; i < m.nkids; i++) {
        const struct kid *k = &m.kid[i];

        if (k->ctx != c || k->told)
            continue;
        if (is_ended(k) && (!is_plain(k) || (is_mainloop(k) && !k->passed)))
            exact = 0;
        unreported += k->process->alive || (k->kind == HOLD && !k->detached);
    }
    if (exact)
        FZ_EQ(libxl_childproc_count(enter(c)), unreported);
}

static void set_mode(int c, struct fz_input *in)
{
    libxl_childproc_hooks hooks;
    libxl_sigchld_owner before = m.host[c].owner;
    int rc;

    memset(&hooks, 0, sizeof(hooks));
    hooks.chldowner = (libxl_sigchld_owner)fz_below(in, 5);
    sim.may_wait_any = reaps_all(before) || reaps_all(hooks.chldowner);
    sim.may_reap = before != libxl_sigchld_owner_mainloop ||
                   hooks.chldowner != libxl_sigchld_owner_mainloop;
    rc = libxl_childproc_setmode_checked(m.host[c].ctx, &hooks, NULL);
    if (rc == 0) {
        m.host[c].owner = hooks.chldowner;
        for (int i = 0; i < m.nkids; i++)
            if (m.kid[i].ctx == c && !m.kid[i].told)
                FZ_TRUE(is_ended(&m.kid[i]));
    } else if (rc == ERROR_BUSY) {
        int some = 0;

        for (int i = 0; i < m.nkids; i++)
            some |= m.kid[i].ctx == c && !m.kid[i].told;
        FZ_TRUE(some);
    } else {
        FZ_EQ(rc, ERROR_SIGCHLD_CONFLICT);
    }
}

static void poll_round(int c)
{
    struct pollfd fds[4];
    struct timeval now = {0, 0};
    int n = 4, timeout = 0;

    FZ_EQ(libxl_osevent_beforepoll(enter(c), &n, fds, &timeout, now), 0);
    FZ_TRUE(n <= 1 && timeout == 0);
    FZ_TRUE(poll(fds, (nfds_t)n, 0) >= 0);
    libxl_osevent_afterpoll(enter(c), n, fds, now);
}

static void loop_call(int c, struct fz_input *in)
{
    struct host *h = &m.host[c];
    void *late = h->nold ? h->old[fz_below(in, (unsigned)h->nold)] : NULL;

    switch (fz_below(in, 5)) {
    case 0:
        if (h->fd >= 0)
            libxl_osevent_occurred_fd(enter(c), h->fd_for_libxl, h->fd, POLLIN,
                                      POLLIN);
        break;
    case 1:
        if (h->timer_for_libxl) {
            late = h->timer_for_libxl;
            h->timer_for_libxl = NULL; /* the handle goes first */
            libxl_osevent_occurred_timeout(enter(c), late);
        }
        break;
    case 2:
        if (late)
            libxl_osevent_occurred_fd(enter(c), late, 99, POLLIN, POLLIN);
        break;
    case 3:
        if (late && late != h->timer_for_libxl)
            libxl_osevent_occurred_timeout(enter(c), late);
        break;
    case 4:
        h->refuse = 7;
        break;
    }
}

static void hook_up(int c, int on)
{
    static const libxl_osevent_hooks hooks = {
        fd_register,    fd_modify,          fd_deregister, timeout_register,
        timeout_modify, timeout_deregister, sizeof(hooks)};
    struct host *h = &m.host[c];
    int refusing = h->refuse;
    int rc = libxl_osevent_register_hooks(enter(c), on ? &hooks : NULL, h);

    if (rc == 0)
        h->hooked = on;
    else
        FZ_TRUE(rc == ERROR_BUSY || (rc == refusing && rc > 0));
}

static void enable(int c, struct fz_input *in)
{
    struct kid *k = m.nkids ? &m.kid[fz_below(in, (unsigned)m.nkids)] : NULL;
    int g, rc;

    for (g = 0; g < GENS && m.gen[g].ctx >= 0; g++)
        ;
    if (g == GENS)
        return;
    m.gen[g].pid = 0;
    if (k && k->ctx == c && fz_one_in(in, 2))
        m.gen[g].pid = k->process->pid;
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

static void disable(int g)
{
    if (!m.gen[g].evgen)
        return;
    for (int i = 0; i < m.nkids; i++) /* what has occurred may still come */
        m.kid[i].gen_due[g] = 0;
    libxl_evdisable_childproc_exit(enter(m.gen[g].ctx), m.gen[g].evgen);
    m.gen[g].evgen = NULL;
}

static void route(int c, int to_hook)
{
    const libxl_event_hooks hooks = {to_hook ? LIBXL_EVENTMASK_ALL : 0,
                                     to_hook ? event_occurs : NULL, disaster,
                                     sizeof(hooks)};

    FZ_EQ(libxl_event_register_callbacks(enter(c), &hooks, &m.host[c]), 0);
}

static void new_ctx(int c)
{
    struct host *h = &m.host[c];

    memset(h, 0, sizeof(*h));
    h->fd = -1;
    FZ_EQ(libxl_ctx_alloc(&h->ctx, LIBXL_VERSION, 0, &sim_silent), 0);
    route(c, 0);
}

/* Its children go with it, its evenables, its events. */
static void free_ctx(int c)
{
    struct host *h = &m.host[c];

    FZ_EQ(libxl_ctx_free(enter(c)), 0);
    FZ_TRUE(h->fd == -1 && h->timer_for_libxl == NULL);
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].ctx == c) {
            m.kid[i].told = 1;
            m.kid[i].ctx = -1;
            libxl_childproc_exec_result_dispose(&m.kid[i].result);
        }
    for (int g = 0; g < GENS; g++)
        if (m.gen[g].ctx == c && m.gen[g].evgen)
            m.gen[g].evgen = NULL;
}

/* ---- one step ------------------------------------------------------------ */

static void about_child(struct fz_input *in, unsigned what)
{
    struct kid *k = &m.kid[fz_below(in, (unsigned)m.nkids)];

    if (k->ctx < 0)
        return;
    switch (what) {
    case 0:
    case 1:
        if (k->process->alive)
            sim_exit(k->process, (int)fz_below(in, 64) << 8);
        break;
    case 2:
        kill_it(k, 0);
        break;
    case 3:
        kill_it(k, 1);
        break;
    case 4:
        wait_for(k);
        break;
    case 5:
        pass_on(k);
        break;
    case 6:
        detach(k);
        break;
    case 7:
        abort_it(k);
        break;
    }
}

static void about_ctx(struct fz_input *in, unsigned what, int c)
{
    switch (what) {
    case 0:
        check_events(c, LIBXL_EVENTMASK_ALL);
        break;
    case 1:
        settle(c);
        break;
    case 2:
        set_mode(c, in);
        break;
    case 3:
        poll_round(c);
        break;
    case 4:
        loop_call(c, in);
        break;
    case 5:
        hook_up(c, (int)fz_below(in, 2));
        break;
    case 6:
        enable(c, in);
        break;
    case 7:
        disable((int)fz_below(in, GENS));
        break;
    case 8:
        route(c, (int)fz_below(in, 2));
        break;
    case 9:
        enter(c);
        sim.may_reap = 1; /* that is what the call is for */
        for (int i = 0; i < m.nkids; i++)
            if (m.kid[i].ctx == c && is_ended(&m.kid[i]))
                m.kid[i].passed = 1;
        libxl_childproc_sigchld_occurred(m.host[c].ctx);
        break;
    case 10:
        free_ctx(c);
        new_ctx(c);
        break;
    case 11:
        FZ_TRUE(libxl_ctx_fileno(enter(c)) >= 0);
        break;
    }
}

/* ---- a run --------------------------------------------------------------- */

/* Every child ends, and every report must come. */
static void wind_up(void)
{
    for (int i = 0; i < m.nkids; i++) {
        struct kid *k = &m.kid[i];

        if (k->process->alive)
            sim_exit(k->process, 0);
        if (k->ctx >= 0 && is_mainloop(k) && !k->told)
            pass_on(k);
    }
    for (int round = 0; round < 4; round++)
        for (int c = 0; c < CTXS; c++)
            check_events(c, LIBXL_EVENTMASK_ALL);
    for (int i = 0; i < m.nkids; i++) {
        struct kid *k = &m.kid[i];

        if (k->ctx < 0 || k->detached || !is_plain(k))
            continue;
        k->told += k->kind == NONE;
        if (k->kind == HOLD && !k->told)
            wait_for(k);
        FZ_EQ(k->told, 1);
        for (int g = 0; g < GENS; g++)
            FZ_TRUE(!k->gen_due[g] || k->gen_told[g] == 1);
    }
}

void fz_sequence(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    unsigned limit = xl_facilities();
    struct sigaction before, after;
    int first_free = dup(0);

    close(first_free);
    FZ_EQ(sigaction(SIGCHLD, NULL, &before), 0);
    sim_begin();
    memset(&m, 0, sizeof(m));
    for (int g = 0; g < GENS; g++)
        m.gen[g].ctx = -1;
    m.pidfds = !fz_one_in(&in, 4) && (limit & LIBXL_FACILITY_PIDFD);
    sim.exit_info =
        m.pidfds && !fz_one_in(&in, 4) && (limit & LIBXL_FACILITY_EXIT_INFO);
    if (!m.pidfds)
        limit &= ~(unsigned)(LIBXL_FACILITY_PIDFD | XL_FACILITY_PIDFD_OPEN |
                             LIBXL_FACILITY_EXIT_INFO);
    if (!sim.exit_info)
        limit &= ~(unsigned)LIBXL_FACILITY_EXIT_INFO;
    xl_facility_limit(limit);
    for (int c = 0; c < CTXS; c++)
        new_ctx(c);
    while (in.left > 0) {
        unsigned op = fz_byte(&in);
        int c = op >> 7;

        op &= 127;
        if (op < 32)
            start(c, (enum kind)(op % KINDS), &in);
        else if (op < 80 && m.nkids)
            about_child(&in, op % 8);
        else
            about_ctx(&in, op % 12, c);
    }
    wind_up();
    for (int c = 0; c < CTXS; c++)
        free_ctx(c);
    sim_end();
    xl_facility_limit(~0u);
    FZ_EQ(sigaction(SIGCHLD, NULL, &after), 0);
    FZ_TRUE(after.sa_handler == before.sa_handler);
    FZ_EQ(dup(0), first_free);
    close(first_free);
}
