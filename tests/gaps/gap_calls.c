/* gap_calls.c - every call of another thread, in every gap, in every mode
 *
 * Contract lines C5, C6, C13, C20, C22, C23: one thread stands still between
 * two steps of the library; another one makes a call; the first goes on. Each
 * child's end comes to whom it belongs, once, with its own status; no word of
 * the host's is lost; nobody else is hit; nothing hangs. A case is a gap in a
 * mode, and plays each call in a process of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"
#include "scene.h"

#include "kernel/facility.h"

/* ---- the calls of the second thread -------------------------------------- */

static void spawn_child(struct xs_scene *s, libxl_ctx *ctx,
                        struct xs_child *c, const char *code)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", code));

    spec.exited_grace_ms = s->stolen ? 50 : 1000;
    c->id = xt_spawn(ctx, &spec, NULL, &c->pid);
    c->awaited = ctx == s->b ? 2 : 1;
}

static void call_spawn(void *arg)
{
    struct xs_scene *s = arg;

    spawn_child(s, s->a, &s->z, "44");
}

static void call_spawn_beside(void *arg)
{
    struct xs_scene *s = arg;

    spawn_child(s, s->b, &s->z, "44");
}

static void ok_or(int rc, int other)
{
    if (rc != 0)
        XT_RC(rc, other);
}

static void call_kill(void *arg)
{
    struct xs_scene *s = arg;

    atomic_store(&s->x.killed, 1);
    ok_or(libxl_childproc_kill(s->a, s->x.id, SIGTERM, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
}

static void call_terminate(void *arg)
{
    struct xs_scene *s = arg;

    atomic_store(&s->x.killed, 1);
    ok_or(libxl_childproc_terminate(s->a, s->x.id, NULL), ERROR_NOTFOUND);
}

static void call_detach(void *arg)
{
    struct xs_scene *s = arg;
    int rc = libxl_childproc_detach(s->a, s->x.id);

    ok_or(rc, ERROR_NOTFOUND);
    if (rc == 0)
        s->x.awaited = -1; /* it may have been told before */
}

static void look_at_x(struct xs_scene *s, int timeout_ms)
{
    libxl_childproc_result r;
    int rc = libxl_childproc_wait(s->a, s->x.id, timeout_ms, 0, &r);

    if (rc == 0)
        xs_heard(s, &s->x, &r);
    else if (rc != ERROR_NOTFOUND) /* the other one took it */
        XT_RC(rc, ERROR_TIMEDOUT);
}

static void call_wait_0(void *arg)
{
    look_at_x(arg, 0);
}

static void call_check(void *arg)
{
    struct xs_scene *s = arg;

    xs_events(s, s->a);
}

static void call_check_beside(void *arg)
{
    struct xs_scene *s = arg;

    xs_events(s, s->b);
}

/* The host's SIGCHLD handling, once. */
static void call_exited(void *arg)
{
    struct xs_scene *s = arg;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        xs_host_reaped(s, pid, status);
}

static void call_occurred(void *arg)
{
    struct xs_scene *s = arg;

    libxl_childproc_sigchld_occurred(s->a);
}

static void call_setmode(void *arg)
{
    struct xs_scene *s = arg;
    libxl_childproc_hooks hooks = {.chldowner = s->mode};

    /* with the same mode, so that nothing changes if it may */
    if (s->mode == libxl_sigchld_owner_libxl ||
        s->mode == libxl_sigchld_owner_libxl_always)
        return;
    ok_or(libxl_childproc_setmode_checked(s->a, &hooks, NULL), ERROR_BUSY);
}

static void call_free_beside(void *arg)
{
    struct xs_scene *s = arg;
    libxl_ctx *b = s->b;

    s->b = NULL;
    XT_OK(libxl_ctx_free(b));
}

static void call_fork(void *arg)
{
    struct xs_scene *s = arg;
    int gate[2], status;
    pid_t pid;

    xt_pipe(gate);
    pid = (pid_t)XT_SYS(fork());
    if (pid == 0) {
        char c;

        libxl_postfork_child_noexec(NULL);
        close(gate[1]);
        (void)!read(gate[0], &c, 1);
        _exit(FORKED_CODE);
    }
    atomic_store(&s->forked, pid);
    xt_close(&gate[1]);
    xt_close(&gate[0]);
    while ((pid = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (pid > 0)
        XT_EQ_INT(status, FORKED_CODE << 8);
}

static void call_abort(void *arg)
{
    struct xs_scene *s = arg;

    XT_OK(libxl_ao_abort(s->a, &s->how));
}

static void call_steal(void *arg)
{
    struct xs_scene *s = arg;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->host)
            xs_host_reaped(s, pid, status);
}

static void call_diagnose(void *arg)
{
    struct xs_scene *s = arg;

    (void)xh_diagnose(s->a);
    (void)xh_diagnose(s->b);
}

enum { NEEDS_X = 1, STEALS = 2, ABORTS = 4, PASSES = 8, SAYS = 16 };

static const struct {
    const char *name;
    void (*fn)(void *);
    int flags;
} calls[] = {
    {"nothing", call_diagnose, 0},
    {"spawn", call_spawn, 0},
    {"spawn, other ctx", call_spawn_beside, 0},
    {"kill", call_kill, NEEDS_X},
    {"terminate", call_terminate, NEEDS_X},
    {"detach", call_detach, NEEDS_X},
    {"wait 0", call_wait_0, NEEDS_X},
    {"event_check", call_check, 0},
    {"event_check, other ctx", call_check_beside, 0},
    {"exited", call_exited, PASSES},
    {"sigchld_occurred", call_occurred, SAYS},
    {"setmode", call_setmode, 0},
    {"ctx_free, other ctx", call_free_beside, 0},
    {"fork by the host", call_fork, 0},
    {"abort", call_abort, NEEDS_X | ABORTS},
    {"waitpid(-1) by the host", call_steal, STEALS},
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

/* ---- the gaps ------------------------------------------------------------ */

static void first_spawns(void *arg)
{
    struct xs_scene *s = arg;

    spawn_child(s, s->a, &s->y, "33");
}

/* The probe is in whichever call comes first. */
static void first_is_first(void *arg)
{
    struct xs_scene *s = arg;
    libxl_childproc_hooks hooks = {.chldowner = s->mode};

    if (s->mode == libxl_sigchld_owner_none)
        ok_or(libxl_childproc_setmode_checked(s->a, &hooks, NULL), ERROR_BUSY);
    spawn_child(s, s->a, &s->y, "33");
}

static void first_spawns_held(void *arg)
{
    struct xs_scene *s = arg;

    s->y.id = xh_spawn_held(s->a, XH_EXIT(Y_CODE), NULL, NULL, &s->y.gate,
                            &s->y.pid);
    s->y.awaited = 1;
}

static void first_waits(void *arg)
{
    look_at_x(arg, LIBXL_WAIT_FOREVER);
}

static void first_looks(void *arg)
{
    struct xs_scene *s = arg;

    if (s->mode == libxl_sigchld_owner_mainloop)
        libxl_childproc_sigchld_occurred(s->a);
    else
        look_at_x(s, 0);
}

static void first_checks(void *arg)
{
    call_check(arg);
}

enum when {
    BEFORE,   /* x, e and h end, and then the thread comes to the point */
    STANDING, /* it stands, and they end */
    ASLEEP,   /* it is about to sleep, they end, and it comes to the point */
    NEVER     /* before everything is over */
};

enum gap { CLONED, CLONED_LIVES, SLEEP, WOKEN, TAKEN_ALL, TAKEN_PID, LOOKED,
           PROBED };

static const struct {
    const char *point;
    void (*first)(void *);
    enum when end;
} gaps[] = {
    [CLONED] = {"start: cloned", first_spawns, STANDING},
    [CLONED_LIVES] = {"start: cloned", first_spawns_held, NEVER},
    [SLEEP] = {"pump: about to sleep", first_waits, STANDING},
    [WOKEN] = {"pump: woken", first_waits, ASLEEP},
    [TAKEN_ALL] = {"reap: taken by wait(-1)", first_checks, BEFORE},
    [TAKEN_PID] = {"reap: taken by its pid", first_looks, BEFORE},
    [LOOKED] = {"send: looked", call_kill, STANDING},
    [PROBED] = {"facility: probed", first_is_first, NEVER},
};

/* y is a zombie: it is the only one then. */
static int y_has_ended(void *user)
{
    siginfo_t info = {.si_pid = 0};

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid;
}

/* Whether this call can be made there at all. */
static int makes_sense(enum gap g, size_t call, const struct xs_scene *s)
{
    int mainloop = s->mode == libxl_sigchld_owner_mainloop;
    int flags = calls[call].flags;

    if (g == PROBED && (flags & NEEDS_X))
        return 0;
    if ((flags & PASSES) && !s->passes)
        return 0;
    if ((flags & SAYS) && mainloop && s->passes)
        return 0;
    /* without pidfds nobody would tell */
    if ((flags & STEALS) && mainloop && !xp_pidfds())
        return 0;
    return !((flags & STEALS) && mainloop && g == LOOKED);
}

static void play(enum gap g, size_t call, struct xs_scene *s)
{
    const char *point = gaps[g].point;
    struct xt_state *before = xt_state_take();
    libxl_sigchld_owner beside = libxl_sigchld_owner_none;
    struct xg_thread *first, *second;

    s->stolen = (calls[call].flags & STEALS) != 0;
    if (calls[call].flags & ABORTS)
        s->how.u.for_callback = s;
    if (g == LOOKED) {
        xl_facility_limit(~(unsigned)LIBXL_FACILITY_PIDFD);
        if (s->mode != libxl_sigchld_owner_mainloop)
            beside = libxl_sigchld_owner_libxl_always;
    }
    if (g == PROBED) /* which asks for no facility */
        beside = libxl_sigchld_owner_libxl_always_selective_reap;
    xs_open(s, g != PROBED, beside);
    if (g <= CLONED_LIVES && !(xl_facilities() & LIBXL_FACILITY_VFORK))
        point = "start: released";
    if (gaps[g].end == BEFORE)
        xs_end_all(s);
    if (gaps[g].end == ASLEEP) {
        first = xg_start(gaps[g].first, s, "pump: about to sleep");
        XG_STOPS(first);
        xg_go_on_to(first, point);
        xs_end_all(s);
    } else {
        first = xg_start(gaps[g].first, s, point);
    }
    XG_STOPS(first);
    if (g == CLONED)
        XT_EVENTUALLY(y_has_ended, NULL);
    if (gaps[g].end == STANDING)
        xs_end_all(s);
    /* it says it once, of all of them, and never again */
    s->said = (calls[call].flags & SAYS) && gaps[g].end != NEVER;
    second = xg_start(calls[call].fn, s, NULL);
    (void)xg_await(second, XG_SOON);
    /* from a wait of its own the host is not saved */
    if (g == LOOKED && !(calls[call].flags & (STEALS | PASSES)))
        xs_take_number(s);
    xg_release(first);
    xg_join(second);
    /* who waits may need what the host has to say yet */
    if (gaps[g].first != first_waits)
        xg_join(first);
    if (s->y.gate >= 0) {
        xt_close(&s->y.gate);
        s->said = 0;
    }
    xs_settle(s);
    if (gaps[g].first == first_waits)
        xg_join(first);
    xs_close(s);
    XT_STATE_SAME(before);
    xt_state_free(before);
}

static void each_call(enum gap g, libxl_sigchld_owner mode, int passes)
{
    int failed = 0;

    for (size_t i = 0; i < N_CALLS; i++) {
        struct xs_scene s = {.mode = mode, .passes = passes};
        int status;
        pid_t pid;

        if (!makes_sense(g, i, &s))
            continue;
        pid = (pid_t)XT_SYS(fork());
        if (pid == 0) {
            xt_note("--- %s", calls[i].name);
            play(g, i, &s);
            exit(0);
        }
        XT_SYS(waitpid(pid, &status, 0));
        if (status != 0) {
            xt_note("FAILED: %s, then %s (status %#x)", gaps[g].point,
                    calls[i].name, (unsigned)status);
            failed++;
        }
    }
    XT_EQ_INT(failed, 0);
}

#define GAP(gap, lines, name, mode, passes)                                    \
    XT_TEST_SLOW(gap##_in_##name, lines, 120)                                  \
    {                                                                          \
        each_call(gap, libxl_sigchld_owner_##mode, passes);                    \
    }
#define REAPS_ALL(gap, lines)                                                  \
    GAP(gap, lines, libxl, libxl, 0)                                           \
    GAP(gap, lines, libxl_always, libxl_always, 0)
#define REAPS(gap, lines)                                                      \
    REAPS_ALL(gap, lines)                                                      \
    GAP(gap, lines, selective_reap, libxl_always_selective_reap, 0)            \
    GAP(gap, lines, none, none, 0)
#define ALL(gap, lines)                                                        \
    REAPS(gap, lines)                                                          \
    GAP(gap, lines, mainloop_that_passes, mainloop, 1)                         \
    GAP(gap, lines, mainloop_that_says, mainloop, 0)

ALL(CLONED, "C5 C6 C20 C22")
ALL(CLONED_LIVES, "C5 C6 C20 C22")
ALL(SLEEP, "C5 C22 E2")
ALL(WOKEN, "C5 C22 E2")
REAPS_ALL(TAKEN_ALL, "C5 C6 C20 C23")
REAPS(TAKEN_PID, "C5 C6 C20")
GAP(TAKEN_PID, "C5 C6 C20", mainloop_that_says, mainloop, 0)
ALL(LOOKED, "C13 C20")
ALL(PROBED, "C22 C25")
