/* sweep_child.c - failing calls under every operation on children
 *
 * Proves X5, C10 and C12 call by call: a failed start leaves no child, no fd,
 * no mask, no handler; once a child runs, nothing can fail any more.
 */
#define _GNU_SOURCE
#include "sweep.h"
#include "probe.h"
#include "stranger.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
static int replaced;
static unsigned more_flags;

struct state {
    libxl_ctx *ctx;
    libxl_childproc_id id;
    pid_t pid;
};

static void *setup(void)
{
    libxl_childproc_hooks hooks = {owner, replaced ? xt_plain_fork : NULL, NULL,
                                   sizeof(hooks)};
    struct state *s = calloc(1, sizeof(*s));

    XT_TRUE(s != NULL);
    XT_OK(libxl_ctx_alloc(&s->ctx, LIBXL_VERSION, 0, &quiet));
    XT_OK(libxl_childproc_setmode_checked(s->ctx, &hooks, NULL));
    return s;
}

static void teardown(void *state)
{
    struct state *s = state;

    XT_OK(libxl_ctx_free(s->ctx));
    free(s);
}

static void reap(libxl_ctx *ctx, libxl_childproc_id id, int code)
{
    libxl_childproc_result r;
    int rc;

    do {
        libxl_childproc_sigchld_occurred(ctx);
        rc = libxl_childproc_wait(ctx, id,
                                  owner == libxl_sigchld_owner_mainloop ? 5
                                                                        : -1,
                                  0, &r);
    } while (rc == ERROR_TIMEDOUT);
    XT_OK(rc);
    XT_EXITED(&r, code);
}

/* ---- starting ----------------------------------------------------------- */

static int spawn_run(void *state)
{
    struct state *s = state;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_fd fds[] = {{3, 0}, {0, LIBXL_FD_NULL}};
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    int rc;

    spec.fds = fds;
    spec.nfds = 2;
    spec.flags = LIBXL_SPAWN_SEARCH_PATH | LIBXL_SPAWN_NEW_GROUP | more_flags;
    s->id = 71;
    s->pid = 72;
    rc = libxl_childproc_spawn(s->ctx, &spec, NULL, &s->id, &s->pid, &failure);
    if (rc) {
        XT_EQ_INT(s->id, 71);
        XT_EQ_INT(s->pid, 72);
        XT_NE_INT(failure.stage, LIBXL_STAGE_NONE);
        XT_NE_INT(failure.errnoval, 0);
        XT_EQ_INT(libxl_childproc_count(s->ctx), 0);
    }
    return rc;
}

static void spawn_undo(void *state)
{
    struct state *s = state;

    reap(s->ctx, s->id, 3);
}

static const int start_codes[] = {ERROR_SPAWN, ERROR_SIGCHLD_UNAVAILABLE, 0};

static void sweep_spawn(libxl_sigchld_owner o, int with_replacement)
{
    for (int warm = 0; warm < 2; warm++) {
        struct xs_op op = {.name = "spawn", .setup = setup, .run = spawn_run,
                           .undo = spawn_undo, .teardown = teardown,
                           .also = start_codes, .warm = warm};

        owner = o;
        replaced = with_replacement;
        xs_sweep(&op);
    }
}

XT_TEST_SLOW(spawn_pidfd, "X5 C12 C15", 120)
{
    sweep_spawn(libxl_sigchld_owner_none, 0);
}

XT_TEST_SLOW(spawn_that_nobody_waits_for, "X5 C12 C30", 120)
{
    more_flags = LIBXL_SPAWN_NOWAIT;
    sweep_spawn(libxl_sigchld_owner_none, 0);
}

XT_TEST_SLOW(spawn_replaced_that_nobody_waits_for, "X5 C10 C12 C30", 120)
{
    more_flags = LIBXL_SPAWN_NOWAIT;
    sweep_spawn(libxl_sigchld_owner_none, 1);
}

XT_TEST_SLOW(spawn_handler, "X5 C12 C1", 120)
{
    sweep_spawn(libxl_sigchld_owner_libxl, 0);
}

XT_TEST_SLOW(spawn_selective, "X5 C12 C3", 120)
{
    sweep_spawn(libxl_sigchld_owner_libxl_always_selective_reap, 0);
}

XT_TEST_SLOW(spawn_mainloop, "X5 C12 C2", 120)
{
    sweep_spawn(libxl_sigchld_owner_mainloop, 0);
}

XT_TEST_SLOW(spawn_replaced, "X5 C12 C10", 120)
{
    sweep_spawn(libxl_sigchld_owner_none, 1);
}

XT_TEST_SLOW(spawn_replaced_handler, "X5 C12 C10 C1", 120)
{
    sweep_spawn(libxl_sigchld_owner_libxl, 1);
}

/* ---- a whole operation -------------------------------------------------- */

static int exec_run(void *state)
{
    struct state *s = state;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat", "err", "100"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result r;
    int rc;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = "some input",
                                       .length = 10};
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.timeout_ms = 60000;
    rc = libxl_childproc_exec(s->ctx, &spec, &opts, &r, NULL, NULL);
    if (!rc) {
        XT_EXITED(&r.child, 0);
        XT_EQ_STR(r.out.data, "some input");
        XT_EQ_INT(r.err.length, 100);
    }
    XT_EQ_INT(libxl_childproc_count(s->ctx), 0);
    libxl_childproc_exec_result_dispose(&r);
    return rc;
}

XT_TEST_SLOW(exec_synchronous, "X5 C18 A1", 120)
{
    if (!xp_pidfds())
        XT_SKIP("without pidfds the signal handler comes and goes within the"
                " run, and nothing can put it back when sigaction fails");
    for (int warm = 0; warm < 2; warm++) {
        struct xs_op op = {.name = "exec", .setup = setup, .run = exec_run,
                           .teardown = teardown, .also = start_codes,
                           .warm = warm};

        owner = libxl_sigchld_owner_none;
        xs_sweep(&op);
    }
}

static int exec_async_run(void *state)
{
    struct state *s = state;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "x", "exit", "4"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result r;
    libxl_asyncop_how how = {NULL, {.for_event = 1}};
    libxl_event *event;
    int rc;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    rc = libxl_childproc_exec(s->ctx, &spec, &opts, &r, NULL, &how);
    if (rc)
        return rc;
    do
        rc = libxl_event_wait(s->ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL);
    while (rc == ERROR_SYSTEM || rc == ERROR_NOMEM);
    XT_OK(rc);
    rc = event->u.operation_complete.rc;
    libxl_event_free(s->ctx, event);
    if (!rc) {
        XT_EXITED(&r.child, 4);
        XT_EQ_STR(r.out.data, "x");
    }
    libxl_childproc_exec_result_dispose(&r);
    return rc;
}

XT_TEST_SLOW(exec_asynchronous, "X5 C18 A1", 120)
{
    struct xs_op op = {.name = "exec, asynchronous", .setup = setup,
                       .run = exec_async_run, .teardown = teardown,
                       .also = start_codes, .warm = 1};

    if (!xp_pidfds())
        XT_SKIP("without pidfds the signal handler comes and goes within the"
                " run, and nothing can put it back when sigaction fails");
    owner = libxl_sigchld_owner_none;
    xs_sweep(&op);
}

/* ---- batches ------------------------------------------------------------ */

#define BATCH 4

static void *batch_setup(void)
{
    struct state *s = setup();

    XT_OK(libxl_childproc_set_starters(s->ctx, 2));
    return s;
}

static int batch_run(void *state)
{
    struct state *s = state;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_batch_entry e[BATCH];
    int n, started = 0, rc = 0;

    memset(e, 0, sizeof(e));
    for (int i = 0; i < BATCH; i++)
        e[i].spec = &spec;
    n = libxl_childproc_spawn_many(s->ctx, e, BATCH);
    if (n < 0)
        return n;
    for (int i = 0; i < BATCH; i++)
        if (e[i].rc)
            rc = e[i].rc;
        else {
            started++;
            reap(s->ctx, e[i].id, 3);
        }
    XT_EQ_INT(started, n);
    return rc;
}

XT_TEST_SLOW(batch, "X5 C12", 120)
{
    struct xs_op op = {.name = "spawn_many", .setup = batch_setup,
                       .run = batch_run, .teardown = teardown,
                       .also = start_codes, .warm = 1};

    if (!xp_pidfds())
        XT_SKIP("without pidfds the signal handler comes and goes within the"
                " run, and nothing can put it back when sigaction fails");
    owner = libxl_sigchld_owner_none;
    xs_sweep(&op);
}

/* ---- operations on a living child --------------------------------------- */

static void *living_setup(void)
{
    struct state *s = setup();
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));

    spec.on_free = LIBXL_FREE_KILL;
    s->id = xt_spawn(s->ctx, &spec, NULL, &s->pid);
    return s;
}

static void living_teardown(void *state)
{
    struct state *s = state;
    pid_t pid = s->pid;
    siginfo_t info;

    teardown(s);
    XT_GT_INT(pid, 1);
    while (!waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT))
        ;
}

static int kill_run(void *state)
{
    struct state *s = state;

    return libxl_childproc_kill(s->ctx, s->id, SIGCONT, LIBXL_KILL_PROCESS);
}

static int terminate_run(void *state)
{
    struct state *s = state;
    libxl_kill_policy policy = {SIGCONT, 60000, LIBXL_KILL_PROCESS};

    return libxl_childproc_terminate(s->ctx, s->id, &policy);
}

static int evenable_run(void *state)
{
    struct state *s = state;
    libxl_evgen_childproc_exit *evgen;
    int rc = libxl_evenable_childproc_exit(s->ctx, s->pid, 1, &evgen);

    if (!rc)
        libxl_evdisable_childproc_exit(s->ctx, evgen);
    return rc;
}

static int wait_run(void *state)
{
    struct state *s = state;
    libxl_childproc_result r;
    int rc = libxl_childproc_wait(s->ctx, s->id, 5, 0, &r);

    return rc == ERROR_TIMEDOUT ? 0 : rc;
}

XT_TEST_SLOW(living, "X5 C13", 120)
{
    static const int kill_codes[] = {ERROR_PERMISSION, 0};
    static int (*const run[])(void *) = {kill_run, terminate_run, evenable_run,
                                         wait_run};
    static const char *const name[] = {"kill", "terminate", "evenable",
                                       "wait"};

    for (int i = 0; i < 4; i++) {
        struct xs_op op = {.name = name[i], .setup = living_setup,
                           .run = run[i], .teardown = living_teardown,
                           .also = kill_codes, .warm = 1};

        owner = libxl_sigchld_owner_none;
        xs_sweep(&op);
    }
}

/* ---- adoption ----------------------------------------------------------- */

struct adoption {
    libxl_ctx *ctx;
    pid_t pid;
    uint64_t ticks;
    libxl_childproc_id id;
};

static void *adopt_setup(void)
{
    struct adoption *a = calloc(1, sizeof(*a));

    XT_TRUE(a != NULL);
    XT_OK(libxl_ctx_alloc(&a->ctx, LIBXL_VERSION, 0, &quiet));
    owner = libxl_sigchld_owner_none;
    {
        libxl_childproc_hooks hooks = {owner, NULL, NULL, sizeof(hooks)};

        XT_OK(libxl_childproc_setmode_checked(a->ctx, &hooks, NULL));
    }
    a->pid = fork();
    XT_SYS(a->pid);
    if (!a->pid) {
        execl(xt_child_path(), "child", "pause", (char *)NULL);
        _exit(127);
    }
    XT_OK(libxl_childproc_start_time(a->pid, &a->ticks));
    return a;
}

static int adopt_run(void *state)
{
    struct adoption *a = state;
    int rc;

    a->id = 5;
    rc = libxl_childproc_adopt(a->ctx, a->pid, a->ticks, -1, NULL, &a->id);
    if (rc)
        XT_EQ_INT(a->id, 5);
    return rc;
}

static void adopt_teardown(void *state)
{
    struct adoption *a = state;
    libxl_childproc_result r;

    XT_OK(libxl_childproc_kill(a->ctx, a->id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(a->ctx, a->id);
    XT_SIGNALED(&r, SIGKILL);
    XT_OK(libxl_ctx_free(a->ctx));
    free(a);
}

XT_TEST_SLOW(adopt, "X5", 120)
{
    static const int also[] = {ERROR_NI, 0};
    struct xs_op op = {.name = "adopt", .setup = adopt_setup, .run = adopt_run,
                       .teardown = adopt_teardown, .also = also};

    xf_needs_pidfds();
    xs_sweep(&op);
}

/* ---- once a child runs -------------------------------------------------- */

static void note_exit(libxl_ctx *ctx, const libxl_childproc_result *result,
                      void *user)
{
    (void)ctx;
    XT_EXITED(result, 0);
    ++*(int *)user;
}

static void starve_through_exits(libxl_sigchld_owner o, int with_replacement)
{
    struct state *s;
    libxl_evgen_childproc_exit *evgen;
    libxl_event *events[64];
    int calls = 0, seen = 0;

    owner = o;
    replaced = with_replacement;
    s = setup();
    XT_OK(libxl_evenable_childproc_exit(s->ctx, 0, 9, &evgen));
    for (int i = 0; i < 20; i++) {
        libxl_childproc_report by_callback = {LIBXL_REPORT_CALLBACK, note_exit,
                                              {.for_callback = &calls}};
        libxl_childproc_report by_event = {LIBXL_REPORT_EVENT, NULL, {1}};

        xt_spawn_argv(s->ctx, (const char *const[]){xt_tiny_path(), NULL},
                      i % 2 ? &by_callback : &by_event, NULL);
    }
    xs_starve();
    while (calls < 10 || seen < 30) {
        int n = libxl_event_wait_many(s->ctx, events, 64, LIBXL_EVENTMASK_ALL,
                                      20, 0);

        if (o == libxl_sigchld_owner_mainloop)
            libxl_childproc_sigchld_occurred(s->ctx);
        XT_TRUE(n > 0 || n == ERROR_TIMEDOUT);
        for (int i = 0; i < n; i++) {
            XT_EXITED(&events[i]->u.childproc_exit, 0);
            libxl_event_free(s->ctx, events[i]);
            seen++;
        }
    }
    xs_feed();
    XT_EQ_INT(calls, 10);
    XT_EQ_INT(seen, 30);
    teardown(s);
}

XT_TEST(nothing_fails_once_a_child_runs, "C12 C5")
{
    for (int o = libxl_sigchld_owner_libxl; o <= (int)libxl_sigchld_owner_none;
         o++)
        for (int r = 0; r < 2; r++)
            starve_through_exits((libxl_sigchld_owner)o, r);
}
