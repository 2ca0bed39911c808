/* fault_moments.c - the wrong moment: storms of signals, a stopped host, an
 * exec that takes its time
 *
 * Proves C5, C6, C8, C15, C18 and C24: every call is interrupted, the host is
 * stopped while its children end and its times run out, or a supervisor
 * (seccomp's user notification, as sandboxes have it) answers execve late, with
 * an error, or never. Every status is right, nobody else is held up, nothing
 * is left.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "notify.h"
#include "operation.h"
#include "probe.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(owners) / sizeof(owners[0]))

static libxl_childproc_result await(libxl_ctx *ctx, libxl_sigchld_owner owner,
                                    libxl_childproc_id id)
{
    int mainloop = owner == libxl_sigchld_owner_mainloop;
    libxl_childproc_result r;
    int rc;

    do {
        if (mainloop)
            libxl_childproc_sigchld_occurred(ctx);
        rc = libxl_childproc_wait(ctx, id, mainloop ? 5 : -1, 0, &r);
    } while (rc == ERROR_TIMEDOUT);
    XT_OK(rc);
    return r;
}

/* ---- a signal every tenth of a millisecond ------------------------------ */

static atomic_int hits;

static void hit(int signo)
{
    (void)signo;
    atomic_fetch_add(&hits, 1);
}

static void storm(int usec)
{
    struct itimerval every = {{0, usec}, {0, usec}};

    XT_SYS(setitimer(ITIMER_REAL, &every, NULL));
}

static void one_of_each(libxl_ctx *ctx, libxl_sigchld_owner owner, unsigned n)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat", "exit", "9"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    libxl_childproc_result r;
    struct xh_argv words;

    r = await(
        ctx, owner,
        xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(n)), NULL, NULL));
    XH_ENDED(&r, xh_end_of(n));
    if (owner == libxl_sigchld_owner_mainloop)
        return; /* which would have to look meanwhile */
    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream = (libxl_stream){
        .kind = LIBXL_STREAM_BUFFER, .data = "words", .length = 5};
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 9);
    XT_EQ_STR(result.out.data, "words");
    libxl_childproc_exec_result_dispose(&result);
}

XT_TEST_SLOW(in_a_storm_of_signals, "C5 C6 C8 C18", 120)
{
    struct xh_action old = xh_action_get(SIGALRM);
    struct sigaction action = {.sa_handler = hit};

    XT_SYS(sigaction(SIGALRM, &action, NULL)); /* every call says EINTR */
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);

        storm(100 * xt_time_scale());
        for (unsigned n = 0; n < 30; n++)
            one_of_each(ctx, owners[i], n * 11);
        storm(0);
        xt_ctx_free(ctx);
    }
    xh_action_set(SIGALRM, &old);
    XT_NOTE("%d signals", atomic_load(&hits));
    XT_GT_INT(atomic_load(&hits), 100);
}

/* ---- the host is stopped ------------------------------------------------ */

#define N_WAITING 20

/* In a process of its own, which stops itself: meanwhile its children end, and
 * more time goes by than any grace of the library's. */
static void be_stopped(libxl_sigchld_owner owner, int ready, int gate[2])
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_spec hangs = xt_spec(XT_CHILD("pause"));
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "3"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_id id[N_WAITING];
    libxl_childproc_fd fd = {0, gate[0]};
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);

    xt_close(&gate[1]);
    spec.fds = &fd;
    spec.nfds = 1;
    for (int i = 0; i < N_WAITING; i++)
        id[i] = xt_spawn(ctx, &spec, NULL, NULL);
    libxl_childproc_exec_opts_init(&opts);
    opts.timeout_ms = 500;
    if (owner != libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exec(ctx, &hangs, &opts, &c.result, NULL, &how));
    xt_write_all(ready, "r", 1);
    raise(SIGSTOP);
    for (int i = 0; i < N_WAITING; i++) {
        libxl_childproc_result r = await(ctx, owner, id[i]);

        XT_EXITED(&r, 3);
    }
    if (owner != libxl_sigchld_owner_mainloop) {
        xo_pump_until(ctx, &c.calls);
        XT_RC(c.rc, ERROR_TIMEDOUT);
        XT_SIGNALED(&c.result.child, SIGKILL);
        libxl_childproc_exec_result_dispose(&c.result);
    }
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
    _exit(0);
}

static void await_stop(pid_t pid)
{
    siginfo_t info;

    XT_SYS(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED));
    XT_EQ_INT(info.si_code, CLD_STOPPED);
}

XT_TEST_SLOW(a_host_that_is_stopped_for_seconds, "C5 C6 C8 C18", 60)
{
    pid_t host[N_OWNERS];
    int ready[2], gate[2];

    xt_pipe(ready);
    xt_pipe(gate);
    for (size_t i = 0; i < N_OWNERS; i++) {
        host[i] = XT_SYS(fork());
        if (!host[i])
            be_stopped(owners[i], ready[1], gate);
    }
    xt_close(&gate[0]);
    for (size_t i = 0; i < N_OWNERS; i++) {
        xt_await_byte(ready[0]);
        await_stop(host[i]);
    }
    xt_close(&gate[1]); /* all their children end */
    /* a clock: longer than the longest grace, which is a second */
    {
        pid_t clock = XT_SYS(fork());

        if (!clock) {
            execl(xt_child_path(), "child", "sleep-ms", "1300", (char *)NULL);
            _exit(127);
        }
        XT_EQ_INT(xh_reap(clock), 0);
    }
    for (size_t i = 0; i < N_OWNERS; i++) {
        XT_GT_INT(host[i], 1);
        XT_SYS(kill(host[i], SIGCONT));
    }
    for (size_t i = 0; i < N_OWNERS; i++)
        XT_EQ_INT(xh_reap(host[i]), 0);
    xt_close(&ready[0]);
    xt_close(&ready[1]);
}

/* ---- execve is answered by somebody ------------------------------------- */

/* Answers from a thread that was there before the filter, and is free of it. */
struct supervisor {
    pthread_t thread;
    atomic_int listener;
    int error;   /* for the first, instead of its program; 0: let it go on */
    int held[2]; /* a byte: the first one has come */
    int let[2];  /* a byte: it is answered; end of file: never */
};

static int next_call(int listener, struct xn_call *ret_call)
{
    int r;

    do
        r = xn_receive(listener, ret_call);
    while (r != 0 && (errno == EINTR || errno == ENOENT));
    return r;
}

/* Holds the first one, and lets all others go on. */
static void *supervise(void *arg)
{
    struct supervisor *s = arg;
    struct xn_call call, first = {.id = 0};
    int holding = 0, seen = 0, listener;
    char byte;

    while ((listener = atomic_load(&s->listener)) < 0)
        sched_yield();
    for (;;) {
        struct pollfd fds[2] = {{listener, POLLIN, 0}, {s->let[0], POLLIN, 0}};

        if (poll(fds, holding ? 2 : 1, -1) < 0)
            continue;
        if (holding && fds[1].revents) {
            if (read(s->let[0], &byte, 1) != 1)
                return NULL;
            xn_answer(listener, first.id, s->error);
            holding = 0;
            continue;
        }
        if (!fds[0].revents || next_call(listener, &call) != 0)
            continue;
        if (seen++) {
            xn_answer(listener, call.id, 0);
            continue;
        }
        first = call;
        holding = 1;
        xt_write_all(s->held[1], "h", 1);
    }
}

/* In a process that ends by _exit: a filter is for life. 0 where it may not
 * have one. */
static int set_up(struct supervisor *s, int error)
{
    int fd;

    s->error = error;
    atomic_init(&s->listener, -1);
    xt_pipe(s->held);
    xt_pipe(s->let);
    XT_EQ_INT(pthread_create(&s->thread, NULL, supervise, s), 0);
    fd = xn_listen();
    if (fd < 0)
        return 0;
    atomic_store(&s->listener, fd);
    return 1;
}

static void let_go(struct supervisor *s)
{
    xt_write_all(s->let[1], "l", 1);
}

/* fn in a process of its own, with the supervisor and a ctx. */
static void supervised(int error, int forks,
                       void (*fn)(struct supervisor *s, libxl_ctx *ctx))
{
    struct supervisor s;
    libxl_ctx *ctx;
    int status;
    pid_t pid = XT_SYS(fork());

    if (!pid) {
        ctx = xt_ctx_forking(libxl_sigchld_owner_none, forks);
        if (!set_up(&s, error))
            _exit(XT_EXIT_SKIPPED);
        fn(&s, ctx);
        xt_ctx_free(ctx);
        XH_NO_CHILDREN();
        _exit(0);
    }
    status = xh_reap(pid);
    if (status == XT_EXIT_SKIPPED << 8)
        XT_SKIP("no supervisor to be had here");
    XT_EQ_INT(status, 0);
}

struct elsewhere {
    struct supervisor *s;
    atomic_int done;
};

/* While the first start sleeps, another thread starts, reaps and forks. */
static void *goes_on(void *arg)
{
    struct elsewhere *e = arg;
    libxl_ctx *ctx;
    libxl_childproc_result r;

    xt_await_byte(e->s->held[0]);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int i = 0; i < 3; i++) {
        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL));
        XT_EXITED(&r, 3);
        XT_EQ_INT(xh_reap(xh_fork_exit(6)), 6 << 8);
    }
    xt_ctx_free(ctx);
    atomic_store(&e->done, 1);
    let_go(e->s);
    return NULL;
}

static void late(struct supervisor *s, libxl_ctx *ctx)
{
    struct elsewhere e = {s, 0};
    libxl_childproc_result r;
    libxl_childproc_id id;
    pthread_t other;

    XT_EQ_INT(pthread_create(&other, NULL, goes_on, &e), 0);
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "5"), NULL, NULL);
    XT_EQ_INT(atomic_load(&e.done), 1); /* it has waited for its program */
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 5);
    XT_EQ_INT(pthread_join(other, NULL), 0);
}

XT_TEST(an_exec_that_is_answered_late, "C5 C12 C24")
{
    supervised(0, 0, late);
    supervised(0, 1, late);
}

static void with_an_error(struct supervisor *s, libxl_ctx *ctx)
{
    struct elsewhere e = {s, 0};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "5"));
    libxl_childproc_failure failure;
    pthread_t other;

    XT_EQ_INT(pthread_create(&other, NULL, goes_on, &e), 0);
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(failure.errnoval, EIO);
    XT_EQ_INT(pthread_join(other, NULL), 0);
}

XT_TEST(an_exec_that_fails_late, "C15 C24")
{
    supervised(EIO, 0, with_an_error);
    supervised(EIO, 1, with_an_error);
}

/* Until one is let go: the first that comes so far is not. (On a busy machine
 * one may run out of time before it comes there.) */
static void never(struct supervisor *s, libxl_ctx *ctx)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "5"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result r;
    int timed_out = 0, rc;

    opts.timeout_ms = 200 * xt_time_scale();
    do {
        rc = libxl_childproc_exec(ctx, &spec, &opts, &r, NULL, NULL);
        if (rc == ERROR_TIMEDOUT) {
            XT_EQ_INT(r.timed_out, 1);
            XT_SIGNALED(&r.child, SIGKILL);
            timed_out++;
        } else {
            XT_OK(rc);
            XT_EXITED(&r.child, 5);
        }
        libxl_childproc_exec_result_dispose(&r);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        XH_NO_CHILDREN();
    } while (rc != 0);
    XT_GT_INT(timed_out, 0);
    xt_await_byte(s->held[0]);
}

XT_TEST(an_exec_that_is_never_answered, "C18 C24")
{
    supervised(0, 0, never);
    supervised(0, 1, never);
}
