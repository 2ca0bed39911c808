/* keeper_ends.c - when the keeper of a family is stopped or killed, or its
 * maker forks, lets go, closes all or ends
 *
 * Contract lines F5, C6. Whose child it keeps is in family_keeper.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kept.h"
#include "kernel/keeper_child.h"
#include "kernel/sys.h"
#include "probe.h"

/* ---- the keeper is killed ----------------------------------------------- */

static pid_t (*real_clone3)(int (*)(void *), void *, size_t, uint64_t, void *,
                            int *, int *, atomic_int *, int);
static int turns;    /* until it is killed … */
static int after_it; /* … after it has made its child */
static int keepers_killed;

static pid_t clone_and_kill(int (*fn)(void *), void *stack, size_t size,
                            uint64_t flags, void *arg, int *pidfd, int *pid,
                            atomic_int *until_exec, int cgroup)
{
    pid_t made = real_clone3(fn, stack, size, flags, arg, pidfd, pid,
                             until_exec, cgroup);

    if ((flags & XL_CLONE_UNSEEN) && made > 1) {
        struct xl_keeper_note *note = arg;

        while (after_it && atomic_load(&note->made) == 0)
            sched_yield();
        for (volatile int i = 0; i < turns; i++)
            ;
        XT_SYS(kill(made, SIGKILL));
        keepers_killed++;
    }
    return made;
}

/* From its first instruction to after the child's exec. Orphans come to us: an
 * init takes its time to reap. */
XT_TEST_SLOW(a_keeper_killed_at_any_moment_loses_no_status, "F5 C6 B9", 60)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    int started = 0, not_made = 0;

    XT_OK(libxl_family_free(ctx, xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER)));
    XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    real_clone3 = xl_sys.clone3;
    xl_sys.clone3 = clone_and_kill;
    for (int i = 0; i < 150; i++) {
        libxl_childproc_failure failure;
        libxl_childproc_result r;
        libxl_childproc_id id;
        int rc;

        turns = i * 600;
        after_it = i % 2;
        spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
        rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure);
        if (rc == 0) {
            r = xt_wait(ctx, id);
            XT_EXITED(&r, 3);
            started++;
        } else { /* it was killed before it made the child */
            XT_EQ_INT(rc, ERROR_SYSTEM);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_FORK);
            XT_EQ_INT(xk_look(ctx, spec.family).started, 0);
            not_made++;
        }
        XT_OK(libxl_family_free(ctx, spec.family));
    }
    xl_sys.clone3 = real_clone3;
    XT_NOTE("%d keepers killed: %d children, each with its status; %d not made",
            keepers_killed, started, not_made);
    XT_EQ_INT(keepers_killed, 150);
    XT_GE_INT(started, 75);
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    XT_EQ_INT(errno, ECHILD);
    xt_ctx_free(ctx);
}

/* ---- … with a zombie ----------------------------------------------------- */

/* Not by SIGSTOP, of which the library wakes it. */
static void hold_up(pid_t keeper)
{
    int status;

    XT_GT_INT(keeper, 1);
    if (ptrace(PTRACE_SEIZE, keeper, NULL, NULL) != 0)
        XT_SKIP("no process may be traced here");
    XT_SYS(ptrace(PTRACE_INTERRUPT, keeper, NULL, NULL));
    XT_EQ_INT(waitpid(keeper, &status, __WALL), keeper);
    XT_TRUE(WIFSTOPPED(status));
}

/* It has ended, nobody has reaped it, and then it becomes ours. */
static void becomes_ours(int by_letting_go)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid, keeper;
    int hold;

    XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    id = xk_start_held(ctx, family, "9", &hold, &pid);
    keeper = xk_parent_of(pid);
    hold_up(keeper);
    close(hold);
    XT_EVENTUALLY(xk_is_gone, &pid);
    XT_RC(libxl_childproc_wait(ctx, id, 30, 0, &r), ERROR_TIMEDOUT);
    if (by_letting_go)
        XT_OK(libxl_family_free(ctx, family));
    else
        XT_SYS(kill(keeper, SIGKILL));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 9);
    if (!by_letting_go)
        XT_OK(libxl_family_free(ctx, family));
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    XT_EQ_INT(errno, ECHILD);
    xt_ctx_free(ctx);
}

XT_TEST(a_zombie_of_a_killed_keeper_may_be_ours, "F5 C6")
{
    becomes_ours(0);
}

XT_TEST(a_zombie_of_a_keeper_that_is_let_go_may_be_ours, "F5 C6")
{
    becomes_ours(1);
}

/* ---- the keeper is stopped ---------------------------------------------- */

static void stop(pid_t *keeper)
{
    XT_GT_INT(*keeper, 1);
    XT_NE_INT(*keeper, getpid());
    XT_SYS(kill(*keeper, SIGSTOP));
    XT_EVENTUALLY(xk_is_stopped, keeper);
}

XT_TEST(a_stopped_keeper_holds_no_status_back, "F5 C6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid, keeper;
    int hold;

    id = xk_start_held(ctx, family, "9", &hold, &pid);
    keeper = xk_parent_of(pid);
    stop(&keeper);
    XT_EQ_INT(xk_look(ctx, family).hold, LIBXL_HOLD_KEEPER);
    XT_EQ_INT(xk_look(ctx, family).empty, 0);
    close(hold);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 9);
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_TRUE(xk_is_gone(&keeper));
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

struct stopper {
    int keeper; /* its pidfd */
    atomic_int ends;
};

/* However often. */
static void *stops_again(void *arg)
{
    struct stopper *stopper = arg;
    const struct timespec pause = {0, 1000000};

    while (!atomic_load(&stopper->ends)) {
        (void)xl_sys.pidfd_send_signal(stopper->keeper, SIGSTOP, 0);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

XT_TEST(a_keeper_that_is_stopped_again_and_again, "F5 C6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    struct stopper stopper = {0};
    libxl_childproc_result r;
    libxl_childproc_id id;
    pthread_t thread;
    pid_t pid, keeper;
    int hold;

    id = xk_start_held(ctx, family, "9", &hold, &pid);
    keeper = xk_parent_of(pid);
    stop(&keeper);
    stopper.keeper = XT_SYS(xl_sys.pidfd_open(keeper, 0));
    XT_EQ_INT(pthread_create(&thread, NULL, stops_again, &stopper), 0);
    /* nothing is made up of what is not known */
    close(hold);
    if (libxl_childproc_wait(ctx, id, 20, LIBXL_WAIT_KEEP, &r) == 0)
        XT_EXITED(&r, 9);
    atomic_store(&stopper.ends, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    close(stopper.keeper);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 9);
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

XT_TEST(a_stopped_keeper_is_set_going_to_end_its_family, "F5 F2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_spec spec;
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid, keeper;
    char line[300];
    int hold[2];

    xk_fresh_mark();
    xt_pipe(hold);
    snprintf(line, sizeof(line), "%s/stray twice %s; read unused; exit 2",
             XT_HELPERS, xk_mark);
    spec = xt_spec((const char *const[]){"/bin/sh", "-c", line, NULL});
    spec.fds = (libxl_childproc_fd[]){{.target = 0, .source = hold[0]}};
    spec.nfds = 1;
    spec.family = family;
    id = xt_spawn(ctx, &spec, NULL, &pid);
    keeper = xk_parent_of(pid);
    XT_EVENTUALLY(xk_some_left, NULL);
    close(hold[0]);
    close(hold[1]);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 2);
    stop(&keeper);
    XT_EQ_INT(xk_look(ctx, family).empty, 0);
    XT_EQ_INT(xk_some_left(NULL), 1);
    stop(&keeper); /* looking has woken it */
    XT_OK(libxl_family_end(ctx, family, SIGTERM, 10));
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_EQ_INT(xk_left(), 0);
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

static pid_t clone_and_stop(int (*fn)(void *), void *stack, size_t size,
                            uint64_t flags, void *arg, int *pidfd, int *pid,
                            atomic_int *until_exec, int cgroup)
{
    pid_t made = real_clone3(fn, stack, size, flags, arg, pidfd, pid,
                             until_exec, cgroup);

    if ((flags & XL_CLONE_UNSEEN) && made > 1)
        XT_SYS(kill(made, SIGSTOP));
    return made;
}

XT_TEST(a_keeper_that_is_stopped_at_birth_makes_its_child, "F5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_result r;

    XT_OK(libxl_family_free(ctx, xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER)));
    real_clone3 = xl_sys.clone3;
    xl_sys.clone3 = clone_and_stop;
    for (int i = 0; i < 10; i++) {
        spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
        r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
        XT_EXITED(&r, 3);
        XT_OK(libxl_family_free(ctx, spec.family));
    }
    xl_sys.clone3 = real_clone3;
    xt_ctx_free(ctx);
}

/* ---- its child is told of, whoever reaps it ------------------------------ */

/* … and an init that reaps: nothing but the pidfd tells. */
static void ends_as_an_orphan(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;
    int hold;

    id = xk_start_held(ctx, family, "9", &hold, &pid);
    xk_kill_keeper(pid);
    close(hold);
    r = xt_wait(ctx, id);
    if (xp_exit_info()) {
        XT_EXITED(&r, 9);
    } else {
        XT_EQ_INT(r.lost, LIBXL_LOST_NOT_OURS);
    }
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

XT_TEST(the_status_is_told_when_init_has_reaped, "F5 C6")
{
    xk_below_an_init(ends_as_an_orphan);
}

static void falls_back_on_its_group(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_state state;
    libxl_childproc_result r;
    libxl_family_id family;
    libxl_childproc_spec spec;
    libxl_childproc_id id;
    char line[300];
    int hold[2];
    pid_t pid;

    if (!xp_pidfd_group() || !xp_exit_info()) {
        xt_ctx_free(ctx);
        XT_SKIP("no pidfd names a group here (Linux 6.9)");
    }
    xk_fresh_mark();
    xt_pipe(hold);
    family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
    snprintf(line, sizeof(line), "%s/stray and %s; read unused; exit 2",
             XT_HELPERS, xk_mark);
    spec = xt_spec((const char *const[]){"/bin/sh", "-c", line, NULL});
    spec.fds = (libxl_childproc_fd[]){{.target = 0, .source = hold[0]}};
    spec.nfds = 1;
    spec.family = family;
    id = xt_spawn(ctx, &spec, NULL, &pid);
    XT_EVENTUALLY(xk_some_left, NULL);
    XT_EQ_INT(xk_look(ctx, family).hold, LIBXL_HOLD_KEEPER);
    xk_kill_keeper(pid);
    XT_RC(libxl_family_wait(ctx, family, 20, 0), ERROR_TIMEDOUT);
    state = xk_look(ctx, family);
    XT_EQ_INT(state.hold, LIBXL_HOLD_GROUP);
    XT_CONTAINS(state.why, "killed");
    close(hold[0]);
    close(hold[1]);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 2);
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_EVENTUALLY(xk_none_left, NULL);
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

XT_TEST(without_its_keeper_a_family_is_held_by_its_group, "F5")
{
    xk_below_an_init(falls_back_on_its_group);
}

/* ---- letting go, forks, and the end of the host -------------------------- */

/* Who is in it lives on, and tells. */
static void is_let_go_of(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid, keeper;
    int hold;

    id = xk_start_held(ctx, family, "8", &hold, &pid);
    keeper = xk_parent_of(pid);
    XT_GT_INT(keeper, 1);
    XT_OK(libxl_family_free(ctx, family));
    XT_TRUE(xk_is_gone(&keeper));
    XT_NE_INT(xk_parent_of(pid), -1);
    close(hold);
    r = xt_wait(ctx, id);
    if (xp_exit_info())
        XT_EXITED(&r, 8);
    xt_ctx_free(ctx);
}

XT_TEST(a_family_that_is_let_go_of_has_no_keeper, "F5 X2")
{
    xk_below_an_init(is_let_go_of);
}

XT_TEST(a_ctx_that_goes_ends_its_keepers, "F5 X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec;
    pid_t pid, keeper;
    char line[300];

    xk_fresh_mark();
    snprintf(line, sizeof(line), "%s/stray flee %s; exec sleep 1000",
             XT_HELPERS, xk_mark);
    spec = xt_spec((const char *const[]){"/bin/sh", "-c", line, NULL});
    spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_TIMEOUT);
    spec.on_free = LIBXL_FREE_KILL;
    (void)xt_spawn(ctx, &spec, NULL, &pid);
    keeper = xk_parent_of(pid);
    XT_GT_INT(keeper, 1);
    XT_EVENTUALLY(xk_some_left, NULL);
    xt_ctx_free(ctx);
    XT_TRUE(xk_is_gone(&keeper));
    XT_EQ_INT(xk_left(), 0);
    XT_TRUE(xk_is_gone(&pid));
}

/* A process of the host's has copies of all fds, and stays. */
XT_TEST(a_forked_host_holds_no_keeper, "F5 C14")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int hold, stay[2], status;
    pid_t pid, keeper, copy;

    id = xk_start_held(ctx, family, "0", &hold, &pid);
    keeper = xk_parent_of(pid);
    xt_pipe(stay);
    copy = fork();
    if (copy == 0) {
        char byte;

        close(hold);
        close(stay[1]);
        libxl_postfork_child_noexec(ctx);
        _exit(read(stay[0], &byte, 1) == 0 ? 0 : 1);
    }
    XT_EQ_INT(xk_parent_of(pid), keeper); /* the copy has taken nothing along */
    XT_EQ_INT(xk_look(ctx, family).hold, LIBXL_HOLD_KEEPER);
    close(hold);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 0);
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_OK(libxl_family_free(ctx, family));
    XT_TRUE(xk_is_gone(&keeper));
    close(stay[0]);
    close(stay[1]);
    XT_EQ_INT(waitpid(copy, &status, 0), copy);
    XT_EQ_INT(status, 0);
    xt_ctx_free(ctx);
}

#define FILES 64

/* It has closed all, the leash of its keeper with them, and has files of its
 * own under the numbers, among them another process's pidfd. */
static void closes_all(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
    libxl_family_state state = {.size = sizeof(state)};
    pid_t pid, keeper, other;
    int hold, fd, rc, own[FILES];

    (void)xk_start_held(ctx, family, "0", &hold, &pid);
    keeper = xk_parent_of(pid);
    other = fork();
    if (other == 0)
        for (;;)
            pause();
    XT_GT_INT(other, 1);
    for (fd = 3; fd < 256; fd++)
        if (fd != hold)
            close(fd);
    for (int i = 0; i < FILES; i++)
        own[i] = XT_SYS(xl_sys.pidfd_open(other, 0));
    XT_EVENTUALLY(xk_is_gone, &keeper);
    rc = libxl_family_look(ctx, family, &state);
    if (rc == 0) { /* not noticed yet: but nothing is made up */
        XT_EQ_INT(state.hold, LIBXL_HOLD_GROUP);
        XT_EQ_INT(state.empty, 0);
    } else {
        XT_EQ_INT(rc, ERROR_FDS_CLOSED);
    }
    (void)libxl_family_end(ctx, family, 0, 0);
    (void)libxl_family_free(ctx, family);
    xt_ctx_free(ctx);
    XT_TRUE(!xk_is_gone(&other));
    for (int i = 0; i < FILES; i++)
        XT_SYS(fcntl(own[i], F_GETFD));
    XT_EQ_INT(xk_parent_of(keeper), -1); /* nor is its zombie left */
    XT_SYS(kill(other, SIGKILL));
    XT_EQ_INT(waitpid(other, NULL, 0), other);
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

XT_TEST(a_host_that_closes_all_has_no_keeper, "F5 C26")
{
    xk_below_an_init(closes_all);
}

XT_TEST(a_keeper_ends_with_its_host, "F5 C26")
{
    int tell[2], hold[2], status;
    pid_t host, pids[2]; /* the child's, the keeper's */
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    XT_OK(libxl_family_free(ctx, xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER)));
    xt_ctx_free(ctx);
    xt_pipe(tell);
    xt_pipe(hold);
    host = fork();
    if (host == 0) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("hold"));

        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        spec.fds = (libxl_childproc_fd[]){{.target = 0, .source = hold[0]}};
        spec.nfds = 1;
        spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
        (void)xt_spawn(ctx, &spec, NULL, &pids[0]);
        pids[1] = xk_parent_of(pids[0]);
        xt_write_all(tell[1], pids, sizeof(pids));
        for (;;)
            pause();
    }
    XT_EQ_INT(read(tell[0], pids, sizeof(pids)), (ssize_t)sizeof(pids));
    XT_GT_INT(pids[0], 1);
    XT_EQ_INT(xk_parent_of(pids[1]), host);
    XT_SYS(kill(host, SIGKILL));
    XT_EQ_INT(waitpid(host, &status, 0), host);
    XT_EVENTUALLY(xk_is_gone, &pids[1]);
    XT_TRUE(!xk_is_gone(&pids[0])); /* as without a family */
    close(hold[0]);
    close(hold[1]);
    close(tell[0]);
    close(tell[1]);
    XT_EVENTUALLY(xk_is_gone, &pids[0]);
}
