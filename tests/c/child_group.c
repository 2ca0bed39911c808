/* child_group.c - the rest of a group can be reached when its leader has ended
 *
 * Contract line C27: by a kept pidfd of the leader (Linux 6.9), or by keeping
 * the leader unreaped for as long as its number is needed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "kernel/sys.h"
#include "operation.h"
#include "probe.h"

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_REAPING (sizeof(reaping) / sizeof(reaping[0]))
#define FIRST_SELECTIVE 2

static int (*real_send)(int, int, unsigned);

/* As before Linux 6.9. */
static int send_without_groups(int pidfd, int signo, unsigned flags)
{
    if (flags != 0) {
        errno = EINVAL;
        return -1;
    }
    return real_send(pidfd, signo, flags);
}

static void age_the_kernel(void)
{
    real_send = xl_sys.pidfd_send_signal;
    xl_sys.pidfd_send_signal = send_without_groups;
}

/* The leader leaves a member of its group behind, says its pid, and exits. */
static pid_t leave_one(libxl_ctx *ctx, libxl_childproc_id *ret_id, int *ret_eof)
{
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild-pause", "last", "exit", "5"));
    libxl_childproc_fd fds[1];
    char text[32];
    int out[2];
    ssize_t n;

    xt_pipe(out);
    fds[0] = (libxl_childproc_fd){1, out[1]};
    spec.fds = fds;
    spec.nfds = 1;
    spec.flags = LIBXL_SPAWN_NEW_GROUP;
    spec.kill = (libxl_kill_policy){0, 0, LIBXL_KILL_GROUP};
    *ret_id = xt_spawn(ctx, &spec, NULL, NULL);
    xt_close(&out[1]);
    n = read(out[0], text, sizeof(text) - 1);
    XT_SYS(n);
    text[n] = '\0';
    *ret_eof = out[0];
    return (pid_t)atoi(text);
}

/* Its stdout is closed when the last of them has gone. */
static void all_gone(int *eof)
{
    char byte;

    XT_EQ_INT(read(*eof, &byte, 1), 0);
    xt_close(eof);
}

static void the_rest_is_reached(libxl_sigchld_owner owner, int how)
{
    libxl_kill_policy policy = {SIGTERM, 1000, LIBXL_KILL_GROUP};
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int eof;

    XT_GT_INT(leave_one(ctx, &id, &eof), 1);
    XT_OK(libxl_childproc_wait(ctx, id, -1, LIBXL_WAIT_KEEP, &r));
    XT_EXITED(&r, 5);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    switch (how) {
    case 0:
        XT_OK(libxl_childproc_kill(ctx, id, 0, LIBXL_KILL_GROUP));
        XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP));
        break;
    case 1:
        XT_OK(libxl_childproc_terminate(ctx, id, NULL));
        break;
    case 2:
        XT_OK(libxl_childproc_terminate(ctx, id, &policy));
        break;
    }
    all_gone(&eof);
    XT_OK(libxl_childproc_detach(ctx, id));
    xt_ctx_free(ctx);
}

/* A mode that reaps everybody cannot keep the leader. */
static size_t first_mode(void)
{
    return xp_pidfd_group() ? 0 : FIRST_SELECTIVE;
}

XT_TEST(the_rest_of_a_group_is_reached, "C27 C13")
{
    for (size_t i = first_mode(); i < N_REAPING; i++)
        for (int how = 0; how < 3; how++)
            the_rest_is_reached(reaping[i], how);
}

/* Where a pidfd names no group the leader stays unreaped for it. */
XT_TEST(the_rest_is_reached_by_number_on_older_kernels, "C27 C13")
{
    age_the_kernel();
    for (size_t i = FIRST_SELECTIVE; i < N_REAPING; i++)
        for (int how = 0; how < 3; how++)
            the_rest_is_reached(reaping[i], how);
}

/* … and in a mode that reaps everybody it cannot: nobody else is hit. */
XT_TEST(a_number_that_is_gone_hits_nobody, "C27 C13 C20")
{
    age_the_kernel();
    for (size_t i = 0; i < FIRST_SELECTIVE; i++) {
        libxl_ctx *ctx = xt_ctx_new(reaping[i], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t member;
        int eof, rc;

        member = leave_one(ctx, &id, &eof);
        XT_GT_INT(member, 1);
        XT_OK(libxl_childproc_wait(ctx, id, -1, LIBXL_WAIT_KEEP, &r));
        XT_EXITED(&r, 5);
        rc = libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP);
        XT_TRUE(rc == 0 || rc == ERROR_NOTFOUND);
        if (rc != 0)
            XT_SYS(kill(member, SIGKILL));
        all_gone(&eof);
        XT_OK(libxl_childproc_detach(ctx, id));
        xt_ctx_free(ctx);
    }
}

/* The leader ends at once, and whoever it left holds its output open: the
 * time-out, or an abort, ends them. */
static void a_time_out_leaves_nothing(libxl_sigchld_owner owner, int abort_it)
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild-pause", "last", "exit", "5"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    libxl_childproc_fd fds[1];
    int held[2];

    xt_pipe(held);
    fds[0] = (libxl_childproc_fd){7, held[1]};
    spec.fds = fds;
    spec.nfds = 1;
    spec.flags = LIBXL_SPAWN_NEW_GROUP;
    spec.kill = (libxl_kill_policy){SIGTERM, 600000, LIBXL_KILL_GROUP};
    opts.linger = LIBXL_LINGER_EOF;
    opts.timeout_ms = abort_it ? -1 : 100 * xt_time_scale();
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    xt_close(&held[1]);
    if (abort_it) {
        libxl_event *event;

        while (c.result.child.pid == 0) /* its leader has ended */
            XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 20, 0),
                  ERROR_TIMEDOUT);
        XT_OK(libxl_ao_abort(ctx, &how));
    }
    xo_pump_until(ctx, &c.calls);
    XT_RC(c.rc, abort_it ? 0 : ERROR_TIMEDOUT);
    XT_EXITED(&c.result.child, 5);
    all_gone(&held[0]);
    libxl_childproc_exec_result_dispose(&c.result);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

XT_TEST(a_time_out_leaves_nothing_of_a_group, "C27 C18")
{
    for (size_t i = first_mode(); i < N_REAPING; i++)
        for (int abort_it = 0; abort_it < 2; abort_it++)
            a_time_out_leaves_nothing(reaping[i], abort_it);
}

XT_TEST(nor_on_older_kernels, "C27 C18")
{
    age_the_kernel();
    for (size_t i = FIRST_SELECTIVE; i < N_REAPING; i++)
        for (int abort_it = 0; abort_it < 2; abort_it++)
            a_time_out_leaves_nothing(reaping[i], abort_it);
}

/* One that ends well keeps what it started: that is its user's matter. */
XT_TEST(who_ends_in_time_leaves_its_group, "C27")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t member;
    int eof;

    member = leave_one(ctx, &id, &eof);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 5);
    XT_GT_INT(member, 1);
    XT_SYS(kill(member, SIGKILL));
    all_gone(&eof);
    xt_ctx_free(ctx);
}

/* The leaders of many groups have ended, and nobody has asked for them: who is
 * left of each is reached, of the first, which have their pidfds still, and of
 * the last, which have none for want of descriptors. */
static void many_groups(unsigned flags)
{
    enum { N = 100 };
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild-pause", "last", "exit", "5"));
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_fd fds[1];
    libxl_childproc_id id[N];
    libxl_event *event;
    pid_t pid[N];
    char text[4096];
    int out[2];

    xt_pipe(out);
    fds[0] = (libxl_childproc_fd){1, out[1]};
    spec.fds = fds;
    spec.nfds = 1;
    spec.flags = flags;
    spec.kill = (libxl_kill_policy){0, 0, LIBXL_KILL_GROUP};
    for (int k = 0; k < N; k++)
        id[k] = xt_spawn(ctx, &spec, NULL, &pid[k]);
    close(out[1]);
    xh_await_zombie_or_gone(pid, N);
    for (int k = 0; k < 3; k++) /* it may see to so many at a time */
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 0, 0), ERROR_TIMEDOUT);
    for (int k = 0; k < N; k++)
        XT_OK(libxl_childproc_kill(ctx, id[k], SIGKILL, LIBXL_KILL_GROUP));
    while (XT_SYS(read(out[0], text, sizeof(text))) > 0)
        ; /* the end comes when nobody is left */
    close(out[0]);
    for (int k = 0; k < N; k++) {
        libxl_childproc_result r = xt_wait(ctx, id[k]);

        XT_EXITED(&r, 5);
    }
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

XT_TEST_SLOW(what_many_leaders_leave, "C27 C29", 60)
{
    many_groups(LIBXL_SPAWN_NEW_GROUP);
    many_groups(LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_HOLD_PID);
}

XT_TEST_SLOW(what_many_leaders_leave_on_an_older_kernel, "C27 C29", 60)
{
    age_the_kernel();
    many_groups(LIBXL_SPAWN_NEW_GROUP);
    many_groups(LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_HOLD_PID);
}
