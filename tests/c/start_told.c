/* start_told.c - what is told of a start that nobody waited for
 *
 * Proves C31, and of C30 that a failure is the end (C15): to whomever it comes,
 * whoever takes it first. No start is told of what never ran.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hostchild.h"
#include "kernel/sys.h"
#include "operation.h"
#include "nowait.h"
#include "probe.h"
#include "slowexec.h"

/* ---- failures are ends -------------------------------------------------- */

XT_TEST(a_failure_is_the_end, "C15 C30 C5")
{
    for (size_t i = 0; i < XW_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(xw_reaping[i], NULL);
        libxl_childproc_report by_event = {.kind = LIBXL_REPORT_EVENT,
                                           .u.for_event = 9};
        libxl_childproc_spec spec = xw_spec(xw_nothing);
        libxl_childproc_failure failure;
        libxl_childproc_result r;
        libxl_childproc_id id;
        libxl_event *event;
        int rc;

        /* it may be quicker than the call: then that has it */
        rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure);
        if (rc == 0) {
            r = xt_wait(ctx, id);
            xw_not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
        } else {
            XT_RC(rc, ERROR_SPAWN);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
        }
        spec.argv = XT_CHILD("exit", "0");
        spec.cwd = "/nonexistent";
        rc = libxl_childproc_spawn(ctx, &spec, &by_event, &id, NULL, &failure);
        if (rc == 0) {
            event = xw_next_event(ctx);
            XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
            XT_EQ_INT(event->for_user, 9);
            XT_EQ_INT(event->u.childproc_exit.id, id);
            xw_not_started(&event->u.childproc_exit, LIBXL_STAGE_CHDIR, ENOENT);
            libxl_event_free(ctx, event);
        }
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}

struct called {
    int calls;
    libxl_childproc_result result;
};

static void on_end(libxl_ctx *ctx, const libxl_childproc_result *result,
                   void *user)
{
    struct called *called = user;

    (void)ctx;
    called->calls++;
    called->result = *result;
}

/* Held until the call has returned, so that it is the end for sure: told by a
 * callback, to an evenable, and to the log where nobody asked. */
XT_TEST(whoever_asked_is_told_of_the_failure, "C15 C30 E6")
{
    struct xt_log log;
    libxl_logger logger;
    libxl_ctx *ctx;
    struct called called = {0, {0}};
    libxl_childproc_report report = {.kind = LIBXL_REPORT_CALLBACK,
                                     .callback = on_end,
                                     .u.for_callback = &called};
    libxl_childproc_report none = {.kind = LIBXL_REPORT_NONE};
    libxl_childproc_spec spec = xw_spec(xw_nothing);
    libxl_evgen_childproc_exit *evgen;
    libxl_childproc_id id;
    libxl_event *event;

    xt_log_init(&log, &logger);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, &log);
    xw_hold();
    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 4, &evgen));
    id = xw_held_at_exec(ctx, &spec, &report, NULL);
    xe_let_go();
    event = xw_next_event(ctx);
    xw_not_started(&event->u.childproc_exit, LIBXL_STAGE_EXEC, ENOENT);
    XT_EQ_INT(event->for_user, 4);
    libxl_event_free(ctx, event);
    XT_EQ_INT(called.calls, 1);
    XT_EQ_INT(called.result.id, id);
    xw_not_started(&called.result, LIBXL_STAGE_EXEC, ENOENT);
    libxl_evdisable_childproc_exit(ctx, evgen);

    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, "never became"), 0);
    xt_spawn(ctx, &spec, &none, NULL);
    while (libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 5, 0), ERROR_TIMEDOUT);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, "never became"), 1);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
    xe_end();
}

/* A host's wait takes it: that it never was a program is known all the same,
 * on every kernel. */
XT_TEST(a_thief_takes_no_failure, "C6 C15 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xw_spec(xw_nothing);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    xw_hold();
    id = xw_held_at_exec(ctx, &spec, NULL, &pid);
    xe_let_go();
    XT_EQ_INT(waitpid(pid, NULL, 0), pid);
    r = xt_wait(ctx, id);
    xw_not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
    xt_ctx_free(ctx);
    xe_end();
}

XT_TEST(a_host_passes_a_failure_on, "C2 C15 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_spec spec = xw_spec(xw_nothing);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int status;

    xw_hold();
    id = xw_held_at_exec(ctx, &spec, NULL, &pid);
    xe_let_go();
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_OK(libxl_childproc_exited(ctx, pid, status));
    r = xt_wait(ctx, id);
    xw_not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
    xt_ctx_free(ctx);
    xe_end();
}

/* What the host says of a child that lives is believed, as ever; the child has
 * what it needs. */
XT_TEST(a_host_is_wrong_about_one_on_its_way, "C2 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "6"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    xw_hold();
    id = xw_held_at_exec(ctx, &spec, NULL, &pid);
    XT_OK(libxl_childproc_exited(ctx, pid, 7 << 8));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 7);
    xt_ctx_free(ctx);
    xe_let_go();
    XT_EQ_INT(xh_reap(pid), 6 << 8);
    xe_end();
}

/* ---- the start is told -------------------------------------------------- */

XT_TEST(the_start_is_told_before_the_end, "C31 E1")
{
    for (size_t i = 0; i < XW_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(xw_reaping[i], NULL);
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT,
                                         .u.for_event = 8};
        libxl_childproc_spec spec;
        libxl_childproc_id id;
        libxl_event *event;
        int gate[2];
        libxl_childproc_fd fd;
        pid_t pid;

        xt_pipe(gate);
        fd = (libxl_childproc_fd){5, gate[0]};
        spec = xw_spec(XT_CHILD("hold-fd", "5", "exit", "2"));
        spec.flags |= LIBXL_SPAWN_REPORT_START;
        spec.fds = &fd;
        spec.nfds = 1;
        id = xt_spawn(ctx, &spec, &report, &pid);
        event = xw_next_event(ctx);
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
        XT_EQ_INT(event->for_user, 8);
        XT_EQ_INT(event->u.childproc_started.id, id);
        XT_EQ_INT(event->u.childproc_started.pid, pid);
        libxl_event_free(ctx, event);
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        event = xw_next_event(ctx);
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
        XT_EXITED(&event->u.childproc_exit, 2);
        libxl_event_free(ctx, event);
        xt_ctx_free(ctx);
    }
}

/* Not of one that failed, nor of one that was killed on its way. */
XT_TEST(no_start_is_told_of_what_never_ran, "C31 C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = xw_spec(xw_nothing);
    libxl_childproc_id id;
    libxl_event *event;

    xw_hold();
    spec.flags |= LIBXL_SPAWN_REPORT_START;
    id = xw_held_at_exec(ctx, &spec, &report, NULL);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    event = xw_next_event(ctx);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    XT_SIGNALED(&event->u.childproc_exit, SIGKILL);
    libxl_event_free(ctx, event);
    xw_held_at_exec(ctx, &spec, &report, NULL);
    xe_let_go();
    event = xw_next_event(ctx);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    xw_not_started(&event->u.childproc_exit, LIBXL_STAGE_EXEC, ENOENT);
    libxl_event_free(ctx, event);
    xt_ctx_free(ctx);
    xe_end();
}

/* The more there is to close, the longer one that was killed on its way is
 * neither in our memory nor a zombie yet. */
XT_TEST(nor_of_what_dies_slowly_on_its_way, "C31 C15")
{
    enum { MANY = 300000 };
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "0"));
    struct rlimit saved, more;
    int first = -1, last = -1;

    xw_hold();
    XT_SYS(getrlimit(RLIMIT_NOFILE, &saved));
    more = saved;
    more.rlim_cur = more.rlim_max < MANY ? more.rlim_max : MANY;
    XT_SYS(setrlimit(RLIMIT_NOFILE, &more));
    XT_SYS(first = open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (int fd = first; fd >= 0; fd = fcntl(first, F_DUPFD_CLOEXEC, fd))
        last = fd;
    XT_SYS(close(first)); /* some room */
    spec.flags |= LIBXL_SPAWN_REPORT_START | LIBXL_SPAWN_KEEP_FDS;
    for (int i = 0; i < 5; i++) {
        libxl_childproc_id id;
        libxl_event *event = NULL;

        for (int fd = last - 9; fd <= last; fd++)
            close(fd);
        id = xw_held_at_exec(ctx, &spec, &report, NULL);
        XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
        while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL))
            ;
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
        XT_SIGNALED(&event->u.childproc_exit, SIGKILL);
        libxl_event_free(ctx, event);
    }
    xt_ctx_free(ctx);
    for (int fd = first; fd <= last; fd++)
        close(fd);
    XT_SYS(setrlimit(RLIMIT_NOFILE, &saved));
    xe_end();
}

/* The one fd of the ctx tells of it, with no other reason to wake. */
XT_TEST(the_fd_tells_of_the_start, "C31 O5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = xw_spec(XT_CHILD("pause"));
    struct pollfd fd = {.fd = libxl_ctx_fileno(ctx), .events = POLLIN};
    libxl_event *event = NULL;
    libxl_childproc_id id;

    spec.flags |= LIBXL_SPAWN_REPORT_START;
    id = xt_spawn(ctx, &spec, &report, NULL);
    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL))
        XT_EQ_INT(poll(&fd, 1, -1), 1);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
    libxl_event_free(ctx, event);
    XT_EQ_INT(poll(&fd, 1, 0), 0); /* idle again */
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    event = xw_next_event(ctx);
    XT_SIGNALED(&event->u.childproc_exit, SIGKILL);
    libxl_event_free(ctx, event);
    xt_ctx_free(ctx);
}

XT_TEST(what_does_not_go_with_it_is_refused, "X5 C31")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_childproc_failure failure;

    spec.flags |= LIBXL_SPAWN_REPORT_START;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "flags");
    spec.flags |= LIBXL_SPAWN_NOWAIT;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, &failure, NULL),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "flags");
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}
