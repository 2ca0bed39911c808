/* exec_blocks.c - what sleeps in the kernel holds up nobody else
 *
 * Contract line C24: a stream that is a FIFO without a peer, which is the
 * simplest thing that never opens. The time-out counts, an abort works, an
 * asynchronous call returns, other threads, ctxs and forks go on, and a start
 * can be given up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "kernel/rawcall.h"
#include "kernel/sys.h"
#include "operation.h"
#include "probe.h"

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_REAPING (sizeof(reaping) / sizeof(reaping[0]))

struct fifo {
    char *dir;
    char path[300];
};

static void make_fifo(struct fifo *f)
{
    f->dir = xt_tmpdir();
    snprintf(f->path, sizeof(f->path), "%s/fifo", f->dir);
    XT_SYS(mkfifo(f->path, 0600));
}

static void remove_fifo(struct fifo *f)
{
    xt_tmpdir_remove(f->dir);
}

enum { STDIN, STDOUT, APPEND, NSTREAMS };

/* One stream of these is the FIFO. */
static libxl_childproc_exec_opts opts_for(const struct fifo *f, int stream,
                                          int timeout_ms)
{
    libxl_childproc_exec_opts opts = xo_capturing();

    if (stream == STDIN) {
        opts.stdin_stream.kind = LIBXL_STREAM_FILE;
        opts.stdin_stream.path = f->path;
    } else {
        opts.stdout_stream.kind =
            stream == STDOUT ? LIBXL_STREAM_FILE : LIBXL_STREAM_APPEND;
        opts.stdout_stream.path = f->path;
    }
    opts.timeout_ms = timeout_ms;
    return opts;
}

XT_TEST(the_time_out_counts, "C24 C18")
{
    struct fifo f;

    make_fifo(&f);
    for (size_t i = 0; i < N_REAPING; i++)
        for (int stream = 0; stream < NSTREAMS; stream++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_childproc_exec_opts opts = opts_for(&f, stream, 100);
            libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
            libxl_childproc_exec_result r;

            /* a grace is for programs: this is none yet */
            spec.kill = (libxl_kill_policy){SIGTERM, 600000, 0};
            XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &r, NULL, NULL),
                  ERROR_TIMEDOUT);
            XT_EQ_INT(r.timed_out, 1);
            XT_SIGNALED(&r.child, SIGKILL);
            libxl_childproc_exec_result_dispose(&r);
            XH_NO_CHILDREN();
            xt_ctx_free(ctx);
        }
    remove_fifo(&f);
}

XT_TEST(an_asynchronous_call_returns_and_can_be_aborted, "C24 A1 A2 C22")
{
    struct fifo f;

    make_fifo(&f);
    for (size_t i = 0; i < N_REAPING; i++)
        for (int stream = 0; stream < NSTREAMS; stream++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_childproc_exec_opts opts = opts_for(&f, stream, -1);
            libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
            struct xo_completion c;
            libxl_asyncop_how how = xo_to(&c);

            XT_OK(
                libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
            XT_EQ_INT(c.calls, 0);
            XT_OK(libxl_ao_abort(ctx, &how));
            XT_RC(libxl_ao_abort(ctx, &how), ERROR_ABORTED);
            xo_pump_until(ctx, &c.calls);
            XT_RC(c.rc, ERROR_ABORTED);
            XT_EQ_INT(c.result.aborted, 1);
            libxl_childproc_exec_result_dispose(&c.result);
            xt_ctx_free(ctx);
        }
    remove_fifo(&f);
}

/* Everything that the child reads of the caller's is a copy by then. */
XT_TEST(it_goes_on_when_the_peer_comes, "C24 A1")
{
    struct fifo f;
    char out[400];

    make_fifo(&f);
    snprintf(out, sizeof(out), "%s/out", f.dir);
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        char text[64];
        ssize_t n;
        int fd;

        {
            char *word = strdup("say"), *said = strdup("through the fifo");
            char *path = strdup(f.path);
            const char *argv[] = {xt_child_path(), word, said, NULL};
            libxl_childproc_spec spec = xt_spec(argv);
            libxl_childproc_exec_opts opts = opts_for(&f, STDOUT, -1);

            opts.stdout_stream.path = path;
            opts.stderr_stream.kind = LIBXL_STREAM_MERGE;
            XT_OK(
                libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
            memset(word, 'x', 3);
            memset(said, 'x', 8);
            memset(path, 'x', 4);
            free(word);
            free(said);
            free(path);
        }
        fd = open(f.path, O_RDONLY | O_CLOEXEC);
        XT_SYS(fd);
        n = read(fd, text, sizeof(text) - 1);
        XT_SYS(n);
        text[n] = '\0';
        XT_EQ_STR(text, "through the fifo\n");
        XT_EQ_INT(read(fd, text, 1), 0);
        close(fd);
        xo_pump_until(ctx, &c.calls);
        XT_OK(c.rc);
        XT_EXITED(&c.result.child, 0);
        libxl_childproc_exec_result_dispose(&c.result);
        xt_ctx_free(ctx);
    }
    remove_fifo(&f);
}

/* A program that is not there is told at the end, when the call is over. */
XT_TEST(a_late_failure_is_the_completion, "C24 C15 A1")
{
    static const char *const missing[] = {"/nonexistent/program", NULL};
    struct fifo f;

    make_fifo(&f);
    for (int how_many = 0; how_many < 2; how_many++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_exec_opts opts = opts_for(&f, STDIN, -1);
        libxl_childproc_spec spec = xt_spec(missing);
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        int fd;

        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        fd = open(f.path, O_WRONLY | O_CLOEXEC);
        XT_SYS(fd);
        xo_pump_until(ctx, &c.calls);
        close(fd);
        XT_RC(c.rc, ERROR_SPAWN);
        XT_EQ_INT(c.result.failure.stage, LIBXL_STAGE_EXEC);
        XT_EQ_INT(c.result.failure.errnoval, ENOENT);
        libxl_childproc_exec_result_dispose(&c.result);
        xt_ctx_free(ctx);
    }
    remove_fifo(&f);
}

/* Which file it was is said, and nothing is left. */
XT_TEST(a_file_that_cannot_be_opened_is_named, "C15 C24")
{
    static const char *const names[] = {"stdin_stream", "stdout_stream",
                                        "stderr_stream"};

    for (int which = 0; which < 3; which++)
        for (int async = 0; async < 2; async++) {
            libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
            libxl_childproc_exec_opts opts = xo_capturing();
            libxl_stream *streams[] = {&opts.stdin_stream, &opts.stdout_stream,
                                       &opts.stderr_stream};
            libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
            libxl_childproc_failure failure;
            struct xt_state *before = xt_state_take();
            struct xo_completion c;
            libxl_asyncop_how how = xo_to(&c);
            int rc;

            streams[which]->kind = LIBXL_STREAM_FILE;
            streams[which]->path = "/nonexistent/file";
            rc = libxl_childproc_exec(ctx, &spec, &opts, &c.result, &failure,
                                      async ? &how : NULL);
            if (async && rc == 0) { /* its child was slow to find that out */
                xo_pump_until(ctx, &c.calls);
                rc = c.rc;
                failure = c.result.failure;
                libxl_childproc_exec_result_dispose(&c.result);
            }
            XT_RC(rc, ERROR_SPAWN);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_FDS);
            XT_EQ_INT(failure.errnoval, ENOENT);
            XT_EQ_STR(failure.argument, names[which]);
            XT_STATE_SAME(before);
            xt_state_free(before);
            xt_ctx_free(ctx);
        }
}

/* ---- others meanwhile --------------------------------------------------- */

static void *blocked(void *user)
{
    const struct fifo *f = user;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_opts opts = opts_for(f, STDOUT, 1500);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("say", "x"));
    libxl_childproc_exec_result r;

    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &r, NULL, NULL),
          ERROR_TIMEDOUT);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
    return NULL;
}

static void runs_a_child(libxl_ctx *ctx)
{
    libxl_childproc_id id =
        xt_spawn_argv(ctx, XT_CHILD("exit", "7"), NULL, NULL);
    libxl_childproc_result r = xt_wait(ctx, id);

    XT_EXITED(&r, 7);
}

static int one_child(void *user)
{
    siginfo_t info;

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

XT_TEST(other_contexts_and_forks_go_on, "C24 C14")
{
    struct fifo f;
    pthread_t thread;
    long long start;
    libxl_ctx *ctx;

    make_fifo(&f);
    XT_EQ_INT(pthread_create(&thread, NULL, blocked, &f), 0);
    XT_EVENTUALLY(one_child, NULL); /* it waits for the FIFO's other end */
    start = xt_now_ms();
    for (int k = 0; k < 5; k++)
        XT_EQ_INT(xh_reap(xh_fork_exit(3)), 3 << 8);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int k = 0; k < 5; k++)
        runs_a_child(ctx);
    xt_ctx_free(ctx);
    XT_LT_INT(xt_now_ms() - start, 1000LL * xt_time_scale());
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    remove_fifo(&f);
}

struct one_ctx {
    libxl_ctx *ctx;
    const struct fifo *f;
};

static void *blocked_in(void *user)
{
    struct one_ctx *o = user;
    libxl_childproc_exec_opts opts = opts_for(o->f, STDIN, 1500);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
    libxl_childproc_exec_result r;

    XT_RC(libxl_childproc_exec(o->ctx, &spec, &opts, &r, NULL, NULL),
          ERROR_TIMEDOUT);
    libxl_childproc_exec_result_dispose(&r);
    return NULL;
}

XT_TEST(the_same_context_goes_on, "C24 E2")
{
    struct one_ctx o;
    struct fifo f;
    pthread_t thread;
    long long start;

    make_fifo(&f);
    o.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    o.f = &f;
    XT_EQ_INT(pthread_create(&thread, NULL, blocked_in, &o), 0);
    XT_EVENTUALLY(one_child, NULL);
    start = xt_now_ms();
    for (int k = 0; k < 5; k++)
        runs_a_child(o.ctx);
    XT_LT_INT(xt_now_ms() - start, 1000LL * xt_time_scale());
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xt_ctx_free(o.ctx);
    remove_fifo(&f);
}

/* A ctx that goes takes its operation along. */
XT_TEST(a_freed_context_leaves_nothing, "C24 X2")
{
    static const libxl_free_policy policies[] = {LIBXL_FREE_KILL};
    struct fifo f;

    make_fifo(&f);
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_exec_opts opts = opts_for(&f, STDIN, -1);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);

        spec.on_free = policies[i];
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        xt_ctx_free(ctx);
        XT_EQ_INT(c.calls, 0);
        while (one_child(NULL))
            sched_yield();
    }
    remove_fifo(&f);
}

/* ---- giving a start up -------------------------------------------------- */

/* The kernel answers the child's execve late: the child stops before it. */
static pid_t (*real_clone3)(int (*)(void *), void *, size_t, uint64_t, void *,
                            int *, int *, atomic_int *, int);
static pid_t made;

static _Noreturn int never_execs(void *arg)
{
    (void)arg;
    for (;;)
        (void)xl_rawcall(SYS_pause, 0, 0, 0, 0);
}

static pid_t clone3_that_hangs(int (*fn)(void *), void *stack, size_t size,
                               uint64_t flags, void *arg, int *pidfd, int *pid,
                               atomic_int *until_exec, int cgroup)
{
    (void)fn;
    made = real_clone3(never_execs, stack, size, flags, arg, pidfd, pid,
                       until_exec, cgroup);
    return made;
}

struct giving_up {
    int asked;
    int after; /* how often it says no */
};

static int give_up(void *user)
{
    struct giving_up *g = user;

    return g->asked++ >= g->after;
}

static void on_alarm(int signo)
{
    (void)signo;
}

/* A signal asks at once; without one it is asked from time to time. */
XT_TEST(a_start_that_hangs_is_given_up, "C24 B11")
{
    if (!XL_RAWCALL_APART || !xp_clone3() || !xp_pidfds() || xl_on_valgrind())
        XT_SKIP("a child can only be left alone with its exec where it is made "
                "by clone3");
    real_clone3 = xl_sys.clone3;
    for (size_t i = 0; i < N_REAPING; i++)
        for (int by_signal = 0; by_signal < 2; by_signal++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
            struct sigaction action = {.sa_handler = on_alarm,
                                       .sa_flags = SA_RESTART};
            struct itimerval soon = {.it_value.tv_usec = 30000};
            struct giving_up g = {0, by_signal ? 0 : 2};
            libxl_childproc_failure failure;
            libxl_childproc_id id = 4711;
            struct xh_action before = xh_action_get(SIGALRM);

            runs_a_child(ctx); /* whatever stays open is open */
            spec.interrupted = give_up;
            spec.interrupted_user = &g;
            xl_sys.clone3 = clone3_that_hangs;
            XT_SYS(sigaction(SIGALRM, &action, NULL));
            if (by_signal)
                XT_SYS(setitimer(ITIMER_REAL, &soon, NULL));
            XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure),
                  ERROR_INTERRUPTED);
            xh_action_set(SIGALRM, &before);
            xl_sys.clone3 = real_clone3;
            XT_EQ_INT(id, 4711);
            XT_GT_INT(g.asked, g.after);
            XT_GT_INT(made, 1);
            XT_EQ_INT(xh_is_zombie(made), -1); /* ended, and reaped */
            XT_EQ_INT(libxl_childproc_count(ctx), 0);
            runs_a_child(ctx);
            xt_ctx_free(ctx);
        }
}

/* Whoever says no goes on; one that was not asked has a child as ever. */
XT_TEST(a_start_that_is_not_given_up_goes_on, "C24 B11")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "19"));
        struct giving_up g = {0, 1000000};
        libxl_childproc_result r;
        libxl_childproc_id id;

        spec.interrupted = give_up;
        spec.interrupted_user = &g;
        id = xt_spawn(ctx, &spec, NULL, NULL);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 19);
        spec.argv = (const char *const[]){"/nonexistent/program", NULL};
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, NULL),
              ERROR_SPAWN);
        xt_ctx_free(ctx);
    }
}

/* Another thread ends, lets go of, or asks for a child whose start hangs. */
struct hanging {
    libxl_ctx *ctx;
    libxl_childproc_result result;
    int rc;
};

static void *start_hanging(void *user)
{
    struct hanging *h = user;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_id id;

    h->rc = libxl_childproc_spawn(h->ctx, &spec, NULL, &id, NULL, NULL);
    if (h->rc == 0)
        h->rc = libxl_childproc_wait(h->ctx, id, -1, 0, &h->result);
    return NULL;
}

static int is_made(void *user)
{
    (void)user;
    return *(volatile pid_t *)&made > 1;
}

static pid_t clone_that_hangs(int (*fn)(void *), void *stack, size_t size,
                              uint64_t flags, void *arg, int *pidfd, int *pid,
                              atomic_int *until_exec, int cgroup)
{
    (void)fn;
    (void)pid;
    /* the thread sleeps in here: the word is the test's */
    return real_clone3(never_execs, stack, size, flags, arg, pidfd, &made,
                       until_exec, cgroup);
}

XT_TEST(a_start_that_hangs_can_be_killed_by_its_pid, "C24 C22 C13")
{
    if (!XL_RAWCALL_APART || !xp_clone3() || !xp_pidfds() || xl_on_valgrind())
        XT_SKIP("the child is not made by clone3 here");
    real_clone3 = xl_sys.clone3;
    for (size_t i = 0; i < N_REAPING; i++) {
        struct hanging h = {xt_ctx_new(reaping[i], NULL), {0}, 0};
        pthread_t thread;

        made = 0;
        xl_sys.clone3 = clone_that_hangs;
        XT_EQ_INT(pthread_create(&thread, NULL, start_hanging, &h), 0);
        XT_EVENTUALLY(is_made, NULL);
        xl_sys.clone3 = real_clone3;
        runs_a_child(h.ctx); /* the ctx is not locked meanwhile */
        XT_SYS(kill(made, SIGKILL));
        XT_EQ_INT(pthread_join(thread, NULL), 0);
        XT_OK(h.rc);
        XT_SIGNALED(&h.result, SIGKILL);
        xt_ctx_free(h.ctx);
    }
}
