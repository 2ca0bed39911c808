/* adopt_own.c - a host's own child, watched as one of ours
 *
 * Contract lines C6 and C13 for libxl_childproc_adopt: a child that the host
 * forked itself. Strangers are adopt_stranger.c's, refusals adopt_refused.c's.
 */
#define _GNU_SOURCE
#include "stranger.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>


XT_TEST(a_child_of_the_host_is_reaped_as_one, "C6 C5 C13")
{
    static const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_none,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_libxl};

    xf_needs_pidfds();
    for (size_t i = 0; i < 3; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id = 0;
        uint64_t ticks = 0;
        pid_t pid;
        int gate;

        pid = xh_fork_held(XH_EXIT(41), &gate);
        XT_OK(libxl_childproc_start_time(pid, &ticks));
        XT_GT_INT(ticks, 0);
        XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
        XT_NE_INT(id, 0);
        XT_EQ_INT(libxl_childproc_count(ctx), 1);
        XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_TIMEDOUT);
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EQ_INT(r.pid, pid);
        XT_EXITED(&r, 41);
        XT_EQ_INT(r.source, LIBXL_SOURCE_REAPED);
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_pidfd_names_it_as_well, "C6 C13 C16")
{
    libxl_ctx *ctx;
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    pid_t pid;
    int gate, pidfd;

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_SIGNAL(SIGTERM), &gate);
    pidfd = xf_pidfd(pid);
    XT_OK(libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id));
    /* It is duplicated: ours may be closed at once, and was not changed. */
    XT_EQ_INT(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    xt_close(&pidfd);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EQ_INT(r.pid, pid);
    XT_SIGNALED(&r, SIGTERM);
    xt_ctx_free(ctx);
}

XT_TEST(an_adopted_child_can_be_killed, "C13")
{
    libxl_ctx *ctx;
    libxl_kill_policy policy = {SIGUSR1, 600000, LIBXL_KILL_PROCESS};
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    pid_t pid;
    int gate;

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(0), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGUSR1);
    xt_close(&gate);
    xt_ctx_free(ctx);
}

/* A group is known by its leader, also when that was adopted. */
XT_TEST(an_adopted_leader_is_killed_with_its_group, "C13")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
    libxl_ctx *ctx, *first;
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("ignore", "SIGTERM", "grandchild-pause", "on-signal-exit",
                 "SIGTERM", "12", "put", "r", "pause"));
    libxl_childproc_fd fd = {.target = 1};
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    pid_t pid;
    int out[2];

    xf_needs_pidfds();
    xt_pipe(out);
    first = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    fd.source = out[1];
    spec.fds = &fd;
    spec.nfds = 1;
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    spec.on_free = LIBXL_FREE_LEAVE;
    xt_spawn(first, &spec, NULL, &pid);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    xt_ctx_free(first);

    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 12);
    free(xt_read_all(out[0], NULL)); /* its end: nobody holds it any more */
    xt_close(&out[0]);
    xt_ctx_free(ctx);
}

/* Others of its group are nobody's to signal: it does not lead it. */
XT_TEST(a_member_of_a_group_is_only_a_process, "C13 X5")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;
    pid_t pid;
    int gate;

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(8), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
    XT_RC(libxl_childproc_kill(ctx, id, 0, LIBXL_KILL_GROUP), ERROR_INVAL);
    XT_RC(libxl_childproc_terminate(ctx, id, &policy), ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP),
          ERROR_INVAL);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 8);
    xt_ctx_free(ctx);
}

/* It has ended, and its status waits: there is nobody to kill. */
XT_TEST(an_adopted_child_that_has_ended, "C13 C6")
{
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;
    int gate;
    pid_t pid;

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int late = 0; late < 2; late++) {
        pid = xh_fork_held(XH_EXIT(9), &gate);
        XT_OK(libxl_childproc_start_time(pid, &ticks));
        if (late) { /* ended before it is adopted */
            xt_close(&gate);
            xh_await_zombie(pid);
        }
        XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
        if (!late) {
            xt_close(&gate);
            xh_await_zombie(pid);
        }
        XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 9);
        XT_EQ_INT(r.has_rusage, 1);
    }
    xt_ctx_free(ctx);
}

/* The ctx goes, and the process is as it was: alive, and its parent's. */
XT_TEST(freed_the_adopted_are_left, "X2")
{
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;
    int gate;
    pid_t pid;

    xf_needs_pidfds();
    for (int ended = 0; ended < 2; ended++) {
        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        pid = xh_fork_held(XH_EXIT(10), &gate);
        XT_OK(libxl_childproc_start_time(pid, &ticks));
        XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
        if (ended) {
            xt_close(&gate);
            xh_await_zombie(pid);
        }
        xt_ctx_free(ctx);
        if (!ended) {
            XT_EQ_INT(xh_is_zombie(pid), 0);
            xt_close(&gate);
        }
        XT_EQ_INT(xh_reap(pid), 10 << 8);
    }
}
