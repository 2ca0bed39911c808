/* sequence_start.c - steps: starting children, one by one and in batches, and
 * adopting them
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "sequence.h"

#define BATCH 5

/* Whoever has no process: a start that failed. */
static struct sim_process nobody = {.reaped = SIM_LIBRARY};

/* ---- what is asked for -------------------------------------------------- */

static struct kid *new_kid(int c, enum kind kind)
{
    struct kid *k = &m.kid[m.nkids++];

    memset(k, 0, sizeof(*k));
    k->process = &nobody;
    k->kind = kind;
    k->ctx = c;
    k->owner = m.host[c].owner;
    snprintf(k->name, sizeof(k->name), "/nonexistent/%d", (int)(k - m.kid));
    k->argv[0] = k->name;
    k->kill_due = k->kill_late = k->timeout = NEVER;
    for (int g = 0; g < GENS; g++)
        k->gen_due[g] = m.gen[g].evgen && m.gen[g].ctx == c && !m.gen[g].pid;
    return k;
}

static void drop_kid(struct kid *k)
{
    k->ctx = -1;
    k->process = &nobody;
    if (k == &m.kid[m.nkids - 1])
        m.nkids--;
}

static void choose_report(struct kid *k, libxl_childproc_report *report)
{
    memset(report, 0, sizeof(*report));
    report->kind = (libxl_childproc_report_kind)k->kind;
    report->u.for_event = FOR_KID + (libxl_ev_user)(k - m.kid);
    if (k->kind == CALLBACK) {
        report->callback = kid_ended;
        report->u.for_callback = k;
    }
}

static void choose_spec(struct kid *k, libxl_childproc_spec *spec,
                        struct fz_input *in)
{
    unsigned shape = fz_byte(in), end = fz_byte(in), fate = fz_byte(in);

    libxl_childproc_spec_init(spec);
    spec->argv = k->argv;
    spec->exited_grace_ms = GRACE_MS;
    if (shape & 1)
        spec->flags |= LIBXL_SPAWN_NEW_GROUP;
    if (shape & 2)
        spec->flags |= LIBXL_SPAWN_REPORT_STOPS;
    if (shape & 4) {
        spec->flags |= LIBXL_SPAWN_SET_PDEATHSIG;
        spec->pdeathsig = SIGHUP;
    }
    k->stubborn = (shape & 8) != 0;
    k->rest = (shape & 1) && (shape & 16);
    k->instant = (shape & 96) == 96;
    k->wants_stops = (shape & 2) != 0;
    if (end & 1)
        spec->kill = (libxl_kill_policy){SIGTERM, 500, LIBXL_KILL_PROCESS};
    if ((end & 2) && (shape & 1))
        spec->kill.scope = LIBXL_KILL_GROUP;
    k->policy = spec->kill;
    /* one that lives on detached is waited for by a thread, which without
     * pidfds looks at it now and then: too slow here */
    fz_say("%d: child %d: kind %d, shape %u, end %u, fate %u", k->ctx,
           (int)(k - m.kid), (int)k->kind, shape, end, fate);
    spec->on_free = end & 4               ? LIBXL_FREE_KILL
                    : end & 8 && m.pidfds ? LIBXL_FREE_DETACH
                                          : LIBXL_FREE_LEAVE;
    k->on_free = spec->on_free;
    k->exec_errno = fate % 16 == 1 ? ENOENT : 0;
    k->clone_errno = fate % 16 == 2 ? EAGAIN : 0;
}

/* In the starting thread, whichever it is. */
void look_at_start(const struct xl_child_setup *image, struct sim_process *next)
{
    struct kid *k = NULL;

    for (int i = 0; i < m.nkids; i++)
        if (!strcmp(image->argv[0], m.kid[i].name))
            k = &m.kid[i];
    FZ_TRUE(k != NULL);
    sim.clone_errno = k->clone_errno;
    sim.exec_errno = k->exec_errno;
    if (!next || k->clone_errno)
        return;
    k->process = next;
    next->let_go = k->kind == NONE;
    next->stubborn = k->stubborn;
    next->rest = k->rest;
    next->instant = k->instant;
}

/* ---- what comes of it --------------------------------------------------- */

/* refusing: what the host's loop would answer to a registration. */
static void check_start(struct kid *k, int rc, int refusing,
                        const libxl_childproc_failure *f)
{
    const struct sim_process *p = k->process;
    int c = k->ctx;

    if (k->wants_stops && is_mainloop(k)) {
        FZ_TRUE(rc == ERROR_INVAL && !strcmp(f->argument, "flags"));
    } else if (in_conflict(c, m.host[c].owner)) {
        FZ_EQ(rc, ERROR_SIGCHLD_CONFLICT);
    } else if (rc > 0) {
        m.host[c].claimed = 1;
        FZ_EQ(rc, refusing);
    } else {
        m.host[c].claimed = 1;
        if (p == &nobody) {
            FZ_TRUE(k->clone_errno || sim.n == SIM_PROCESSES);
            FZ_TRUE(rc == ERROR_SYSTEM && f->stage == LIBXL_STAGE_FORK &&
                    f->errnoval == EAGAIN);
        } else if (k->exec_errno) {
            FZ_TRUE(rc == ERROR_SPAWN && f->stage == LIBXL_STAGE_EXEC &&
                    f->errnoval == k->exec_errno);
            FZ_EQ(p->reaped, SIM_LIBRARY); /* no zombie of a failed start */
        } else {
            FZ_EQ(rc, 0);
            FZ_TRUE(!p->failed_start);
            return;
        }
    }
    /* C12: whatever else fails does so before there is a process */
    FZ_TRUE(p == &nobody || p->failed_start);
    drop_kid(k);
}

/* ---- steps -------------------------------------------------------------- */

static int exec(struct kid *k, const libxl_childproc_spec *spec,
                libxl_childproc_failure *failure, struct fz_input *in)
{
    libxl_childproc_exec_opts opts;
    unsigned how = fz_below(in, 4);
    int after = spec->kill.first_signal ? spec->kill.grace_ms : 0;
    int c = k->ctx;
    /* it would wait for ever for one that goes on */
    int synchronous = k->instant && how == 3 && !is_mainloop(k);
    int rc;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_NULL;
    opts.stderr_stream.kind = LIBXL_STREAM_NULL;
    if (how & 2) {
        opts.timeout_ms = 700;
        k->timeout = sim.now + 700 * INT64_C(1000000);
        k->kill_due = k->timeout + after * INT64_C(1000000);
    }
    if (how & 1) {
        k->how.callback = operation_ended;
        k->how.u.for_callback = k;
    } else {
        k->how.u.for_event = FOR_KID + (libxl_ev_user)(k - m.kid);
    }
    rc = libxl_childproc_exec(enter(c), spec, &opts, &k->result, failure,
                              synchronous ? NULL : &k->how);
    if (rc)
        return rc;
    if (synchronous) {
        k->id = k->result.child.id;
        k->completed = 1;
        told(k, &k->result.child);
    } else if (libxl_childproc_lookup(enter(c), k->process->pid, &k->id) != 0) {
        FZ_TRUE(is_ended(k)); /* nothing else tells its id */
        k->id = k->result.child.id;
    }
    return 0;
}

void start(int c, enum kind kind, struct fz_input *in)
{
    libxl_childproc_failure failure;
    libxl_childproc_report report;
    libxl_childproc_spec spec;
    pid_t pid = -1;
    struct kid *k;
    int rc, refusing = m.host[c].refuse;

    if (m.nkids == KIDS)
        return;
    /* without pidfds its child is made by a fork, which is not simulated: the
     * C tests have that, in their worlds */
    if (kind == OPERATION && !m.pidfds)
        kind = HOLD;
    /* it is counted first: its report may come before the call returns */
    k = new_kid(c, kind);
    choose_spec(k, &spec, in);
    if (kind == OPERATION) {
        rc = exec(k, &spec, &failure, in);
        pid = k->process->pid;
    } else {
        choose_report(k, &report);
        rc = libxl_childproc_spawn(enter(c), &spec, &report, &k->id, &pid,
                                   &failure);
    }
    if (rc == 0)
        FZ_EQ(pid, k->process->pid);
    check_start(k, rc, refusing, &failure);
}

void start_many(int c, struct fz_input *in)
{
    libxl_childproc_batch_entry entry[BATCH];
    libxl_childproc_report report[BATCH];
    libxl_childproc_spec spec[BATCH];
    int n = 1 + (int)fz_below(in, BATCH), nstarted = 0, answer;
    int refusing = m.host[c].refuse, nrefused = 0;
    struct kid *k = &m.kid[m.nkids];

    if (m.nkids + n > KIDS)
        return;
    memset(entry, 0, sizeof(entry));
    for (int i = 0; i < n; i++) {
        new_kid(c, (enum kind)fz_below(in, OPERATION));
        choose_spec(&k[i], &spec[i], in);
        choose_report(&k[i], &report[i]);
        entry[i].spec = &spec[i];
        entry[i].report = &report[i];
    }
    answer = libxl_childproc_spawn_many(enter(c), entry, (size_t)n);
    for (int i = n - 1; i >= 0; i--) { /* the last ones may be dropped */
        nstarted += entry[i].rc == 0;
        nrefused += entry[i].rc > 0;
        if (entry[i].rc == 0) {
            FZ_EQ(entry[i].pid, k[i].process->pid);
            FZ_TRUE(!k[i].id || k[i].id == entry[i].id);
            k[i].id = entry[i].id;
        } else {
            FZ_TRUE(entry[i].id == 0 && entry[i].pid == -1);
        }
        check_start(&k[i], entry[i].rc, refusing, &entry[i].failure);
    }
    FZ_EQ(answer, nstarted);
    FZ_TRUE(nrefused <= 1);
}

void set_starters(int c, struct fz_input *in)
{
    m.host[c].starters = (int)fz_below(in, 3);
    FZ_EQ(libxl_childproc_set_starters(enter(c), m.host[c].starters), 0);
}

/* ---- adopting ----------------------------------------------------------- */

static int expected_of_adopting(int c, const struct sim_process *p, int named,
                                int wrong)
{
    if (!m.pidfds)
        return ERROR_NI;
    if (p->reaped != SIM_UNREAPED || (!named && wrong))
        return ERROR_NOTFOUND;
    if (in_conflict(c, m.host[c].owner))
        return ERROR_SIGCHLD_CONFLICT;
    if (kid_of_process(p) || p->orphan)
        return ERROR_INVAL;
    return 0;
}

void adopt(int c, struct fz_input *in)
{
    unsigned how = fz_byte(in), which = fz_byte(in);
    libxl_childproc_report report;
    struct sim_process *p;
    struct kid *k;
    int rc, expected, named = (how & 1) && m.pidfds, wrong = (how & 6) == 6;
    int refusing = m.host[c].refuse, ours;

    if (m.nkids == KIDS || sim.n == 0)
        return;
    p = &sim.process[which % (unsigned)sim.n];
    if (named && p->reaped != SIM_UNREAPED && sim.exit_info)
        return; /* told at once, without a pid: adopt_refused.c has these */
    expected = expected_of_adopting(c, p, named, wrong);
    k = new_kid(c, (enum kind)(how / 8 % OPERATION));
    k->adopted = 1;
    k->on_free = LIBXL_FREE_LEAVE;
    choose_report(k, &report);
    k->process = p;
    k->kill_asked = p->kills > 0; /* by whoever had it before */
    ours = p->ours;
    p->ours = 1;
    rc = libxl_childproc_adopt(enter(c), named ? 0 : p->pid,
                               sim_start_ticks(p) + (uint64_t)(wrong && !named),
                               named ? p->kept : -1, &report, &k->id);
    fz_say("%d: child %d: kind %d, adopt process %d: %d", c, (int)(k - m.kid),
           (int)k->kind, (int)(p - sim.process), rc);
    if (rc == 0 || rc == ERROR_INVAL || rc > 0)
        m.host[c].claimed |= p->reaped == SIM_UNREAPED;
    if (rc == 0) {
        /* of somebody else's that nobody knew how to tell of again */
        FZ_TRUE(expected == 0 ||
                (expected == ERROR_INVAL && p->elsewhere && is_ended(k)));
        return;
    }
    p->ours = ours;
    if (rc > 0)
        FZ_TRUE(rc == refusing && (expected == 0 || expected == ERROR_INVAL));
    else
        FZ_EQ(rc, expected);
    drop_kid(k);
}
