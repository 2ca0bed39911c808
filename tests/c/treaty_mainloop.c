/* treaty_mainloop.c - the host owns SIGCHLD and reaps
 *
 * Contract lines C2, and of C6 the part about a status that the host never
 * passes on. treaty_programs.c shows with strace what these cases show by
 * looking at the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static libxl_ctx *mainloop_ctx(struct xt_log *log)
{
    return xt_ctx_new(libxl_sigchld_owner_mainloop, log);
}

/* A report by event, so that reports can be counted. */
static const libxl_childproc_report *by_event(libxl_ev_user user)
{
    static libxl_childproc_report report;

    memset(&report, 0, sizeof(report));
    report.kind = LIBXL_REPORT_EVENT;
    report.u.for_event = user;
    return &report;
}

/* Takes the one event there is; there must be no second. */
static libxl_childproc_result only_event(libxl_ctx *ctx, libxl_ev_user user)
{
    libxl_event *event = NULL, *second = NULL;
    libxl_childproc_result r;

    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    XT_EQ_INT(event->for_user, user);
    r = event->u.childproc_exit;
    libxl_event_free(ctx, event);
    XT_RC(libxl_event_check(ctx, &second, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    return r;
}

static void no_event(libxl_ctx *ctx)
{
    libxl_event *event = NULL;

    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
}

/* ---- nothing is touched ------------------------------------------------- */

static void never(int signo)
{
    (void)signo;
}

XT_TEST(no_signal_state_is_touched, "C2 C7")
{
    struct xh_action all[65], now, dfl = xh_action_get(SIGCHLD);
    sigset_t some, mask_before, mask;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    pid_t pid;
    int gate;

    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    xh_sigchld_install(never, SA_RESTART | SA_NODEFER, &some);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &some, NULL), 0);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &mask_before), 0);
    for (int n = 1; n <= 64; n++)
        all[n] = xh_action_get(n);

    ctx = mainloop_ctx(NULL);
    for (int step = 0; step < 3; step++) {
        if (step == 0)
            id = xh_spawn_held(ctx, XH_EXIT(3), NULL, by_event(1), &gate, &pid);
        if (step == 1) {
            xt_close(&gate);
            xh_await_zombie(pid);
            no_event(ctx);
        }
        if (step == 2) {
            libxl_childproc_result r;

            XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
            r = only_event(ctx, 1);
            XT_EXITED(&r, 3);
            XT_TRUE(r.id == id);
        }
        for (int n = 1; n <= 64; n++) {
            now = xh_action_get(n);
            XT_TRUE(xh_action_equal(&now, &all[n]));
        }
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
        XT_EQ_MEM(&mask, 8, &mask_before, 8);
        XT_EQ_INT(xh_diagnose(ctx).handler_wanted, 0);
        XT_EQ_INT(xh_diagnose(ctx).handler_installed, 0);
    }
    xt_ctx_free(ctx);
    XT_EQ_INT(pthread_sigmask(SIG_UNBLOCK, &some, NULL), 0);
    xh_action_set(SIGCHLD, &dfl);
}

/* However much the ctx is pumped, the zombie stays the host's. */
XT_TEST(nothing_is_reaped_behind_the_hosts_back, "C2 C6")
{
    libxl_ctx *ctx = mainloop_ctx(NULL);
    libxl_childproc_result r;
    libxl_event *event;
    pid_t ours, theirs;

    xt_spawn_argv(ctx, XT_CHILD("exit", "3"), by_event(2), &ours);
    theirs = xh_fork_exit(4);
    xh_await_zombie(ours);
    xh_await_zombie(theirs);
    for (int i = 0; i < 100; i++)
        no_event(ctx);
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 50, 0),
          ERROR_TIMEDOUT);
    XT_EQ_INT(xh_is_zombie(ours), 1);
    XT_EQ_INT(xh_is_zombie(theirs), 1);
    XT_OK(libxl_childproc_exited(ctx, ours, xh_reap(ours)));
    r = only_event(ctx, 2);
    XT_EXITED(&r, 3);
    XT_EQ_INT(r.source, LIBXL_SOURCE_PASSED);
    XT_EQ_INT(WEXITSTATUS(xh_reap(theirs)), 4);
    xt_ctx_free(ctx);
}

/* ---- libxl_childproc_exited --------------------------------------------- */

XT_TEST(exited_takes_ours_once_and_no_others, "C2 C5")
{
    struct xt_log log;
    libxl_ctx *ctx = mainloop_ctx(&log);
    libxl_childproc_result r;
    pid_t ours, theirs;
    int status, said;

    xt_spawn_argv(ctx, XT_CHILD("signal", "SIGUSR2"), by_event(3), &ours);
    theirs = xh_fork_exit(4);
    said = xt_log_count(&log, LIBXL_LOG_INFO, NULL);
    XT_RC(libxl_childproc_exited(ctx, theirs, xh_reap(theirs)),
          ERROR_NOT_READY);
    status = xh_reap(ours);
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    XT_RC(libxl_childproc_exited(ctx, ours, status), ERROR_NOT_READY);
    r = only_event(ctx, 3);
    XT_SIGNALED(&r, SIGUSR2);
    XT_EQ_INT(r.pid, ours);
    XT_RC(libxl_childproc_exited(ctx, ours, status), ERROR_NOT_READY);
    /* Silently. */
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_INFO, NULL), said);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(exited_refuses_what_is_no_pid, "C2 C13 X5")
{
    static const pid_t odd[] = {0, 1, -1, -2, -2147483647 - 1, 2147483647};
    libxl_ctx *ctx = mainloop_ctx(NULL);
    libxl_childproc_result r;
    pid_t ours;
    int gate;

    xh_spawn_held(ctx, XH_EXIT(8), NULL, by_event(4), &gate, &ours);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        XT_RC(libxl_childproc_exited(ctx, odd[i], 0), ERROR_NOT_READY);
    XT_RC(libxl_childproc_exited(ctx, getpid(), 0), ERROR_NOT_READY);
    XT_RC(libxl_childproc_exited(NULL, ours, 0), ERROR_NOT_READY);
    no_event(ctx);
    xt_close(&gate);
    XT_OK(libxl_childproc_exited(ctx, ours, xh_reap(ours)));
    r = only_event(ctx, 4);
    XT_EXITED(&r, 8);
    xt_ctx_free(ctx);
}

XT_TEST(a_stop_passed_on_is_no_end, "C2 C5")
{
    libxl_ctx *ctx = mainloop_ctx(NULL);
    libxl_childproc_result r;
    pid_t ours;
    int status;

    xt_spawn_argv(ctx, XT_CHILD("stop", "exit", "6"), by_event(5), &ours);
    XT_EQ_INT(XT_SYS(waitpid(ours, &status, WUNTRACED)), ours);
    XT_TRUE(WIFSTOPPED(status));
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    no_event(ctx);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    XT_GT_INT(ours, 1);
    XT_SYS(kill(ours, SIGCONT));
    status = xh_reap(ours);
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    r = only_event(ctx, 5);
    XT_EXITED(&r, 6);
    xt_ctx_free(ctx);
}

XT_TEST(exited_belongs_to_the_mainloop_mode, "C2 X5")
{
    static const libxl_sigchld_owner other[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        struct xt_log log;
        libxl_ctx *ctx = xt_ctx_new(other[i], &log);
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t pid;
        int gate, said;

        id = xh_spawn_held(ctx, XH_EXIT(9), NULL, NULL, &gate, &pid);
        said = xt_log_count(&log, LIBXL_LOG_WARNING, NULL);
        XT_RC(libxl_childproc_exited(ctx, pid, 0), ERROR_NOT_READY);
        XT_GT_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), said);
        libxl_childproc_sigchld_occurred(ctx); /* harmless */
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 9);
        xt_ctx_free(ctx);
        xt_log_dispose(&log);
    }
}

/* ---- libxl_childproc_sigchld_occurred ----------------------------------- */

XT_TEST(sigchld_occurred_reaps_only_ours, "C2 C3")
{
    libxl_ctx *ctx = mainloop_ctx(NULL);
    pid_t ours[20], theirs[20];

    for (int i = 0; i < 20; i++) {
        struct xh_argv words;

        xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i * 17)), by_event(i),
                      &ours[i]);
        theirs[i] = xh_fork_exit(i);
    }
    for (int i = 0; i < 20; i++) {
        xh_await_zombie(ours[i]);
        xh_await_zombie(theirs[i]);
    }
    no_event(ctx);
    libxl_childproc_sigchld_occurred(ctx);
    for (int i = 0; i < 20; i++) {
        libxl_event *event = NULL;

        XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        XT_LT_INT(event->for_user, 20);
        XT_EQ_INT(event->u.childproc_exit.pid, ours[event->for_user]);
        XT_EQ_INT(event->u.childproc_exit.source, LIBXL_SOURCE_REAPED);
        XH_ENDED(&event->u.childproc_exit, xh_end_of(event->for_user * 17));
        ours[event->for_user] = 0;
        libxl_event_free(ctx, event);
    }
    no_event(ctx);
    for (int i = 0; i < 20; i++) {
        XT_EQ_INT(ours[i], 0);
        XT_EQ_INT(xh_is_zombie(theirs[i]), 1);
        XT_EQ_INT(WEXITSTATUS(xh_reap(theirs[i])), i);
    }
    xt_ctx_free(ctx);
}

/* A start that fails has a process of the library's to reap, which the host
 * never learns of. */
XT_TEST(a_failed_start_leaves_the_host_nothing, "C2 C15")
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    libxl_ctx *ctx = mainloop_ctx(NULL);
    libxl_childproc_spec spec = xt_spec(argv);
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};

    XT_RC(libxl_childproc_spawn(ctx, &spec, by_event(1), NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(failure.errnoval, ENOENT);
    XH_NO_CHILDREN();
    no_event(ctx);
    xt_ctx_free(ctx);
}

/* ---- a whole loop ------------------------------------------------------- */

static int wake[2];

static void on_sigchld(int signo)
{
    int saved = errno;

    (void)signo;
    if (write(wake[1], "", 1) < 0 && errno != EAGAIN)
        _exit(1);
    errno = saved;
}

/* Two contexts and the host's own children, one loop that reaps for all. */
XT_TEST(a_host_that_reaps_for_two_contexts, "C2 C5 X3 defect-7")
{
    enum { EACH = 60 };
    struct xh_action dfl = xh_action_get(SIGCHLD);
    int own_left = EACH, seen[2][EACH] = {{0}};
    libxl_ctx *ctx[2] = {mainloop_ctx(NULL), mainloop_ctx(NULL)};
    struct xh_end own_end[EACH];
    pid_t own[EACH];
    int done = 0;

    XT_SYS(pipe2(wake, O_CLOEXEC | O_NONBLOCK));
    xh_sigchld_install(on_sigchld, SA_RESTART, NULL);
    for (int i = 0; i < EACH; i++) {
        struct xh_argv words;

        for (int k = 0; k < 2; k++)
            xt_spawn_argv(ctx[k], xh_end_argv(&words, xh_end_of(i * 5 + k)),
                          by_event(i), NULL);
        own_end[i] = xh_end_of(i * 5 + 2);
        own[i] = xh_fork(own_end[i]);
    }
    while (own_left || done < 2 * EACH) {
        struct pollfd fds[3] = {{wake[0], POLLIN, 0},
                                {libxl_ctx_fileno(ctx[0]), POLLIN, 0},
                                {libxl_ctx_fileno(ctx[1]), POLLIN, 0}};
        char drain[256];
        int status;
        pid_t pid;

        if (poll(fds, 3, -1) < 0)
            XT_EQ_INT(errno, EINTR);
        while (read(wake[0], drain, sizeof(drain)) > 0)
            ;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            int rc = libxl_childproc_exited(ctx[0], pid, status);
            int i;

            if (rc == ERROR_NOT_READY)
                rc = libxl_childproc_exited(ctx[1], pid, status);
            if (!rc)
                continue;
            XT_RC(rc, ERROR_NOT_READY);
            for (i = 0; i < EACH && own[i] != pid; i++)
                ;
            XT_LT_INT(i, EACH);
            XT_EQ_INT(status, xh_end_status(own_end[i]));
            own[i] = 0;
            own_left--;
        }
        for (int k = 0; k < 2; k++) {
            libxl_event *event = NULL;

            while (!libxl_event_check(ctx[k], &event, LIBXL_EVENTMASK_ALL, NULL,
                                      NULL)) {
                XT_LT_INT(event->for_user, EACH);
                XH_ENDED(&event->u.childproc_exit,
                         xh_end_of(event->for_user * 5 + k));
                XT_EQ_INT(seen[k][event->for_user]++, 0);
                libxl_event_free(ctx[k], event);
                done++;
            }
        }
    }
    XT_EQ_INT(own_left, 0);
    XT_EQ_INT(done, 2 * EACH);
    xt_ctx_free(ctx[0]);
    xt_ctx_free(ctx[1]);
    xh_action_set(SIGCHLD, &dfl);
    xt_close(&wake[0]);
    xt_close(&wake[1]);
}

/* ---- a status that is never passed on ----------------------------------- */

static libxl_childproc_spec with_grace(int ms)
{
    libxl_childproc_spec spec = xt_spec(NULL);

    spec.exited_grace_ms = ms;
    return spec;
}

XT_TEST(the_grace_is_a_second_unless_set, "C6")
{
    libxl_childproc_spec spec = xt_spec(NULL);

    XT_EQ_INT(spec.exited_grace_ms, 1000);
}

static void report_after_grace(int grace_ms)
{
    int exit_info = xp_recovers();
    libxl_childproc_spec spec = with_grace(grace_ms);
    struct xt_log log;
    libxl_ctx *ctx = mainloop_ctx(&log);
    libxl_childproc_result r;
    long long reaped_at;
    pid_t ours;
    int gate, status;

    if (!xp_pidfds())
        XT_SKIP("without pidfds nothing tells that the host reaped a child");
    xh_spawn_held(ctx, XH_EXIT(77), &spec, by_event(6), &gate, &ours);
    xt_close(&gate);
    xh_await_zombie(ours);
    no_event(ctx);
    reaped_at = xt_now_ms();
    status = xh_reap(ours);
    r = only_event(ctx, 6);
    XT_GE_INT(xt_now_ms() - reaped_at, grace_ms - 1);
    XT_EQ_INT(r.pid, ours);
    if (exit_info) {
        XT_EXITED(&r, 77);
        XT_EQ_INT(r.source, LIBXL_SOURCE_PIDFD);
    } else {
        XT_EQ_INT(r.lost, LIBXL_LOST_NOT_PASSED);
        XT_EQ_INT(r.source, LIBXL_SOURCE_NONE);
        XT_EQ_INT(r.status, 0);
    }
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 1);

    /* The host's late word is taken once, and reports nothing. */
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    no_event(ctx);
    XT_RC(libxl_childproc_exited(ctx, ours, status), ERROR_NOT_READY);
    no_event(ctx);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(a_status_never_passed_on_comes_after_the_grace, "C6 defect-5")
{
    report_after_grace(150);
}

XT_TEST(the_default_grace_is_kept, "C6 defect-5")
{
    report_after_grace(1000);
}

XT_TEST(a_status_passed_on_within_the_grace_is_the_report, "C6 C5")
{
    libxl_childproc_spec spec = with_grace(600000);
    struct xt_log log;
    libxl_ctx *ctx = mainloop_ctx(&log);
    libxl_childproc_result r;
    libxl_event *event;
    pid_t ours;
    int gate, status;

    xh_spawn_held(ctx, XH_SIGNAL(SIGKILL), &spec, by_event(7), &gate, &ours);
    xt_close(&gate);
    xh_await_zombie(ours);
    no_event(ctx);
    status = xh_reap(ours);
    /* The library sees that it is gone, and waits for the host's word. */
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 100, 0),
          ERROR_TIMEDOUT);
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    r = only_event(ctx, 7);
    XT_SIGNALED(&r, SIGKILL);
    XT_EQ_INT(r.source, LIBXL_SOURCE_PASSED);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 0);
    XT_RC(libxl_childproc_exited(ctx, ours, status), ERROR_NOT_READY);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

/* The host sees to others by way of the library, while it has a status in its
 * hands. */
XT_TEST(sigchld_occurred_leaves_what_the_host_reaped_its_grace, "C6 C2")
{
    libxl_childproc_spec spec = with_grace(600000);
    libxl_ctx *ctx = mainloop_ctx(NULL);
    libxl_childproc_result r;
    pid_t ours;
    int gate, status;

    xh_spawn_held(ctx, XH_EXIT(9), &spec, by_event(7), &gate, &ours);
    xt_close(&gate);
    xh_await_zombie(ours);
    status = xh_reap(ours);
    for (int i = 0; i < 2; i++) {
        libxl_childproc_sigchld_occurred(ctx);
        no_event(ctx);
    }
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    r = only_event(ctx, 7);
    XT_EXITED(&r, 9);
    XT_EQ_INT(r.source, LIBXL_SOURCE_PASSED);
    xt_ctx_free(ctx);
}

/* While the host waits for its loop to come round, the pid may be another
 * child's already: the late word is for the first of them only. */
XT_TEST(a_late_word_is_not_for_the_next_owner_of_the_pid, "C6 C13")
{
    libxl_childproc_spec spec = with_grace(50);
    libxl_ctx *ctx = mainloop_ctx(NULL);
    libxl_childproc_result r;
    pid_t ours, again;
    int gate, status;

    if (!xp_pidfds())
        XT_SKIP("without pidfds nothing tells that the host reaped a child");
    if (!xp_clone3())
        XT_SKIP("a pid of choice needs clone3, which is refused here");
    xh_spawn_held(ctx, XH_EXIT(1), &spec, by_event(8), &gate, &ours);
    xt_close(&gate);
    xh_await_zombie(ours);
    status = xh_reap(ours);
    r = only_event(ctx, 8);
    XT_EQ_INT(r.pid, ours);
    again = xh_fork_as(ours);
    if (!again)
        xh_end_now(XH_EXIT(2));
    if (again < 0) {
        xt_ctx_free(ctx);
        XT_SKIP("a pid of choice is not to be had: %s", strerror(errno));
    }
    /* The host's words, in order: the first pid's, then the host's own. */
    XT_OK(libxl_childproc_exited(ctx, ours, status));
    XT_RC(libxl_childproc_exited(ctx, again, xh_reap(again)), ERROR_NOT_READY);
    no_event(ctx);
    xt_ctx_free(ctx);
}

/* Several ends that are never passed on: each has its own grace. */
XT_TEST(many_statuses_never_passed_on, "C6 C5 C8")
{
    enum { N = 40 };
    int exit_info = xp_recovers(), seen[N] = {0};
    libxl_childproc_spec spec = with_grace(100);
    libxl_ctx *ctx = mainloop_ctx(NULL);
    pid_t pid[N];

    if (!xp_pidfds())
        XT_SKIP("without pidfds nothing tells that the host reaped a child");
    for (int i = 0; i < N; i++) {
        struct xh_argv words;

        spec.argv = xh_end_argv(&words, xh_end_of(i * 3));
        xt_spawn(ctx, &spec, by_event(i), &pid[i]);
    }
    for (int i = 0; i < N; i++)
        xh_reap(pid[i]);
    for (int i = 0; i < N; i++) {
        libxl_event *event = NULL;

        XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        XT_LT_INT(event->for_user, N);
        XT_EQ_INT(seen[event->for_user]++, 0);
        if (exit_info)
            XH_ENDED(&event->u.childproc_exit, xh_end_of(event->for_user * 3));
        else
            XT_EQ_INT(event->u.childproc_exit.lost, LIBXL_LOST_NOT_PASSED);
        libxl_event_free(ctx, event);
    }
    no_event(ctx);
    xt_ctx_free(ctx);
}
