/* host_cancel_hands.c - what a thread had in its hands when it was cancelled
 *
 * Proves C26 with O5, C5, E4 and C24: what its epoll_wait had fetched is told
 * again, and the child of an exec that waited is awaited by the ctx. That a
 * thread ends by it, and nothing else: host_cancel.c.
 */
#define _GNU_SOURCE
#include "cancelled.h"
#include "hostchild.h"
#include "nowait.h"
#include "probe.h"
#include "waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "ctx/ctx_impl.h"
#include "kernel/rawcall.h"
#include "kernel/sys.h"

/* ---- what its epoll_wait had fetched ------------------------------------- */

static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static atomic_int lose;   /* this thread loses what it fetches, and its life */
static atomic_int blocks; /* it blocks, or is about to: no more looks before */
static __thread int victim;

static int lossy_epoll_wait(int epfd, struct epoll_event *events, int max,
                            int timeout_ms)
{
    int n;

    if (timeout_ms != 0 && victim)
        atomic_store(&blocks, 1);
    n = real_epoll_wait(epfd, events, max, timeout_ms);
    if (n > 0 && timeout_ms != 0 && victim && atomic_load(&lose)) {
        (void)pthread_cancel(pthread_self());
        pthread_testcancel();
    }
    return n;
}

/* SIGCHLD goes to the main thread: EINTR would have this one look first, at
 * what it then takes in peace. */
static void *lost_in_event_wait(void *arg)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    victim = 1;
    return xc_in_event_wait(arg);
}

static int it_blocks(void *user)
{
    (void)user;
    return atomic_load(&blocks);
}

static int becomes_ready(void *user)
{
    struct pollfd pollfd = {.fd = libxl_ctx_fileno(user), .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1;
}

/* A child's end, and an operation's output, are in the hands of a thread that
 * is cancelled; nobody else is inside. The ctx's fd says that there is work. */
XT_TEST_SLOW(what_a_cancelled_thread_fetched_is_told_again, "C26 O5 C5", 60)
{
    real_epoll_wait = xl_sys.epoll_wait;
    xl_sys.epoll_wait = lossy_epoll_wait;
    for (size_t o = 0; o < XW_REAPING; o++) {
        libxl_ctx *ctx = xt_ctx_new(xw_reaping[o], NULL);
        struct xc_caller c = {ctx, 0, 0};
        libxl_asyncop_how how = {NULL, {5}};
        libxl_childproc_exec_opts opts;
        libxl_childproc_exec_result result;
        libxl_childproc_result r;
        libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "out", "9000"));
        libxl_childproc_id id;
        libxl_event *event;
        struct xc_thread t;
        int gate, pipe[2];

        XT_GE_INT(libxl_ctx_fileno(ctx), 0);
        id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
        atomic_store(&blocks, 0);
        xc_begin(&t, lost_in_event_wait, &c);
        XT_EVENTUALLY(it_blocks, NULL);
        atomic_store(&lose, 1);
        xt_close(&gate);
        XT_EQ_PTR(xc_end(&t), PTHREAD_CANCELED);
        atomic_store(&lose, 0);
        XT_EVENTUALLY(becomes_ready, ctx);
        XT_OK(libxl_childproc_wait(ctx, id, 5000, 0, &r));
        XT_EXITED(&r, 7);

        xt_pipe(pipe);
        libxl_childproc_exec_opts_init(&opts);
        opts.stdin_stream.kind = LIBXL_STREAM_FD;
        opts.stdin_stream.fd = pipe[0];
        opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
        xt_close(&pipe[0]);
        atomic_store(&blocks, 0);
        xc_begin(&t, lost_in_event_wait, &c);
        XT_EVENTUALLY(it_blocks, NULL);
        atomic_store(&lose, 1);
        xt_close(&pipe[1]);
        XT_EQ_PTR(xc_end(&t), PTHREAD_CANCELED);
        atomic_store(&lose, 0);
        XT_EQ_INT(
            libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 5000, 0),
            1);
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
        XT_EQ_INT(result.out.length, 9000);
        libxl_event_free(ctx, event);
        libxl_childproc_exec_result_dispose(&result);
        XT_OK(libxl_ctx_free(ctx));
    }
    xl_sys.epoll_wait = real_epoll_wait;
}

/* ---- the child of a cancelled exec --------------------------------------- */

static atomic_int busy; /* inside the callback */
static int callback_gate[2];

static void slow_take(libxl_ctx *ctx, int stream, const void *data,
                      size_t length, void *user)
{
    if (length == 0)
        return;
    atomic_store(&busy, 1);
    xt_await_byte(callback_gate[0]);
    *(size_t *)user += length; /* on the stack of whoever called exec */
}

static void *in_slow_exec(void *arg)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("say", "x", "pause"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    size_t told = 0;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stream_data = slow_take;
    opts.stream_user = &told;
    (void)libxl_childproc_exec(arg, &spec, &opts, &result, NULL, NULL);
    return NULL;
}

static int is_busy(void *unused)
{
    return atomic_load(&busy);
}

static atomic_int ended;

static void *end_of(void *thread)
{
    XT_EQ_PTR(xc_end(thread), PTHREAD_CANCELED);
    atomic_store(&ended, 1);
    return NULL;
}

/* Another thread is in its callback, with a pointer to its stack. */
XT_TEST(a_cancelled_exec_awaits_its_callback, "C26 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xc_caller c = {ctx, 0, 0};
    struct xq_wanted w = {ctx, 1};
    struct xc_thread leader, runs;
    pthread_t joins;
    long long until;

    xt_pipe(callback_gate);
    xc_begin(&leader, xc_in_event_wait, &c);
    XT_EVENTUALLY(xq_are_waiting, &w);
    xc_begin(&runs, in_slow_exec, ctx);
    XT_EVENTUALLY(is_busy, NULL);
    w.n = 2;
    XT_EVENTUALLY(xq_are_waiting, &w);
    XT_EQ_INT(pthread_cancel(runs.id), 0);
    XT_EQ_INT(pthread_create(&joins, NULL, end_of, &runs), 0);
    until = xt_now_ms() + 50;
    while (xt_now_ms() < until)
        XT_EQ_INT(atomic_load(&ended), 0);
    xt_write_all(callback_gate[1], "!", 1);
    XT_EQ_INT(pthread_join(joins, NULL), 0);
    xc_cancel(&leader);
    xt_close(&callback_gate[0]);
    xt_close(&callback_gate[1]);
    XT_EVENTUALLY(xc_no_child_lives, ctx);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xc_goes_on(ctx);
    XT_OK(libxl_ctx_free(ctx));
}

struct fifo_exec {
    libxl_ctx *ctx;
    const char *fifo;
};

static void *in_exec_of_a_fifo(void *arg)
{
    struct fifo_exec *x = arg;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream.kind = LIBXL_STREAM_FILE;
    opts.stdin_stream.path = x->fifo;
    (void)libxl_childproc_exec(x->ctx, &spec, &opts, &result, NULL, NULL);
    return NULL;
}

static int nobody_lives(void *ctx)
{
    return libxl_childproc_count(ctx) == 0;
}

/* The child is not its program yet, and reads what is on the thread's stack:
 * that is there until the child has gone. */
XT_TEST(a_cancelled_exec_awaits_a_child_that_is_set_up, "C26 C24")
{
    char *dir = xt_tmpdir();
    char fifo[300];
    struct fifo_exec x = {xt_ctx_new(libxl_sigchld_owner_none, NULL), fifo};
    struct xq_wanted w = {x.ctx, 1};

    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    XT_SYS(mkfifo(fifo, 0600));
    for (int i = 0; i < 5; i++) {
        struct xc_thread t;

        xc_begin(&t, in_exec_of_a_fifo, &x);
        XT_EVENTUALLY(xq_are_waiting, &w);
        xc_cancel(&t);
        XT_EVENTUALLY(nobody_lives, x.ctx);
    }
    XH_NO_CHILDREN();
    xt_ctx_free(x.ctx);
    xt_tmpdir_remove(dir);
}
