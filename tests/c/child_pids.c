/* child_pids.c - numbers that belong to somebody else by now
 *
 * Contract line C13: a pid, or the number of a group, is never used once the
 * child that had it may have been reaped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "hostchild.h"
#include "probe.h"

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

/* A child of the host's with this pid, which ends with 17 when the gate is
 * closed. */
static void bear(pid_t pid, int *ret_gate)
{
    int gate[2];
    pid_t victim;

    xt_pipe(gate);
    victim = xh_fork_as(pid);
    if (!victim) {
        char c;

        close(gate[1]);
        while (read(gate[0], &c, 1) < 0 && errno == EINTR)
            ;
        xh_end_now(XH_EXIT(17));
    }
    if (victim < 0)
        XT_SKIP("a pid of choice is not to be had: %s", strerror(errno));
    XT_EQ_INT(victim, pid);
    xt_close(&gate[0]);
    *ret_gate = gate[1];
}

/* Nobody has killed it. */
static void lives_on(pid_t victim, int *gate)
{
    XT_EQ_INT(xh_is_zombie(victim), 0);
    xt_close(gate);
    XT_EQ_INT(xh_reap(victim), 17 << 8);
}

/* Somebody's wait reaped our child behind our back, and the host's next child
 * has its pid: neither kill nor terminate nor ctx_free may touch that. */
XT_TEST(a_reused_pid_is_not_hit, "C13 C6 defect-9")
{
    if (!xp_pidfds())
        XT_SKIP("a child reaped by others is safe to kill only by pidfd");
    if (!xp_clone3())
        XT_SKIP("a pid of choice needs clone3, which is refused here");
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_childproc_spec spec = xt_spec(NULL);
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_kill_policy at_once = {0, 0, LIBXL_KILL_PROCESS};
        libxl_childproc_id id;
        int gate, host_gate;
        pid_t pid;

        spec.on_free = LIBXL_FREE_KILL;
        id = xh_spawn_held(ctx, XH_EXIT(0), &spec, NULL, &gate, &pid);
        xt_close(&gate);
        xh_reap(pid);
        bear(pid, &host_gate);
        XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
        XT_RC(libxl_childproc_terminate(ctx, id, &at_once), ERROR_NOTFOUND);
        xt_ctx_free(ctx);
        lives_on(pid, &host_gate);
    }
}

/* Our own wait reaped it, and its result has not been taken yet. */
XT_TEST(the_pid_of_a_held_result_is_not_hit, "C13 C5")
{
    libxl_kill_policy at_once = {0, 0, LIBXL_KILL_PROCESS};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id, found;
    int host_gate;
    pid_t pid;

    if (!xp_clone3())
        XT_SKIP("a pid of choice needs clone3, which is refused here");
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "6"), NULL, &pid);
    xh_await_zombie(pid);
    xh_pump(ctx);
    XT_EQ_INT(xh_is_zombie(pid), -1);
    bear(pid, &host_gate);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_terminate(ctx, id, &at_once), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_lookup(ctx, pid, &found), ERROR_NOTFOUND);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 6);
    xt_ctx_free(ctx);
    lives_on(pid, &host_gate);
}

/* The leader was reaped by somebody else: its group's number may be another's,
 * and there is no pidfd to name it by. What is left of it lives on. */
XT_TEST(the_number_of_a_group_goes_with_its_leader, "C13")
{
    libxl_kill_policy at_once = {0, 0, LIBXL_KILL_GROUP};
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild", "0", "put", "r", "exit", "3"));
    libxl_childproc_fd fds[2];
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate[2], out[2];
    libxl_ctx *ctx;
    pid_t pid;
    char *rest;

    xl_facility_limit(~(unsigned)LIBXL_FACILITY_PIDFD);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    xt_pipe(gate);
    xt_pipe(out);
    fds[0] = (libxl_childproc_fd){0, gate[0]};
    fds[1] = (libxl_childproc_fd){1, out[1]};
    spec.fds = fds;
    spec.nfds = 2;
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    id = xt_spawn(ctx, &spec, NULL, &pid);
    xt_close(&gate[0]);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    XT_EQ_INT(xh_reap(pid), 3 << 8);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_terminate(ctx, id, &at_once), ERROR_NOTFOUND);
    xt_close(&gate[1]);
    rest = xt_read_all(out[0], NULL);
    free(rest);
    xt_close(&out[0]);
    r = xt_wait(ctx, id);
    XT_EQ_INT(r.lost, LIBXL_LOST_STOLEN);
    xt_ctx_free(ctx);
}
