/* child_letgo.c - whoever is let go of is gone soon, though nobody calls
 *
 * Contract line C21: what nobody will ask for is reaped within a second in
 * every mode that reaps, and what has a handle costs neither a zombie nor a
 * descriptor once the next start comes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_REAPING (sizeof(reaping) / sizeof(reaping[0]))

static const libxl_childproc_report silent = {.kind = LIBXL_REPORT_NONE};

static int no_children_left(void *user)
{
    siginfo_t info;

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
           errno == ECHILD;
}

static void limit_fds(rlim_t n)
{
    struct rlimit limit;

    XT_SYS(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = n;
    XT_SYS(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Short ones, and one that outlives the first visit of the thread. */
static void reaped_without_a_call(libxl_sigchld_owner owner, int detach)
{
    enum { N = 20 };
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_id id[N];
    int gate[N];

    for (int k = 0; k < N; k++) {
        id[k] = xh_spawn_held(ctx, xh_end_of(k), NULL, detach ? NULL : &silent,
                              &gate[k], NULL);
        if (detach)
            XT_OK(libxl_childproc_detach(ctx, id[k]));
    }
    for (int k = 1; k < N; k++)
        xt_close(&gate[k]);
    {
        struct timespec pause = {0, 400000000}; /* it is watched by now */

        nanosleep(&pause, NULL);
    }
    xt_close(&gate[0]);
    XT_EVENTUALLY(no_children_left, NULL);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

XT_TEST(detached_children_are_reaped_without_a_call, "C21")
{
    for (size_t i = 0; i < N_REAPING; i++)
        reaped_without_a_call(reaping[i], 1);
}

XT_TEST(children_without_a_report_are_reaped_without_a_call, "C21")
{
    for (size_t i = 0; i < N_REAPING; i++)
        reaped_without_a_call(reaping[i], 0);
}

/* ---- dropped, and its number left to the program ------------------------ */

static libxl_childproc_id dropped(libxl_ctx *ctx, int how, int *gate,
                                  pid_t *pid)
{
    libxl_childproc_id id = xh_spawn_held(ctx, xh_end_of(how), NULL, NULL, gate,
                                          pid);

    XT_OK(libxl_childproc_linger(ctx, id));
    XT_RC(libxl_childproc_linger(ctx, id), ERROR_NOTFOUND);
    return id;
}

/* Whoever waits for the number gets the status, in any mode that leaves
 * strangers alone; whoever does not leaves no zombie. */
XT_TEST(a_lingering_child_is_the_programs_to_wait_for, "C21 C29")
{
    static const libxl_sigchld_owner leaving[] = {
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    for (int i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(leaving[i], NULL);
        int gate, status;
        pid_t pid;

        dropped(ctx, 7, &gate, &pid);
        xt_close(&gate);
        xh_await_zombie(pid);
        xh_pump(ctx); /* learns it, and leaves it there */
        XT_EQ_INT(xh_is_zombie(pid), 1);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        XT_EQ_INT(waitpid(pid, &status, 0), pid);
        XT_EQ_INT(status, xh_end_status(xh_end_of(7)));
        xt_ctx_free(ctx);
    }
}

XT_TEST(lingering_children_are_reaped_without_a_call, "C21")
{
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        int gate[2];
        pid_t pid[2];

        for (int k = 0; k < 2; k++)
            dropped(ctx, k, &gate[k], &pid[k]);
        xt_close(&gate[0]);
        xh_await_zombie_or_gone(pid, 1);
        if (i % 2)
            xh_pump(ctx); /* or the thread is the first to see it */
        xt_close(&gate[1]);
        XT_EVENTUALLY(no_children_left, NULL);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xt_ctx_free(ctx);
    }
}

/* Also when it had ended before, and when the next start, or the end of the
 * ctx, comes earlier. */
XT_TEST(the_next_start_reaps_lingering_children, "C21")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id, next;
    int gate;
    pid_t pid[2];

    for (int k = 0; k < 2; k++) {
        libxl_childproc_spec spec;

        libxl_childproc_spec_init(&spec);
        spec.flags |= LIBXL_SPAWN_HOLD_PID;
        id = xh_spawn_held(ctx, XH_EXIT(3), &spec, NULL, &gate, &pid[k]);
        xt_close(&gate);
        xh_await_zombie(pid[k]);
        xh_pump(ctx);
        XT_OK(libxl_childproc_linger(ctx, id));
        XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
        XT_EQ_INT(xh_is_zombie(pid[k]), 1);
        if (k > 0)
            break;
        next = xh_spawn_held(ctx, XH_EXIT(4), NULL, NULL, &gate, NULL);
        XT_EQ_INT(xh_is_zombie(pid[k]), -1);
        xt_close(&gate);
        xt_wait(ctx, next);
    }
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
}

/* One that has ended, and whose result is held, is let go of at once. */
XT_TEST(a_held_result_is_let_go_of_at_once, "C21")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid_t pid;
    libxl_childproc_id id =
        xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, &pid);

    xh_await_zombie(pid);
    xh_pump(ctx);
    XT_OK(libxl_childproc_detach(ctx, id));
    XH_NO_CHILDREN();
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

/* The handler goes with the last child, also when nobody called for it. */
XT_TEST(the_disposition_is_back_when_the_last_has_gone, "C21 C1")
{
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    int gate;

    xh_spawn_held(ctx, XH_EXIT(3), NULL, &silent, &gate, NULL);
    XT_TRUE(!xh_action_equal(&before,
                             (struct xh_action[]){xh_action_get(SIGCHLD)}));
    xt_close(&gate);
    XT_EVENTUALLY(no_children_left, NULL);
    while (libxl_childproc_count(ctx) > 0)
        sched_yield();
    XH_SIGCHLD_IS(&before);
    xt_ctx_free(ctx);
}

/* In mainloop mode nobody but the host reaps. */
XT_TEST(the_hosts_children_are_left_to_it, "C21 C2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    struct timespec pause = {1, 0};
    pid_t pid;

    xt_spawn_argv(ctx, XT_CHILD("exit", "4"), &silent, &pid);
    xh_await_zombie(pid);
    nanosleep(&pause, NULL);
    XT_EQ_INT(xh_is_zombie(pid), 1);
    libxl_childproc_sigchld_occurred(ctx);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* Whoever is told of a child's end pumps for that: it is left to him. */
XT_TEST(an_evenable_is_told_of_one_that_was_let_go, "C21 E6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_evgen_childproc_exit *evgen;
    libxl_event *event;
    int gate;

    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 77, &evgen));
    xh_spawn_held(ctx, XH_EXIT(5), NULL, &silent, &gate, NULL);
    xt_close(&gate);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->for_user, 77);
    XH_ENDED(&event->u.childproc_exit, XH_EXIT(5));
    libxl_event_free(ctx, event);
    libxl_evdisable_childproc_exit(ctx, evgen);
    xt_ctx_free(ctx);
}

/* A hundred thousand where the descriptors of 256 are to be had, nobody
 * pumping: XT_LETGO_CHILDREN of them here. */
XT_TEST_SLOW(any_number_at_a_low_limit, "C21", 60)
{
    const char *from = getenv("XT_LETGO_CHILDREN");
    int n = from != NULL ? atoi(from) : 3000;

    if (!xp_pidfds())
        XT_SKIP("without pidfds a child costs no descriptor");
    limit_fds(256);
    for (size_t i = 0; i < N_REAPING; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);

        for (int k = 0; k < n; k++) {
            libxl_childproc_spec spec =
                xt_spec((const char *const[]){xt_tiny_path(), NULL});
            libxl_childproc_id id;

            XT_OK(libxl_childproc_spawn(ctx, &spec, k % 2 ? &silent : NULL, &id,
                                        NULL, NULL));
            if (k % 2 == 0)
                XT_OK(libxl_childproc_detach(ctx, id));
        }
        XT_EVENTUALLY(no_children_left, NULL);
        xt_ctx_free(ctx);
    }
}

/* ---- handles that nobody pumps ------------------------------------------ */

struct told {
    int calls;
    int pumping;
};

static void tell(libxl_ctx *ctx, const libxl_childproc_result *result,
                 void *user)
{
    struct told *t = user;

    (void)ctx;
    XT_EQ_INT(t->pumping, 1); /* never from the start that reaped it */
    XT_EXITED(result, 6);
    t->calls++;
}

static int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

XT_TEST(the_next_start_clears_what_has_ended, "C21 E4")
{
    static const libxl_childproc_report_kind kinds[] = {
        LIBXL_REPORT_HOLD, LIBXL_REPORT_EVENT, LIBXL_REPORT_CALLBACK};

    if (!xp_pidfds())
        XT_SKIP("without pidfds SIGCHLD tells, and whoever pumps looks");
    for (size_t i = 0; i < N_REAPING; i++)
        for (size_t k = 0; k < 3; k++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            struct told told = {0, 0};
            libxl_childproc_report report = {
                .kind = kinds[k],
                .callback = kinds[k] == LIBXL_REPORT_CALLBACK ? tell : NULL,
                .u.for_callback = &told};
            libxl_childproc_id id[20];
            pid_t pid[20];
            int gate, fds = 0;

            for (int n = 0; n < 20; n++) {
                id[n] =
                    xt_spawn_argv(ctx, XT_CHILD("exit", "6"), &report, &pid[n]);
                xh_await_zombie_or_gone(&pid[n], 1);
                if (n > 0)
                    XT_EQ_INT(xh_is_zombie(pid[n - 1]), -1);
                if (n == 1)
                    fds = count_fds();
            }
            XT_EQ_INT(count_fds(), fds);
            XT_EQ_INT(told.calls, 0);
            /* … and told they are, by whoever pumps */
            told.pumping = 1;
            if (kinds[k] == LIBXL_REPORT_HOLD) {
                for (int n = 0; n < 20; n++) {
                    libxl_childproc_result r = xt_wait(ctx, id[n]);

                    XT_EXITED(&r, 6);
                }
            } else if (kinds[k] == LIBXL_REPORT_EVENT) {
                for (int n = 0; n < 20; n++) {
                    libxl_event *event;

                    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL,
                                           NULL, NULL));
                    XT_EXITED(&event->u.childproc_exit, 6);
                    libxl_event_free(ctx, event);
                }
            } else {
                xh_pump(ctx);
                XT_EQ_INT(told.calls, 20);
            }
            /* a foreign loop is told that there is something to tell */
            told.pumping = 0;
            if (kinds[k] == LIBXL_REPORT_CALLBACK) {
                struct pollfd ready = {.fd = libxl_ctx_fileno(ctx),
                                       .events = POLLIN};
                libxl_childproc_id last;

                xt_spawn_argv(ctx, XT_CHILD("exit", "6"), &report, &pid[0]);
                xh_await_zombie(pid[0]);
                xt_spawn_argv(ctx, XT_CHILD("exit", "6"), &report, &pid[1]);
                xh_await_zombie(pid[1]);
                last = xh_spawn_held(ctx, XH_EXIT(0), NULL, NULL, &gate, NULL);
                XT_EQ_INT(poll(&ready, 1, 10000), 1);
                told.pumping = 1;
                xh_pump(ctx);
                XT_EQ_INT(told.calls, 22);
                XT_EQ_INT(poll(&ready, 1, 0), 0);
                xt_close(&gate);
                xt_wait(ctx, last);
            }
            xt_ctx_free(ctx);
        }
}
