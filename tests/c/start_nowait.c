/* start_nowait.c - a start that waits for nobody
 *
 * Proves C30, with C12, C16, C19 and C24 where they meet it: the call returns
 * before the program is executed and its thread never sleeps, what the child
 * reads is its own by then, and the ways that are left where the kernel refuses
 * something do the same. Executing is held up by slowexec.h.
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

/* ---- the caller --------------------------------------------------------- */

XT_TEST(the_caller_does_not_sleep, "C30 C24")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "3"));
    libxl_childproc_result r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    libxl_childproc_id id[10];
    int slept = 0;

    XT_EXITED(&r, 3); /* and what the kernel offers is known */
    xw_hold();
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
    xw_hold();
    for (size_t i = 0; i < XW_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(xw_reaping[i], NULL);
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
            libxl_childproc_spec spec = xw_spec(argv);

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
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "5"));

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

    xw_hold();
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
            libxl_childproc_spec spec = xw_spec(XT_CHILD("say", "here"));
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
    libxl_childproc_spec first = xw_spec(XT_CHILD("pause"));
    libxl_childproc_spec keeping = xw_spec(XT_CHILD("exit", "4"));
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_id id[2];
    libxl_event *event;

    xw_hold();
    watch();
    XT_GE_INT(libxl_ctx_fileno(ctx), 0); /* so that each is watched at once */
    keeping.flags |= LIBXL_SPAWN_KEEP_FDS;
    id[0] = xw_held_at_exec(ctx, &first, &report, NULL);
    id[1] = xw_held_at_exec(ctx, &keeping, &report, NULL);
    XT_OK(libxl_childproc_kill(ctx, id[0], SIGKILL, LIBXL_KILL_PROCESS));
    event = xw_next_event(ctx);
    XT_EQ_INT(event->u.childproc_exit.id, id[0]);
    libxl_event_free(ctx, event);
    nwaits = 0;
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 50, 0),
          ERROR_TIMEDOUT);
    XT_LT_INT(nwaits, 10);
    xe_let_go();
    event = xw_next_event(ctx);
    XT_EXITED(&event->u.childproc_exit, 4);
    libxl_event_free(ctx, event);
    xt_ctx_free(ctx);
    xe_end();
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
    libxl_childproc_spec spec = xw_spec(XT_CHILD("pause"));
    libxl_childproc_id id;
    libxl_event *event;

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, &forks));
    xw_hold();
    spec.flags |= LIBXL_SPAWN_REPORT_START;
    id = xw_held_at_exec(ctx, &spec, &report, NULL);
    XT_EQ_INT(forks, 1);
    xe_let_go();
    event = xw_next_event(ctx);
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
    libxl_event_free(ctx, event);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    event = xw_next_event(ctx);
    XT_SIGNALED(&event->u.childproc_exit, SIGKILL);
    libxl_event_free(ctx, event);
    spec.argv = xw_nothing;
    if (libxl_childproc_spawn(ctx, &spec, &report, NULL, NULL, NULL) == 0) {
        event = xw_next_event(ctx);
        xw_not_started(&event->u.childproc_exit, LIBXL_STAGE_EXEC, ENOENT);
        libxl_event_free(ctx, event);
    }
    xt_ctx_free(ctx);
    xe_end();
}

/* A batch's entries, and an operation, do not wait either. */
XT_TEST(batches_and_operations_do_not_wait, "C30 C24 A1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "3"));
    libxl_childproc_spec bad = xw_spec(xw_nothing);
    libxl_childproc_batch_entry entry[2] = {{.spec = &spec}, {.spec = &bad}};
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_result r;
    struct xo_completion c, failed;
    libxl_asyncop_how how = xo_to(&c), how_failed = xo_to(&failed);

    xw_hold();
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, entry, 2), 2);
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_OK(libxl_childproc_exec(ctx, &bad, &opts, &failed.result, NULL,
                               &how_failed));
    xe_await(4);
    xe_let_go();
    r = xt_wait(ctx, entry[0].id);
    XT_EXITED(&r, 3);
    r = xt_wait(ctx, entry[1].id);
    xw_not_started(&r, LIBXL_STAGE_EXEC, ENOENT);
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

    xw_hold();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            char code[16];
            libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", code));

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
