/* child_status.c - one report a child, and the status never lies
 *
 * Contract lines C5 and C6 in the modes that reap by themselves: every status
 * there is, callbacks that do odd things, and waits elsewhere in the process
 * that take a status away. mainloop's part is in treaty_mainloop.c; thieves
 * that never sleep are in race_thief.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "hostchild.h"
#include "probe.h"

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_REAPING (sizeof(reaping) / sizeof(reaping[0]))

/* ---- every status ------------------------------------------------------- */

XT_TEST_SLOW(every_exit_code_and_signal, "C6 C5", 60)
{
    enum { N = 256 + 40 };
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id[N];
    struct xh_argv words;

    XT_EQ_INT(xh_end_of(N - 1).signo, 61); /* each kind once */
    XT_EQ_INT(xh_end_of(N).signo, 0);
    for (int i = 0; i < N; i++)
        id[i] =
            xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i)), NULL, NULL);
    for (int i = 0; i < N; i++) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        XH_ENDED(&r, xh_end_of(i));
        XT_EQ_INT(r.status, xh_end_status(xh_end_of(i)));
        XT_EQ_INT(r.source, LIBXL_SOURCE_REAPED);
        XT_EQ_INT(r.lost, LIBXL_LOST_NONE);
        XT_EQ_INT(r.has_rusage, 1);
    }
    xt_ctx_free(ctx);
}

/* The core-dump bit is the kernel's, too: it is set where the same end of a
 * child of the host's has it. */
static void die(int signo)
{
    signal(signo, SIG_DFL);
    raise(signo);
    _exit(1);
}

XT_TEST(signals_that_dump_core, "C6")
{
    static const int dumping[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    struct rlimit hosts;
    char *dir;

    if (xt_on_valgrind())
        XT_SKIP("valgrind dumps core in the kernel's place");
    dir = xt_tmpdir();
    XT_SYS(getrlimit(RLIMIT_CORE, &hosts));
    for (size_t i = 0; i < 2 * sizeof(dumping) / sizeof(dumping[0]); i++) {
        int signo = dumping[i / 2], dumps = i % 2, expected;
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_rlimit limit = {RLIMIT_CORE, hosts};
        libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t pid;

        limit.limit.rlim_cur = dumps ? hosts.rlim_max : 0;
        pid = XT_SYS(fork());
        if (!pid) {
            if (chdir(dir) || setrlimit(RLIMIT_CORE, &limit.limit))
                _exit(1);
            die(signo);
        }
        expected = xh_reap(pid);
        XT_EQ_INT(WTERMSIG(expected), signo);
        spec.rlimits = &limit;
        spec.nrlimits = 1;
        spec.cwd = dir;
        id = xt_spawn(ctx, &spec, NULL, NULL);
        XT_OK(libxl_childproc_kill(ctx, id, signo, LIBXL_KILL_PROCESS));
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, signo);
        XT_EQ_INT(r.status, expected);
        xt_ctx_free(ctx);
    }
    xt_tmpdir_remove(dir);
}

/* What it has used is the kernel's word, too: its share of what all of this
 * process's children have. */
XT_TEST(its_usage_is_the_kernels, "C6")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        struct rusage before, after;
        libxl_childproc_result r;

        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "0"), NULL, NULL));
        XT_EXITED(&r, 0); /* whatever the first start tries out is done */
        XT_SYS(getrusage(RUSAGE_CHILDREN, &before));
        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("ids"), NULL, NULL));
        XT_SYS(getrusage(RUSAGE_CHILDREN, &after));
        XT_EQ_INT(r.has_rusage, 1);
        XT_GT_INT(r.rusage.ru_minflt, 0);
        XT_EQ_INT(r.rusage.ru_minflt, after.ru_minflt - before.ru_minflt);
        XT_EQ_INT(r.rusage.ru_nvcsw, after.ru_nvcsw - before.ru_nvcsw);
        XT_GT_INT(r.rusage.ru_maxrss, 0);
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_stopped_child_has_not_ended, "C5 C6")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        siginfo_t info;
        pid_t pid;

        id = xt_spawn_argv(ctx, XT_CHILD("stop", "exit", "9"), NULL, &pid);
        XT_SYS(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
        XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_TIMEDOUT);
        XT_EQ_INT(libxl_childproc_count(ctx), 1);
        XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 9);
        xt_ctx_free(ctx);
    }
}

/* ---- exactly one report ------------------------------------------------- */

struct reported {
    libxl_ctx *ctx;
    int n;
    int count_inside;
    int kill_inside, detach_inside, lookup_inside, wait_inside;
    int other_free_inside, own_free_inside;
    libxl_ctx *other;
    libxl_childproc_id started;
    libxl_childproc_result r;
};

static void odd_callback(libxl_ctx *ctx, const libxl_childproc_result *result,
                         void *user)
{
    struct reported *t = user;
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xh_argv words;

    t->n++;
    t->r = *result;
    t->kill_inside =
        libxl_childproc_kill(ctx, result->id, SIGTERM, LIBXL_KILL_PROCESS);
    t->detach_inside = libxl_childproc_detach(ctx, result->id);
    t->lookup_inside = libxl_childproc_lookup(ctx, result->pid, &id);
    t->wait_inside = libxl_childproc_wait(ctx, result->id, 0, 0, &r);
    t->count_inside = libxl_childproc_count(ctx);
    t->started =
        xt_spawn_argv(ctx, xh_end_argv(&words, XH_EXIT(99)), NULL, NULL);
    t->own_free_inside = libxl_ctx_free(ctx);
    t->other_free_inside = libxl_ctx_free(t->other);
}

XT_TEST(the_entry_is_gone_before_the_callback, "C5 C13 E4 X2")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        struct reported t;
        libxl_childproc_report report = {.kind = LIBXL_REPORT_CALLBACK,
                                         .callback = odd_callback};
        libxl_childproc_result r;
        libxl_event *event;
        libxl_childproc_id id;
        pid_t pid;

        memset(&t, 0, sizeof(t));
        t.ctx = xt_ctx_new(reaping[i], NULL);
        t.other = xt_ctx_new(reaping[i], NULL);
        report.u.for_callback = &t;
        id = xt_spawn_argv(t.ctx, XT_CHILD("exit", "98"), &report, &pid);
        while (!t.n)
            XT_RC(libxl_event_wait_many(t.ctx, &event, 1, 0, 5, 0),
                  ERROR_TIMEDOUT);
        XT_EQ_INT(t.n, 1);
        XT_TRUE(t.r.id == id);
        XT_EQ_INT(t.r.pid, pid);
        XT_EXITED(&t.r, 98);
        XT_EQ_INT(t.kill_inside, ERROR_NOTFOUND);
        XT_EQ_INT(t.detach_inside, ERROR_NOTFOUND);
        XT_EQ_INT(t.lookup_inside, ERROR_NOTFOUND);
        XT_EQ_INT(t.wait_inside, ERROR_NOTFOUND);
        XT_EQ_INT(t.count_inside, 0);
        XT_EQ_INT(t.own_free_inside, ERROR_BUSY);
        XT_EQ_INT(t.other_free_inside, 0);
        r = xt_wait(t.ctx, t.started);
        XT_EXITED(&r, 99);
        for (int k = 0; k < 10; k++)
            xh_pump(t.ctx);
        XT_EQ_INT(t.n, 1);
        xt_ctx_free(t.ctx);
    }
}

static void count_report(libxl_ctx *ctx, const libxl_childproc_result *result,
                         void *user)
{
    struct reported *t = user;

    (void)ctx;
    t->n++;
    t->r = *result;
}

/* By hold, event, callback, in silence: each by its own way only. */
XT_TEST(each_report_by_its_own_way, "C5 E1")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        struct reported t;
        libxl_childproc_report by_event = {.kind = LIBXL_REPORT_EVENT},
                               by_callback = {.kind = LIBXL_REPORT_CALLBACK,
                                              .callback = count_report},
                               by_none = {.kind = LIBXL_REPORT_NONE};
        libxl_childproc_result r;
        libxl_childproc_id held;
        libxl_event *event = NULL, *second = NULL;
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);

        memset(&t, 0, sizeof(t));
        by_event.u.for_event = 4711;
        by_callback.u.for_callback = &t;
        held = xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, NULL);
        xt_spawn_argv(ctx, XT_CHILD("exit", "2"), &by_event, NULL);
        xt_spawn_argv(ctx, XT_CHILD("exit", "3"), &by_callback, NULL);
        xt_spawn_argv(ctx, XT_CHILD("exit", "4"), &by_none, NULL);
        while (libxl_childproc_count(ctx) > 1 || !t.n) {
            if (!event)
                XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                       NULL));
            else
                XT_RC(libxl_event_wait_many(ctx, &second, 1,
                                            LIBXL_EVENTMASK_ALL, 10, 0),
                      ERROR_TIMEDOUT);
        }
        XT_TRUE(event);
        XT_EQ_INT(event->for_user, 4711);
        XT_EXITED(&event->u.childproc_exit, 2);
        libxl_event_free(ctx, event);
        XT_EQ_INT(t.n, 1);
        XT_EXITED(&t.r, 3);
        r = xt_wait(ctx, held);
        XT_EXITED(&r, 1);
        XT_RC(libxl_childproc_wait(ctx, held, 0, 0, &r), ERROR_NOTFOUND);
        XT_RC(libxl_event_check(ctx, &second, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_NOT_READY);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}

/* ---- stolen ------------------------------------------------------------- */

/* Somebody's wait takes the status before the library looks. */
static void stolen(libxl_sigchld_owner owner, struct xh_end end)
{
    int exit_info = xp_recovers();
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_event *event = NULL, *second = NULL;
    libxl_childproc_result *r;
    struct xh_argv words;
    pid_t pid;
    int status;

    xt_spawn_argv(ctx, xh_end_argv(&words, end), &report, &pid);
    status = xh_reap(pid);
    XT_EQ_INT(status, xh_end_status(end));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    r = &event->u.childproc_exit;
    XT_EQ_INT(r->pid, pid);
    if (exit_info) {
        XH_ENDED(r, end);
        XT_EQ_INT(r->source, LIBXL_SOURCE_PIDFD);
    } else {
        XT_EQ_INT(r->lost, LIBXL_LOST_STOLEN);
        XT_EQ_INT(r->source, LIBXL_SOURCE_NONE);
        XT_EQ_INT(r->status, 0);
    }
    XT_EQ_INT(r->has_rusage, 0);
    libxl_event_free(ctx, event);
    XT_RC(libxl_event_check(ctx, &second, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    xt_ctx_free(ctx);
}

XT_TEST(a_stolen_status_is_no_lie, "C6 C5 defect-5")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        stolen(reaping[i], XH_EXIT(0));
        stolen(reaping[i], XH_EXIT(255));
        stolen(reaping[i], XH_EXIT(1));
        stolen(reaping[i], XH_SIGNAL(SIGKILL));
        stolen(reaping[i], XH_SIGNAL(SIGTERM));
    }
}

XT_TEST(lost_has_words, "C6")
{
    XT_TRUE(strcmp(libxl_childproc_lost_text(LIBXL_LOST_STOLEN),
                   libxl_childproc_lost_text(LIBXL_LOST_IGNORED)));
    XT_TRUE(strcmp(libxl_childproc_lost_text(LIBXL_LOST_STOLEN), "unknown"));
    XT_TRUE(
        strcmp(libxl_childproc_lost_text(LIBXL_LOST_NOT_PASSED), "unknown"));
    XT_TRUE(strcmp(libxl_childproc_lost_text(LIBXL_LOST_NOT_OURS), "unknown"));
    XT_EQ_STR(libxl_childproc_lost_text((libxl_childproc_lost)99), "unknown");
}

/* A thief takes one out of many: the others are as if nothing was. */
XT_TEST(a_theft_harms_no_other, "C6 C5 defect-5")
{
    enum { N = 60 };
    int exit_info = xp_recovers();

    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_childproc_id id[N];
        pid_t pid[N];

        for (int k = 0; k < N; k++) {
            struct xh_argv words;

            id[k] = xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(k * 4)),
                                  NULL, &pid[k]);
            /* at once: the next start reaps what has ended */
            if (k % 3 == 0)
                xh_reap(pid[k]);
        }
        for (int k = 0; k < N; k++) {
            libxl_childproc_result r = xt_wait(ctx, id[k]);

            XT_EQ_INT(r.pid, pid[k]);
            if (k % 3 || exit_info) {
                XH_ENDED(&r, xh_end_of(k * 4));
                XT_EQ_INT(r.source,
                          k % 3 ? LIBXL_SOURCE_REAPED : LIBXL_SOURCE_PIDFD);
            } else {
                XT_EQ_INT(r.lost, LIBXL_LOST_STOLEN);
            }
        }
        xt_ctx_free(ctx);
    }
}

/* Without pidfds a child is known by its number, which is another's once
 * somebody has reaped it: then it is not asked for any more, nor signalled. */
static pid_t wished; /* 0: any */

static pid_t fork_as_wished(void *user)
{
    (void)user;
    return wished ? xh_fork_as(wished) : fork();
}

XT_TEST(the_number_of_a_stolen_child_is_anothers, "C6 C13")
{
    libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
        .fork_replacement = fork_as_wished};
    libxl_childproc_result r;
    libxl_childproc_id first, second = 0;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "2"));
    libxl_childproc_fd fds[1] = {{.target = 0}};
    libxl_ctx *ctx;
    pid_t pid, same = 0;
    int gate, second_gate[2], rc;

    if (!xp_clone3())
        XT_SKIP("a pid of choice needs clone3, which is refused here");
    xl_facility_limit(~(unsigned)LIBXL_FACILITY_PIDFD);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    first = xh_spawn_held(ctx, XH_EXIT(1), NULL, NULL, &gate, &pid);
    xt_close(&gate);
    (void)xh_reap(pid);
    wished = pid;
    xt_pipe(second_gate);
    fds[0].source = second_gate[0];
    spec.fds = fds;
    spec.nfds = 1;
    rc = libxl_childproc_spawn(ctx, &spec, NULL, &second, &same, NULL);
    if (rc)
        XT_SKIP("a pid of choice is not to be had: %s", strerror(errno));
    XT_EQ_INT(same, pid);
    XT_RC(libxl_childproc_kill(ctx, first, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    r = xt_wait(ctx, first);
    XT_EQ_INT(r.lost, LIBXL_LOST_STOLEN);
    XT_RC(libxl_childproc_wait(ctx, second, 0, 0, &r), ERROR_TIMEDOUT);
    xt_close(&second_gate[0]);
    xt_close(&second_gate[1]);
    r = xt_wait(ctx, second);
    XT_EXITED(&r, 2);
    xt_ctx_free(ctx);
}

/* ---- 127 and 255 -------------------------------------------------------- */

/* A program that cannot be executed is told apart from one that exits like a
 * shell that could not. */
XT_TEST(a_failed_exec_is_no_exit_status, "C15 C6 defect-6")
{
    const libxl_sigchld_owner mainloop = libxl_sigchld_owner_mainloop;

    for (size_t i = 0; i <= N_REAPING; i++) {
        libxl_sigchld_owner owner = i < N_REAPING ? reaping[i] : mainloop;
        libxl_ctx *ctx = xt_ctx_new(owner, NULL);
        const char *const nothing[] = {"/nonexistent/program", NULL};
        const char *const dir[] = {"/", NULL};
        libxl_childproc_spec spec = xt_spec(nothing);
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
        libxl_childproc_id id = 4711;
        pid_t pid = 4712;
        static const int code[] = {126, 127, 255};

        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, &failure),
              ERROR_SPAWN);
        XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
        XT_EQ_INT(failure.errnoval, ENOENT);
        spec.argv = dir;
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, &failure),
              ERROR_SPAWN);
        XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
        XT_EQ_INT(failure.errnoval, EACCES);
        spec = xt_spec(XT_CHILD("exit", "0"));
        spec.cwd = "/nonexistent";
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, &failure),
              ERROR_SPAWN);
        XT_EQ_INT(failure.stage, LIBXL_STAGE_CHDIR);
        XT_EQ_INT(failure.errnoval, ENOENT);
        XT_EQ_INT(id, 4711);
        XT_EQ_INT(pid, 4712);
        XH_NO_CHILDREN();

        for (int k = 0; k < 3; k++) {
            struct xh_argv words;
            libxl_childproc_result r;

            id = xt_spawn_argv(ctx, xh_end_argv(&words, XH_EXIT(code[k])), NULL,
                               &pid);
            if (owner == mainloop)
                XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
            r = xt_wait(ctx, id);
            XT_EXITED(&r, code[k]);
        }
        xt_ctx_free(ctx);
    }
}
