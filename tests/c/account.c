/* account.c - why a child died, and what it cost
 *
 * Proves C32 to C34: who ended it, as far as that is known; what is not known
 * says so; and what it cost, with its family where it has a cgroup of its own.
 */
#define _GNU_SOURCE
#include "cgroupdir.h"
#include "hostchild.h"
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 100
#define MIB (1 << 20)

static libxl_childproc_spec asked(const char *const *argv)
{
    libxl_childproc_spec spec = xt_spec(argv);

    spec.flags |= LIBXL_SPAWN_ACCOUNT;
    return spec;
}

static libxl_childproc_account take(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_account account;

    memset(&account, 0xdd, sizeof(account));
    account.size = sizeof(account);
    XT_OK(libxl_childproc_account_take(ctx, id, &account));
    XT_EQ_INT(account.id, id);
    XT_EQ_INT(account.size, sizeof(account));
    return account;
}

static void no_family(const libxl_childproc_account *a)
{
    XT_EQ_INT(a->memory_kills, -1);
    XT_EQ_INT(a->cpu_usec, -1);
    XT_EQ_INT(a->memory_peak, -1);
    XT_EQ_INT(a->pids_peak, -1);
    XT_EQ_INT(a->memory_stall_usec, -1);
    XT_EQ_INT(a->cpu_stall_usec, -1);
    XT_EQ_INT(a->io_stall_usec, -1);
}

static void by(const libxl_childproc_account *a, libxl_ended_by who,
               int perhaps)
{
    XT_EQ_INT(a->ended_by, who);
    XT_EQ_INT(a->perhaps, perhaps);
}

/* By us, for this reason. Whether it was alive when the kernel took the signal
 * is proved where it is so still right after. */
static void by_us(const libxl_childproc_account *a, libxl_ended_by why,
                  int signo)
{
    XT_EQ_INT(a->ended_by, why);
    XT_EQ_INT(a->sent_by, why);
    XT_EQ_INT(a->sent_signal, signo);
}

static int nothing_there(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_account account = {.size = sizeof(account)};

    return libxl_childproc_account_take(ctx, id, &account);
}

/* ---- without a cgroup --------------------------------------------------- */

XT_TEST(an_account_is_there_once, "C32 C34")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("hold", "exit", "3"));
    libxl_childproc_spec plain = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_childproc_id id, other;
    libxl_childproc_fd fd;
    int in[2];

    xt_pipe(in);
    fd = (libxl_childproc_fd){0, in[0]};
    spec.fds = &fd;
    spec.nfds = 1;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    XT_RC(nothing_there(ctx, id), ERROR_NOT_READY);
    xt_close(&in[0]);
    xt_close(&in[1]);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 3);
    account = take(ctx, id);
    by(&account, LIBXL_ENDED_ITSELF, 0);
    XT_EQ_INT(account.pid, r.pid);
    XT_EQ_INT(account.core_dumped, 0);
    XT_EQ_INT(account.sent_signal, 0);
    XT_GE_INT(account.exec_ns, 0);
    XT_GE_INT(account.end_ns, account.exec_ns);
    XT_EQ_INT(account.has_rusage, 1);
    XT_EQ_MEM(&account.rusage, sizeof(r.rusage), &r.rusage, sizeof(r.rusage));
    no_family(&account);
    XT_RC(nothing_there(ctx, id), ERROR_NOTFOUND);
    other = xt_spawn(ctx, &plain, NULL, NULL);
    XT_RC(nothing_there(ctx, other), ERROR_NOTFOUND);
    (void)xt_wait(ctx, other);
    XT_RC(nothing_there(ctx, other), ERROR_NOTFOUND);
    XT_RC(nothing_there(ctx, 0), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

XT_TEST(misuse_of_accounts_is_refused, "X5 X7 C32")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("exit", "0"));
    libxl_childproc_report none = {.kind = LIBXL_REPORT_NONE};
    libxl_childproc_account account = {.size = sizeof(account)};
    libxl_childproc_failure failure;
    libxl_childproc_id id;

    XT_RC(libxl_childproc_spawn(ctx, &spec, &none, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "flags");
    id = xt_spawn(ctx, &spec, NULL, NULL);
    (void)xt_wait(ctx, id);
    XT_RC(libxl_childproc_account_take(ctx, id, NULL), ERROR_INVAL);
    XT_RC(libxl_childproc_account_take(NULL, id, &account), ERROR_INVAL);
    account.size = 8;
    XT_RC(libxl_childproc_account_take(ctx, id, &account), ERROR_INVAL);
    account.size = 1 << 20;
    XT_RC(libxl_childproc_account_take(ctx, id, &account), ERROR_INVAL);
    account = take(ctx, id); /* it is there still */
    by(&account, LIBXL_ENDED_ITSELF, 0);
    xt_ctx_free(ctx);
}

XT_TEST(an_account_goes_with_its_child, "C32 C21")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec ends = asked(XT_CHILD("exit", "0"));
    libxl_childproc_spec lives = asked(XT_CHILD("pause"));
    libxl_childproc_result r;
    libxl_childproc_id id;

    id = xt_spawn(ctx, &ends, NULL, NULL);
    XT_OK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, LIBXL_WAIT_KEEP,
                               &r));
    XT_OK(libxl_childproc_detach(ctx, id));
    XT_RC(nothing_there(ctx, id), ERROR_NOTFOUND);
    id = xt_spawn(ctx, &lives, NULL, NULL);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    XT_OK(libxl_childproc_detach(ctx, id));
    XT_RC(nothing_there(ctx, id), ERROR_NOTFOUND);
    xt_pump_until_childless(ctx);
    XT_RC(nothing_there(ctx, id), ERROR_NOTFOUND);
    lives.on_free = LIBXL_FREE_KILL;
    (void)xt_spawn(ctx, &lives, NULL, NULL);
    id = xt_spawn(ctx, &ends, NULL, NULL);
    (void)xt_wait(ctx, id); /* and nobody takes it: gone with the ctx */
    xt_ctx_free(ctx);
}

struct called {
    libxl_childproc_id id;
    libxl_childproc_account account;
    int rc;
};

static void on_end(libxl_ctx *ctx, const libxl_childproc_result *result,
                   void *user)
{
    struct called *called = user;

    called->id = result->id;
    called->account.size = sizeof(called->account);
    called->rc =
        libxl_childproc_account_take(ctx, result->id, &called->account);
}

XT_TEST(an_account_is_there_with_every_report, "C32")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("signal", "SIGTERM"));
    libxl_childproc_report by_event = xt_by_event(7);
    libxl_childproc_report by_call = {.kind = LIBXL_REPORT_CALLBACK};
    struct called called = {0};
    libxl_childproc_account account;
    libxl_childproc_id id;
    libxl_event *event;

    id = xt_spawn(ctx, &spec, &by_event, NULL);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    libxl_event_free(ctx, event);
    account = take(ctx, id);
    by(&account, LIBXL_ENDED_OTHERS, 0);
    called.rc = 1;
    by_call.callback = on_end;
    by_call.u.for_callback = &called;
    id = xt_spawn(ctx, &spec, &by_call, NULL);
    xt_pump_until_childless(ctx);
    XT_OK(called.rc);
    XT_EQ_INT(called.id, id);
    by(&called.account, LIBXL_ENDED_OTHERS, 0);
    xt_ctx_free(ctx);
}

XT_TEST(our_kill_is_told_from_others, "C33")
{
    static const int signals[] = {SIGTERM, SIGKILL};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("pause"));
    libxl_childproc_account account;
    libxl_childproc_id id;
    pid_t pid;

    for (int i = 0; i < 2; i++) {
        id = xt_spawn(ctx, &spec, NULL, NULL);
        XT_OK(libxl_childproc_kill(ctx, id, signals[i], LIBXL_KILL_PROCESS));
        (void)xt_wait(ctx, id);
        account = take(ctx, id);
        by_us(&account, LIBXL_ENDED_KILL, signals[i]);

        id = xt_spawn(ctx, &spec, NULL, &pid);
        XT_LT_INT(1, pid);
        XT_SYS(kill(pid, signals[i]));
        (void)xt_wait(ctx, id);
        account = take(ctx, id);
        /* nobody can be asked whether SIGKILL was the memory killer's */
        by(&account, LIBXL_ENDED_OTHERS, signals[i] == SIGKILL);
        XT_EQ_INT(account.sent_signal, 0);
    }
    xt_ctx_free(ctx);
}

XT_TEST(a_signal_of_ours_that_did_not_end_it_is_not_blamed, "C33")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(
        XT_CHILD("ignore", "SIGTERM", "put", "r", "hold", "exit", "5"));
    libxl_childproc_fd fds[2];
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_childproc_id id;
    int in[2], out[2];
    pid_t pid;

    for (int killed = 0; killed < 2; killed++) {
        xt_pipe(in);
        xt_pipe(out);
        fds[0] = (libxl_childproc_fd){0, in[0]};
        fds[1] = (libxl_childproc_fd){1, out[1]};
        spec.fds = fds;
        spec.nfds = 2;
        id = xt_spawn(ctx, &spec, NULL, &pid);
        xt_await_byte(out[0]);
        XT_OK(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS));
        XT_LT_INT(1, pid);
        if (killed)
            XT_SYS(kill(pid, SIGINT));
        xt_close(&in[0]);
        xt_close(&in[1]);
        r = xt_wait(ctx, id);
        account = take(ctx, id);
        by(&account, killed ? LIBXL_ENDED_OTHERS : LIBXL_ENDED_ITSELF, 0);
        XT_EQ_INT(account.sent_by, LIBXL_ENDED_KILL);
        XT_EQ_INT(account.sent_signal, SIGTERM);
        XT_EQ_INT(WIFSIGNALED(r.status), killed);
        xt_close(&out[0]);
        xt_close(&out[1]);
    }
    xt_ctx_free(ctx);
}

/* An operation's completion is its child's id's only bearer. */
static libxl_childproc_account run(libxl_ctx *ctx,
                                   const libxl_childproc_spec *spec,
                                   int timeout_ms, int rc)
{
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    libxl_childproc_account account;

    libxl_childproc_exec_opts_init(&opts);
    opts.timeout_ms = timeout_ms;
    XT_RC(libxl_childproc_exec(ctx, spec, &opts, &result, NULL, NULL), rc);
    account = take(ctx, result.child.id);
    libxl_childproc_exec_result_dispose(&result);
    return account;
}

XT_TEST(our_timeout_and_abort_are_told, "C33 A2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("pause"));
    libxl_childproc_spec polite = asked(
        XT_CHILD("ignore", "SIGTERM", "pause"));
    libxl_asyncop_how how = {.callback = NULL, .u = {.for_event = 5}};
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    libxl_childproc_account account;
    libxl_event *event;

    account = run(ctx, &spec, 20, ERROR_TIMEDOUT);
    by_us(&account, LIBXL_ENDED_TIMEOUT, SIGKILL);
    spec.kill.first_signal = SIGTERM;
    spec.kill.grace_ms = 10000;
    account = run(ctx, &spec, 20, ERROR_TIMEDOUT);
    by_us(&account, LIBXL_ENDED_TIMEOUT, SIGTERM);
    polite.kill.first_signal = SIGTERM; /* sent by the grace's timer */
    polite.kill.grace_ms = 20;
    account = run(ctx, &polite, 300, ERROR_TIMEDOUT);
    by_us(&account, LIBXL_ENDED_TIMEOUT, SIGKILL);

    libxl_childproc_exec_opts_init(&opts);
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
    XT_OK(libxl_ao_abort(ctx, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->u.operation_complete.rc, ERROR_ABORTED);
    libxl_event_free(ctx, event);
    account = take(ctx, result.child.id);
    by_us(&account, LIBXL_ENDED_ABORT, SIGTERM);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

XT_TEST(a_core_dump_is_told, "C32")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("abort"));
    libxl_childproc_rlimit none = {RLIMIT_CORE, {0, 0}};
    libxl_childproc_rlimit some = {RLIMIT_CORE, {MIB, MIB}};
    char *cwd = xt_tmpdir();
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_childproc_id id;

    spec.cwd = cwd;
    spec.nrlimits = 1;
    for (int i = 0; i < 2; i++) {
        spec.rlimits = i == 0 ? &none : &some;
        id = xt_spawn(ctx, &spec, NULL, NULL);
        r = xt_wait(ctx, id);
        account = take(ctx, id);
        by(&account, LIBXL_ENDED_OTHERS, 0);
        /* whether there is one is for the machine's core_pattern to say */
        XT_EQ_INT(account.core_dumped, WCOREDUMP(r.status) != 0);
    }
    xt_tmpdir_remove(cwd);
    xt_ctx_free(ctx);
}

/* A thief's wait: where the kernel keeps no copy, nothing is claimed. */
XT_TEST(what_a_thief_took_is_not_invented, "C33 C6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("signal", "SIGKILL"));
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int status;

    id = xt_spawn(ctx, &spec, NULL, &pid);
    if (waitpid(pid, &status, 0) != pid)
        XT_SKIP("the library was quicker");
    r = xt_wait(ctx, id);
    account = take(ctx, id);
    XT_EQ_INT(account.has_rusage, 0);
    XT_GE_INT(account.end_ns, account.exec_ns);
    if (r.lost == LIBXL_LOST_NONE) {
        by(&account, LIBXL_ENDED_OTHERS, 1);
        XT_EQ_INT(account.core_dumped, 0);
    } else {
        by(&account, LIBXL_ENDED_UNKNOWN, 0);
        XT_EQ_INT(account.core_dumped, -1);
    }
    xt_ctx_free(ctx);
}

/* In mainloop mode the host reaps, and a start that waits for nobody may come
 * to nothing. */
XT_TEST(accounts_of_other_ways_to_end, "C32 C33 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("exit", "4"));
    const char *const nowhere[] = {"/nonexistent/program", NULL};
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int status;

    id = xt_spawn(ctx, &spec, NULL, &pid);
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_OK(libxl_childproc_exited(ctx, pid, status));
    account = take(ctx, id);
    by(&account, LIBXL_ENDED_ITSELF, 0);
    XT_EQ_INT(account.has_rusage, 0);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 4);
    xt_ctx_free(ctx);

    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spec = asked(nowhere);
    spec.flags |= LIBXL_SPAWN_NOWAIT;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    r = xt_wait(ctx, id);
    XT_EQ_INT(r.lost, LIBXL_LOST_NEVER_RAN);
    account = take(ctx, id);
    by(&account, LIBXL_ENDED_UNKNOWN, 0);
    XT_EQ_INT(account.core_dumped, -1);
    XT_EQ_INT(account.exec_ns, -1);
    xt_ctx_free(ctx);
}

/* ---- with a cgroup ------------------------------------------------------ */

XT_TEST(a_family_is_counted, "C32 C16")
{
    libxl_ctx *ctx;
    libxl_childproc_spec spec = asked(XT_CHILD("out", "1000000"));
    libxl_childproc_account account;
    struct xg_group g;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spec.cgroup = g.path;
    for (int i = 0; i < 2; i++) {
        libxl_childproc_exec_opts opts;
        libxl_childproc_exec_result result;

        libxl_childproc_exec_opts_init(&opts);
        opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
        account = take(ctx, result.child.id);
        libxl_childproc_exec_result_dispose(&result);
        by(&account, LIBXL_ENDED_ITSELF, 0);
        XT_LT_INT(0, account.cpu_usec);
        XT_LT_INT(account.cpu_usec, 10000000); /* of this one alone */
    }
    xt_ctx_free(ctx);
    xg_end(&g);
}

XT_TEST(a_cgroup_that_is_killed_is_ours, "C33 C13")
{
    libxl_ctx *ctx;
    libxl_childproc_spec spec = asked(XT_CHILD("pause"));
    libxl_childproc_account account;
    libxl_childproc_id id;
    struct xg_group g;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spec.cgroup = g.path;
    spec.kill.scope = LIBXL_KILL_CGROUP;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP));
    (void)xt_wait(ctx, id);
    account = take(ctx, id);
    by_us(&account, LIBXL_ENDED_KILL, SIGKILL);
    account = run(ctx, &spec, 20, ERROR_TIMEDOUT);
    by_us(&account, LIBXL_ENDED_TIMEOUT, SIGKILL);
    xt_ctx_free(ctx);
    xg_end(&g);
}

/* Whoever else is in a cgroup that we kill was perhaps ended by that. */
XT_TEST(a_neighbour_in_a_killed_cgroup_is_not_others_for_certain, "C33 C13")
{
    libxl_ctx *ctx;
    libxl_childproc_spec spec = asked(XT_CHILD("pause"));
    libxl_childproc_account account;
    libxl_childproc_id id, neighbour;
    struct xg_group g;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spec.cgroup = g.path;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    neighbour = xt_spawn(ctx, &spec, NULL, NULL);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP));
    (void)xt_wait(ctx, id);
    account = take(ctx, id);
    by_us(&account, LIBXL_ENDED_KILL, SIGKILL);
    (void)xt_wait(ctx, neighbour);
    account = take(ctx, neighbour);
    by(&account, LIBXL_ENDED_OTHERS, 1);
    xt_ctx_free(ctx);
    xg_end(&g);
}

XT_TEST(a_family_that_is_ended_is_ended_by_us, "C33")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = asked(XT_CHILD("pause"));
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_family_opts opts;
    libxl_family_id family;
    libxl_childproc_id id;

    libxl_family_opts_init(&opts);
    XT_OK(libxl_family_new(ctx, &opts, &family));
    spec.family = family;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    XT_OK(libxl_family_end(ctx, family, SIGTERM, 10000));
    r = xt_wait(ctx, id);
    account = take(ctx, id);
    /* SIGKILL, where nobody in a cgroup can be signalled for want of pidfds */
    XT_TRUE(WIFSIGNALED(r.status));
    by_us(&account, LIBXL_ENDED_KILL, WTERMSIG(r.status));
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

/* Three children that SIGKILL ends: for want of memory, by another process, and
 * by the timeout, in turn, in one cgroup. */
XT_TEST_SLOW(three_deaths_by_sigkill_are_told_apart, "C33", 60)
{
    libxl_ctx *ctx;
    libxl_childproc_spec eats = asked(XT_CHILD("eat", "64"));
    libxl_childproc_spec waits = asked(XT_CHILD("pause"));
    libxl_childproc_account account;
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xg_group g;
    pid_t pid;

    xg_new(&g);
    if (xg_set(&g, "memory.max", "16777216") != 0) {
        int reason = errno;

        xg_end(&g);
        XT_SKIP("no memory limit in a cgroup v2 here (make check-kernels has "
                "one): %s",
                strerror(reason));
    }
    (void)xg_set(&g, "memory.swap.max", "0");
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    eats.cgroup = waits.cgroup = g.path;
    for (int i = 0; i < ROUNDS; i++) {
        id = xt_spawn(ctx, &eats, NULL, NULL);
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, SIGKILL);
        account = take(ctx, id);
        by(&account, LIBXL_ENDED_MEMORY, account.pids_peak != 1);
        XT_EQ_INT(account.memory_kills, 1);

        id = xt_spawn(ctx, &waits, NULL, &pid);
        XT_LT_INT(1, pid);
        XT_SYS(kill(pid, SIGKILL));
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, SIGKILL);
        account = take(ctx, id);
        by(&account, LIBXL_ENDED_OTHERS, 0);
        XT_EQ_INT(account.memory_kills, 0);

        account = run(ctx, &waits, 1, ERROR_TIMEDOUT);
        by_us(&account, LIBXL_ENDED_TIMEOUT, SIGKILL);
        XT_EQ_INT(account.memory_kills, 0);
    }
    xt_ctx_free(ctx);
    xg_end(&g);
}
