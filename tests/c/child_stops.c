/* child_stops.c - stopped and continued children, for whoever asks
 *
 * Contract lines E1, C4, C5 and C6 for LIBXL_SPAWN_REPORT_STOPS. That a stop
 * is no end is in child_status.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"

static libxl_event *next(libxl_ctx *ctx)
{
    libxl_event *event = NULL;

    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    return event;
}

static void expect_stop(libxl_ctx *ctx, libxl_event_type type,
                        libxl_childproc_id id, pid_t pid, int signo)
{
    libxl_event *event = next(ctx);

    XT_EQ_INT(event->type, type);
    XT_EQ_INT(event->for_user, 77);
    XT_TRUE(event->u.childproc_stopped.id == id);
    XT_EQ_INT(event->u.childproc_stopped.pid, pid);
    XT_EQ_INT(event->u.childproc_stopped.signo, signo);
    libxl_event_free(ctx, event);
}

static void no_event(libxl_ctx *ctx)
{
    libxl_event *event = NULL;

    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
}

/* It has stopped by now, and nobody has taken note of it. */
static void await_stop(pid_t pid)
{
    siginfo_t info;

    XT_SYS(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT));
}

/* A child that stops itself, and ends with 4 when *ret_gate is closed. In a
 * group of its own, whose parent is in the session: SIGTSTP stops it. */
static libxl_childproc_id spawn_stopping(libxl_ctx *ctx, unsigned flags,
                                         int *ret_gate, pid_t *ret_pid)
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("stop", "hold-fd", "5", "exit", "4"));
    libxl_childproc_fd fd;
    libxl_childproc_id id;
    int gate[2];

    xt_pipe(gate);
    fd = (libxl_childproc_fd){5, gate[0]};
    spec.fds = &fd;
    spec.nfds = 1;
    spec.flags = flags | LIBXL_SPAWN_NEW_GROUP;
    report.u.for_event = 77;
    id = xt_spawn(ctx, &spec, &report, ret_pid);
    xt_close(&gate[0]);
    *ret_gate = gate[1];
    return id;
}

static void expect_exit(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_event *event = next(ctx);

    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    XT_TRUE(event->u.childproc_exit.id == id);
    XT_EXITED(&event->u.childproc_exit, 4);
    libxl_event_free(ctx, event);
}

/* Each stop by its signal, each continuing, then the end; and SIGCHLD is back
 * where it was, in the modes that need it only meanwhile. */
XT_TEST(stops_are_told_on_request, "E1 C1 C4 C5 C6")
{
    static const struct {
        libxl_sigchld_owner owner;
        int always;
    } modes[] = {{libxl_sigchld_owner_none, 0},
                 {libxl_sigchld_owner_libxl, 0},
                 {libxl_sigchld_owner_libxl_always, 1},
                 {libxl_sigchld_owner_libxl_always_selective_reap, 1}};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        libxl_ctx *ctx = xt_ctx_new(modes[i].owner, NULL);
        struct xh_action before = xh_action_get(SIGCHLD);
        libxl_childproc_id id;
        pid_t pid;
        int gate;

        id = spawn_stopping(ctx, LIBXL_SPAWN_REPORT_STOPS, &gate, &pid);
        expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED, id, pid, SIGSTOP);
        for (int again = 0; again < 2; again++) {
            XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
            expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED, id, pid,
                        SIGCONT);
            XT_OK(libxl_childproc_kill(ctx, id, SIGTSTP, LIBXL_KILL_PROCESS));
            expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED, id, pid,
                        SIGTSTP);
        }
        XT_EQ_INT(xh_diagnose(ctx).handler_installed, 1);
        XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
        expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED, id, pid,
                    SIGCONT);
        xt_close(&gate);
        expect_exit(ctx, id);
        XH_SIGCHLD_IS(&before);
        XT_EQ_INT(xh_diagnose(ctx).handler_installed, modes[i].always);
        xt_ctx_free(ctx);
    }
}

/* Those of a child that did not ask, and of the host's own, are not. */
XT_TEST(other_stops_are_left_alone, "E1 C3 C4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id quiet, loud;
    pid_t quiet_pid, loud_pid, host;
    int quiet_gate, loud_gate, host_gate, status;

    host = xh_fork_held(XH_EXIT(5), &host_gate);
    XT_SYS(kill(host, SIGSTOP));
    await_stop(host);
    quiet = spawn_stopping(ctx, 0, &quiet_gate, &quiet_pid);
    await_stop(quiet_pid);
    loud = spawn_stopping(ctx, LIBXL_SPAWN_REPORT_STOPS, &loud_gate, &loud_pid);
    expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED, loud, loud_pid,
                SIGSTOP);
    no_event(ctx);
    XT_EQ_INT(waitpid(host, &status, WUNTRACED | WNOHANG), host);
    XT_TRUE(WIFSTOPPED(status));
    XT_SYS(kill(host, SIGCONT));
    XT_OK(libxl_childproc_kill(ctx, quiet, SIGCONT, LIBXL_KILL_PROCESS));
    xt_close(&quiet_gate);
    expect_exit(ctx, quiet);
    XT_OK(libxl_childproc_kill(ctx, loud, SIGKILL, LIBXL_KILL_PROCESS));
    libxl_event_free(ctx, next(ctx));
    xt_close(&loud_gate);
    xt_close(&host_gate);
    XT_EQ_INT(xh_reap(host), 5 << 8);
    xt_ctx_free(ctx);
}

/* A detached child stops, goes on and ends in silence; the next one does
 * not. */
static void detached_in(libxl_sigchld_owner owner)
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_childproc_id id, other;
    libxl_event *event;
    pid_t pid, other_pid;
    int gate, other_gate;

    id = spawn_stopping(ctx, LIBXL_SPAWN_REPORT_STOPS, &gate, &pid);
    await_stop(pid);
    XT_OK(libxl_childproc_detach(ctx, id));
    /* with pidfds it was there for this child's stops alone */
    XT_EQ_INT(xh_diagnose(ctx).handler_installed,
              xh_diagnose(ctx).mode_in_force != libxl_sigchld_owner_none);
    no_event(ctx);
    other = spawn_stopping(ctx, LIBXL_SPAWN_REPORT_STOPS, &other_gate,
                           &other_pid);
    expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED, other, other_pid,
                SIGSTOP);
    no_event(ctx);
    XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
    xt_close(&gate);
    while (libxl_childproc_count(ctx) > 1)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 10, 0),
              ERROR_TIMEDOUT);
    XT_OK(libxl_childproc_kill(ctx, other, SIGCONT, LIBXL_KILL_PROCESS));
    expect_stop(ctx, LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED, other, other_pid,
                SIGCONT);
    xt_close(&other_gate);
    expect_exit(ctx, other);
    XH_NO_CHILDREN();
    XH_SIGCHLD_IS(&before);
    xt_ctx_free(ctx);
}

XT_TEST(a_detached_childs_stops_are_not_told, "C5 E1")
{
    detached_in(libxl_sigchld_owner_none);
    detached_in(libxl_sigchld_owner_libxl);
    detached_in(libxl_sigchld_owner_libxl_always_selective_reap);
}

static void stop_and_await(pid_t pid)
{
    siginfo_t info;

    XT_GT_INT(pid, 1);
    XT_SYS(kill(pid, SIGSTOP));
    XT_SYS(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT));
}

struct stopped {
    libxl_ctx *ctx;
    libxl_childproc_id id;
    pid_t pid;
    int stops;
};

/* The child's end is noticed, and the child forgotten, before its stop has
 * been told. */
static void end_it(void *user, libxl_event *event)
{
    struct stopped *s = user;
    libxl_event *other;

    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED);
    XT_TRUE(event->u.childproc_stopped.id == s->id);
    s->stops++;
    XT_OK(libxl_childproc_kill(s->ctx, s->id, SIGKILL, LIBXL_KILL_PROCESS));
    xh_await_zombie(s->pid);
    while (libxl_childproc_count(s->ctx) > 0)
        XT_RC(libxl_event_wait_many(s->ctx, &other, 1, LIBXL_EVENTMASK_ALL, 10,
                                    0),
              ERROR_TIMEDOUT);
    libxl_event_free(s->ctx, event);
}

XT_TEST(a_child_may_go_while_its_stop_is_told, "C5 E4")
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_NONE};
    libxl_event_hooks hooks = {LIBXL_EVENTMASK_ALL, end_it, NULL, 0};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    struct stopped s = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL)};
    libxl_event *event;

    XT_OK(libxl_event_register_callbacks(s.ctx, &hooks, &s));
    spec.flags |= LIBXL_SPAWN_REPORT_STOPS;
    s.id = xt_spawn(s.ctx, &spec, &report, &s.pid);
    stop_and_await(s.pid);
    XT_RC(libxl_event_check(s.ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_EQ_INT(s.stops, 1);
    XH_NO_CHILDREN();
    xt_ctx_free(s.ctx);
}

/* In mainloop mode stops are the host's to see. */
XT_TEST(not_where_the_host_reaps, "C2 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};

    spec.flags = LIBXL_SPAWN_REPORT_STOPS;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_ARGUMENT);
    XT_EQ_STR(failure.argument, "flags");
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* A start that fails leaves no handler behind. */
XT_TEST(a_failed_start_wants_no_stops, "C4 C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));

    spec.flags = LIBXL_SPAWN_REPORT_STOPS;
    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
          ERROR_SPAWN);
    XH_SIGCHLD_IS(&before);
    xt_ctx_free(ctx);
}
