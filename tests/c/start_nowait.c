/* start_nowait.c - a start that waits for nobody
 *
 * Proves C30 and C31, with C12, C15, C22 and C24 where they meet it: the call
 * returns before the program is executed and its thread never sleeps, what the
 * child reads is its own by then, a failure is the end, signals, frees, forks
 * and thieves find the child on its way, and the ways that are left where the
 * kernel refuses something do the same. Executing is held up by slowexec.h.
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
#include "probe.h"
#include "slowexec.h"

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_REAPING (sizeof(reaping) / sizeof(reaping[0]))

static const char *const nothing[] = {"/nonexistent/program", NULL};

static libxl_childproc_spec nowait(const char *const *argv)
{
    libxl_childproc_spec spec = xt_spec(argv);

    spec.flags |= LIBXL_SPAWN_NOWAIT;
    return spec;
}

static void hold(void)
{
    if (!xe_hold())
        XT_SKIP("seccomp has no supervisor here: %s", strerror(errno));
}

/* Started, and as far as its execve. */
static libxl_childproc_id held_at_exec(libxl_ctx *ctx,
                                       const libxl_childproc_spec *spec,
                                       const libxl_childproc_report *report,
                                       pid_t *ret_pid)
{
    libxl_childproc_id id = xt_spawn(ctx, spec, report, ret_pid);

    xe_await(1);
    return id;
}

static void not_started(const libxl_childproc_result *r,
                        libxl_childproc_stage stage, int errnoval)
{
    XT_EQ_INT(r->lost, LIBXL_LOST_NEVER_RAN);
    XT_EQ_INT(r->status, 0);
    XT_EQ_INT(r->stage, stage);
    XT_EQ_INT(r->errnoval, errnoval);
}

static libxl_event *next_event(libxl_ctx *ctx)
{
    libxl_event *event;

    XT_EQ_INT(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL,
                                    LIBXL_WAIT_FOREVER, 0),
              1);
    return event;
}

/* ---- the caller --------------------------------------------------------- */

XT_TEST(the_caller_does_not_sleep, "C30 C24")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "3"));
    libxl_childproc_result r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    libxl_childproc_id id[10];
    int slept = 0;

    XT_EXITED(&r, 3); /* and what the kernel offers is known */
    hold();
    xe_let_go_after(500);
    for (int i = 0; i < 10; i++) {
        struct rusage before, after;
        long long start = xt_now_ms();

        XT_SYS(getrusage(RUSAGE_THREAD, &before));
        id[i] = xt_spawn(ctx, &spec, NULL, NULL);
        XT_SYS(getrusage(RUSAGE_THREAD, &after));
        XT_LT_INT(xt_now_ms() - start, 500);
        slept += after.ru_nvcsw != before.ru_nvcsw;
    }
    /* for a lock, or a page, that is the child's for a moment; a start that
     * waits does so each time */
    XT_LT_INT(slept, 8);
    for (int i = 0; i < 10; i++) {
        r = xt_wait(ctx, id[i]);
        XT_EXITED(&r, 3);
    }
    xt_ctx_free(ctx);
    xe_end();
}

/* Everything that the child reads of the caller's is a copy by then. */
XT_TEST(what_was_given_may_go, "C30")
{
    hold();
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_childproc_id id;
        libxl_childproc_result r;
        char *text;
        int out[2];

        xt_pipe(out);
        {
            char *path = strdup(xt_child_path());
            char *word = strdup("env-of"), *name = strdup("MARK");
            char *mark = strdup("MARK=kept");
            const char *argv[] = {path, word, name, "cwd", NULL};
            const char *env[] = {mark, NULL};
            libxl_childproc_fd fd = {1, out[1]};
            char *cwd = strdup("/");
            libxl_childproc_spec spec = nowait(argv);

            spec.envp = env;
            spec.fds = &fd;
            spec.nfds = 1;
            spec.cwd = cwd;
            id = xt_spawn(ctx, &spec, NULL, NULL);
            memset(path, 'x', strlen(path));
            memset(word, 'x', strlen(word));
            memset(name, 'x', strlen(name));
            memset(mark, 'x', strlen(mark));
            memset(cwd, 'x', strlen(cwd));
            memset(argv, 0, sizeof(argv));
            memset(env, 0, sizeof(env));
            memset(&fd, 0, sizeof(fd));
            memset(&spec, 0, sizeof(spec));
            free(path);
            free(word);
            free(name);
            free(mark);
            free(cwd);
        }
        xt_close(&out[1]);
        xe_let_go();
        text = xt_read_all(out[0], NULL);
        XT_EQ_STR(text, "kept\n/\n");
        free(text);
        xt_close(&out[0]);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 0);
        xt_ctx_free(ctx);
    }
    xe_end();
}

struct on_thread {
    libxl_ctx *ctx;
    libxl_childproc_id id;
};

static void *start_and_end(void *arg)
{
    struct on_thread *it = arg;
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "5"));

    it->id = xt_spawn(it->ctx, &spec, NULL, NULL);
    return NULL;
}

/* Its stack and its thread-local memory are gone. */
XT_TEST(the_starting_thread_may_end, "C30")
{
    struct on_thread it = {xt_ctx_new(libxl_sigchld_owner_none, NULL), 0};
    size_t size = 4 << 20;
    libxl_childproc_result r;
    pthread_attr_t attr;
    pthread_t thread;
    void *stack = NULL;

    hold();
    XT_EQ_INT(posix_memalign(&stack, 4096, size), 0);
    pthread_attr_init(&attr);
    XT_EQ_INT(pthread_attr_setstack(&attr, stack, size), 0);
    XT_EQ_INT(pthread_create(&thread, &attr, start_and_end, &it), 0);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    memset(stack, 0xee, size);
    free(stack);
    xe_await(1);
    xe_let_go();
    r = xt_wait(it.ctx, it.id);
    XT_EXITED(&r, 5);
    xt_ctx_free(it.ctx);
    xe_end();
}

/* ---- the caller's descriptors ------------------------------------------- */

static struct xl_sys real;
static int nclones, nshared, nwaits;

static pid_t watched_clone3(int (*fn)(void *), void *stack, size_t size,
                            uint64_t flags, void *arg, int *pidfd, int *pid,
                            atomic_int *until_exec, int cgroup)
{
    nclones++;
    nshared += (flags & CLONE_FILES) != 0;
    return real.clone3(fn, stack, size, flags, arg, pidfd, pid, until_exec,
                       cgroup);
}

static int watched_epoll_wait(int epfd, struct epoll_event *events, int max,
                              int timeout_ms)
{
    nwaits++;
    return real.epoll_wait(epfd, events, max, timeout_ms);
}

static void watch(void)
{
    real = xl_sys;
    xl_sys.clone3 = watched_clone3;
    xl_sys.epoll_wait = watched_epoll_wait;
}

/* What it is given is closed here as soon as the call has returned: a small
 * table is copied by the clone, of a large one it has taken its own. */
XT_TEST(descriptors_may_be_closed_at_once, "C16 C19 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int more[600];

    watch();
    for (int large = 0; large < 2; large++) {
        for (int i = 0; large && i < 600; i++)
            more[i] = XT_SYS(fcntl(0, F_DUPFD_CLOEXEC, 3));
        for (int i = 0; i < 50; i++) {
            libxl_childproc_spec spec = nowait(XT_CHILD("say", "here"));
            libxl_childproc_fd fd;
            libxl_childproc_id id;
            libxl_childproc_result r;
            char *text;
            int out[2];

            xt_pipe(out);
            fd = (libxl_childproc_fd){1, out[1]};
            spec.fds = &fd;
            spec.nfds = 1;
            nclones = nshared = 0;
            id = xt_spawn(ctx, &spec, NULL, NULL);
            xt_close(&out[1]);
            text = xt_read_all(out[0], NULL);
            XT_EQ_STR(text, "here\n");
            free(text);
            xt_close(&out[0]);
            r = xt_wait(ctx, id);
            XT_EXITED(&r, 0);
            /* the size is known from the one before */
            if (nclones && i > 0 && xp_close_range_unshare())
                XT_EQ_INT(nshared, large);
        }
    }
    for (int i = 0; i < 600; i++)
        xt_close(&more[i]);
    xt_ctx_free(ctx);
}

/* A child that has copies of our pidfds until its exec keeps nobody awake. */
XT_TEST(copies_of_what_was_closed_wake_nobody, "C21 C30 O5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec first = nowait(XT_CHILD("pause"));
    libxl_childproc_spec keeping = nowait(XT_CHILD("exit", "4"));
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_id id[2];
    libxl_event *event;

    hold();
    watch();
    XT_GE_INT(libxl_ctx_fileno(ctx), 0); /* so that each is watched at once */
    keeping.flags |= LIBXL_SPAWN_KEEP_FDS;
    id[0] = held_at_exec(ctx, &first, &report, NULL);
    id[1] = held_at_exec(ctx, &keeping, &report, NULL);
    XT_OK(libxl_childproc_kill(ctx, id[0], SIGKILL, LIBXL_KILL_PROCESS));
    event = next_event(ctx);
    XT_EQ_INT(event->u.childproc_exit.id, id[0]);
    libxl_event_free(ctx, event);
    nwaits = 0;
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 50, 0),
          ERROR_TIMEDOUT);
    XT_LT_INT(nwaits, 10);
    xe_let_go();
    event = next_event(ctx);
    XT_EXITED(&event->u.childproc_exit, 4);
    libxl_event_free(ctx, event);
    xt_ctx_free(ctx);
    xe_end();
}

/* ---- failures are ends -------------------------------------------------- */

XT_TEST(a_failure_is_the_end, "C15 C30 C5")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_childproc_report by_event = {.kind = LIBXL_REPORT_EVENT,
                                           .u.for_event = 9};
        libxl_childproc_spec spec = nowait(nothing);
        libxl_childproc_failure failure;
        libxl_childproc_result r;
        libxl_childproc_id id;
        libxl_event *event;
        int rc;

        /* it may be quicker than the call: then that has it */
        rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure);
        if (rc == 0) {
            r = xt_wait(ctx, id);
            not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
        } else {
            XT_RC(rc, ERROR_SPAWN);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
        }
        spec.argv = XT_CHILD("exit", "0");
        spec.cwd = "/nonexistent";
        rc = libxl_childproc_spawn(ctx, &spec, &by_event, &id, NULL, &failure);
        if (rc == 0) {
            event = next_event(ctx);
            XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
            XT_EQ_INT(event->for_user, 9);
            XT_EQ_INT(event->u.childproc_exit.id, id);
            not_started(&event->u.childproc_exit, LIBXL_STAGE_CHDIR, ENOENT);
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
    libxl_childproc_spec spec = nowait(nothing);
    libxl_evgen_childproc_exit *evgen;
    libxl_childproc_id id;
    libxl_event *event;

    xt_log_init(&log, &logger);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, &log);
    hold();
    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 4, &evgen));
    id = held_at_exec(ctx, &spec, &report, NULL);
    xe_let_go();
    event = next_event(ctx);
    not_started(&event->u.childproc_exit, LIBXL_STAGE_EXEC, ENOENT);
    XT_EQ_INT(event->for_user, 4);
    libxl_event_free(ctx, event);
    XT_EQ_INT(called.calls, 1);
    XT_EQ_INT(called.result.id, id);
    not_started(&called.result, LIBXL_STAGE_EXEC, ENOENT);
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
    libxl_childproc_spec spec = nowait(nothing);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    hold();
    id = held_at_exec(ctx, &spec, NULL, &pid);
    xe_let_go();
    XT_EQ_INT(waitpid(pid, NULL, 0), pid);
    r = xt_wait(ctx, id);
    not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
    xt_ctx_free(ctx);
    xe_end();
}

XT_TEST(a_host_passes_a_failure_on, "C2 C15 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_spec spec = nowait(nothing);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int status;

    hold();
    id = held_at_exec(ctx, &spec, NULL, &pid);
    xe_let_go();
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_OK(libxl_childproc_exited(ctx, pid, status));
    r = xt_wait(ctx, id);
    not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
    xt_ctx_free(ctx);
    xe_end();
}

/* What the host says of a child that lives is believed, as ever; the child has
 * what it needs. */
XT_TEST(a_host_is_wrong_about_one_on_its_way, "C2 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "6"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    hold();
    id = held_at_exec(ctx, &spec, NULL, &pid);
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
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
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
        spec = nowait(XT_CHILD("hold-fd", "5", "exit", "2"));
        spec.flags |= LIBXL_SPAWN_REPORT_START;
        spec.fds = &fd;
        spec.nfds = 1;
        id = xt_spawn(ctx, &spec, &report, &pid);
        event = next_event(ctx);
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
        XT_EQ_INT(event->for_user, 8);
        XT_EQ_INT(event->u.childproc_started.id, id);
        XT_EQ_INT(event->u.childproc_started.pid, pid);
        libxl_event_free(ctx, event);
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        event = next_event(ctx);
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
    libxl_childproc_spec spec = nowait(nothing);
    libxl_childproc_id id;
    libxl_event *event;

    hold();
    spec.flags |= LIBXL_SPAWN_REPORT_START;
    id = held_at_exec(ctx, &spec, &report, NULL);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    event = next_event(ctx);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    XT_SIGNALED(&event->u.childproc_exit, SIGKILL);
    libxl_event_free(ctx, event);
    held_at_exec(ctx, &spec, &report, NULL);
    xe_let_go();
    event = next_event(ctx);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    not_started(&event->u.childproc_exit, LIBXL_STAGE_EXEC, ENOENT);
    libxl_event_free(ctx, event);
    xt_ctx_free(ctx);
    xe_end();
}

/* The one fd of the ctx tells of it, with no other reason to wake. */
XT_TEST(the_fd_tells_of_the_start, "C31 O5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = nowait(XT_CHILD("pause"));
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
    event = next_event(ctx);
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

/* ---- signals on its way ------------------------------------------------- */

static libxl_childproc_result end_of_held(libxl_childproc_spec *spec, int signo,
                                          libxl_kill_scope scope)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id = held_at_exec(ctx, spec, NULL, NULL);
    libxl_childproc_result r;

    if (signo)
        XT_OK(libxl_childproc_kill(ctx, id, signo, scope));
    else
        XT_OK(libxl_childproc_terminate(ctx, id, NULL));
    r = xt_wait(ctx, id);
    xt_ctx_free(ctx);
    return r;
}

XT_TEST(signals_reach_one_on_its_way, "C22 C30")
{
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "0"));
    libxl_childproc_result r;

    hold();
    r = end_of_held(&spec, SIGKILL, LIBXL_KILL_PROCESS);
    XT_SIGNALED(&r, SIGKILL);
    r = end_of_held(&spec, SIGTERM, LIBXL_KILL_PROCESS);
    XT_SIGNALED(&r, SIGTERM);
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    spec.kill = (libxl_kill_policy){SIGTERM, 600000, LIBXL_KILL_GROUP};
    r = end_of_held(&spec, SIGTERM, LIBXL_KILL_GROUP);
    XT_SIGNALED(&r, SIGTERM);
    r = end_of_held(&spec, SIGKILL, LIBXL_KILL_GROUP);
    XT_SIGNALED(&r, SIGKILL);
    r = end_of_held(&spec, 0, LIBXL_KILL_GROUP);
    XT_SIGNALED(&r, SIGTERM);
    xe_end();
}

/* ---- the ctx goes ------------------------------------------------------- */

static void free_on_its_way(libxl_free_policy policy)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = nowait(XT_CHILD("say", "ran", "exit", "0"));
    libxl_childproc_fd fd;
    char *text;
    int out[2];
    pid_t pid;

    xt_pipe(out);
    fd = (libxl_childproc_fd){1, out[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    spec.on_free = policy;
    held_at_exec(ctx, &spec, NULL, &pid);
    xt_close(&out[1]);
    xt_ctx_free(ctx);
    if (policy != LIBXL_FREE_KILL)
        xe_let_go();
    text = xt_read_all(out[0], NULL);
    XT_EQ_STR(text, policy == LIBXL_FREE_KILL ? "" : "ran\n");
    free(text);
    xt_close(&out[0]);
    if (policy == LIBXL_FREE_LEAVE)
        XT_EQ_INT(xh_reap(pid), 0);
    else
        while (waitpid(pid, NULL, WNOHANG) == 0)
            ; /* the library's thread has it, soon */
}

XT_TEST(freed_and_killed_on_its_way, "X2 C22 C30")
{
    hold();
    free_on_its_way(LIBXL_FREE_KILL);
    xe_end();
}

XT_TEST(freed_and_detached_on_its_way, "X2 C30")
{
    hold();
    free_on_its_way(LIBXL_FREE_DETACH);
    xe_end();
}

XT_TEST(freed_and_left_on_its_way, "X2 C30")
{
    hold();
    free_on_its_way(LIBXL_FREE_LEAVE);
    xe_end();
}

XT_TEST(let_go_of_on_its_way, "C21 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "0"));
    pid_t pid;

    hold();
    XT_OK(libxl_childproc_detach(ctx, held_at_exec(ctx, &spec, NULL, &pid)));
    xe_let_go();
    while (xh_is_zombie(pid) >= 0)
        ;
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
    xe_end();
}

/* ---- the host forks, and ends ------------------------------------------- */

XT_TEST(the_host_forks_with_one_on_its_way, "C14 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "4"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    hold();
    id = held_at_exec(ctx, &spec, NULL, NULL);
    pid = XT_SYS(fork());
    if (!pid) {
        libxl_ctx *own;

        libxl_postfork_child_noexec(ctx);
        XT_OK(libxl_ctx_free(ctx));
        own = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        xt_ctx_free(own);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    xe_let_go();
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 4);
    xt_ctx_free(ctx);
    xe_end();
}

/* It goes on without the process whose memory it runs in. */
XT_TEST(the_host_ends_with_one_on_its_way, "C30")
{
    for (int i = 0; i < 20; i++) {
        libxl_childproc_fd fd;
        char *text;
        int out[2];
        pid_t pid;

        xt_pipe(out);
        fd = (libxl_childproc_fd){1, out[1]};
        pid = XT_SYS(fork());
        if (!pid) {
            libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
            libxl_childproc_spec spec = nowait(XT_CHILD("say", "ran"));

            spec.fds = &fd;
            spec.nfds = 1;
            xt_spawn(ctx, &spec, NULL, NULL);
            _exit(0);
        }
        xt_close(&out[1]);
        text = xt_read_all(out[0], NULL);
        XT_EQ_STR(text, "ran\n");
        free(text);
        xt_close(&out[0]);
        XT_EQ_INT(xh_reap(pid), 0);
    }
}

/* ---- other ways --------------------------------------------------------- */

static pid_t plain_fork(void *user)
{
    ++*(int *)user;
    return fork();
}

XT_TEST(with_the_host_s_own_fork, "C10 C15 C30 C31")
{
    int forks = 0;
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, plain_fork, NULL,
                                   sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = nowait(XT_CHILD("pause"));
    libxl_childproc_id id;
    libxl_event *event;

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, &forks));
    hold();
    spec.flags |= LIBXL_SPAWN_REPORT_START;
    id = held_at_exec(ctx, &spec, &report, NULL);
    XT_EQ_INT(forks, 1);
    xe_let_go();
    event = next_event(ctx);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
    libxl_event_free(ctx, event);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    event = next_event(ctx);
    XT_SIGNALED(&event->u.childproc_exit, SIGKILL);
    libxl_event_free(ctx, event);
    spec.argv = nothing;
    if (libxl_childproc_spawn(ctx, &spec, &report, NULL, NULL, NULL) == 0) {
        event = next_event(ctx);
        not_started(&event->u.childproc_exit, LIBXL_STAGE_EXEC, ENOENT);
        libxl_event_free(ctx, event);
    }
    xt_ctx_free(ctx);
    xe_end();
}

/* A batch's entries, and an operation, do not wait either. */
XT_TEST(batches_and_operations_do_not_wait, "C30 C24 A1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = nowait(XT_CHILD("exit", "3"));
    libxl_childproc_spec bad = nowait(nothing);
    libxl_childproc_batch_entry entry[2] = {{.spec = &spec}, {.spec = &bad}};
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_result r;
    struct xo_completion c, failed;
    libxl_asyncop_how how = xo_to(&c), how_failed = xo_to(&failed);

    hold();
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, entry, 2), 2);
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_OK(libxl_childproc_exec(ctx, &bad, &opts, &failed.result, NULL,
                               &how_failed));
    xe_await(4);
    xe_let_go();
    r = xt_wait(ctx, entry[0].id);
    XT_EXITED(&r, 3);
    r = xt_wait(ctx, entry[1].id);
    not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, 0);
    XT_EXITED(&c.result.child, 3);
    xo_pump_until(ctx, &failed.calls);
    XT_RC(failed.rc, ERROR_SPAWN);
    XT_EQ_INT(failed.result.failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(failed.result.failure.errnoval, ENOENT);
    libxl_childproc_exec_result_dispose(&c.result);
    libxl_childproc_exec_result_dispose(&failed.result);
    xt_ctx_free(ctx);
    xe_end();
}

/* Many on their way at once, none of whose memory is another's; and what they
 * needed is gone, or used again, when they are programs. */
XT_TEST(many_at_a_time, "C30 C12")
{
    enum { N = 50 };
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id[N];
    libxl_childproc_result r;

    hold();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            char code[16];
            libxl_childproc_spec spec = nowait(XT_CHILD("exit", code));

            snprintf(code, sizeof(code), "%d", i + round);
            id[i] = xt_spawn(ctx, &spec, NULL, NULL);
        }
        if (round == 0)
            xe_await(N);
        xe_let_go();
        for (int i = 0; i < N; i++) {
            r = xt_wait(ctx, id[i]);
            XT_EXITED(&r, i + round);
        }
    }
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
    xe_end();
}
