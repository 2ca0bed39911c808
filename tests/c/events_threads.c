/* events_threads.c - several threads wait at once, each for its own
 *
 * Proves E2, and O6 where a thread is blocked while the work changes.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctx/ctx_impl.h"
#include "kernel/sys.h"

/* A thread that waits for one event and says so. */
struct waiter {
    libxl_ctx *ctx;
    uint64_t mask;
    libxl_ev_user wanted;
    int use_predicate;
    int done[2]; /* pipe: a byte when the wait returned */
    libxl_event *event;
    pthread_t thread;
};

static int wanted(const libxl_event *event, void *user)
{
    return event->for_user == ((struct waiter *)user)->wanted;
}

static void *wait_for_one(void *user)
{
    struct waiter *w = user;

    XT_OK(libxl_event_wait(w->ctx, &w->event, w->mask,
                           w->use_predicate ? wanted : NULL, w));
    xt_write_all(w->done[1], "!", 1);
    return NULL;
}

static void start_waiter(struct waiter *w, libxl_ctx *ctx, uint64_t mask,
                         libxl_ev_user user, int use_predicate)
{
    memset(w, 0, sizeof(*w));
    w->ctx = ctx;
    w->mask = mask;
    w->wanted = user;
    w->use_predicate = use_predicate;
    xt_pipe(w->done);
    XT_EQ_INT(pthread_create(&w->thread, NULL, wait_for_one, w), 0);
}

static int somebody_blocks(void *user)
{
    libxl_ctx *ctx = user;
    int blocks;

    pthread_mutex_lock(&ctx->lock);
    blocks = ctx->pump.leader != NULL;
    pthread_mutex_unlock(&ctx->lock);
    return blocks;
}

static int is_done(const struct waiter *w)
{
    struct pollfd p = {w->done[0], POLLIN, 0};

    return poll(&p, 1, 0) == 1;
}

static void end_waiter(struct waiter *w)
{
    XT_EQ_INT(pthread_join(w->thread, NULL), 0);
    libxl_event_free(w->ctx, w->event);
    xt_close(&w->done[0]);
    xt_close(&w->done[1]);
}

static void spawn_for(libxl_ctx *ctx, const char *const *argv,
                      libxl_ev_user user)
{
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {user}};

    xt_spawn_argv(ctx, argv, &report, NULL);
}

#define WAITERS 8

/* Eight threads, eight children that end in the opposite order. */
XT_TEST(each_wakes_for_its_own_event, "E2 O6")
{
    static const libxl_sigchld_owner owners[] = {libxl_sigchld_owner_none,
                                                 libxl_sigchld_owner_libxl};

    for (int o = 0; o < 2; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        struct waiter w[WAITERS];
        int gate[WAITERS][2];

        for (int i = 0; i < WAITERS; i++)
            start_waiter(&w[i], ctx, LIBXL_EVENTMASK_ALL, i, 1);
        for (int i = 0; i < WAITERS; i++) {
            libxl_childproc_spec spec = xt_spec(XT_CHILD("hold"));
            libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {i}};
            libxl_childproc_fd fd;

            xt_pipe(gate[i]);
            fd = (libxl_childproc_fd){0, gate[i][0]};
            spec.fds = &fd;
            spec.nfds = 1;
            xt_spawn(ctx, &spec, &report, NULL);
            xt_close(&gate[i][0]);
        }
        for (int i = WAITERS - 1; i >= 0; i--) {
            xt_close(&gate[i][1]);
            xt_await_byte(w[i].done[0]);
            XT_EQ_INT(w[i].event->for_user, i);
            for (int k = 0; k < i; k++)
                XT_EQ_INT(is_done(&w[k]), 0);
        }
        for (int i = 0; i < WAITERS; i++)
            end_waiter(&w[i]);
        xt_ctx_free(ctx);
    }
}

/* Different type masks. */
XT_TEST(masks_split_the_events, "E2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("stop", "exit", "6"));
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {1}};
    struct waiter stops, exits;
    libxl_childproc_id id;

    start_waiter(&exits, ctx, LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_EXIT),
                 0, 0);
    start_waiter(&stops, ctx,
                 LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_STOPPED), 0, 0);
    spec.flags |= LIBXL_SPAWN_REPORT_STOPS;
    id = xt_spawn(ctx, &spec, &report, NULL);
    xt_await_byte(stops.done[0]);
    XT_EQ_INT(stops.event->type, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED);
    XT_EQ_INT(is_done(&exits), 0);
    XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
    xt_await_byte(exits.done[0]);
    XT_EXITED(&exits.event->u.childproc_exit, 6);
    end_waiter(&stops);
    end_waiter(&exits);
    xt_ctx_free(ctx);
}

/* Blocked before anything was there to watch. */
XT_TEST(start_wakes_a_blocked_wait, "E2 O6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct waiter w;

    start_waiter(&w, ctx, LIBXL_EVENTMASK_ALL, 0, 0);
    XT_EVENTUALLY(somebody_blocks, ctx);
    spawn_for(ctx, XT_CHILD("exit", "3"), 5);
    xt_await_byte(w.done[0]);
    XT_EQ_INT(w.event->for_user, 5);
    XT_EXITED(&w.event->u.childproc_exit, 3);
    end_waiter(&w);
    xt_ctx_free(ctx);
}

/* exited() on this thread completes the wait of another. */
XT_TEST(exited_wakes_a_blocked_wait, "E2 C2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {5}};
    struct waiter w;
    int status;
    pid_t pid;

    for (int i = 0; i < 50; i++) {
        start_waiter(&w, ctx, LIBXL_EVENTMASK_ALL, 0, 0);
    XT_EVENTUALLY(somebody_blocks, ctx);
        xt_spawn_argv(ctx, XT_CHILD("exit", "9"), &report, &pid);
        XT_EQ_INT(waitpid(pid, &status, 0), pid);
        XT_OK(libxl_childproc_exited(ctx, pid, status));
        xt_await_byte(w.done[0]);
        XT_EXITED(&w.event->u.childproc_exit, 9);
        XT_EQ_INT(w.event->u.childproc_exit.source, LIBXL_SOURCE_PASSED);
        end_waiter(&w);
    }
    xt_ctx_free(ctx);
}

/* abort() on this thread ends an operation that another waits for. */
XT_TEST(abort_wakes_a_blocked_wait, "E2 A2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_asyncop_how how = {NULL, {.for_event = 77}};
    libxl_childproc_exec_result result;
    struct waiter w;

    start_waiter(&w, ctx, LIBXL_EVENTMASK_ALL, 77, 1);
    XT_EVENTUALLY(somebody_blocks, ctx);
    XT_OK(libxl_childproc_exec(ctx, &spec, NULL, &result, NULL, &how));
    XT_OK(libxl_ao_abort(ctx, &how));
    xt_await_byte(w.done[0]);
    XT_EQ_INT(w.event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    XT_EQ_INT(w.event->u.operation_complete.rc, ERROR_ABORTED);
    XT_SIGNALED(&result.child, SIGKILL); /* the default policy's */
    end_waiter(&w);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

/* detach() on this thread ends the wait of another, who gets nothing. */
struct held_waiter {
    libxl_ctx *ctx;
    libxl_childproc_id id;
};

static void *wait_in_vain(void *user)
{
    struct held_waiter *w = user;
    libxl_childproc_result r;

    XT_RC(libxl_childproc_wait(w->ctx, w->id, LIBXL_WAIT_FOREVER, 0, &r),
          ERROR_NOTFOUND);
    return NULL;
}

XT_TEST(detach_wakes_a_blocked_wait, "E2 C5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct held_waiter w = {ctx, 0};
    pthread_t thread;

    for (int i = 0; i < 20; i++) {
        w.id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
        XT_EQ_INT(pthread_create(&thread, NULL, wait_in_vain, &w), 0);
        XT_EVENTUALLY(somebody_blocks, ctx);
        XT_OK(libxl_childproc_detach(ctx, w.id));
        XT_EQ_INT(pthread_join(thread, NULL), 0);
        XT_OK(libxl_childproc_kill(ctx, w.id, SIGKILL, LIBXL_KILL_PROCESS));
    }
    while (libxl_childproc_count(ctx) > 0) {
        libxl_event *event;

        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 10, 0), ERROR_TIMEDOUT);
    }
    xt_ctx_free(ctx);
}

/* A timer that is set while all threads are blocked, sooner than any other. */
XT_TEST(new_timer_wakes_a_blocked_wait, "E2 O6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy late = {SIGTERM, 60000, LIBXL_KILL_PROCESS};
    libxl_kill_policy soon = {SIGTERM, 20, LIBXL_KILL_PROCESS};
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "ready", "1", "pause"));
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {5}};
    libxl_childproc_id id;
    libxl_childproc_fd fd;
    struct waiter w;
    int p[2];

    xt_pipe(p);
    fd = (libxl_childproc_fd){1, p[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    id = xt_spawn(ctx, &spec, &report, NULL);
    xt_await_byte(p[0]);
    start_waiter(&w, ctx, LIBXL_EVENTMASK_ALL, 0, 0);
    XT_EVENTUALLY(somebody_blocks, ctx);
    XT_OK(libxl_childproc_terminate(ctx, id, &late));
    XT_EQ_INT(is_done(&w), 0);
    XT_EVENTUALLY(somebody_blocks, ctx);
    XT_OK(libxl_childproc_terminate(ctx, id, &soon));
    xt_await_byte(w.done[0]);
    XT_SIGNALED(&w.event->u.childproc_exit, SIGKILL);
    end_waiter(&w);
    xt_close(&p[0]);
    xt_close(&p[1]);
    xt_ctx_free(ctx);
}

/* ---- many threads, no lost wakeup --------------------------------------- */

#define TAKERS 4
#define EVENTS 400

struct takers {
    libxl_ctx *ctx;
    atomic_int taken;
    atomic_int seen[EVENTS];
};

static void *take(void *user)
{
    struct takers *t = user;
    libxl_event *event;

    for (;;) {
        libxl_ev_user n;

        XT_OK(libxl_event_wait(t->ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                               NULL));
        n = event->for_user;
        libxl_event_free(t->ctx, event);
        if (n == EVENTS)
            return NULL; /* one such event a thread */
        XT_EQ_INT(atomic_fetch_add(&t->seen[n], 1), 0);
        atomic_fetch_add(&t->taken, 1);
    }
}

static void *start_many(void *user)
{
    struct takers *t = user;

    for (int i = 0; i < EVENTS; i += 2)
        spawn_for(t->ctx, (const char *const[]){xt_tiny_path(), NULL}, i);
    return NULL;
}

XT_TEST(no_lost_wakeup, "E2 E1 X3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct takers t = {.ctx = ctx};
    pthread_t taker[TAKERS], starter;

    for (int i = 0; i < TAKERS; i++)
        XT_EQ_INT(pthread_create(&taker[i], NULL, take, &t), 0);
    XT_EQ_INT(pthread_create(&starter, NULL, start_many, &t), 0);
    for (int i = 1; i < EVENTS; i += 2)
        spawn_for(ctx, (const char *const[]){xt_tiny_path(), NULL}, i);
    XT_EQ_INT(pthread_join(starter, NULL), 0);
    for (int i = 0; i < TAKERS; i++)
        spawn_for(ctx, (const char *const[]){xt_tiny_path(), NULL}, EVENTS);
    for (int i = 0; i < TAKERS; i++)
        XT_EQ_INT(pthread_join(taker[i], NULL), 0);
    /* What came after the last "stop" is still queued or due. */
    while (atomic_load(&t.taken) < EVENTS) {
        libxl_event *event;

        XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        XT_EQ_INT(atomic_fetch_add(&t.seen[event->for_user], 1), 0);
        atomic_fetch_add(&t.taken, 1);
        libxl_event_free(ctx, event);
    }
    xt_ctx_free(ctx);
}

/* Several threads in libxl_childproc_wait, each for a child of its own. */
struct child_waiter {
    libxl_ctx *ctx;
    int code;
    pthread_t thread;
};

static void *start_and_wait(void *user)
{
    struct child_waiter *w = user;
    char code[8];

    snprintf(code, sizeof(code), "%d", w->code);
    for (int i = 0; i < 50; i++) {
        libxl_childproc_id id =
            xt_spawn_argv(w->ctx, XT_CHILD("exit", code), NULL, NULL);
        libxl_childproc_result r = xt_wait(w->ctx, id);

        XT_EXITED(&r, w->code);
    }
    return NULL;
}

XT_TEST(threads_wait_for_their_own_children, "E2 X3")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_libxl_always_selective_reap};

    for (int o = 0; o < 3; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        struct child_waiter w[4];

        for (int i = 0; i < 4; i++) {
            w[i].ctx = ctx;
            w[i].code = 10 + i;
            XT_EQ_INT(pthread_create(&w[i].thread, NULL, start_and_wait,
                                     &w[i]),
                      0);
        }
        for (int i = 0; i < 4; i++)
            XT_EQ_INT(pthread_join(w[i].thread, NULL), 0);
        xt_ctx_free(ctx);
    }
}

/* ctx_free while another thread is inside says so and does nothing. */
struct inside {
    libxl_ctx *ctx;
    int entered[2], go_on[2];
};

static void block_inside(libxl_ctx *ctx, const libxl_childproc_result *result,
                         void *user)
{
    struct inside *in = user;

    (void)ctx;
    XT_EXITED(result, 2);
    xt_write_all(in->entered[1], "!", 1);
    xt_await_byte(in->go_on[0]);
}

static void *pump_inside(void *user)
{
    struct inside *in = user;
    libxl_event *event;

    while (libxl_childproc_count(in->ctx))
        XT_RC(libxl_event_wait_many(in->ctx, &event, 1, LIBXL_EVENTMASK_ALL,
                                    100, 0),
              ERROR_TIMEDOUT);
    return NULL;
}

XT_TEST(free_while_another_thread_is_inside, "X2 X5")
{
    struct inside in;
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, block_inside,
                                     {.for_callback = &in}};
    libxl_childproc_result r;
    pthread_t thread;

    in.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    xt_pipe(in.entered);
    xt_pipe(in.go_on);
    xt_spawn_argv(in.ctx, XT_CHILD("exit", "2"), &report, NULL);
    XT_EQ_INT(pthread_create(&thread, NULL, pump_inside, &in), 0);
    xt_await_byte(in.entered[0]);
    XT_RC(libxl_ctx_free(in.ctx), ERROR_BUSY);
    xt_write_all(in.go_on[1], "!", 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    r = xt_wait(in.ctx, xt_spawn_argv(in.ctx, XT_CHILD("exit", "3"), NULL,
                                      NULL));
    XT_EXITED(&r, 3);
    xt_ctx_free(in.ctx);
    for (int i = 0; i < 2; i++) {
        xt_close(&in.entered[i]);
        xt_close(&in.go_on[i]);
    }
}

/* ---- waits that end otherwise ------------------------------------------- */

static void on_signal(int signo)
{
    (void)signo;
}

struct interrupted {
    libxl_ctx *ctx;
    unsigned flags;
    int rc;
    int entered[2];
    atomic_int returned;
};

static void *wait_interruptibly(void *user)
{
    struct interrupted *w = user;
    libxl_event *event = NULL;

    xt_write_all(w->entered[1], "!", 1);
    w->rc = libxl_event_wait_many(w->ctx, &event, 1, LIBXL_EVENTMASK_ALL,
                                  w->flags ? LIBXL_WAIT_FOREVER : 300,
                                  w->flags);
    atomic_store(&w->returned, 1);
    return NULL;
}

static int interrupt_one(unsigned flags)
{
    struct interrupted w = {.flags = flags};
    struct sigaction action = {.sa_handler = on_signal};
    struct xh_action old = xh_action_get(SIGUSR1);
    struct timespec ms = {0, 1000000};
    pthread_t thread;

    w.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    xt_pipe(w.entered);
    XT_SYS(sigaction(SIGUSR1, &action, NULL));
    XT_EQ_INT(pthread_create(&thread, NULL, wait_interruptibly, &w), 0);
    xt_await_byte(w.entered[0]);
    /* It may not be in the wait yet: signals go on until it returns. */
    while (!atomic_load(&w.returned)) {
        pthread_kill(thread, SIGUSR1);
        nanosleep(&ms, NULL);
    }
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xh_action_set(SIGUSR1, &old);
    xt_close(&w.entered[0]);
    xt_close(&w.entered[1]);
    xt_ctx_free(w.ctx);
    return w.rc;
}

XT_TEST(signals_interrupt_on_request_only, "E2 C8")
{
    XT_EQ_INT(interrupt_one(LIBXL_WAIT_INTERRUPTIBLE), ERROR_INTERRUPTED);
    XT_EQ_INT(interrupt_one(0), ERROR_TIMEDOUT);
}

XT_TEST(timeouts_are_monotonic_and_not_early, "O6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
    libxl_childproc_result r;
    libxl_event *event;
    long long start = xt_now_ms();

    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 50, 0),
          ERROR_TIMEDOUT);
    XT_GE_INT(xt_now_ms() - start, 50);
    start = xt_now_ms();
    XT_RC(libxl_childproc_wait(ctx, id, 50, 0, &r), ERROR_TIMEDOUT);
    XT_GE_INT(xt_now_ms() - start, 50);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_ctx_free(ctx);
}

/* ---- a wakeup between the decision to block and blocking ---------------- */

static struct {
    libxl_ctx *ctx;
    libxl_childproc_id id;
    pid_t pid;
    int times;
    int (*epoll_wait)(int epfd, struct epoll_event *events, int max,
                      int timeout_ms);
} asleep;

/* What the leader waits for happens, and somebody else pumps in passing. */
static void *end_and_pump(void *unused)
{
    libxl_event *event;
    siginfo_t info;
    int i;

    (void)unused;
    XT_OK(libxl_childproc_kill(asleep.ctx, asleep.id, SIGKILL,
                               LIBXL_KILL_PROCESS));
    XT_SYS(waitid(P_PID, (id_t)asleep.pid, &info, WEXITED | WNOWAIT));
    for (i = 0; i < 3; i++)
        XT_RC(libxl_event_check(asleep.ctx, &event, 0, NULL, NULL),
              ERROR_NOT_READY);
    return NULL;
}

/* The leader has given the lock up, and does not sleep yet. */
static int wait_late(int epfd, struct epoll_event *events, int max,
                     int timeout_ms)
{
    pthread_t thread;
    int n;

    if (timeout_ms == 0 || asleep.times++ > 0)
        return asleep.epoll_wait(epfd, events, max, timeout_ms);
    XT_EQ_INT(pthread_create(&thread, NULL, end_and_pump, NULL), 0);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    n = asleep.epoll_wait(epfd, events, max, 0);
    XT_GT_INT(n, 0); /* or it would have slept on */
    return n;
}

XT_TEST(a_wakeup_is_not_taken_by_a_passer_by, "E2 O6")
{
    libxl_childproc_result r;

    asleep.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    asleep.id = xt_spawn_argv(asleep.ctx, XT_CHILD("pause"), NULL, &asleep.pid);
    asleep.epoll_wait = xl_sys.epoll_wait;
    xl_sys.epoll_wait = wait_late;
    r = xt_wait(asleep.ctx, asleep.id);
    xl_sys.epoll_wait = asleep.epoll_wait;
    XT_SIGNALED(&r, SIGKILL);
    XT_GT_INT(asleep.times, 0);
    xt_ctx_free(asleep.ctx);
}
