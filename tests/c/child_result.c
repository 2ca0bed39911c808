/* child_result.c - one answer for all who ask, and a number that stays
 *
 * Contract lines B9 (LIBXL_WAIT_KEEP) and C29 (LIBXL_SPAWN_HOLD_PID).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"
#include "waiting.h"

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_REAPING (sizeof(reaping) / sizeof(reaping[0]))
#define FIRST_SELECTIVE 2

/* ---- one answer --------------------------------------------------------- */

struct asker {
    pthread_t thread;
    libxl_ctx *ctx;
    libxl_childproc_id id;
    int timeout_ms; /* again and again; -1: once */
    int rc;
    libxl_childproc_result result;
};

static void *ask(void *user)
{
    struct asker *a = user;

    do
        a->rc = libxl_childproc_wait(a->ctx, a->id, a->timeout_ms,
                                     LIBXL_WAIT_KEEP, &a->result);
    while (a->rc == ERROR_TIMEDOUT);
    return NULL;
}

XT_TEST(any_number_of_threads_get_the_same, "B9")
{
    enum { ASKERS = 8 };
    static const int timeouts[ASKERS] = {-1, 0, 1, -1, 0, 5, -1, 1};

    for (size_t i = 0; i < N_REAPING; i++)
        for (int round = 0; round < 20; round++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            struct xh_end end = xh_end_of((unsigned)round * 7);
            struct asker a[ASKERS];
            libxl_childproc_id id;
            int gate;

            id = xh_spawn_held(ctx, end, NULL, NULL, &gate, NULL);
            for (int k = 0; k < ASKERS; k++) {
                a[k] = (struct asker){
                    .ctx = ctx, .id = id, .timeout_ms = timeouts[k]};
                XT_EQ_INT(pthread_create(&a[k].thread, NULL, ask, &a[k]), 0);
            }
            xt_close(&gate);
            for (int k = 0; k < ASKERS; k++) {
                XT_EQ_INT(pthread_join(a[k].thread, NULL), 0);
                XT_OK(a[k].rc);
                XH_ENDED(&a[k].result, end);
            }
            XH_NO_CHILDREN(); /* the number went with the first answer */
            for (int k = 0; k < 3; k++) { /* for ever */
                libxl_childproc_result again;

                XT_OK(
                    libxl_childproc_wait(ctx, id, 0, LIBXL_WAIT_KEEP, &again));
                XT_EQ_MEM(&again, sizeof(again), &a[0].result, sizeof(again));
            }
            XT_EQ_INT(libxl_childproc_count(ctx), 1);
            XT_OK(libxl_childproc_detach(ctx, id));
            XT_RC(
                libxl_childproc_wait(ctx, id, 0, LIBXL_WAIT_KEEP, &a[0].result),
                ERROR_NOTFOUND);
            XT_EQ_INT(libxl_childproc_count(ctx), 0);
            xt_ctx_free(ctx);
        }
}

XT_TEST(one_who_takes_it_takes_it_from_all, "B9")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id =
        xt_spawn_argv(ctx, XT_CHILD("exit", "9"), NULL, NULL);
    libxl_childproc_result r;

    XT_OK(libxl_childproc_wait(ctx, id, -1, LIBXL_WAIT_KEEP, &r));
    XT_EXITED(&r, 9);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 9);
    XT_RC(libxl_childproc_wait(ctx, id, 0, LIBXL_WAIT_KEEP, &r),
          ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

/* ---- one that is reported otherwise -------------------------------------- */

static void count_call(libxl_ctx *ctx, const libxl_childproc_result *result,
                       void *user)
{
    int *calls = user;

    (void)ctx;
    XT_EXITED(result, 9);
    ++*calls;
}

/* Whoever waits when it ends is told; the report comes once, as ever; nobody
 * is told afterwards but by the report. */
XT_TEST(who_waits_for_a_reported_child_is_told_as_well, "B9 C5 E1")
{
    static const libxl_childproc_report_kind kinds[] = {LIBXL_REPORT_EVENT,
                                                        LIBXL_REPORT_CALLBACK};
    enum { ASKERS = 3 };

    for (size_t i = 0; i < N_REAPING; i++)
        for (size_t k = 0; k < 2; k++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_childproc_report report = {.kind = kinds[k]};
            libxl_childproc_result r;
            libxl_childproc_id id;
            struct xq_wanted expected = {ctx, ASKERS};
            struct asker a[ASKERS];
            libxl_event *event;
            int calls = 0;
            int gate;

            if (kinds[k] == LIBXL_REPORT_CALLBACK) {
                report.callback = count_call;
                report.u.for_callback = &calls;
            } else {
                report.u.for_event = 5;
            }
            id = xh_spawn_held(ctx, XH_EXIT(9), NULL, &report, &gate, NULL);
            XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_TIMEDOUT);
            for (int n = 0; n < ASKERS; n++) {
                a[n] = (struct asker){
                    .ctx = ctx, .id = id, .timeout_ms = LIBXL_WAIT_FOREVER};
                XT_EQ_INT(pthread_create(&a[n].thread, NULL, ask, &a[n]), 0);
            }
            XT_EVENTUALLY(xq_are_waiting, &expected);
            xt_close(&gate);
            for (int n = 0; n < ASKERS; n++) {
                XT_EQ_INT(pthread_join(a[n].thread, NULL), 0);
                XT_OK(a[n].rc);
                XT_EXITED(&a[n].result, 9);
            }
            if (kinds[k] == LIBXL_REPORT_EVENT) {
                XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                        NULL));
                XT_TRUE(event->for_user == 5);
                XT_EXITED(&event->u.childproc_exit, 9);
                libxl_event_free(ctx, event);
            }
            XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                    NULL),
                  ERROR_NOT_READY);
            XT_EQ_INT(calls, kinds[k] == LIBXL_REPORT_CALLBACK);
            XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
            XH_NO_CHILDREN();
            xt_ctx_free(ctx);
        }
}

/* A look that finds the end itself: it has the answer. */
XT_TEST(a_look_at_a_reported_child_is_answered, "B9")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "4"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;
    pid_t pid;

    id = xt_spawn(ctx, &spec, &report, &pid);
    xh_await_zombie(pid);
    XT_OK(libxl_childproc_wait(ctx, id, 0, 0, &r));
    XT_EXITED(&r, 4);
    XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    libxl_event_free(ctx, event);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

XT_TEST(unknown_flags_of_a_wait_are_refused, "X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;

    XT_RC(libxl_childproc_wait(ctx, 1, 0, 4, &r), ERROR_INVAL);
    XT_RC(libxl_childproc_wait(ctx, 1, 0, LIBXL_WAIT_KEEP, &r), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

/* ---- a number that stays ------------------------------------------------ */

static libxl_childproc_id spawn_kept(libxl_ctx *ctx, struct xh_end end,
                                     pid_t *ret_pid)
{
    struct xh_argv words;
    libxl_childproc_spec spec = xt_spec(xh_end_argv(&words, end));

    spec.flags = LIBXL_SPAWN_HOLD_PID;
    return xt_spawn(ctx, &spec, NULL, ret_pid);
}

/* Its end is known and told, other children come and go; it stays. */
XT_TEST(the_number_stays_until_it_is_asked_for, "C29")
{
    static const int flags[] = {0, LIBXL_WAIT_KEEP};

    for (size_t i = FIRST_SELECTIVE; i < N_REAPING; i++)
        for (size_t f = 0; f < 2; f++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_evgen_childproc_exit *evgen;
            libxl_childproc_result r;
            libxl_childproc_id id;
            libxl_event *event;
            pid_t pid;

            XT_OK(libxl_evenable_childproc_exit(ctx, 0, 5, &evgen));
            id = spawn_kept(ctx, XH_EXIT(33), &pid);
            XT_OK(
                libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
            XT_EXITED(&event->u.childproc_exit, 33);
            libxl_event_free(ctx, event);
            libxl_evdisable_childproc_exit(ctx, evgen);
            for (int k = 0; k < 20; k++) {
                libxl_childproc_id other =
                    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, NULL);

                r = xt_wait(ctx, other);
                XT_EXITED(&r, 1);
                XT_EQ_INT(xh_is_zombie(pid), 1);
            }
            XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS),
                  ERROR_NOTFOUND);
            XT_OK(libxl_childproc_wait(ctx, id, 0, (unsigned)flags[f], &r));
            XT_EXITED(&r, 33);
            XT_EQ_INT(r.has_rusage, 1);
            XT_EQ_INT(xh_is_zombie(pid), -1);
            if (flags[f])
                XT_OK(libxl_childproc_detach(ctx, id));
            XH_NO_CHILDREN();
            xt_ctx_free(ctx);
        }
}

XT_TEST(the_number_goes_when_it_is_let_go, "C29 C21 X2")
{
    for (size_t i = FIRST_SELECTIVE; i < N_REAPING; i++)
        for (int how = 0; how < 3; how++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_childproc_id id;
            pid_t pid;

            id = spawn_kept(ctx, XH_EXIT(2), &pid);
            xh_await_zombie(pid);
            if (how != 1)
                xh_pump(ctx);
            XT_EQ_INT(xh_is_zombie(pid), 1);
            if (how < 2)
                XT_OK(libxl_childproc_detach(ctx, id));
            xt_ctx_free(ctx);
            while (xh_is_zombie(pid) >= 0)
                sched_yield();
            XH_NO_CHILDREN();
        }
}

/* Whoever waits for everybody would meet it again and again. */
XT_TEST(a_mode_that_reaps_everybody_retires_the_number, "C29 C1")
{
    for (size_t i = 0; i < FIRST_SELECTIVE; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_ctx *other = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_id own, others;
        libxl_childproc_result r;
        pid_t pid, other_pid;
        int gate;

        others = spawn_kept(other, XH_EXIT(41), &other_pid);
        xh_await_zombie(other_pid);
        xh_pump(other);
        XT_EQ_INT(xh_is_zombie(other_pid), 1);
        /* one that lives, so that there is a handler */
        xh_spawn_held(ctx, XH_EXIT(0), NULL,
                      &(libxl_childproc_report){.kind = LIBXL_REPORT_NONE},
                      &gate, NULL);
        own = spawn_kept(ctx, XH_EXIT(42), &pid);
        xh_await_zombie_or_gone(&pid, 1);
        xh_pump(ctx);
        xh_pump(ctx);
        r = xt_wait(other, others);
        XT_EXITED(&r, 41);
        r = xt_wait(ctx, own);
        XT_EXITED(&r, 42);
        xt_close(&gate);
        xt_ctx_free(ctx);
        xt_ctx_free(other);
        while (waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT) ==
               0)
            sched_yield();
    }
}

/* Taken by somebody else's wait, its number may be anybody's: the answer is
 * known all the same, and nobody else is reaped for it. */
XT_TEST(a_stolen_number_is_not_reaped_again, "C29 C20")
{
    if (!xp_clone3())
        XT_SKIP("a pid of choice needs clone3, which is refused here");
    for (size_t i = FIRST_SELECTIVE; i < N_REAPING; i++)
        for (int many = 0; many < 2; many++) {
            libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
            libxl_childproc_id before[80];
            libxl_childproc_result r;
            libxl_childproc_id id;
            pid_t pid, same;
            int n = many ? 80 : 0; /* beyond those that keep a pidfd */

            for (int k = 0; k < n; k++) {
                before[k] = spawn_kept(ctx, XH_EXIT(1), &pid);
                xh_await_zombie(pid);
            }
            id = spawn_kept(ctx, XH_EXIT(51), &pid);
            xh_await_zombie(pid);
            xh_pump(ctx);
            XT_EQ_INT(xh_reap(pid), 51 << 8); /* the thief */
            same = xh_fork_as(pid);
            if (same == 0)
                _exit(52);
            if (same < 0 && errno == EPERM)
                XT_SKIP("a pid of choice needs a privilege");
            XT_EQ_INT(same, pid);
            xh_await_zombie(pid);
            r = xt_wait(ctx, id);
            XT_EXITED(&r, 51);
            XT_EQ_INT(xh_is_zombie(pid), 1);
            XT_EQ_INT(xh_reap(pid), 52 << 8);
            for (int k = 0; k < n; k++)
                xt_wait(ctx, before[k]);
            xt_ctx_free(ctx);
        }
}

/* Kept in one mode, it is the host's to reap in the next, and to pass on. */
XT_TEST(a_kept_number_is_passed_on_after_a_change_of_mode, "C29 C2 C5")
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_mainloop,
                                   .size = sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int status;
    pid_t pid;

    id = spawn_kept(ctx, XH_EXIT(43), &pid);
    xh_await_zombie(pid);
    xh_pump(ctx);
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    status = xh_reap(pid);
    XT_EQ_INT(status, 43 << 8);
    XT_OK(libxl_childproc_exited(ctx, pid, status));
    XT_RC(libxl_childproc_exited(ctx, pid, status), ERROR_NOT_READY);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 43);
    xt_ctx_free(ctx);
}

/* ---- many of them -------------------------------------------------------- */

static const struct {
    unsigned flags;
    libxl_kill_scope scope;
} kept[] = {
    {LIBXL_SPAWN_HOLD_PID, LIBXL_KILL_PROCESS},
    {LIBXL_SPAWN_HOLD_PID | LIBXL_SPAWN_NEW_SESSION, LIBXL_KILL_PROCESS},
    {LIBXL_SPAWN_HOLD_PID | LIBXL_SPAWN_NEW_SESSION, LIBXL_KILL_GROUP},
    {LIBXL_SPAWN_NEW_GROUP, LIBXL_KILL_PROCESS},
    {LIBXL_SPAWN_NEW_GROUP, LIBXL_KILL_GROUP},
};
#define N_KEPT (sizeof kept / sizeof kept[0])

/* Children of one kind end, and nobody asks for them before they all have. */
static void keep_many(size_t kind, int n)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id *id = calloc((size_t)n, sizeof(*id));
    pid_t *pid = calloc((size_t)n, sizeof(*pid));

    for (int k = 0; k < n; k++) {
        struct xh_argv words;
        struct xh_end end = xh_end_of((unsigned)k);
        libxl_childproc_spec spec = xt_spec(xh_end_argv(&words, end));

        spec.flags = kept[kind].flags;
        spec.kill.scope = kept[kind].scope;
        id[k] = xt_spawn(ctx, &spec, NULL, &pid[k]);
    }
    if (kept[kind].flags & LIBXL_SPAWN_HOLD_PID)
        for (int k = 0; k < n; k++)
            XT_EQ_INT(xh_is_zombie(pid[k]) >= 0, 1);
    for (int k = 0; k < n; k++) {
        libxl_childproc_result r = xt_wait(ctx, id[k]);

        XH_ENDED(&r, xh_end_of((unsigned)k));
    }
    XH_NO_CHILDREN();
    free(id);
    free(pid);
    xt_ctx_free(ctx);
}

/* Ten thousand of them cost no descriptor each: XT_KEPT_CHILDREN here. */
XT_TEST_SLOW(many_cost_no_descriptor_each, "C29 C27 C19", 60)
{
    const char *from = getenv("XT_KEPT_CHILDREN");
    int n = from != NULL ? atoi(from) : 400;
    struct rlimit limit;

    if (xp_pidfds() && !xp_pidfd_open())
        XT_SKIP("without pidfd_open nothing else proves whose a number is");
    XT_SYS(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 256;
    XT_SYS(setrlimit(RLIMIT_NOFILE, &limit));
    for (size_t kind = 0; kind < N_KEPT; kind++)
        keep_many(kind, n);
}

XT_TEST(only_a_held_result_keeps_a_number, "C29 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_result result;
    libxl_childproc_failure f;
    libxl_childproc_id id;

    spec.flags = LIBXL_SPAWN_HOLD_PID;
    XT_RC(libxl_childproc_spawn(ctx, &spec, &report, &id, NULL, &f),
          ERROR_INVAL);
    XT_EQ_STR(f.argument, "flags");
    XT_RC(libxl_childproc_exec(ctx, &spec, NULL, &result, &f, NULL),
          ERROR_INVAL);
    XT_EQ_STR(f.argument, "flags");
    xt_ctx_free(ctx);
}
