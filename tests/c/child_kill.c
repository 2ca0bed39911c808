/* child_kill.c - killing hits the child that was meant, or nobody
 *
 * Contract line C13. race_kill.c does the same while children end by
 * themselves, child_pids.c where numbers have changed hands.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

static libxl_childproc_result finish(libxl_ctx *ctx, libxl_childproc_id id,
                                     pid_t pid)
{
    if (xh_diagnose(ctx).mode_asked == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
    return xt_wait(ctx, id);
}

/* A child with this argv whose stdout is *ret_out; it says that it is ready. */
static libxl_childproc_id spawn_saying(libxl_ctx *ctx,
                                       libxl_childproc_spec *spec, int *ret_out,
                                       pid_t *ret_pid)
{
    libxl_childproc_fd fds[1];
    libxl_childproc_id id;
    int out[2];

    xt_pipe(out);
    fds[0].target = 1;
    fds[0].source = out[1];
    spec->fds = fds;
    spec->nfds = 1;
    id = xt_spawn(ctx, spec, NULL, ret_pid);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    *ret_out = out[0];
    return id;
}

XT_TEST(a_signal_reaches_the_child, "C13")
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR1, SIGHUP, 40};

    for (size_t i = 0; i < N_OWNERS; i++)
        for (size_t k = 0; k < sizeof(signals) / sizeof(signals[0]); k++) {
            libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
            libxl_childproc_result r;
            libxl_childproc_id id;
            pid_t pid;

            id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, &pid);
            XT_OK(
                libxl_childproc_kill(ctx, id, signals[k], LIBXL_KILL_PROCESS));
            r = finish(ctx, id, pid);
            XT_SIGNALED(&r, signals[k]);
            xt_ctx_free(ctx);
        }
}

/* Ended but not reaped: the kill is refused, and the status is untouched. */
XT_TEST(a_dead_child_cannot_be_killed, "C13 C6 defect-9")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t pid;

        id = xt_spawn_argv(ctx, XT_CHILD("exit", "50"), NULL, &pid);
        xh_await_zombie(pid);
        XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
        XT_RC(libxl_childproc_terminate(ctx, id, NULL), ERROR_NOTFOUND);
        r = finish(ctx, id, pid);
        XT_EXITED(&r, 50);
        XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
        XT_RC(libxl_childproc_terminate(ctx, id, NULL), ERROR_NOTFOUND);
        xt_ctx_free(ctx);
    }
}

/* ---- what is refused ---------------------------------------------------- */

XT_TEST(no_kill_without_a_child, "C13 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_ctx *other = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id, found = 4711;
    pid_t pid;
    static const int bad_signal[] = {-1, 65, 1000, -9};
    static const pid_t odd[] = {0, 1, -1, -2, -2147483647 - 1};
    uint64_t ticks = 4711;

    id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, &pid);
    XT_RC(libxl_childproc_kill(ctx, 0, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_kill(ctx, id + 1000000, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_kill(ctx, ~(libxl_childproc_id)0, SIGKILL,
                               LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    /* A pid is no id. */
    if ((libxl_childproc_id)pid != id)
        XT_RC(libxl_childproc_kill(ctx, pid, SIGKILL, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
    /* Another ctx's child is not ours. */
    XT_RC(libxl_childproc_kill(other, id, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_kill(NULL, id, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_INVAL);
    for (size_t i = 0; i < sizeof(bad_signal) / sizeof(bad_signal[0]); i++)
        XT_RC(libxl_childproc_kill(ctx, id, bad_signal[i], LIBXL_KILL_PROCESS),
              ERROR_INVAL);
    /* A child that leads no group, and has no cgroup, is only a process. */
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP),
          ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP),
          ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, (libxl_kill_scope)7),
          ERROR_INVAL);

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        XT_RC(libxl_childproc_lookup(ctx, odd[i], &found), ERROR_INVAL);
        XT_RC(libxl_childproc_start_time(odd[i], &ticks), ERROR_INVAL);
        XT_RC(libxl_childproc_adopt(ctx, odd[i], 0, -1, NULL, &found),
              ERROR_INVAL);
    }
    XT_EQ_INT(found, 4711);
    XT_EQ_INT(ticks, 4711);
    XT_OK(libxl_childproc_lookup(ctx, pid, &found));
    XT_TRUE(found == id);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);

    /* Through all that it lived. */
    XT_EQ_INT(xh_is_zombie(pid), 0);
    XT_OK(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGTERM);
    xt_ctx_free(other);
    xt_ctx_free(ctx);
}

/* Groups that are not a child's: kill(-1) and kill(0) in disguise. */
XT_TEST(odd_groups_are_refused, "C13 C16 X5")
{
    static const pid_t odd[] = {0, 1, -1, -5};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};

        spec.flags |= LIBXL_SPAWN_JOIN_GROUP;
        spec.group = odd[i];
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
              ERROR_INVAL);
        XT_EQ_INT(failure.stage, LIBXL_STAGE_ARGUMENT);
        XT_EQ_STR(failure.argument, "group");
    }
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* ---- groups ------------------------------------------------------------- */

static void group_dies(unsigned flag, libxl_sigchld_owner owner)
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild-pause", "put", "r", "pause"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    char *rest;
    int out;

    spec.flags |= flag;
    id = spawn_saying(ctx, &spec, &out, &pid);
    XT_OK(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_GROUP));
    /* The grandchild holds the pipe, too: end of file means both are gone. */
    rest = xt_read_all(out, NULL);
    free(rest);
    xt_close(&out);
    r = finish(ctx, id, pid);
    XT_SIGNALED(&r, SIGTERM);
    xt_ctx_free(ctx);
}

XT_TEST(a_group_dies_as_one, "C13 C16")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        group_dies(LIBXL_SPAWN_NEW_GROUP, all[i]);
        group_dies(LIBXL_SPAWN_NEW_SESSION, all[i]);
    }
}

/* The leader has ended, its group has not: as long as the leader is unreaped
 * its number cannot be another group's. Afterwards the group is refused. */
XT_TEST(a_group_without_its_leader, "C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild", "0", "put", "r", "exit", "3"));
    libxl_childproc_fd fds[2];
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate[2], out[2], rc;
    pid_t pid;
    char *rest;

    xt_pipe(gate);
    xt_pipe(out);
    fds[0].target = 0;
    fds[0].source = gate[0];
    fds[1].target = 1;
    fds[1].source = out[1];
    spec.fds = fds;
    spec.nfds = 2;
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    id = xt_spawn(ctx, &spec, NULL, &pid);
    xt_close(&gate[0]);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    xh_await_zombie(pid);
    rc = libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP);
    XT_TRUE(rc == 0 || rc == ERROR_NOTFOUND);
    if (rc)
        xt_close(&gate[1]); /* refused: the grandchild ends by itself */
    rest = xt_read_all(out[0], NULL);
    free(rest);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 3);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP),
          ERROR_NOTFOUND);
    if (gate[1] >= 0)
        xt_close(&gate[1]);
    xt_close(&out[0]);
    xt_ctx_free(ctx);
}

/* ---- escalation --------------------------------------------------------- */

static libxl_childproc_id deaf_child(libxl_ctx *ctx, int *ret_out,
                                     pid_t *ret_pid)
{
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "put", "r", "pause"));

    return spawn_saying(ctx, &spec, ret_out, ret_pid);
}

/* In mainloop mode somebody has to reap while the ctx is pumped. */
static libxl_childproc_result pump_until_dead(libxl_ctx *ctx,
                                              libxl_childproc_id id, pid_t pid)
{
    libxl_childproc_result r;

    if (xh_diagnose(ctx).mode_asked != libxl_sigchld_owner_mainloop)
        return xt_wait(ctx, id);
    for (;;) {
        int status;
        pid_t dead;

        XT_RC(libxl_childproc_wait(ctx, id, 5, 0, &r), ERROR_TIMEDOUT);
        dead = waitpid(pid, &status, WNOHANG);
        XT_SYS(dead);
        if (dead) {
            XT_OK(libxl_childproc_exited(ctx, pid, status));
            return xt_wait(ctx, id);
        }
    }
}

XT_TEST(a_deaf_child_is_killed_after_the_grace, "C13")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_kill_policy policy = {SIGTERM, 120, LIBXL_KILL_PROCESS};
        libxl_childproc_result r;
        libxl_childproc_id id;
        long long asked;
        pid_t pid;
        int out;

        id = deaf_child(ctx, &out, &pid);
        asked = xt_now_ms();
        XT_OK(libxl_childproc_terminate(ctx, id, &policy));
        r = pump_until_dead(ctx, id, pid);
        XT_GE_INT(xt_now_ms() - asked, 120 - 1);
        XT_SIGNALED(&r, SIGKILL);
        xt_close(&out);
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_polite_child_ends_within_the_grace, "C13")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_PROCESS};
        libxl_childproc_spec spec = xt_spec(
            XT_CHILD("on-signal-exit", "SIGTERM", "12", "put", "r", "pause"));
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t pid;
        int out;

        id = spawn_saying(ctx, &spec, &out, &pid);
        XT_OK(libxl_childproc_terminate(ctx, id, &policy));
        r = pump_until_dead(ctx, id, pid);
        XT_EXITED(&r, 12);
        xt_close(&out);
        xt_ctx_free(ctx);
    }
}

/* The leader obeys, and leaves behind a grandchild that does not. */
static libxl_childproc_id leader_of_the_deaf(libxl_ctx *ctx, int *ret_out,
                                             pid_t *ret_pid)
{
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("ignore", "SIGTERM", "grandchild-pause", "on-signal-exit",
                 "SIGTERM", "12", "put", "r", "pause"));

    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    return spawn_saying(ctx, &spec, ret_out, ret_pid);
}

static void await_end_of_rest(int *out_io)
{
    free(xt_read_all(*out_io, NULL)); /* its end: nobody holds it any more */
    xt_close(out_io);
}

XT_TEST(the_rest_of_a_group_goes_with_its_leader, "C13")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
        libxl_childproc_result r;
        libxl_childproc_id id;
        libxl_ctx *ctx;
        int out;

        if (all[i] == libxl_sigchld_owner_mainloop)
            continue; /* the host reaps, and may do so first */
        ctx = xt_ctx_new(all[i], NULL);
        id = leader_of_the_deaf(ctx, &out, NULL);
        XT_OK(libxl_childproc_terminate(ctx, id, &policy));
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 12);
        await_end_of_rest(&out);
        xt_ctx_free(ctx);
    }
}

/* Whoever reaps the leader: here a ctx that waits for everybody's children. */
XT_TEST(the_rest_goes_when_another_ctx_reaps_the_leader, "C13 C1 X3")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
    libxl_ctx *reaper = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;
    pid_t pid;
    int out;

    id = leader_of_the_deaf(ctx, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    xh_await_zombie(pid);
    XT_RC(libxl_event_check(reaper, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XH_NO_CHILDREN(); /* it has been reaped */
    await_end_of_rest(&out);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 12);
    XT_EQ_INT(r.source, LIBXL_SOURCE_REAPED);
    xt_ctx_free(ctx);
    xt_ctx_free(reaper);
}

/* In mainloop mode, as soon as we see that the leader has ended. */
XT_TEST(the_rest_goes_before_the_host_reaps_the_leader, "C13 C2")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;
    libxl_ctx *ctx;
    pid_t pid;
    int out;

    if (!xp_pidfds())
        XT_SKIP("nothing tells of an end that the host has not passed on");
    ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    id = leader_of_the_deaf(ctx, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    xh_await_zombie(pid);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    await_end_of_rest(&out);
    r = finish(ctx, id, pid);
    XT_EXITED(&r, 12);
    xt_ctx_free(ctx);
}

/* A second policy, for the process alone, takes back nothing of the first;
 * nor does it matter which of them is the sooner. */
XT_TEST(of_two_scopes_the_wider_counts, "C13")
{
    static const struct {
        libxl_kill_policy first, second;
    } asked[] = {
        {{SIGCONT, 600000, LIBXL_KILL_GROUP}, {SIGTERM, 300000, 0}},
        {{SIGCONT, 300000, 0}, {SIGTERM, 600000, LIBXL_KILL_GROUP}},
    };

    for (size_t i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t pid;
        int out;

        id = leader_of_the_deaf(ctx, &out, &pid);
        XT_OK(libxl_childproc_terminate(ctx, id, &asked[i].first));
        XT_OK(libxl_childproc_terminate(ctx, id, &asked[i].second));
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 12);
        await_end_of_rest(&out);
        xt_ctx_free(ctx);
    }
}

XT_TEST(asking_again_only_makes_it_sooner, "C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy slow = {SIGTERM, 600000, LIBXL_KILL_PROCESS};
    libxl_kill_policy fast = {SIGTERM, 50, LIBXL_KILL_PROCESS};
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int out;

    id = deaf_child(ctx, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, &slow));
    XT_OK(libxl_childproc_terminate(ctx, id, &fast));
    XT_OK(libxl_childproc_terminate(ctx, id, &slow)); /* no later than 50 */
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_close(&out);
    xt_ctx_free(ctx);
}

XT_TEST(without_a_first_signal_it_is_killed_at_once, "C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy at_once = {0, 600000, LIBXL_KILL_PROCESS};
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int out;

    id = deaf_child(ctx, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, &at_once));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_close(&out);

    /* The spec's own policy is used when none is given. */
    id = deaf_child(ctx, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, NULL));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_close(&out);
    xt_ctx_free(ctx);
}

/* A child that another process's wait reaped in the middle of the grace. */
XT_TEST(the_grace_ends_with_the_child, "C13 defect-9")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGUSR1, 60, LIBXL_KILL_PROCESS};
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("on-signal-exit", "SIGUSR1", "12", "put", "r", "pause"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;
    pid_t pid;
    int out;

    id = spawn_saying(ctx, &spec, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 12);
    /* Past the grace nothing happens: the timer went with the child. */
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 120, 0),
          ERROR_TIMEDOUT);
    xt_close(&out);
    xt_ctx_free(ctx);
}
