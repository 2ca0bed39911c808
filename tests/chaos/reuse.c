/* reuse.c - children whose numbers come back at once as somebody else's
 *
 *     reuse [--mode NAME] [--children N] [--seed N]
 *
 * Contract lines C6, C13, C20, on the real kernel: each mode runs in a pid
 * namespace of its own with a hundred numbers. Children of a context are
 * stolen by a wait(-1) of the host's; their numbers go to processes of the
 * host's that end otherwise, or live and would notice a signal; another
 * context, or the host, reaps these; ids of children that have ended are
 * killed and terminated. Every status that anybody is told is compared with
 * that of whoever bears the number then. N children are started in each mode.
 *
 * Skipped, with a reason, where a namespace is refused, or where its pid_max
 * would be the whole machine's (before Linux 6.14).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "numberspace.h"

#define PID_MAX 400
#define NUMBERS 512
#define BATCH 24         /* children of ours at a time */
#define MAX_STRANGERS 6  /* that live */
#define HOST_END SIGUSR1 /* by which the host ends these */
#define GRACE_MS 30

enum kind { NOBODY, OURS, HOSTS, STRANGER };

/* Who bears a number now. */
static struct bearer {
    enum kind kind;
    int status; /* what it ends with */
    int child;  /* OURS: its index in the batch */
    int reaped; /* somebody has its status */
} bearer[NUMBERS];

static struct child {
    libxl_childproc_id id;
    pid_t pid;
    int status;
    int reports;
    int held, detached;
    int stolen; /* a wait of the host's took it, and did not say so */
} child[BATCH];

static struct {
    int children, reused, stolen, lost, doubt, strangers, stale, told;
} seen;

static libxl_ctx *a, *b;
static int mode, pidfds, exit_info, occurs;
static int thieves; /* in this batch the library is asked last */
static struct xc_chance chance;
static pid_t stranger[MAX_STRANGERS];
static libxl_childproc_id old_id[64]; /* of children that are over */
static unsigned nold;

/* ---- the model ----------------------------------------------------------- */

/* Somebody has reaped pid. */
static struct bearer *reaped(pid_t pid, int status, const char *by)
{
    struct bearer *of = &bearer[pid % NUMBERS];

    if (of->kind == NOBODY)
        xc_fail("%s: %d, who is nobody, status %#x", by, (int)pid, status);
    if (of->reaped)
        xc_fail("%s: %d is told twice, status %#x", by, (int)pid, status);
    if (of->kind == STRANGER && status != HOST_END)
        xc_fail("%s: the stranger %d was hit: status %#x", by, (int)pid,
                status);
    if (status != of->status)
        xc_fail("%s: %d, a child of %s, ended with %#x, is told %#x", by,
                (int)pid, of->kind == OURS ? "ours" : "the host's", of->status,
                status);
    of->reaped = 1;
    return of;
}

static void born(pid_t pid, enum kind kind, int status, int index)
{
    struct bearer *of = &bearer[pid % NUMBERS];

    if (of->kind == OURS && !child[of->child].detached &&
        child[of->child].reports == 0)
        seen.reused++;
    if (of->kind >= HOSTS && !of->reaped)
        xc_fail("%d, a child of the host's, was reaped and told to nobody",
                (int)pid);
    of->kind = kind;
    of->status = status;
    of->child = index;
    of->reaped = 0;
}

static void heard(int i, const libxl_childproc_result *r)
{
    struct child *c = &child[i];
    int doubt;

    if (c->reports++ || c->detached)
        xc_fail("child %d (%d) is reported twice, or was detached", i,
                (int)c->pid);
    if (bearer[c->pid % NUMBERS].kind == OURS &&
        bearer[c->pid % NUMBERS].child == i)
        bearer[c->pid % NUMBERS].reaped = 1;
    if (r->pid != c->pid || r->id != c->id)
        xc_fail("child %d: pid %d, id %llx instead of %d, %llx", i, (int)r->pid,
                (unsigned long long)r->id, (int)c->pid,
                (unsigned long long)c->id);
    if (r->lost != LIBXL_LOST_NONE) {
        libxl_childproc_lost may = mode == libxl_sigchld_owner_mainloop
                                       ? LIBXL_LOST_NOT_PASSED
                                       : LIBXL_LOST_STOLEN;

        seen.lost++;
        /* a reason for doubt is there where only the number tells */
        doubt = !pidfds && r->lost > LIBXL_LOST_NOT_OURS;
        seen.doubt += doubt;
        if (!doubt && (exit_info || !c->stolen || r->lost != may))
            xc_fail("child %d (%d) is lost: %s%s", i, (int)c->pid,
                    libxl_childproc_lost_text(r->lost),
                    c->stolen ? "" : ", but nobody took its status");
        return;
    }
    if (r->status != c->status)
        xc_fail("child %d (%d) ended with %#x, is reported with %#x, source"
                " %d",
                i, (int)c->pid, c->status, r->status, r->source);
}

/* ---- what happens -------------------------------------------------------- */

/* childproc_exited_callback of either */
static int exited(pid_t pid, int status, void *user)
{
    struct bearer *of = reaped(pid, status, user);

    if (of->kind == OURS)
        xc_fail("%s: %d is ours", (const char *)user, (int)pid);
    seen.told++;
    return 0;
}

static void pump(libxl_ctx *ctx)
{
    libxl_event *event;

    if (ctx == NULL)
        return;
    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) ==
           0) {
        heard((int)event->for_user, &event->u.childproc_exit);
        libxl_event_free(ctx, event);
    }
}

/* The host's wait(-1). In mainloop mode it may pass on what it got; a status
 * that it does not pass on it has thrown away. */
static int host_waits(int passes)
{
    struct bearer *of;
    int status, rc;
    pid_t pid = waitpid(-1, &status, WNOHANG);

    if (pid <= 0)
        return 0;
    of = reaped(pid, status, "waitpid(-1)");
    if (mode == libxl_sigchld_owner_mainloop && passes) {
        rc = libxl_childproc_exited(a, pid, status);
        if (of->kind == OURS && rc != 0)
            xc_fail("exited(%d, %#x), which is ours: %s", (int)pid, status,
                    libxl_strerror(rc));
        if (of->kind != OURS && rc == 0)
            xc_fail("exited(%d, %#x), which is the host's: ours", (int)pid,
                    status);
    } else if (of->kind == OURS) {
        child[of->child].stolen = 1;
        seen.stolen++;
    }
    return 1;
}

/* All numbers are taken, by children that nobody has waited for yet. */
static int made_room(int errnoval)
{
    return errnoval == EAGAIN && host_waits(1);
}

static void start_ours(int i)
{
    static const char *const codes[] = {"1",  "2",  "3",  "5",
                                        "11", "42", "99", "255"};
    const char *argv[] = {XT_HELPERS "/child", "exit", NULL, NULL};
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_failure failure;
    libxl_childproc_spec spec;
    struct child *c = &child[i];
    int rc;

    memset(c, 0, sizeof(*c));
    argv[2] = codes[xc_below(&chance, 8)];
    if (xc_percent(&chance, 15)) {
        argv[1] = "signal";
        argv[2] = "9";
    }
    c->status = argv[1][0] == 's' ? 9 : atoi(argv[2]) << 8;
    c->held = xc_percent(&chance, 25);
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    spec.exited_grace_ms = GRACE_MS;
    report.u.for_event = (libxl_ev_user)i;
    do
        rc = libxl_childproc_spawn(a, &spec, c->held ? NULL : &report, &c->id,
                                   &c->pid, &failure);
    while (rc == ERROR_SYSTEM && made_room(failure.errnoval));
    if (rc)
        xc_fail("spawn: %s, stage %s, %s", libxl_strerror(rc),
                libxl_childproc_stage_name(failure.stage),
                strerror(failure.errnoval));
    born(c->pid, OURS, c->status, i);
    seen.children++;
}

static void fork_one(enum kind kind, int code)
{
    pid_t pid;

    do
        pid = fork();
    while (pid < 0 && made_room(errno));
    if (pid < 0)
        xc_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        while (kind == STRANGER)
            pause();
        _exit(code);
    }
    born(pid, kind, kind == STRANGER ? HOST_END : code << 8, 0);
    if (kind == STRANGER) {
        int i = 0;

        while (stranger[i])
            i++;
        stranger[i] = pid;
        seen.strangers++;
    }
}

static void end_stranger(void)
{
    unsigned i = xc_below(&chance, MAX_STRANGERS);

    if (stranger[i] <= 1)
        return;
    if (bearer[stranger[i] % NUMBERS].reaped)
        xc_fail("the stranger %d is gone", (int)stranger[i]);
    if (kill(stranger[i], HOST_END))
        xc_fail("kill %d: %s", (int)stranger[i], strerror(errno));
    stranger[i] = 0;
}

/* Ids whose children are over, or have ended and nobody knows yet. A child
 * that has not ended might be hit, rightly: none of those is asked for. */
static void kill_stale(int n)
{
    libxl_kill_policy policy = {SIGTERM, 5, LIBXL_KILL_PROCESS};
    libxl_childproc_id id = 0;

    if (n > 0 && xc_percent(&chance, 50)) {
        struct child *c = &child[xc_below(&chance, (unsigned)n)];

        if (c->stolen || c->reports || bearer[c->pid % NUMBERS].kind != OURS)
            id = c->id;
    } else if (nold > 0) {
        id = old_id[xc_below(&chance, nold)];
    }
    if (id == 0)
        return;
    seen.stale++;
    if (xc_percent(&chance, 70))
        (void)libxl_childproc_kill(a, id, SIGKILL, LIBXL_KILL_PROCESS);
    else
        (void)libxl_childproc_terminate(
            a, id, xc_percent(&chance, 50) ? &policy : NULL);
}

static int living_strangers(void)
{
    int n = 0;

    for (int i = 0; i < MAX_STRANGERS; i++)
        n += stranger[i] > 1;
    return n;
}

static void let_go_of_one(int n)
{
    struct child *c = &child[xc_below(&chance, (unsigned)n)];

    if (libxl_childproc_detach(a, c->id) == 0)
        c->detached = 1;
}

static void ask_held(int i)
{
    libxl_childproc_result r;
    struct child *c = &child[i];

    if (c->held && !c->reports && !c->detached &&
        libxl_childproc_wait(a, c->id, 0, 0, &r) == 0)
        heard(i, &r);
}

/* The host knows no better than its promise where no pidfd tells. */
static int may_throw_away(void)
{
    return mode != libxl_sigchld_owner_mainloop || (exit_info && pidfds);
}

static int all_over(int n)
{
    for (int i = 0; i < n; i++)
        if (!child[i].reports && !child[i].detached)
            return 0;
    return 1;
}

static void something(int n)
{
    /* the last ones are left out where the library is asked last */
    unsigned what = xc_below(&chance, thieves ? 97 : 110);

    if (what < 45)
        fork_one(HOSTS, 128 + (int)xc_below(&chance, 100));
    else if (what < 51 && living_strangers() < MAX_STRANGERS)
        fork_one(STRANGER, 0);
    else if (what < 55)
        end_stranger();
    else if (what < 69)
        kill_stale(n);
    else if (what < 70)
        let_go_of_one(n);
    else if (what < 96)
        (void)host_waits(!may_throw_away() || xc_percent(&chance, 50));
    else if (what < 101)
        pump(b);
    else if (what < 103)
        pump(a);
    else if (what < 106 && n > 0)
        ask_held((int)xc_below(&chance, (unsigned)n));
    else if (what < 108 && occurs)
        libxl_childproc_sigchld_occurred(a);
}

static int zombies_there(void)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid;
}

/* How many numbers are taken: they must not run out. */
static int taken(void)
{
    int n = 0;

    for (int i = 0; i < NUMBERS; i++)
        n += bearer[i].kind != NOBODY && !bearer[i].reaped &&
             !(bearer[i].kind == OURS && child[bearer[i].child].detached);
    return n;
}

static void end_batch(int n)
{
    int64_t until = xc_now_ms() + 10000LL * xc_time_scale();

    if (xc_percent(&chance, 50))
        pump(b); /* it may meet the new bearers first */
    while (!all_over(n)) {
        if (xc_now_ms() > until) {
            for (int i = 0; i < n; i++)
                if (!child[i].reports && !child[i].detached)
                    xc_fail("child %d (%d%s) is never reported", i,
                            (int)child[i].pid,
                            child[i].stolen ? ", stolen" : "");
        }
        pump(a);
        pump(b);
        for (int i = 0; i < n; i++)
            ask_held(i);
        if (mode == libxl_sigchld_owner_mainloop && !occurs)
            while (host_waits(1))
                ;
        if (mode == libxl_sigchld_owner_mainloop && occurs)
            libxl_childproc_sigchld_occurred(a);
        if (!all_over(n) && !zombies_there())
            xc_pause_ms(1);
    }
    for (int i = 0; i < n; i++)
        old_id[nold < 64 ? nold++ : xc_below(&chance, 64)] = child[i].id;
}

static void batch(int n)
{
    int turns = 60 + (int)xc_below(&chance, 120);

    thieves = xc_percent(&chance, 50);
    for (int i = 0; i < n; i++) {
        start_ours(i);
        if (xc_percent(&chance, 30))
            something(i + 1);
    }
    while (turns-- > 0) {
        something(n);
        while (taken() > 70)
            if (!host_waits(1)) {
                pump(a);
                pump(b);
                end_stranger();
            }
    }
    end_batch(n);
}

/* ---- beginning and end --------------------------------------------------- */

/* Warnings of what the host throws away are as they should be. */
static void not_said(void *user, libxl_log_level level, int errnoval,
                     const char *message)
{
    (void)errnoval;
    if (level >= LIBXL_LOG_CRITICAL)
        xc_fail("%s: %s", user ? "" : "critical", message);
}

static libxl_ctx *make_ctx(int owner, const char *name)
{
    libxl_childproc_hooks hooks = {.chldowner = (libxl_sigchld_owner)owner};
    libxl_logger quiet = {sizeof(quiet), LIBXL_LOG_CRITICAL, not_said, NULL};
    libxl_ctx *ctx;
    int rc;

    if (owner == libxl_sigchld_owner_libxl ||
        owner == libxl_sigchld_owner_libxl_always)
        hooks.childproc_exited_callback = exited;
    rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &quiet);
    if (rc == 0)
        rc = libxl_childproc_setmode_checked(ctx, &hooks, (void *)name);
    if (rc)
        xc_fail("%s: %s", name, libxl_strerror(rc));
    return ctx;
}

/* What the host has left, and what the library owes it. */
static void finish(void)
{
    int64_t until = xc_now_ms() + 10000LL * xc_time_scale();

    for (int i = 0; i < MAX_STRANGERS; i++) {
        if (stranger[i] > 1 && kill(stranger[i], HOST_END))
            xc_fail("the stranger %d is gone", (int)stranger[i]);
        stranger[i] = 0;
    }
    for (;;) {
        siginfo_t info;

        while (host_waits(1))
            ;
        pump(a);
        pump(b);
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
            errno == ECHILD)
            break;
        if (xc_now_ms() > until)
            xc_fail("a child is left");
        xc_pause_ms(1);
    }
    for (int i = 0; i < NUMBERS; i++)
        if (bearer[i].kind >= HOSTS && !bearer[i].reaped)
            xc_fail("a child of the host's was told to nobody");
    if (libxl_ctx_free(a) || libxl_ctx_free(b))
        xc_fail("ctx_free");
}

static int play(int children)
{
    pidfds = xc_has_pidfds();
    exit_info = xc_has_exit_info();
    a = make_ctx(mode, "a");
    b = make_ctx(mode == libxl_sigchld_owner_mainloop
                     ? libxl_sigchld_owner_none
                     : libxl_sigchld_owner_libxl_always,
                 "b");
    while (seen.children < children) {
        occurs =
            mode == libxl_sigchld_owner_mainloop && xc_percent(&chance, 50);
        batch(1 + (int)xc_below(&chance, BATCH));
    }
    finish();
    xc_watchdog_stop();
    printf("%s: %d children, %d stolen, %d numbers reused before the report,"
           " %d lost with a reason (%d in doubt); %d told to the host, %d stale"
           " kills beside %d strangers: 0 wrong, 0 hit\n",
           xc_mode_name(mode), seen.children, seen.stolen, seen.reused,
           seen.lost, seen.doubt, seen.told, seen.stale, seen.strangers);
    fflush(stdout);
    if (seen.reused == 0)
        xc_fail("no number was reused in time");
    return 0;
}

/* ---- one mode ------------------------------------------------------------ */

static int run_inside(int children)
{
    xc_watchdog_start(120 + children / 100);
    return play(children);
}

struct job {
    int mode, children;
    uint64_t seed;
};

static int run_mode(void *user)
{
    const struct job *job = user;

    mode = job->mode;
    xc_chance_init(&chance, job->seed, (uint64_t)mode);
    return xc_numberspace(PID_MAX, run_inside, job->children);
}

int main(int argc, char **argv)
{
    struct job job = {-1, 400, (uint64_t)xc_now_ms()};
    struct xc_tally tally = {0, 0, 0};
    int only = -1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--mode"))
            only = xc_mode_by_name(argv[i + 1]);
        else if (!strcmp(argv[i], "--children"))
            job.children = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seed"))
            job.seed = strtoull(argv[i + 1], NULL, 0);
        else
            return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (job.mode = 0; job.mode < XC_MODES; job.mode++) {
        if (only >= 0 && job.mode != only)
            continue;
        snprintf(xc_replay, sizeof(xc_replay),
                 "%s --mode %s --children %d --seed %llu", argv[0],
                 xc_mode_name(job.mode), job.children,
                 (unsigned long long)job.seed);
        xc_count(&tally, xc_run_apart(run_mode, &job, 150 + job.children / 50),
                 xc_mode_name(job.mode));
    }
    return xc_close(&tally);
}
