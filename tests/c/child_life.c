/* child_life.c - detaching, freeing with living children, batches
 *
 * Contract lines X2 (what ctx_free does with living children), C5, E1 and,
 * for batches and starter threads, C12 and C15.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"
#include "kernel/sys.h"

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

static int no_children_left(void *user)
{
    siginfo_t info;

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG) < 0 &&
           errno == ECHILD;
}

/* ---- detach ------------------------------------------------------------- */

XT_TEST(a_detached_child_is_reaped_in_silence, "C5 X2")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_id id;
        libxl_event *event;
        pid_t pid;
        int gate;

        id = xh_spawn_held(ctx, XH_EXIT(3), NULL, &report, &gate, &pid);
        XT_OK(libxl_childproc_detach(ctx, id));
        XT_EQ_INT(libxl_childproc_count(ctx), 1);
        xt_close(&gate);
        if (all[i] == libxl_sigchld_owner_mainloop)
            XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
        while (libxl_childproc_count(ctx) > 0)
            XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 10,
                                        0),
                  ERROR_TIMEDOUT);
        XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_NOT_READY);
        XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_held_result_can_be_detached, "C5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    id = xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, &pid);
    xh_await_zombie(pid);
    xh_pump(ctx);
    XH_NO_CHILDREN();
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    XT_OK(libxl_childproc_detach(ctx, id));
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

/* What nobody will report cannot be waited for, or detached again; it is there
 * all the same, to be killed. */
XT_TEST(a_detached_child_can_still_be_killed, "C5 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
    libxl_childproc_result r;
    libxl_event *event;

    XT_OK(libxl_childproc_detach(ctx, id));
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    while (libxl_childproc_count(ctx) > 0)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 10, 0),
              ERROR_TIMEDOUT);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* An operation's child is the operation's; of one without a report nobody is
 * told. */
XT_TEST(only_reported_children_can_be_waited_for, "C5 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_asyncprogress_how started = {NULL, {.for_event = 1}};
    libxl_asyncop_how how = {NULL, {.for_event = 2}};
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;

    libxl_childproc_exec_opts_init(&opts);
    opts.started = &started;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    id = event->u.childproc_started.id;
    libxl_event_free(ctx, event);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
    XT_OK(libxl_ao_abort(ctx, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->u.operation_complete.rc, ERROR_ABORTED);
    libxl_event_free(ctx, event);
    libxl_childproc_exec_result_dispose(&result);

    report.kind = LIBXL_REPORT_NONE;
    id = xt_spawn(ctx, &spec, &report, NULL);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_INVAL);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    xt_ctx_free(ctx);
}

/* ---- free --------------------------------------------------------------- */

XT_TEST(freed_with_detached_children_there_are_no_zombies, "X2 defect-7")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        struct xh_action before = xh_action_get(SIGCHLD);
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        int gate[4];

        for (int k = 0; k < 4; k++)
            xh_spawn_held(ctx, XH_EXIT(k), NULL, NULL, &gate[k], NULL);
        xt_close(&gate[0]);
        xt_ctx_free(ctx);
        XH_SIGCHLD_IS(&before);
        for (int k = 1; k < 4; k++)
            xt_close(&gate[k]);
        XT_EVENTUALLY(no_children_left, NULL);
    }
}

XT_TEST(freed_with_a_kill_policy_they_are_dead_and_reaped, "X2 C13 defect-7")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_spec spec = xt_spec(NULL);
        int gate[4];

        spec.on_free = LIBXL_FREE_KILL;
        for (int k = 0; k < 4; k++)
            xh_spawn_held(ctx, XH_EXIT(k), &spec, NULL, &gate[k], NULL);
        xt_ctx_free(ctx);
        XT_EVENTUALLY(no_children_left, NULL);
        for (int k = 0; k < 4; k++)
            xt_close(&gate[k]);
    }
}

/* At once, whatever the policy would send first, and to whom it is deaf. */
XT_TEST(freed_with_a_kill_policy_nobody_is_asked, "X2 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "ready", "6", "pause"));
    libxl_childproc_fd fd;
    int ready[2];

    xt_pipe(ready);
    fd = (libxl_childproc_fd){6, ready[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    spec.kill = (libxl_kill_policy){SIGTERM, 600000, LIBXL_KILL_PROCESS};
    spec.on_free = LIBXL_FREE_KILL;
    xt_spawn(ctx, &spec, NULL, NULL);
    xt_close(&ready[1]);
    xt_await_byte(ready[0]);
    xt_ctx_free(ctx);
    XT_EVENTUALLY(no_children_left, NULL);
    xt_close(&ready[0]);
}

/* The thread that reaps what is left of a ctx is held where it waits for an
 * end, and says that it is there. */
static pthread_t main_thread;
static int let_go[2], waits[2];
static atomic_int held;
static pid_t reaper;
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);

static int epoll_wait_later(int epfd, struct epoll_event *events, int max,
                            int timeout_ms)
{
    char c;

    if (!pthread_equal(pthread_self(), main_thread) &&
        !atomic_exchange(&held, 1)) {
        pid_t tid = gettid();

        xt_write_all(waits[1], &tid, sizeof(tid));
        while (read(let_go[0], &c, 1) < 0 && errno == EINTR)
            ;
        xt_write_all(waits[1], &tid, sizeof(tid));
    }
    return real_epoll_wait(epfd, events, max, timeout_ms);
}

static void hold_reaper(void)
{
    xt_pipe(let_go);
    xt_pipe(waits);
    main_thread = pthread_self();
    real_epoll_wait = xl_sys.epoll_wait;
    xl_sys.epoll_wait = epoll_wait_later;
}

static void await_reaper(void)
{
    XT_EQ_INT(read(waits[0], &reaper, sizeof(reaper)), sizeof(reaper));
}

static int reaper_has_gone(void *user)
{
    char path[64];

    (void)user;
    snprintf(path, sizeof(path), "/proc/self/task/%d", (int)reaper);
    return access(path, F_OK) < 0;
}

/* Its last child has ended, or will. */
static void release_reaper(void)
{
    xt_close(&let_go[1]);
    await_reaper();
    XT_EVENTUALLY(reaper_has_gone, NULL);
    xt_close(&let_go[0]);
    xt_close(&waits[0]);
    xt_close(&waits[1]);
}

static int reaper_blocks(int signo)
{
    char path[64], line[256];
    int blocks = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)reaper);
    f = fopen(path, "re");
    XT_TRUE(f != NULL);
    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, "SigBlk:", 7))
            blocks = strtoull(line + 7, NULL, 16) >> (signo - 1) & 1;
    fclose(f);
    return blocks;
}

/* It takes none of the host's signals. */
XT_TEST(the_reaping_thread_is_deaf, "X2 C11")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int gate;

    hold_reaper();
    xh_spawn_held(ctx, XH_EXIT(1), NULL, NULL, &gate, NULL);
    xt_ctx_free(ctx);
    await_reaper();
    XT_EQ_INT(reaper_blocks(SIGUSR1), 1);
    XT_EQ_INT(reaper_blocks(SIGCHLD), 1);
    xt_close(&gate);
    release_reaper();
    XH_NO_CHILDREN();
}

static int count_stranger(pid_t pid, int status, void *user)
{
    (void)pid;
    (void)status;
    ++*(int *)user;
    return 0;
}

/* Whoever reaps everything may be quicker, and knows them: they are no
 * strangers. */
XT_TEST(a_freed_ctxs_child_is_no_stranger, "X2 X3 C1")
{
    libxl_ctx *ctx, *other;
    libxl_childproc_id id;
    int gate, other_gate, strangers = 0;
    pid_t pid;

    hold_reaper();
    other = xh_ctx_new(libxl_sigchld_owner_libxl, NULL, count_stranger,
                       &strangers);
    id = xh_spawn_held(other, XH_EXIT(2), NULL, NULL, &other_gate, NULL);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    xh_spawn_held(ctx, XH_EXIT(1), NULL, NULL, &gate, &pid);
    xt_ctx_free(ctx);
    await_reaper();
    xt_close(&gate);
    xh_await_zombie(pid);
    xh_pump(other);
    XT_EQ_INT(xh_is_zombie(pid), -1); /* reaped, in silence */
    XT_EQ_INT(strangers, 0);
    release_reaper();
    xt_close(&other_gate);
    xt_wait(other, id);
    XT_EQ_INT(strangers, 0);
    xt_ctx_free(other);
}

XT_TEST(freed_and_left_they_are_the_hosts, "X2")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_spec spec = xt_spec(NULL);
        pid_t pid;
        int gate;

        spec.on_free = LIBXL_FREE_LEAVE;
        xh_spawn_held(ctx, XH_EXIT(22), &spec, NULL, &gate, &pid);
        xt_ctx_free(ctx);
        XT_EQ_INT(xh_is_zombie(pid), 0);
        xt_close(&gate);
        XT_EQ_INT(xh_reap(pid), 22 << 8);
    }
}

/* A group that is killed with its leader when the ctx goes. */
XT_TEST(freed_with_a_group_policy_the_group_is_dead, "X2 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild-pause", "put", "r", "pause"));
    libxl_childproc_fd fds[1];
    char *rest;
    int out[2];

    xt_pipe(out);
    fds[0].target = 1;
    fds[0].source = out[1];
    spec.fds = fds;
    spec.nfds = 1;
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    spec.on_free = LIBXL_FREE_KILL;
    spec.kill.scope = LIBXL_KILL_GROUP;
    xt_spawn(ctx, &spec, NULL, NULL);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    xt_ctx_free(ctx);
    rest = xt_read_all(out[0], NULL); /* to its end: both are gone */
    XT_EQ_STR(rest, "");
    free(rest);
    xt_close(&out[0]);
    XT_EVENTUALLY(no_children_left, NULL);
}

/* ---- batches ------------------------------------------------------------ */

static libxl_event *next(libxl_ctx *ctx)
{
    libxl_event *event = NULL;

    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    return event;
}

static void batch(libxl_sigchld_owner owner, int starters)
{
    enum { N = 120 };
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_batch_entry entry[N];
    libxl_childproc_spec spec[N];
    libxl_childproc_report report[N];
    struct xh_argv words[N];
    const char *const nothing[] = {"/nonexistent/program", NULL};
    int seen[N] = {0}, good = 0;

    XT_OK(libxl_childproc_set_starters(ctx, starters));
    memset(entry, 0xee, sizeof(entry));
    memset(report, 0, sizeof(report));
    for (int i = 0; i < N; i++) {
        spec[i] = xt_spec(
            i % 10 == 7 ? nothing : xh_end_argv(&words[i], xh_end_of(i * 2)));
        report[i].kind = LIBXL_REPORT_EVENT;
        report[i].u.for_event = i;
        entry[i].spec = &spec[i];
        entry[i].report = &report[i];
    }
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, entry, N), N - N / 10);
    for (int i = 0; i < N; i++) {
        if (i % 10 == 7) {
            XT_RC(entry[i].rc, ERROR_SPAWN);
            XT_EQ_INT(entry[i].id, 0);
            XT_EQ_INT(entry[i].pid, -1);
            XT_EQ_INT(entry[i].failure.stage, LIBXL_STAGE_EXEC);
            XT_EQ_INT(entry[i].failure.errnoval, ENOENT);
        } else {
            XT_RC(entry[i].rc, 0);
            XT_NE_INT(entry[i].id, 0);
            XT_GT_INT(entry[i].pid, 1);
            good++;
        }
    }
    for (int i = 0; i < good; i++) {
        libxl_event *event;
        int k;

        if (owner == libxl_sigchld_owner_mainloop) {
            /* The host's turn: any of them. */
            for (k = 0; k < N && (entry[k].rc || entry[k].pid < 0); k++)
                ;
            XT_LT_INT(k, N);
            XT_OK(libxl_childproc_exited(ctx, entry[k].pid,
                                         xh_reap(entry[k].pid)));
        }
        event = next(ctx);
        k = (int)event->for_user;
        XT_LT_INT(k, N);
        XT_EQ_INT(seen[k]++, 0);
        XT_TRUE(event->u.childproc_exit.id == entry[k].id);
        XT_EQ_INT(event->u.childproc_exit.pid, entry[k].pid);
        XH_ENDED(&event->u.childproc_exit, xh_end_of(k * 2));
        entry[k].pid = -1;
        libxl_event_free(ctx, event);
    }
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

XT_TEST(a_batch_in_this_thread, "C5 C12 C15")
{
    for (size_t i = 0; i < N_OWNERS; i++)
        batch(all[i], 0);
}

XT_TEST(a_batch_by_starter_threads, "C5 C12 C15 E2")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        batch(all[i], 1);
        batch(all[i], 3);
    }
}

static void may_not_free(libxl_ctx *ctx, const libxl_childproc_result *result,
                         void *user)
{
    int *called = user;

    (void)result;
    XT_RC(libxl_ctx_free(ctx), ERROR_BUSY);
    ++*called;
}

XT_TEST(after_a_batch_a_callback_may_not_free_the_ctx, "X2 E4 X5")
{
    enum { N = 3 };
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_batch_entry entry[N];
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_report report = {.kind = LIBXL_REPORT_CALLBACK,
                                     .callback = may_not_free};
    int called = 0;

    memset(entry, 0, sizeof(entry));
    report.u.for_callback = &called;
    for (int i = 0; i < N; i++) {
        entry[i].spec = &spec;
        entry[i].report = &report;
    }
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, entry, N), N);
    while (called < N)
        xh_pump(ctx);
    xt_ctx_free(ctx);
}

XT_TEST(odd_batches_are_refused, "X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_batch_entry entry;

    memset(&entry, 0, sizeof(entry));
    XT_RC(libxl_childproc_spawn_many(NULL, &entry, 1), ERROR_INVAL);
    XT_RC(libxl_childproc_spawn_many(ctx, NULL, 1), ERROR_INVAL);
    XT_RC(libxl_childproc_spawn_many(ctx, &entry, (size_t)-1), ERROR_INVAL);
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, &entry, 0), 0);
    /* An entry without a spec is that entry's failure. */
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, &entry, 1), 0);
    XT_RC(entry.rc, ERROR_INVAL);
    XT_EQ_INT(entry.pid, -1);
    XT_RC(libxl_childproc_set_starters(ctx, -1), ERROR_INVAL);
    XT_RC(libxl_childproc_set_starters(ctx, 65), ERROR_INVAL);
    XT_RC(libxl_childproc_set_starters(NULL, 1), ERROR_INVAL);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* As many as asked, none when the ctx goes: the harness counts threads. */
XT_TEST(starters_come_and_go, "X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    for (int n = 0; n <= 4; n++) {
        XT_OK(libxl_childproc_set_starters(ctx, n));
        XT_OK(libxl_childproc_set_starters(ctx, 0));
    }
    XT_OK(libxl_childproc_set_starters(ctx, 2));
    xt_ctx_free(ctx);
    batch(libxl_sigchld_owner_none, 2);
}
