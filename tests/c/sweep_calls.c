/* sweep_calls.c - failing calls under the calls that tell, ask and give up
 *
 * Proves X5, and that a report survives a failing system call on its way (C5):
 * what a host's loop calls, what a mainloop passes on, abort, detach, free,
 * and the call in a forked child. sweep_child.c has the starts.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "probe.h"
#include "sweep.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"

static void quiet_log(void *user, libxl_log_level level, int errnoval,
                      const char *message)
{
    (void)user;
    (void)level;
    (void)errnoval;
    (void)message;
}

static const libxl_logger quiet = {sizeof(quiet), LIBXL_LOG_CRITICAL,
                                   quiet_log, NULL};

static libxl_sigchld_owner owner;
static const int start_codes[] = {ERROR_SPAWN, ERROR_SIGCHLD_UNAVAILABLE, 0};

static void *setup(void)
{
    libxl_childproc_hooks hooks = {owner, NULL, NULL, sizeof(hooks)};
    libxl_ctx *ctx;

    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &quiet));
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    return ctx;
}

static void teardown(void *state)
{
    XT_OK(libxl_ctx_free(state));
}

/* Where pidfds are refused, or signals by them, a handler that cannot be put
 * back stays, and a child that cannot be signalled lives. */
static const char *nothing_instead(void)
{
    return xp_pidfd_send_signal() && xl_facility_pidfds(0) ? NULL
                                                           : "sigaction kill";
}

static void sweep(const char *name, libxl_sigchld_owner o, int (*run)(void *),
                  int needs_nothing)
{
    struct xs_op op = {.name = name,
                       .setup = setup,
                       .run = run,
                       .teardown = teardown,
                       .also = start_codes,
                       .warm = 1,
                       .spare = nothing_instead(),
                       .needs_nothing = needs_nothing};

    owner = o;
    xs_sweep(&op);
}

/* ---- what a loop calls -------------------------------------------------- */

static void (*pump)(libxl_ctx *ctx);

static void by_afterpoll(libxl_ctx *ctx)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(ctx, 0, NULL, now);
}

static void by_fd(libxl_ctx *ctx)
{
    libxl_osevent_occurred_fd(ctx, NULL, -1, POLLIN, POLLIN);
}

static void by_timeout(libxl_ctx *ctx)
{
    libxl_osevent_occurred_timeout(ctx, NULL);
}

static void by_sigchld(libxl_ctx *ctx)
{
    libxl_childproc_sigchld_occurred(ctx);
}

static void by_looking(libxl_ctx *ctx)
{
    libxl_event *event;

    /* of a type that nobody makes here */
    XT_RC(libxl_event_check(
              ctx, &event,
              LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_OPERATION_COMPLETE), NULL, NULL),
          ERROR_NOT_READY);
}

struct looking {
    libxl_ctx *ctx;
    libxl_event *event;
};

static int come(void *user)
{
    struct looking *l = user;

    pump(l->ctx);
    return libxl_event_check(l->ctx, &l->event, LIBXL_EVENTMASK_ALL, NULL,
                             NULL) == 0;
}

/* A child ends, and the loop's call brings its report: once. */
static int report_run(void *state)
{
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {77}};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "5"));
    struct looking l = {state, NULL};
    libxl_event *second;
    pid_t pid;
    int rc;

    rc = libxl_childproc_spawn(state, &spec, &report, NULL, &pid, NULL);
    if (rc)
        return rc;
    if (xh_is_zombie(pid) == 0)
        xh_await_zombie(pid);
    XT_EVENTUALLY(come, &l);
    XT_EXITED(&l.event->u.childproc_exit, 5);
    XT_EQ_INT(l.event->for_user, 77);
    libxl_event_free(state, l.event);
    XT_RC(libxl_event_check(state, &second, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_EQ_INT(libxl_childproc_count(state), 0);
    return 0;
}

XT_TEST_SLOW(a_report_by_whatever_the_loop_calls, "X5 C5 O2", 240)
{
    static void (*const by[])(libxl_ctx *) = {by_afterpoll, by_fd, by_timeout,
                                              by_looking};

    for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
        pump = by[i];
        sweep("pump", libxl_sigchld_owner_none, report_run, 0);
    }
}

XT_TEST_SLOW(a_report_of_what_the_host_tells, "X5 C5 C2", 120)
{
    pump = by_sigchld;
    sweep("sigchld_occurred", libxl_sigchld_owner_mainloop, report_run, 0);
}

/* The host reaps and passes on. */
static int exited_run(void *state)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "6"));
    libxl_childproc_result r;
    libxl_childproc_id id, found;
    int rc, status;
    pid_t pid;

    rc = libxl_childproc_spawn(state, &spec, NULL, &id, &pid, NULL);
    if (rc)
        return rc;
    XT_OK(libxl_childproc_lookup(state, pid, &found));
    XT_EQ_INT(found, id);
    status = xh_reap(pid);
    XT_OK(libxl_childproc_exited(state, pid, status));
    XT_RC(libxl_childproc_exited(state, pid, status), ERROR_NOT_READY);
    XT_OK(libxl_childproc_wait(state, id, 0, 0, &r));
    XT_EXITED(&r, 6);
    return 0;
}

XT_TEST_SLOW(a_status_that_is_passed_on, "X5 C5 C2", 120)
{
    sweep("exited", libxl_sigchld_owner_mainloop, exited_run, 0);
}

/* ---- giving up ---------------------------------------------------------- */

static int abort_run(void *state)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_asyncop_how how = {NULL, {.for_event = 3}};
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result r;
    libxl_event *event;
    int rc;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    rc = libxl_childproc_exec(state, &spec, &opts, &r, NULL, &how);
    if (rc)
        return rc;
    XT_OK(libxl_ao_abort(state, &how));
    do
        rc = libxl_event_wait(state, &event, LIBXL_EVENTMASK_ALL, NULL, NULL);
    while (rc == ERROR_SYSTEM || rc == ERROR_NOMEM);
    XT_OK(rc);
    XT_RC(event->u.operation_complete.rc, ERROR_ABORTED);
    XT_SIGNALED(&r.child, SIGKILL);
    XT_EQ_INT(r.aborted, 1);
    libxl_event_free(state, event);
    libxl_childproc_exec_result_dispose(&r);
    XT_RC(libxl_ao_abort(state, &how), ERROR_NOTFOUND);
    return 0;
}

XT_TEST_SLOW(an_abort_completes, "X5 A2", 120)
{
    sweep("ao_abort", libxl_sigchld_owner_none, abort_run, 0);
}

static int nobody_left(void *user)
{
    libxl_event *event;

    XT_RC(libxl_event_check(user, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    return libxl_childproc_count(user) == 0;
}

static int detach_run(void *state)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "1"));
    libxl_childproc_id id;
    int rc = libxl_childproc_spawn(state, &spec, NULL, &id, NULL, NULL);

    if (rc)
        return rc;
    XT_OK(libxl_childproc_detach(state, id));
    XT_EVENTUALLY(nobody_left, state);
    return 0;
}

XT_TEST_SLOW(a_detached_child_goes, "X5 C5", 120)
{
    sweep("detach", libxl_sigchld_owner_none, detach_run, 0);
}

static int no_more_threads(void *before)
{
    return xt_threads() <= *(const int *)before;
}

/* Its status is the program's; what is left of it goes with the ctx. */
static int linger_run(void *state)
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none,
                                   .size = sizeof hooks};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "1"));
    libxl_childproc_id id;
    libxl_ctx *ctx;
    pid_t pid;
    int threads = xt_threads();
    int rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &quiet);

    (void)state;
    if (rc)
        return rc;
    rc = libxl_childproc_setmode_checked(ctx, &hooks, NULL);
    if (rc == 0)
        rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL);
    if (rc == 0) {
        XT_OK(libxl_childproc_linger(ctx, id));
        xh_await_zombie(pid);
        XT_EVENTUALLY(nobody_left, ctx);
        XT_EQ_INT(xh_reap(pid), 1 << 8);
    }
    XT_OK(libxl_ctx_free(ctx));
    XT_EVENTUALLY(no_more_threads, &threads);
    return rc;
}

XT_TEST_SLOW(a_lingering_child_is_waited_for, "X5 C29", 120)
{
    sweep("linger", libxl_sigchld_owner_none, linger_run, 0);
}

/* What cannot be noted fails the start; what was noted is there. */
static int account_run(void *state)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "1"));
    libxl_childproc_account account = {.size = sizeof(account)};
    libxl_childproc_result r;
    libxl_childproc_id id;
    int rc;

    spec.flags |= LIBXL_SPAWN_ACCOUNT;
    spec.cgroup = "/sys/fs/cgroup/nowhere";
    rc = libxl_childproc_spawn(state, &spec, NULL, &id, NULL, NULL);
    XT_NE_INT(rc, 0);
    spec.cgroup = NULL;
    rc = libxl_childproc_spawn(state, &spec, NULL, &id, NULL, NULL);
    if (rc)
        return rc;
    rc = libxl_childproc_wait(state, id, LIBXL_WAIT_FOREVER, 0, &r);
    if (rc) {
        XT_RC(libxl_childproc_account_take(state, id, &account),
              ERROR_NOT_READY);
        XT_OK(libxl_childproc_detach(state, id));
        return rc;
    }
    XT_OK(libxl_childproc_account_take(state, id, &account));
    XT_EQ_INT(account.ended_by, LIBXL_ENDED_ITSELF);
    return 0;
}

XT_TEST_SLOW(an_account_is_kept, "X5 C32", 120)
{
    sweep("account", libxl_sigchld_owner_none, account_run, 0);
}

/* Freeing never fails, whatever does; one child each policy. A thread that
 * cannot be had leaves the detached one to the host. */
static int free_run(void *state)
{
    libxl_ctx *ctx = setup();
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    pid_t pid[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        int rc;

        spec.on_free = (libxl_free_policy)i;
        rc = libxl_childproc_spawn(ctx, &spec, NULL, NULL, &pid[i], NULL);
        if (rc)
            return rc;
    }
    xs_arm_now();
    XT_OK(libxl_ctx_free(ctx));
    for (int i = 0; i < 3; i++) {
        siginfo_t info;

        XT_GT_INT(pid[i], 1);
        if (i != 1) {
            XT_SYS(kill(pid[i], 0)); /* lives on */
            XT_SYS(kill(pid[i], SIGKILL));
        }
        /* reaped by the library, or left: gone either way */
        while (waitid(P_PID, (id_t)pid[i], &info, WEXITED) < 0 &&
               errno == EINTR)
            ;
    }
    return 0;
}

static void *nothing(void)
{
    return NULL;
}

static void no_teardown(void *state)
{
    (void)state;
}

XT_TEST_SLOW(ctx_free_with_children, "X5 X2", 120)
{
    const char *spare = nothing_instead();
    struct xs_op op = {.name = "ctx_free",
                       .setup = nothing,
                       .run = free_run,
                       .teardown = no_teardown,
                       .late = 1,
                       .spare = spare ? spare : "sigaction"};

    for (int o = libxl_sigchld_owner_libxl; o <= (int)libxl_sigchld_owner_none;
         o++) {
        if (o == libxl_sigchld_owner_mainloop)
            continue;
        owner = (libxl_sigchld_owner)o;
        xs_sweep(&op);
    }
}

/* ---- after a fork ------------------------------------------------------- */

static int postfork_run(void *state)
{
    pid_t pid = fork();

    XT_SYS(pid);
    if (!pid) {
        libxl_ctx *ctx = NULL;

        libxl_postfork_child_noexec(state);
        while (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &quiet))
            ;
        while (report_run(ctx))
            ;
        _exit(libxl_ctx_free(ctx) || libxl_ctx_free(state));
    }
    XT_EQ_INT(xh_reap(pid), 0);
    return 0;
}

XT_TEST_SLOW(postfork_noexec, "X5 C14", 120)
{
    pump = by_looking;
    sweep("postfork_child_noexec",
          libxl_sigchld_owner_libxl_always_selective_reap, postfork_run, 0);
}

/* ---- calls that ask for nothing ----------------------------------------- */

static int modest_run(void *state)
{
    libxl_event_hooks hooks = {0};
    libxl_childproc_id id = 9;
    libxl_event *event;

    XT_OK(libxl_event_register_callbacks(state, &hooks, NULL));
    XT_OK(libxl_ctx_disaster_latched(state));
    XT_RC(libxl_childproc_lookup(state, getpid(), &id), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_detach(state, id), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_linger(state, id), ERROR_NOTFOUND);
    XT_EQ_INT(libxl_childproc_count(state), 0);
    XT_RC(libxl_event_check(state, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    return 0;
}

XT_TEST(calls_that_cannot_fail, "X5 E1")
{
    sweep("modest calls", libxl_sigchld_owner_none, modest_run, 1);
}

/* The void twin: what it could not do it has not done. */
static int setmode_run(void *state)
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_libxl_always, NULL, NULL,
                                   sizeof(hooks)};
    libxl_childproc_hooks before = {libxl_sigchld_owner_none, NULL, NULL,
                                    sizeof(hooks)};
    libxl_childproc_diagnosis d = {.size = sizeof(d)};

    libxl_childproc_setmode(state, &hooks, NULL);
    XT_OK(libxl_childproc_diagnose(state, &d, NULL));
    if (d.mode_asked != libxl_sigchld_owner_libxl_always) {
        XT_EQ_INT(d.mode_asked, libxl_sigchld_owner_none);
        return ERROR_SYSTEM;
    }
    while (libxl_childproc_setmode_checked(state, &before, NULL))
        ;
    return 0;
}

XT_TEST(setmode_unchecked, "X5")
{
    struct xs_op op = {.name = "setmode",
                       .setup = setup,
                       .run = setmode_run,
                       .teardown = teardown,
                       .spare = "sigaction"};

    owner = libxl_sigchld_owner_none;
    xs_sweep(&op);
}
