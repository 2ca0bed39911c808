/* sequence_child.c - steps: what becomes of one child, and calls about it */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "sequence.h"

/* ---- what becomes of it ------------------------------------------------- */

static void ends(struct kid *k, int status)
{
    if (k->process->alive)
        sim_exit(k->process, status);
}

static void host_reaps(struct kid *k)
{
    if (!is_ended(k) || k->process->reaped != SIM_UNREAPED)
        return;
    sim_host_reaps(k->process); /* but in mainloop mode: a theft */
    k->reaped_at = sim.now;
}

/* The host tells every ctx of an end that it has reaped, perhaps late. */
static void pass(struct kid *k)
{
    int first = is_mainloop(k) && !k->passed, mine = k->ctx;

    if (k->process->reaped != SIM_HOST || k->process->elsewhere)
        return;
    if (sim_by_pid(k->process->pid) != k->process)
        return; /* the host knows better than to speak of another one */
    for (int c = 0; c < CTXS; c++) {
        int expected = first && c == mine &&
                               m.host[c].owner == libxl_sigchld_owner_mainloop
                           ? 0
                           : ERROR_NOT_READY;

        if (expected == 0)
            k->passed = 1;
        FZ_EQ(libxl_childproc_exited(enter(c), k->process->pid,
                                     k->process->status),
              expected);
    }
}

void pass_on(struct kid *k)
{
    host_reaps(k);
    pass(k);
}

/* The host hears that it was stopped, which is no end. */
static void pass_stop(struct kid *k)
{
    int c = k->ctx, rc;

    if (is_ended(k))
        return;
    rc = libxl_childproc_exited(enter(c), k->process->pid, SIGSTOP << 8 | 0x7f);
    FZ_EQ(rc, m.host[c].owner == libxl_sigchld_owner_mainloop
                  ? 0
                  : ERROR_NOT_READY);
}

/* Of an adopted one the library asks the real kernel, which does not know. */
static int leads(const struct kid *k)
{
    return k->process->leads && !k->adopted;
}

/* ---- calls -------------------------------------------------------------- */

static void kill_it(struct kid *k, struct fz_input *in)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGSTOP, SIGCONT, 0};
    int signo = signals[fz_below(in, 5)], was_alive = k->process->alive;
    libxl_kill_scope scope =
        fz_one_in(in, 3) ? LIBXL_KILL_GROUP : LIBXL_KILL_PROCESS;
    int rc = libxl_childproc_kill(enter(k->ctx), k->id, signo, scope);

    if (scope == LIBXL_KILL_GROUP && !leads(k)) {
        FZ_TRUE(rc == ERROR_INVAL || (!was_alive && rc == ERROR_NOTFOUND));
        return;
    }
    if (was_alive && (rc == 0 || !is_ended(k)))
        FZ_EQ(rc, 0);
    else /* perhaps meanwhile; a group may, unnoticed, outlive its leader */
        FZ_TRUE(rc == ERROR_NOTFOUND || (rc == 0 && scope == LIBXL_KILL_GROUP));
    if (was_alive && signo == SIGKILL && rc == 0) {
        k->kill_asked = 1;
        FZ_TRUE(is_ended(k));
        FZ_TRUE(scope != LIBXL_KILL_GROUP || !k->process->rest);
    }
}

/* A policy is being followed, from the first signal on. */
static void being_ended(struct kid *k, const libxl_kill_policy *policy)
{
    int64_t due = sim.now + policy->grace_ms * INT64_C(1000000);

    if (!policy->first_signal) {
        k->kill_asked = 1;
        FZ_TRUE(is_ended(k));
        FZ_TRUE(policy->scope != LIBXL_KILL_GROUP || !k->process->rest);
        return;
    }
    if (due < k->kill_due)
        k->kill_due = due;
    if (due < k->kill_late)
        k->kill_late = due;
    k->rest_goes |= policy->scope == LIBXL_KILL_GROUP;
}

void terminate(struct kid *k, const libxl_kill_policy *policy)
{
    int was_alive = k->process->alive;
    int refusing = m.host[k->ctx].refuse, group, rc;

    rc = libxl_childproc_terminate(enter(k->ctx), k->id, policy);
    if (rc > 0) {
        FZ_EQ(rc, refusing);
        return;
    }
    policy = policy ? policy : &k->policy;
    group = policy->scope == LIBXL_KILL_GROUP;
    if (!was_alive)
        FZ_TRUE(rc == ERROR_NOTFOUND || group);
    else if (group && !leads(k))
        FZ_EQ(rc, ERROR_INVAL);
    else
        FZ_TRUE(rc == 0 || (rc == ERROR_NOTFOUND && is_ended(k)));
    if (was_alive && rc == 0)
        being_ended(k, policy);
}

static void terminate_somehow(struct kid *k, struct fz_input *in)
{
    static const int graces[] = {0, 300, 1500, 5000};
    unsigned how = fz_byte(in);
    libxl_kill_policy policy = {how & 1 ? 0 : SIGTERM, graces[how / 2 % 4],
                                how & 8 ? LIBXL_KILL_GROUP
                                        : LIBXL_KILL_PROCESS};

    fz_say("terminate: how %u", how);
    terminate(k, how & 16 ? NULL : &policy);
}

void wait_for(struct kid *k, int timeout_ms)
{
    libxl_childproc_result r;
    int was_told = k->told, was_plain = is_plain(k);
    int rc;

    if (timeout_ms < 0 && !is_noticeable(k))
        timeout_ms = 0; /* it would, rightly, wait for ever */
    rc = libxl_childproc_wait(enter(k->ctx), k->id, timeout_ms, 0, &r);
    if (was_told || k->detached || k->kind == OPERATION) {
        FZ_EQ(rc, ERROR_NOTFOUND); /* an operation's child is its own */
    } else if (k->kind == NONE) {
        /* its end may have been noticed */
        FZ_TRUE(rc == ERROR_INVAL || (rc == ERROR_NOTFOUND && is_ended(k)));
    } else if (k->kind != HOLD) {
        /* its report tells it, too; and once that is made, it alone */
        if (rc == 0)
            check_result(k, &r);
        else
            FZ_TRUE((rc == ERROR_TIMEDOUT && !was_plain && timeout_ms >= 0) ||
                    (rc == ERROR_NOTFOUND && is_ended(k)));
    } else if (rc == 0) {
        told(k, &r);
    } else {
        FZ_EQ(rc, ERROR_TIMEDOUT);
        FZ_TRUE(!was_plain && timeout_ms >= 0);
    }
}

void detach(struct kid *k)
{
    int rc = libxl_childproc_detach(enter(k->ctx), k->id);

    if (k->told || k->detached || k->kind == OPERATION) {
        FZ_EQ(rc, ERROR_NOTFOUND);
    } else if (rc) {
        FZ_TRUE(rc == ERROR_NOTFOUND && is_ended(k) && k->kind != HOLD);
    } else {
        k->detached = 1;
        k->process->let_go = 1;
        k->stops_until = k->process->ntaken;
    }
}

static void abort_it(struct kid *k)
{
    int was_alive = k->process->alive, rc;

    if (k->kind != OPERATION)
        return;
    rc = libxl_ao_abort(enter(k->ctx), &k->how);
    if (rc == 0) {
        if (was_alive && k->process->status != SIM_LATER_STATUS)
            being_ended(k, &k->policy);
        k->abort_asked = 1;
        return;
    }
    FZ_TRUE(rc == ERROR_NOTFOUND ? is_ended(k)
                                 : rc == ERROR_ABORTED && k->abort_asked);
}

static void look_up(struct kid *k)
{
    libxl_childproc_id id = 0;
    int rc = libxl_childproc_lookup(enter(k->ctx), k->process->pid, &id);

    if (rc == 0)
        FZ_TRUE(id == k->id || (is_ended(k) && id != 0));
    else
        FZ_TRUE(rc == ERROR_NOTFOUND && is_ended(k) && id == 0);
}

/* The next process gets its number, where the host will not confuse the two. */
static void reuse_number(const struct kid *k)
{
    const struct sim_process *p = k->process;

    if (p->reaped != SIM_UNREAPED && sim_by_pid(p->pid) == p &&
        (!is_mainloop(k) || p->reaped == SIM_LIBRARY || k->passed))
        sim.next_pid = p->pid;
}

void about_child(struct fz_input *in, unsigned what)
{
    static const int timeouts[] = {0, 50, LIBXL_WAIT_FOREVER};
    struct kid *k = some_kid(in);

    if (!k)
        return;
    fz_say("%d: child %d: step %u", k->ctx, (int)(k - m.kid), what);
    switch (what) {
    case 0:
    case 1:
    case 2:
        ends(k, (int)fz_below(in, 64) << 8);
        break;
    case 3:
        ends(k, SIGSEGV | 0x80);
        break;
    case 4:
        sim_signal(k->process, fz_below(in, 2) ? SIGCONT : SIGSTOP);
        break;
    case 5:
        kill_it(k, in);
        break;
    case 6:
    case 7:
        terminate_somehow(k, in);
        break;
    case 8:
        wait_for(k, timeouts[fz_below(in, 3)]);
        break;
    case 9:
        pass_on(k);
        break;
    case 10:
        host_reaps(k);
        break;
    case 11:
        pass(k);
        break;
    case 12:
        pass_stop(k);
        break;
    case 13:
        detach(k);
        break;
    case 14:
        abort_it(k);
        break;
    case 15:
        look_up(k);
        break;
    case 17:
        reuse_number(k);
        break;
    case 16:
        sim.later = k->process;
        sim.later_after = (int)fz_below(in, 12);
        break;
    }
}

/* ---- processes that no ctx started -------------------------------------- */

static int has_open_kid(pid_t pid)
{
    for (int i = 0; i < m.nkids; i++)
        if (is_open(&m.kid[i]) && m.kid[i].process->pid == pid)
            return 1;
    return 0;
}

void about_stranger(struct fz_input *in)
{
    unsigned what = fz_below(in, 5), which = fz_byte(in);
    struct sim_process *p =
        sim.n ? &sim.process[which % (unsigned)sim.n] : NULL;

    fz_say("stranger: step %u, process %u", what, which);
    if (what < 2) {
        if (sim.next_pid && has_open_kid(sim.next_pid))
            sim.next_pid = 0; /* a theft that nobody could see through */
        (void)sim_started_elsehow((int)what);
        return;
    }
    if (!p || (p->ours && !p->elsewhere) || p->orphan)
        return;
    if (p->alive)
        sim_exit(p, (int)which << 8);
    else if (what > 2)
        sim_host_reaps(p);
}
