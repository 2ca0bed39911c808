/* host_cancel.c - a host that cancels its threads
 *
 * Proves C26: pthread_cancel of a thread that blocks in here ends it soon, and
 * nothing else: the ctx goes on, whoever else waits gets what is theirs, what
 * the thread had in its hands is told again (host_cancel_hands.c), its stack is
 * not touched any more. Where nothing blocks, a thread that is to be cancelled
 * goes on until it has left the library.
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

/* ---- blocking calls ------------------------------------------------------ */

static void *in_wait_many(void *arg)
{
    struct xc_caller *c = arg;
    libxl_event *event[4];

    (void)libxl_event_wait_many(
        c->ctx, event, 4, LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_OPERATION_COMPLETE),
        100000, 0);
    c->came_back = 1;
    return NULL;
}

static void *in_childproc_wait(void *arg)
{
    struct xc_caller *c = arg;
    libxl_childproc_result result;

    (void)libxl_childproc_wait(c->ctx, c->child, LIBXL_WAIT_FOREVER, 0,
                               &result);
    c->came_back = 1;
    return NULL;
}

static void take(libxl_ctx *ctx, int stream, const void *data, size_t length,
                 void *user)
{
    *(size_t *)user += length;
}

static void *in_exec(void *arg)
{
    struct xc_caller *c = arg;
    char input[20000]; /* more than its pipe would need, but nobody reads */
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("out", "70000", "say-err", "x", "pause"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    size_t told = 0;

    memset(input, 'i', sizeof(input));
    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream.kind = LIBXL_STREAM_BUFFER;
    opts.stdin_stream.data = input;
    opts.stdin_stream.length = sizeof(input);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stream_data = take;
    opts.stream_user = &told;
    (void)libxl_childproc_exec(c->ctx, &spec, &opts, &result, NULL, NULL);
    c->came_back = 1;
    return NULL;
}

static void *(*const calls[])(void *) = {xc_in_event_wait, in_wait_many,
                                         in_childproc_wait, in_exec};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

/* One thread in each call, alone; then one that leads and one that follows, of
 * each pair of calls, cancelled in either order. */
XT_TEST_SLOW(a_thread_that_waits_is_cancelled, "C26 E2", 120)
{
    for (size_t o = 0; o < XW_REAPING; o++) {
        libxl_ctx *ctx = xt_ctx_new(xw_reaping[o], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        int gate;

        id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
        for (size_t a = 0; a < N_CALLS; a++)
            for (size_t b = 0; b <= N_CALLS; b++)
                for (int first = 0; first < 2; first++) {
                    struct xc_caller c[2] = {{ctx, id, 0}, {ctx, id, 0}};
                    struct xq_wanted w = {ctx, 1};
                    struct xc_thread t[2];

                    if (b == N_CALLS && first)
                        continue;
                    xc_begin(&t[0], calls[a], &c[0]);
                    XT_EVENTUALLY(xq_are_waiting, &w);
                    if (b < N_CALLS) {
                        xc_begin(&t[1], calls[b], &c[1]);
                        w.n = 2;
                        XT_EVENTUALLY(xq_are_waiting, &w);
                    }
                    xc_cancel(&t[first]);
                    w.n--;
                    XT_EQ_INT(xq_waiting(ctx), w.n);
                    xc_goes_on(ctx);
                    if (b < N_CALLS)
                        xc_cancel(&t[!first]);
                    XT_EQ_INT(xq_waiting(ctx), 0);
                    XT_EQ_INT(c[0].came_back + c[1].came_back, 0);
                    xc_goes_on(ctx);
                    XT_EVENTUALLY(xc_no_child_lives, ctx);
                }
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 7);
        XT_OK(libxl_ctx_free(ctx));
    }
}

/* ---- a thread that is to be cancelled, where nothing blocks -------------- */

/* As xh_await_zombie, which would be the end of a thread that is to be. */
static void await_zombie(pid_t pid)
{
    int before;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    xh_await_zombie(pid);
    (void)pthread_setcancelstate(before, &before);
}

/* It has ended; without pidfds its SIGCHLD may be on its way still. */
static void take_ended(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_result r;
    int rc;

    do
        rc = libxl_childproc_wait(ctx, id, 0, 0, &r);
    while (rc == ERROR_TIMEDOUT);
    XT_OK(rc);
}

static void all_that_does_not_block(libxl_sigchld_owner owner)
{
    libxl_childproc_hooks hooks = {owner, NULL, NULL, sizeof(hooks)};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    const char *const nothing[] = {"/nonexistent/program", NULL};
    libxl_childproc_spec bad = xt_spec(nothing);
    libxl_childproc_batch_entry batch[3];
    libxl_childproc_id id, again;
    libxl_event *event;
    struct timeval now = {0, 0};
    libxl_ctx *ctx, *other;
    uint64_t ticks;
    char *words;
    int named = xp_pidfds(); /* asking may block: before that */
    int pidfds = named && xp_pidfd_open();
    int rc;
    pid_t pid;

    (void)pthread_cancel(pthread_self()); /* from now on it is to be */
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    XT_OK(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, NULL));
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    XT_OK(libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL));
    XT_RC(libxl_childproc_spawn(ctx, &bad, NULL, NULL, NULL, NULL),
          ERROR_SPAWN);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    rc = libxl_childproc_adopt(ctx, pid, ticks + 1, -1, NULL, &again);
    if (pidfds || !named)
        XT_RC(rc, pidfds ? ERROR_NOTFOUND : ERROR_NI);
    else /* pidfd_open alone is refused, one way or another */
        XT_NE_INT(rc, 0);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_GE_INT(libxl_ctx_fileno(ctx), 0);
    libxl_osevent_afterpoll(ctx, 0, NULL, now);
    XT_OK(libxl_childproc_diagnose(ctx, NULL, &words));
    free(words);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    await_zombie(pid);
    take_ended(ctx, id);
    memset(batch, 0, sizeof(batch));
    for (int i = 0; i < 3; i++)
        batch[i].spec = &spec;
    XT_OK(libxl_childproc_set_starters(ctx, 1));
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, batch, 3), 3);
    for (int i = 0; i < 3; i++) {
        XT_OK(libxl_childproc_kill(ctx, batch[i].id, SIGKILL,
                                   LIBXL_KILL_PROCESS));
        await_zombie(batch[i].pid);
        take_ended(ctx, batch[i].id);
    }
    XT_OK(libxl_ctx_free(ctx));
    XT_OK(libxl_ctx_free(other));
}

static libxl_sigchld_owner mode;
static int got_through;

static void *to_be_cancelled(void *unused)
{
    all_that_does_not_block(mode);
    got_through = 1;
    pthread_testcancel();
    return NULL;
}

XT_TEST_SLOW(what_does_not_block_is_not_cut_short, "C26", 60)
{
    if (xt_on_valgrind())
        XT_SKIP("valgrind looks by itself at who is to be cancelled");
    for (size_t o = 0; o < XW_REAPING; o++) {
        struct xc_thread t;

        mode = xw_reaping[o];
        got_through = 0;
        xc_begin(&t, to_be_cancelled, NULL);
        XT_EQ_PTR(xc_end(&t), PTHREAD_CANCELED);
        XT_EQ_INT(got_through, 1);
    }
}

/* It was to be cancelled before it called. */
static void *late_in(void *arg)
{
    struct xc_caller *c = arg;

    (void)pthread_cancel(pthread_self());
    return calls[c->came_back](&(struct xc_caller){c->ctx, c->child, 0});
}

XT_TEST(a_wait_by_one_who_is_to_be_cancelled, "C26")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id;
    int gate;

    id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
    for (size_t i = 0; i < N_CALLS; i++) {
        struct xc_caller c = {ctx, id, (int)i};
        struct xc_thread t;

        xc_begin(&t, late_in, &c);
        XT_EQ_PTR(xc_end(&t), PTHREAD_CANCELED);
        xc_goes_on(ctx);
    }
    XT_EVENTUALLY(xc_no_child_lives, ctx);
    xt_close(&gate);
    (void)xt_wait(ctx, id);
    XT_OK(libxl_ctx_free(ctx));
}

/* The handler of SIGCHLD runs on a thread that is to be cancelled and is in
 * the midst of anything: it does not end there. */
static atomic_int ready_for_it;

static void *interrupted(void *unused)
{
    sigset_t chld;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    (void)pthread_cancel(pthread_self());
    (void)pthread_sigmask(SIG_BLOCK, &chld, NULL);
    atomic_store(&ready_for_it, 1);
    while (atomic_load(&ready_for_it) == 1)
        ;
    (void)pthread_sigmask(SIG_UNBLOCK, &chld, NULL);
    got_through = 1;
    pthread_testcancel();
    return NULL;
}

XT_TEST(the_handler_is_no_end_of_a_thread, "C26 C7")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    struct xc_thread t;

    got_through = 0;
    xc_begin(&t, interrupted, NULL);
    while (atomic_load(&ready_for_it) == 0)
        ;
    XT_EQ_INT(pthread_kill(t.id, SIGCHLD), 0);
    atomic_store(&ready_for_it, 2);
    XT_EQ_PTR(xc_end(&t), PTHREAD_CANCELED);
    XT_EQ_INT(got_through, 1);
    xc_goes_on(ctx);
    XT_OK(libxl_ctx_free(ctx));
}

/* In a callback the frames of the call below would be lost: it ends later. */
static int inner_rc;

static void calls_again(libxl_ctx *ctx, const libxl_childproc_result *result,
                        void *user)
{
    libxl_event *event;

    (void)pthread_cancel(pthread_self());
    inner_rc = libxl_event_wait_many(
        ctx, &event, 1, LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_OPERATION_COMPLETE),
        20, 0);
}

static void *pumps(void *arg)
{
    return xc_in_event_wait(arg);
}

XT_TEST(in_a_callback_the_end_comes_later, "C26 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_CALLBACK,
                                     .callback = calls_again};
    struct xc_caller c = {ctx, 0, 0};
    struct xc_thread t;

    (void)xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
    xc_begin(&t, pumps, &c);
    XT_EQ_PTR(xc_end(&t), PTHREAD_CANCELED);
    XT_EQ_INT(inner_rc, ERROR_TIMEDOUT);
    xc_goes_on(ctx);
    XT_OK(libxl_ctx_free(ctx));
}

/* ---- many, at random ----------------------------------------------------- */

static atomic_int reports;

static void *in_any_wait(void *arg)
{
    struct xc_caller *c = arg;
    libxl_event *event[3];

    for (;;) {
        int n = libxl_event_wait_many(c->ctx, event, 3, LIBXL_EVENTMASK_ALL,
                                      LIBXL_WAIT_FOREVER, 0);

        for (int i = 0; i < n; i++) {
            libxl_event_free(c->ctx, event[i]);
            atomic_fetch_add(&reports, 1);
        }
    }
    return NULL;
}

static int all_reported(void *user)
{
    return atomic_load(&reports) == *(int *)user;
}

XT_TEST_SLOW(cancelled_at_random_every_report_comes_once, "C26 E1 E2 C5", 120)
{
    enum { THREADS = 6, ROUNDS = 150 };
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {1}};
    unsigned seed = (unsigned)getpid();

    XT_NOTE("seed %u", seed);
    for (size_t o = 0; o < XW_REAPING; o++) {
        libxl_ctx *ctx = xt_ctx_new(xw_reaping[o], NULL);
        struct xc_caller c = {ctx, 0, 0};
        struct xc_thread t[THREADS];
        int started = 0;

        atomic_store(&reports, 0);
        for (int i = 0; i < THREADS; i++)
            xc_begin(&t[i], i % 3 == 2 ? in_exec : in_any_wait, &c);
        for (int round = 0; round < ROUNDS; round++) {
            int i = rand_r(&seed) % THREADS;

            for (int n = rand_r(&seed) % 4; n > 0; n--, started++)
                (void)xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
            xc_cancel(&t[i]);
            xc_begin(&t[i], i % 3 == 2 ? in_exec : in_any_wait, &c);
        }
        XT_EVENTUALLY(all_reported, &started);
        for (int i = 0; i < THREADS; i++)
            xc_cancel(&t[i]);
        XT_EQ_INT(xq_waiting(ctx), 0);
        XT_EVENTUALLY(xc_no_child_lives, ctx);
        xc_goes_on(ctx);
        XT_OK(libxl_ctx_free(ctx));
    }
}
