/* host_pidfds.c - a host that closes a pidfd of ours, and has one of its own
 *
 * Proves C13 and C26: whoever has the number of a pidfd that the library
 * remembers is sent nothing. A child is reached by its pid then, an adopted
 * process by a new pidfd that is proved to be its, and their ends are told.
 */
#define _GNU_SOURCE
#include "stranger.h"

#include <fcntl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none,
    libxl_sigchld_owner_mainloop};
#define N_OWNERS (sizeof(owners) / sizeof(owners[0]))

/* Somebody who must not be hit: a child of ours, or of a child of ours. */
struct bystander {
    struct xf_process process;
    pid_t pid;
    int gate;
    int pidfd;
};

#define BYSTANDER_CODE 77

/* The library may be who reaps all, and have done so. */
static void reap(pid_t pid, int expected)
{
    int status;

    if (waitpid(pid, &status, 0) == pid)
        XT_EQ_INT(status, expected);
    else
        XT_EQ_INT(errno, ECHILD);
}

static struct bystander bystander_new(int is_child)
{
    struct bystander by = {.gate = -1};

    if (is_child) {
        by.pid = xh_fork_held(XH_EXIT(BYSTANDER_CODE), &by.gate);
    } else {
        by.process = xf_process_new(XH_EXIT(BYSTANDER_CODE));
        by.pid = by.process.child;
    }
    by.pidfd = xf_pidfd(by.pid);
    return by;
}

static void bystander_was_not_hit(struct bystander *by, int is_child)
{
    if (is_child) {
        XT_EQ_INT(xh_is_zombie(by->pid), 0);
        xt_close(&by->gate);
        reap(by->pid, BYSTANDER_CODE << 8);
    } else {
        XT_SYS(kill(by->pid, 0));
        xt_close(&by->process.end_gate);
        xt_close(&by->process.reap_gate);
        reap(by->process.parent, 0);
    }
}

enum whose { OF_A_CHILD, OF_AN_ADOPTED, N_WHOSE };
enum how { BY_KILL, BY_POLICY, BY_GRACE, BY_GROUP, N_HOW };

struct victim {
    libxl_childproc_id id;
    pid_t pid;
    int gate;
    struct xf_process process;
};

static struct victim victim_new(libxl_ctx *ctx, enum whose whose)
{
    struct victim v = {.gate = -1};
    libxl_childproc_spec spec = xt_spec(NULL);
    uint64_t ticks;

    if (whose == OF_A_CHILD) {
        spec.flags |= LIBXL_SPAWN_NEW_GROUP;
        spec.exited_grace_ms = 10;
        v.id = xh_spawn_held(ctx, XH_EXIT(3), &spec, NULL, &v.gate, &v.pid);
    } else {
        v.process = xf_process_new(XH_EXIT(3));
        v.pid = v.process.child;
        XT_OK(libxl_childproc_start_time(v.pid, &ticks));
        XT_OK(libxl_childproc_adopt(ctx, v.pid, ticks, -1, NULL, &v.id));
    }
    return v;
}

static libxl_childproc_result victims_end(libxl_ctx *ctx, struct victim *v,
                                          libxl_sigchld_owner owner)
{
    int timeout_ms =
        owner == libxl_sigchld_owner_mainloop ? 20 : LIBXL_WAIT_FOREVER;
    libxl_childproc_result r;

    if (v->process.parent > 0)
        xt_close(&v->process.reap_gate);
    do
        if (owner == libxl_sigchld_owner_mainloop)
            libxl_childproc_sigchld_occurred(ctx);
    while (libxl_childproc_wait(ctx, v->id, timeout_ms, 0, &r));
    if (v->gate >= 0)
        xt_close(&v->gate);
    if (v->process.parent > 0) {
        xt_close(&v->process.end_gate);
        reap(v->process.parent, 0);
    }
    return r;
}

static void is_signalled(libxl_sigchld_owner owner, enum whose whose,
                         enum how how, int is_child)
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    /* before the victim, whose gates it must not hold open */
    struct bystander by = bystander_new(is_child);
    struct victim v = victim_new(ctx, whose);
    int number = xf_pidfd_number(v.pid);
    libxl_kill_policy policy = {.first_signal = SIGTERM, .grace_ms = 1000};
    libxl_childproc_result r;

    XT_GT_INT(number, 2);
    if (how == BY_GRACE) {
        policy.first_signal = SIGWINCH; /* which is ignored */
        policy.grace_ms = 20;
        XT_OK(libxl_childproc_terminate(ctx, v.id, &policy));
    }
    XT_SYS(dup3(by.pidfd, number, O_CLOEXEC));
    switch (how) {
    case BY_KILL:
        XT_OK(libxl_childproc_kill(ctx, v.id, SIGTERM, LIBXL_KILL_PROCESS));
        break;
    case BY_POLICY:
        XT_OK(libxl_childproc_terminate(ctx, v.id, &policy));
        break;
    case BY_GROUP:
        XT_OK(libxl_childproc_kill(ctx, v.id, SIGTERM, LIBXL_KILL_GROUP));
        break;
    default:
        break;
    }
    r = victims_end(ctx, &v, owner);
    bystander_was_not_hit(&by, is_child);
    if (whose == OF_A_CHILD || xp_recovers())
        XT_SIGNALED(&r, how == BY_GRACE ? SIGKILL : SIGTERM);
    xt_close(&by.pidfd);
    XT_SYS(close(number)); /* it is the host's */
    xt_ctx_free(ctx);
}

static void needs_pidfds(enum whose whose)
{
    xf_needs_pidfds();
    if (whose == OF_AN_ADOPTED && !xp_pidfd_send_signal())
        XT_SKIP("an adopted process is signalled by pidfd, which is refused");
}

static void all_ways(enum whose whose)
{
    needs_pidfds(whose);
    for (size_t o = 0; o < N_OWNERS; o++)
        for (int how = 0; how < N_HOW; how++)
            for (int is_child = 0; is_child < 2; is_child++) {
                if (whose == OF_AN_ADOPTED && how == BY_GROUP)
                    continue; /* it leads none */
                xt_note("mode %s, how %d, bystander a child: %d",
                        libxl_childproc_owner_name(owners[o]), how, is_child);
                is_signalled(owners[o], whose, (enum how)how, is_child);
            }
}

XT_TEST_SLOW(a_childs_signal_goes_to_nobody_else, "C13 C26", 60)
{
    all_ways(OF_A_CHILD);
}

XT_TEST_SLOW(an_adopted_ones_signal_goes_to_nobody_else, "C13 C26", 60)
{
    all_ways(OF_AN_ADOPTED);
}

/* The number is nobody's. What was sent has been sent, and its end is told to
 * one who sleeps for it. */
XT_TEST_SLOW(the_end_of_one_that_was_signalled_so_is_told, "C13 C26 E2", 60)
{
    xf_needs_pidfds();
    for (size_t o = 0; o < N_OWNERS; o++)
        for (int whose = 0; whose < N_WHOSE; whose++) {
            if (whose == OF_AN_ADOPTED && !xp_pidfd_send_signal())
                continue; /* nobody could end it */
            libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
            struct victim v = victim_new(ctx, (enum whose)whose);
            libxl_childproc_result r;

            xt_note("mode %s, adopted: %d",
                    libxl_childproc_owner_name(owners[o]), whose);
            XT_SYS(close(xf_pidfd_number(v.pid)));
            XT_OK(libxl_childproc_kill(ctx, v.id, SIGTERM, LIBXL_KILL_PROCESS));
            r = victims_end(ctx, &v, owners[o]);
            if (whose == OF_A_CHILD || xp_recovers())
                XT_SIGNALED(&r, SIGTERM);
            xt_ctx_free(ctx);
        }
}

/* Whoever looks for a child of ours by the number of the host's pidfd reaps
 * that one, which nobody could foresee: the host is told of it. */
static int told(pid_t pid, int status, void *user)
{
    int *statuses = user;

    (void)pid;
    *statuses = status;
    return 0;
}

XT_TEST(a_zombie_of_the_hosts_that_was_reaped_so_is_told_of, "C20 C23 C26")
{
    xf_needs_pidfds();
    for (size_t o = 0; o < N_OWNERS; o++) {
        struct bystander by = bystander_new(1);
        int status = -1;
        struct xt_log log;
        int all = owners[o] == libxl_sigchld_owner_libxl ||
                  owners[o] == libxl_sigchld_owner_libxl_always;
        libxl_ctx *ctx =
            xh_ctx_new(owners[o], &log, all ? told : NULL, &status);
        struct victim v = victim_new(ctx, OF_A_CHILD);
        int number = xf_pidfd_number(v.pid);
        libxl_childproc_result r;

        xt_note("mode %s", libxl_childproc_owner_name(owners[o]));
        xt_close(&by.gate);
        xh_await_zombie(by.pid);
        XT_SYS(dup3(by.pidfd, number, O_CLOEXEC));
        xt_close(&v.gate);
        r = victims_end(ctx, &v, owners[o]);
        XT_EXITED(&r, 3);
        xh_pump(ctx);
        if (xh_is_zombie(by.pid) == 1)
            XT_EQ_INT(xh_reap(by.pid), BYSTANDER_CODE << 8);
        else if (all)
            XT_EQ_INT(status, BYSTANDER_CODE << 8);
        else
            XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, "exit status 77"),
                      1);
        xt_close(&by.pidfd);
        XT_SYS(close(number));
        xt_ctx_free(ctx);
        xt_log_dispose(&log);
    }
}
