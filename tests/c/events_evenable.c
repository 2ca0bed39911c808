/* events_evenable.c - evenables: an end told as often as it was asked for
 *
 * Proves E6, and E2 for what ends while events are taken.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int drain(libxl_ctx *ctx, int *seen)
{
    libxl_event *event;
    int n = 0;

    while (!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL)) {
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
        XT_LT_INT(event->for_user, 10);
        XT_EXITED(&event->u.childproc_exit, 2);
        seen[event->for_user]++;
        libxl_event_free(ctx, event);
        n++;
    }
    return n;
}

XT_TEST(identical_evenables_each_fire, "E6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_evgen_childproc_exit *one, *same, *every, *late;
    libxl_childproc_report report = xt_by_event(0);
    int seen[10] = {0};
    libxl_childproc_id id;
    pid_t pid;

    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 3, &every));
    id = xt_spawn_argv(ctx, XT_CHILD("stop", "exit", "2"), &report, &pid);
    XT_OK(libxl_evenable_childproc_exit(ctx, pid, 1, &one));
    XT_OK(libxl_evenable_childproc_exit(ctx, pid, 1, &same));
    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 4, &late));
    XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
    while (libxl_childproc_count(ctx)) {
        libxl_event *none;
        int rc;

        /* It may not have stopped yet when the first SIGCONT came. */
        rc = libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS);
        XT_TRUE(!rc || rc == ERROR_NOTFOUND);
        XT_RC(libxl_event_wait_many(ctx, &none, 1, 0, 5, 0), ERROR_TIMEDOUT);
    }
    XT_EQ_INT(drain(ctx, seen), 5);
    XT_EQ_INT(seen[0], 1);
    XT_EQ_INT(seen[1], 2);
    XT_EQ_INT(seen[3], 1);
    XT_EQ_INT(seen[4], 1);
    libxl_evdisable_childproc_exit(ctx, one);
    libxl_evdisable_childproc_exit(ctx, every);
    libxl_evdisable_childproc_exit(ctx, NULL);
    xt_ctx_free(ctx); /* and frees the other two */
}

XT_TEST(disabled_evenables_are_silent, "E6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_evgen_childproc_exit *gone, *stays;
    libxl_childproc_report silent = {LIBXL_REPORT_NONE, NULL, {0}};
    int seen[10] = {0};

    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 1, &gone));
    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 2, &stays));
    xt_spawn_argv(ctx, XT_CHILD("exit", "2"), &silent, NULL);
    xt_pump_until_childless(ctx);
    /* What occurred before may still come. */
    libxl_evdisable_childproc_exit(ctx, gone);
    XT_GE_INT(drain(ctx, seen), 1);
    XT_EQ_INT(seen[2], 1);
    XT_LE_INT(seen[1], 1);
    seen[1] = seen[2] = 0;
    xt_spawn_argv(ctx, XT_CHILD("exit", "2"), &silent, NULL);
    xt_pump_until_childless(ctx);
    XT_EQ_INT(drain(ctx, seen), 1);
    XT_EQ_INT(seen[1], 0);
    XT_EQ_INT(seen[2], 1);
    xt_ctx_free(ctx);
}

/* One that has ended, and that nobody has asked for: its event comes at once,
 * whether its number is kept or not, and whoever has learnt of the end. */
XT_TEST(evenable_of_a_held_end_occurs_at_once, "E6 C22")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    for (int holds = 0; holds < 2; holds++)
        for (int keep = 0; keep < 2; keep++) {
            libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "7"));
            libxl_evgen_childproc_exit *evgen;
            libxl_childproc_result r;
            libxl_childproc_id id;
            libxl_event *event;
            pid_t pid;

            if (holds)
                spec.flags |= LIBXL_SPAWN_HOLD_PID;
            XT_OK(libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL));
            if (keep) { /* asked for, and still held */
                XT_OK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER,
                                           LIBXL_WAIT_KEEP, &r));
            } else {
                xh_await_zombie(pid);
                xh_pump(ctx);
            }
            XT_OK(libxl_evenable_childproc_exit(ctx, pid, 5, &evgen));
            XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                    NULL));
            XT_EQ_INT(event->for_user, 5);
            XT_EXITED(&event->u.childproc_exit, 7);
            XT_TRUE(event->u.childproc_exit.id == id);
            libxl_event_free(ctx, event);
            XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                    NULL),
                  ERROR_NOT_READY);
            libxl_evdisable_childproc_exit(ctx, evgen);
            r = xt_wait(ctx, id);
            XT_EXITED(&r, 7);
            XT_RC(libxl_evenable_childproc_exit(ctx, pid, 5, &evgen),
                  ERROR_UNKNOWN_CHILD);
        }
    xt_ctx_free(ctx);
}

/* A start has found one in passing: whoever takes many gets those, too, that
 * have ended since, and not that one alone. */
XT_TEST(many_are_taken_with_those_that_ended_since, "E2 C21")
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_event *event[8];
    int gate[6], n;
    pid_t pid[6];

    for (int k = 0; k < 3; k++)
        xh_spawn_held(ctx, xh_end_of(k), NULL, &report, &gate[k], &pid[k]);
    xt_close(&gate[0]);
    xh_await_zombie_or_gone(pid, 1);
    for (int k = 3; k < 6; k++)
        xh_spawn_held(ctx, xh_end_of(k), NULL, &report, &gate[k], &pid[k]);
    XT_EQ_INT(xh_is_zombie(pid[0]), -1);
    for (int k = 1; k < 3; k++)
        xt_close(&gate[k]);
    for (int k = 1; k < 3; k++)
        xh_await_zombie(pid[k]);
    n = libxl_event_wait_many(ctx, event, 8, LIBXL_EVENTMASK_ALL,
                              LIBXL_WAIT_FOREVER, 0);
    XT_EQ_INT(n, 3);
    for (int k = 0; k < n; k++)
        libxl_event_free(ctx, event[k]);
    for (int k = 3; k < 6; k++)
        xt_close(&gate[k]);
    for (int left = 3; left > 0; left -= n) {
        n = libxl_event_wait_many(ctx, event, 8, LIBXL_EVENTMASK_ALL,
                                  LIBXL_WAIT_FOREVER, 0);
        XT_GT_INT(n, 0);
        for (int k = 0; k < n; k++)
            libxl_event_free(ctx, event[k]);
    }
    xt_ctx_free(ctx);
}

XT_TEST(evenable_needs_a_live_child, "E6 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_evgen_childproc_exit *evgen = NULL;
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    XT_RC(libxl_evenable_childproc_exit(ctx, getpid(), 0, &evgen),
          ERROR_UNKNOWN_CHILD);
    XT_RC(libxl_evenable_childproc_exit(ctx, 0, 0, NULL), ERROR_INVAL);
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "0"), NULL, &pid);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 0);
    XT_RC(libxl_evenable_childproc_exit(ctx, pid, 0, &evgen),
          ERROR_UNKNOWN_CHILD);
    XT_EQ_PTR(evgen, NULL);
    xt_ctx_free(ctx);
}
