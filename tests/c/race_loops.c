/* race_loops.c - a host loop whose calls come late, early, and all at once
 *
 * Contract lines O2, O3 and O6: threads tell the library of fds that have been
 * deregistered, closed and reused while others start and end children; timers
 * come anew from inside the calls that their predecessors fired.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "hostchild.h"
#include "hostloop.h"

#define CHILDREN 150
#define OPERATIONS 100

/* ---- closed and reused, while occurred_fd is on its way ----------------- */

static struct {
    libxl_ctx *ctx;
    struct hl_loop loop;
    _Atomic(void *) token; /* of the latest registration, maybe gone */
    atomic_int fd;
    atomic_int stop;
    atomic_long calls;
} late;

static int record_fd(void *user, int fd, void **out, short events,
                     void *for_libxl)
{
    atomic_store(&late.fd, fd);
    atomic_store(&late.token, for_libxl);
    return hl_hooks.fd_register(user, fd, out, events, for_libxl);
}

static void *tell_late(void *arg)
{
    (void)arg;
    while (!atomic_load(&late.stop)) {
        void *token = atomic_load(&late.token);
        int reused = XT_SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));

        if (token) {
            libxl_osevent_occurred_fd(late.ctx, token, atomic_load(&late.fd),
                                      POLLIN, POLLIN);
            libxl_osevent_occurred_fd(late.ctx, token, reused, POLLIN,
                                      POLLIN | POLLHUP);
            atomic_fetch_add(&late.calls, 1);
        }
        xt_close(&reused);
        sched_yield();
    }
    return NULL;
}

static void count_end(libxl_ctx *ctx, const libxl_childproc_result *result,
                      void *user)
{
    (void)ctx;
    XT_EXITED(result, 33);
    atomic_fetch_add((atomic_int *)user, 1);
}

static int has_ended(void *user)
{
    return atomic_load((atomic_int *)user) == 1;
}

/* Another thread may be about to call a hook. */
static void register_when_idle(const libxl_osevent_hooks *hooks)
{
    int rc;

    while ((rc = libxl_osevent_register_hooks(late.ctx, hooks, &late.loop)))
        XT_RC(rc, ERROR_BUSY);
}

/* The ctx is idle between two children: its fd is deregistered each time, the
 * hooks are taken away and come back, and in the end all is closed. */
XT_TEST_SLOW(closed_against_occurred, "O2 O4 E2", 60)
{
    libxl_osevent_hooks hooks = hl_hooks;
    pthread_t thread[2];

    hooks.fd_register = record_fd;
    late.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    hl_init(&late.loop);
    late.loop.ctx = late.ctx;
    XT_OK(libxl_osevent_register_hooks(late.ctx, &hooks, &late.loop));
    for (int i = 0; i < 2; i++)
        XT_EQ_INT(pthread_create(&thread[i], NULL, tell_late, NULL), 0);
    for (int i = 0; i < CHILDREN; i++) {
        atomic_int ended = 0;
        libxl_childproc_report report = {.kind = LIBXL_REPORT_CALLBACK,
                                         .callback = count_end,
                                         .u.for_callback = &ended};
        struct xh_argv words;

        xt_spawn_argv(late.ctx, xh_end_argv(&words, XH_EXIT(33)), &report,
                      NULL);
        /* a late call may have done the work that the loop waits for */
        while (!has_ended(&ended))
            hl_round(&late.loop, 20);
        if (i % 8 == 0) {
            register_when_idle(NULL);
            register_when_idle(&hooks);
        }
    }
    atomic_store(&late.stop, 1);
    for (int i = 0; i < 2; i++)
        XT_EQ_INT(pthread_join(thread[i], NULL), 0);
    XT_GT_INT(atomic_load(&late.calls), 0);
    xt_note("%ld late calls for %d children", atomic_load(&late.calls),
            CHILDREN);
    XH_NO_CHILDREN();
    xt_ctx_free(late.ctx);
    hl_dispose(&late.loop);
}

/* ---- timers inside the callbacks of timers ------------------------------ */

static struct {
    libxl_ctx *ctx;
    atomic_int completed;
    atomic_int stop;
    libxl_childproc_exec_result result;
    libxl_asyncop_how how;
} again;

static void start_operation(void)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_exec_opts opts;

    libxl_childproc_exec_opts_init(&opts);
    opts.timeout_ms = 1;
    XT_OK(libxl_childproc_exec(again.ctx, &spec, &opts, &again.result, NULL,
                               &again.how));
}

/* Called from occurred_timeout or occurred_fd; starts its successor there. */
static void timed_out(libxl_ctx *ctx, int rc, void *user)
{
    (void)ctx;
    (void)user;
    XT_RC(rc, ERROR_TIMEDOUT);
    XT_SIGNALED(&again.result.child, SIGKILL);
    libxl_childproc_exec_result_dispose(&again.result);
    if (atomic_fetch_add(&again.completed, 1) + 1 < OPERATIONS)
        start_operation();
}

/* Meanwhile sooner and later timers come and go. */
static void *terminate_others(void *arg)
{
    libxl_kill_policy policy = {SIGCONT, 2, LIBXL_KILL_PROCESS};
    long n = 0;

    while (!atomic_load(&again.stop)) {
        libxl_childproc_id id =
            xt_spawn_argv(again.ctx, XT_CHILD("pause"), NULL, NULL);
        libxl_childproc_result r;

        policy.grace_ms = (int)(n++ % 5);
        XT_OK(libxl_childproc_terminate(again.ctx, id, &policy));
        r = xt_wait(again.ctx, id);
        XT_SIGNALED(&r, SIGKILL);
    }
    *(long *)arg = n;
    return NULL;
}

XT_TEST_SLOW(timers_inside_the_callbacks_of_timers, "O6 O2 E4 A1", 60)
{
    struct hl_loop loop;
    pthread_t thread;
    long others = 0;

    again.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    again.how.callback = timed_out;
    hl_init(&loop);
    hl_attach(&loop, again.ctx);
    XT_EQ_INT(pthread_create(&thread, NULL, terminate_others, &others), 0);
    start_operation();
    while (atomic_load(&again.completed) < OPERATIONS)
        hl_round(&loop, -1);
    atomic_store(&again.stop, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    while (loop.ntimers)
        hl_round(&loop, -1);
    XT_GT_INT(others, 0);
    xt_note("%d timeouts, beside %ld terminations", OPERATIONS, others);
    XH_NO_CHILDREN();
    xt_ctx_free(again.ctx);
    hl_dispose(&loop);
}
