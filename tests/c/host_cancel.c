/* host_cancel.c - a host that cancels its threads
 *
 * Proves C26: pthread_cancel of a thread that blocks in here ends it soon, and
 * nothing else: the ctx goes on, whoever else waits gets what is theirs, what
 * the thread had in its hands is told again, its stack is not touched any
 * more. Where nothing blocks, a thread that is to be cancelled goes on until it
 * has left the library.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "probe.h"

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

#ifdef __SANITIZE_THREAD__
/* TSan does not notice that a thread leaves its interceptor by being cancelled,
 * and is blind to what comes next: block without one. */
static long block(long number, long a, long b, long c, long d)
{
    int before;
    long r;

    (void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    r = xl_rawcall(number, a, b, c, d);
    (void)pthread_setcanceltype(before, &before);
    errno = r < 0 ? (int)-r : errno;
    return r < 0 ? -1 : r;
}

static int plain_epoll_wait(int epfd, struct epoll_event *events, int max,
                            int timeout_ms)
{
    return (int)block(SYS_epoll_wait, epfd, (long)events, max, timeout_ms);
}

static int plain_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    return (int)block(SYS_poll, (long)fds, (long)n, timeout_ms, 0);
}

__attribute__((constructor)) static void without_interceptors(void)
{
    xl_sys.epoll_wait = plain_epoll_wait;
    xl_sys.poll = plain_poll;
}
#endif

/* ---- threads whose stacks go when they have ended ------------------------ */

#define STACK (2 * 1024 * 1024)

struct thread {
    pthread_t id;
    unsigned char *stack;
};

static void begin(struct thread *t, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;

    t->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    XT_TRUE(t->stack != MAP_FAILED);
    XT_EQ_INT(pthread_attr_init(&attr), 0);
    XT_EQ_INT(pthread_attr_setstack(&attr, t->stack, STACK), 0);
    XT_EQ_INT(pthread_create(&t->id, &attr, fn, arg), 0);
    (void)pthread_attr_destroy(&attr);
}

/* Whatever still points to its stack crashes from now on. */
static void *end(struct thread *t)
{
    void *r;

    XT_EQ_INT(pthread_join(t->id, &r), 0);
    XT_SYS(munmap(t->stack, STACK));
    return r;
}

static void cancel(struct thread *t)
{
    XT_EQ_INT(pthread_cancel(t->id), 0);
    XT_EQ_PTR(end(t), PTHREAD_CANCELED);
}

/* ---- blocking calls ------------------------------------------------------ */

struct caller {
    libxl_ctx *ctx;
    libxl_childproc_id child; /* for childproc_wait */
    int came_back;
};

static void *in_event_wait(void *arg)
{
    struct caller *c = arg;
    libxl_event *event;

    (void)libxl_event_wait(c->ctx, &event,
                           LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_OPERATION_COMPLETE),
                           NULL, NULL);
    c->came_back = 1;
    return NULL;
}

static void *in_wait_many(void *arg)
{
    struct caller *c = arg;
    libxl_event *event[4];

    (void)libxl_event_wait_many(
        c->ctx, event, 4, LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_OPERATION_COMPLETE),
        100000, 0);
    c->came_back = 1;
    return NULL;
}

static void *in_childproc_wait(void *arg)
{
    struct caller *c = arg;
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
    struct caller *c = arg;
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

static void *(*const calls[])(void *) = {in_event_wait, in_wait_many,
                                         in_childproc_wait, in_exec};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static int waiting(libxl_ctx *ctx)
{
    struct xl_list *node;
    int n = 0;

    pthread_mutex_lock(&ctx->lock);
    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next)
        n++;
    pthread_mutex_unlock(&ctx->lock);
    return n;
}

struct wanted {
    libxl_ctx *ctx;
    int n;
};

static int are_waiting(void *user)
{
    struct wanted *w = user;

    return waiting(w->ctx) == w->n;
}

static int no_child_lives(void *user)
{
    xh_pump(user);
    return libxl_childproc_count(user) <= 1; /* the one that is waited for */
}

/* The ctx is as good as new. */
static void goes_on(libxl_ctx *ctx)
{
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {1}};
    libxl_event *event;
    libxl_childproc_result r;

    r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL));
    XT_EXITED(&r, 3);
    (void)xt_spawn_argv(ctx, XT_CHILD("exit", "4"), &report, NULL);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EXITED(&event->u.childproc_exit, 4);
    libxl_event_free(ctx, event);
}

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(owners) / sizeof(owners[0]))

/* One thread in each call, alone; then one that leads and one that follows, of
 * each pair of calls, cancelled in either order. */
XT_TEST_SLOW(a_thread_that_waits_is_cancelled, "C26 E2", 120)
{
    for (size_t o = 0; o < N_OWNERS; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        int gate;

        id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
        for (size_t a = 0; a < N_CALLS; a++)
            for (size_t b = 0; b <= N_CALLS; b++)
                for (int first = 0; first < 2; first++) {
                    struct caller c[2] = {{ctx, id, 0}, {ctx, id, 0}};
                    struct wanted w = {ctx, 1};
                    struct thread t[2];

                    if (b == N_CALLS && first)
                        continue;
                    begin(&t[0], calls[a], &c[0]);
                    XT_EVENTUALLY(are_waiting, &w);
                    if (b < N_CALLS) {
                        begin(&t[1], calls[b], &c[1]);
                        w.n = 2;
                        XT_EVENTUALLY(are_waiting, &w);
                    }
                    cancel(&t[first]);
                    w.n--;
                    XT_EQ_INT(waiting(ctx), w.n);
                    goes_on(ctx);
                    if (b < N_CALLS)
                        cancel(&t[!first]);
                    XT_EQ_INT(waiting(ctx), 0);
                    XT_EQ_INT(c[0].came_back + c[1].came_back, 0);
                    goes_on(ctx);
                    XT_EVENTUALLY(no_child_lives, ctx);
                }
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 7);
        XT_OK(libxl_ctx_free(ctx));
    }
}

/* ---- what its epoll_wait had fetched ------------------------------------- */

static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static atomic_int lose; /* this thread loses what it fetches, and its life */
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
    return in_event_wait(arg);
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
    for (size_t o = 0; o < N_OWNERS; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        struct caller c = {ctx, 0, 0};
        libxl_asyncop_how how = {NULL, {5}};
        libxl_childproc_exec_opts opts;
        libxl_childproc_exec_result result;
        libxl_childproc_result r;
        libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "out", "9000"));
        libxl_childproc_id id;
        libxl_event *event;
        struct thread t;
        int gate, pipe[2];

        XT_GE_INT(libxl_ctx_fileno(ctx), 0);
        id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
        atomic_store(&blocks, 0);
        begin(&t, lost_in_event_wait, &c);
        XT_EVENTUALLY(it_blocks, NULL);
        atomic_store(&lose, 1);
        xt_close(&gate);
        XT_EQ_PTR(end(&t), PTHREAD_CANCELED);
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
        begin(&t, lost_in_event_wait, &c);
        XT_EVENTUALLY(it_blocks, NULL);
        atomic_store(&lose, 1);
        xt_close(&pipe[1]);
        XT_EQ_PTR(end(&t), PTHREAD_CANCELED);
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
    XT_EQ_PTR(end(thread), PTHREAD_CANCELED);
    atomic_store(&ended, 1);
    return NULL;
}

/* Another thread is in its callback, with a pointer to its stack. */
XT_TEST(a_cancelled_exec_awaits_its_callback, "C26 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct caller c = {ctx, 0, 0};
    struct wanted w = {ctx, 1};
    struct thread leader, runs;
    pthread_t joins;
    long long until;

    xt_pipe(callback_gate);
    begin(&leader, in_event_wait, &c);
    XT_EVENTUALLY(are_waiting, &w);
    begin(&runs, in_slow_exec, ctx);
    XT_EVENTUALLY(is_busy, NULL);
    w.n = 2;
    XT_EVENTUALLY(are_waiting, &w);
    XT_EQ_INT(pthread_cancel(runs.id), 0);
    XT_EQ_INT(pthread_create(&joins, NULL, end_of, &runs), 0);
    until = xt_now_ms() + 50;
    while (xt_now_ms() < until)
        XT_EQ_INT(atomic_load(&ended), 0);
    xt_write_all(callback_gate[1], "!", 1);
    XT_EQ_INT(pthread_join(joins, NULL), 0);
    cancel(&leader);
    xt_close(&callback_gate[0]);
    xt_close(&callback_gate[1]);
    XT_EVENTUALLY(no_child_lives, ctx);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    goes_on(ctx);
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
    struct wanted w = {x.ctx, 1};

    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    XT_SYS(mkfifo(fifo, 0600));
    for (int i = 0; i < 5; i++) {
        struct thread t;

        begin(&t, in_exec_of_a_fifo, &x);
        XT_EVENTUALLY(are_waiting, &w);
        cancel(&t);
        XT_EVENTUALLY(nobody_lives, x.ctx);
    }
    XH_NO_CHILDREN();
    xt_ctx_free(x.ctx);
    xt_tmpdir_remove(dir);
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
    for (size_t o = 0; o < N_OWNERS; o++) {
        struct thread t;

        mode = owners[o];
        got_through = 0;
        begin(&t, to_be_cancelled, NULL);
        XT_EQ_PTR(end(&t), PTHREAD_CANCELED);
        XT_EQ_INT(got_through, 1);
    }
}

/* It was to be cancelled before it called. */
static void *late_in(void *arg)
{
    struct caller *c = arg;

    (void)pthread_cancel(pthread_self());
    return calls[c->came_back](&(struct caller){c->ctx, c->child, 0});
}

XT_TEST(a_wait_by_one_who_is_to_be_cancelled, "C26")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id;
    int gate;

    id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
    for (size_t i = 0; i < N_CALLS; i++) {
        struct caller c = {ctx, id, (int)i};
        struct thread t;

        begin(&t, late_in, &c);
        XT_EQ_PTR(end(&t), PTHREAD_CANCELED);
        goes_on(ctx);
    }
    XT_EVENTUALLY(no_child_lives, ctx);
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
    struct thread t;

    got_through = 0;
    begin(&t, interrupted, NULL);
    while (atomic_load(&ready_for_it) == 0)
        ;
    XT_EQ_INT(pthread_kill(t.id, SIGCHLD), 0);
    atomic_store(&ready_for_it, 2);
    XT_EQ_PTR(end(&t), PTHREAD_CANCELED);
    XT_EQ_INT(got_through, 1);
    goes_on(ctx);
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
    return in_event_wait(arg);
}

XT_TEST(in_a_callback_the_end_comes_later, "C26 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_CALLBACK,
                                     .callback = calls_again};
    struct caller c = {ctx, 0, 0};
    struct thread t;

    (void)xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
    begin(&t, pumps, &c);
    XT_EQ_PTR(end(&t), PTHREAD_CANCELED);
    XT_EQ_INT(inner_rc, ERROR_TIMEDOUT);
    goes_on(ctx);
    XT_OK(libxl_ctx_free(ctx));
}

/* ---- many, at random ----------------------------------------------------- */

static atomic_int reports;

static void *in_any_wait(void *arg)
{
    struct caller *c = arg;
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
    for (size_t o = 0; o < N_OWNERS; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        struct caller c = {ctx, 0, 0};
        struct thread t[THREADS];
        int started = 0;

        atomic_store(&reports, 0);
        for (int i = 0; i < THREADS; i++)
            begin(&t[i], i % 3 == 2 ? in_exec : in_any_wait, &c);
        for (int round = 0; round < ROUNDS; round++) {
            int i = rand_r(&seed) % THREADS;

            for (int n = rand_r(&seed) % 4; n > 0; n--, started++)
                (void)xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
            cancel(&t[i]);
            begin(&t[i], i % 3 == 2 ? in_exec : in_any_wait, &c);
        }
        XT_EVENTUALLY(all_reported, &started);
        for (int i = 0; i < THREADS; i++)
            cancel(&t[i]);
        XT_EQ_INT(waiting(ctx), 0);
        XT_EVENTUALLY(no_child_lives, ctx);
        goes_on(ctx);
        XT_OK(libxl_ctx_free(ctx));
    }
}
