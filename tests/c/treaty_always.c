/* treaty_always.c - the handler that is always there: _libxl_always and
 * _libxl_always_selective_reap
 *
 * Contract line C3.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static void set_mode(libxl_ctx *ctx, libxl_sigchld_owner owner)
{
    libxl_childproc_hooks hooks = {.chldowner = owner, .size = sizeof(hooks)};

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
}

static void handler_stays(libxl_sigchld_owner owner)
{
    struct xh_action before = xh_action_get(SIGCHLD), during;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate;

    XH_SIGCHLD_IS(&before);
    set_mode(ctx, owner);
    during = xh_action_get(SIGCHLD);
    XT_TRUE(!xh_action_equal(&during, &before));
    XT_EQ_INT(xh_diagnose(ctx).handler_installed, 1);
    for (int i = 0; i < 3; i++) {
        id = xh_spawn_held(ctx, XH_EXIT(i), NULL, NULL, &gate, NULL);
        XH_SIGCHLD_IS(&during);
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, i);
        XH_SIGCHLD_IS(&during);
    }
    set_mode(ctx, libxl_sigchld_owner_libxl);
    XH_SIGCHLD_IS(&before);
    set_mode(ctx, owner);
    XH_SIGCHLD_IS(&during);
    xt_ctx_free(ctx);
    XH_SIGCHLD_IS(&before);
}

XT_TEST(always_keeps_the_handler, "C3 C1")
{
    handler_stays(libxl_sigchld_owner_libxl_always);
}

XT_TEST(selective_keeps_the_handler, "C3")
{
    handler_stays(libxl_sigchld_owner_libxl_always_selective_reap);
}

/* Two that need it: it goes with the last of them. */
XT_TEST(the_last_one_puts_the_handler_away, "C3 X3")
{
    struct xh_action before = xh_action_get(SIGCHLD), during;
    libxl_ctx *a = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    libxl_ctx *b =
        xt_ctx_new(libxl_sigchld_owner_libxl_always_selective_reap, NULL);

    during = xh_action_get(SIGCHLD);
    xt_ctx_free(a);
    XH_SIGCHLD_IS(&during);
    xt_ctx_free(b);
    XH_SIGCHLD_IS(&before);
}

struct told {
    int n;
    pid_t pid;
    int status;
};

static int take(pid_t pid, int status, void *user)
{
    struct told *t = user;

    t->n++;
    t->pid = pid;
    t->status = status;
    return 0;
}

XT_TEST(always_reaps_strangers_without_a_child_of_its_own, "C3 C1")
{
    struct told told = {0, 0, 0};
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl_always, NULL, take, &told);
    libxl_event *event;
    pid_t pid = xh_fork(XH_SIGNAL(SIGHUP));

    while (!told.n)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 5, 0), ERROR_TIMEDOUT);
    XT_EQ_INT(told.n, 1);
    XT_EQ_INT(told.pid, pid);
    XT_EQ_INT(told.status, SIGHUP);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* A stranger's death makes the ctx's fd readable, or a loop would sleep. */
XT_TEST(always_wakes_a_loop_for_strangers, "C3 O5")
{
    struct told told = {0, 0, 0};
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl_always, NULL, take, &told);
    struct pollfd fd = {libxl_ctx_fileno(ctx), POLLIN, 0};
    pid_t pid = xh_fork_exit(12);

    while (!told.n) {
        int n = poll(&fd, 1, -1);

        if (n < 0)
            continue; /* EINTR: by our own signal */
        XT_EQ_INT(n, 1);
        xh_pump(ctx);
    }
    XT_EQ_INT(told.pid, pid);
    XT_EQ_INT(told.status, 12 << 8);
    xt_ctx_free(ctx);
}

XT_TEST(selective_never_reaps_a_stranger, "C3 defect-16")
{
    libxl_ctx *ctx =
        xt_ctx_new(libxl_sigchld_owner_libxl_always_selective_reap, NULL);
    libxl_childproc_id id[30];
    pid_t theirs[30];

    for (int i = 0; i < 30; i++) {
        struct xh_argv words;

        id[i] = xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i * 9)), NULL,
                              NULL);
        theirs[i] = xh_fork(xh_end_of(i * 9 + 4));
    }
    for (int i = 0; i < 30; i++) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        XH_ENDED(&r, xh_end_of(i * 9));
    }
    for (int i = 0; i < 30; i++)
        xh_await_zombie(theirs[i]);
    for (int i = 0; i < 20; i++)
        xh_pump(ctx);
    for (int i = 0; i < 30; i++) {
        XT_EQ_INT(xh_is_zombie(theirs[i]), 1);
        XT_EQ_INT(xh_reap(theirs[i]), xh_end_status(xh_end_of(i * 9 + 4)));
    }
    xt_ctx_free(ctx);
}

/* Exits that happen while nobody is inside the library wait to be found. */
XT_TEST(exits_between_calls_are_found, "C3 C8")
{
    static const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    for (size_t i = 0; i < sizeof(owner) / sizeof(owner[0]); i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
        pid_t pid[25];

        for (int k = 0; k < 25; k++) {
            struct xh_argv words;

            report.u.for_event = k;
            xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(k * 19)), &report,
                          &pid[k]);
        }
        /* those before the last have been reaped by the start after them, or
         * wait to be */
        xh_await_zombie_or_gone(pid, 24);
        xh_await_zombie(pid[24]);
        for (int k = 0; k < 25; k++) {
            libxl_event *event = NULL;

            XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                    NULL));
            XT_LT_INT(event->for_user, 25);
            XH_ENDED(&event->u.childproc_exit, xh_end_of(event->for_user * 19));
            XT_EQ_INT(event->u.childproc_exit.pid, pid[event->for_user]);
            pid[event->for_user] = 0;
            libxl_event_free(ctx, event);
        }
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}
