/* family_keeper.c - a family held by a keeper: whose child, whose status, and
 * who is reached
 *
 * Contract lines F1 to F4, C6. What all holds have in common is in family.c;
 * what becomes of a keeper in keeper_ends.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kept.h"
#include "kernel/sys.h"
#include "probe.h"

/* ---- whose child it is -------------------------------------------------- */

static volatile sig_atomic_t told;

static void is_told(int signo)
{
    told++;
}

/* Why a keeper has to be named: a host that minds its child by itself. */
static void minds_its_child(void)
{
    struct sigaction minds = {.sa_handler = is_told};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid, keeper;
    int hold;

    XT_SYS(sigaction(SIGCHLD, &minds, NULL));
    id = xk_start_held(ctx, family, "7", &hold, &pid);
    keeper = xk_parent_of(pid);
    XT_EQ_INT(xk_parent_of(keeper), getpid());
    XT_EQ_INT(xk_look(ctx, family).hold, LIBXL_HOLD_KEEPER);
    XT_EQ_INT(xk_look(ctx, family).pid, pid);
    XT_EQ_INT(waitpid(-1, NULL, WNOHANG), -1);
    XT_EQ_INT(errno, ECHILD);
    XT_EQ_INT(waitpid(pid, NULL, WNOHANG), -1);
    close(hold);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 7);
    XT_EQ_INT(r.has_rusage, 1); /* as the kernel told the keeper */
    XT_EQ_INT(waitpid(pid, NULL, 0), -1);
    XT_EQ_INT(errno, ECHILD);
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_TRUE(xk_is_gone(&keeper));
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1); /* and no zombie is left */
    XT_EQ_INT(errno, ECHILD);
    XT_EQ_INT(told, 0);
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

XT_TEST(the_child_is_the_keepers_and_no_wait_sees_either, "F4 C2")
{
    xk_below_an_init(minds_its_child);
}

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap,
    libxl_sigchld_owner_none};

static void in_every_mode(void)
{
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
        libxl_childproc_result r;

        spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
        r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
        XT_EXITED(&r, 3);
        XT_OK(libxl_family_free(ctx, spec.family));
        spec = xt_spec(XT_CHILD("signal", "9"));
        spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
        spec.flags = LIBXL_SPAWN_NOWAIT;
        r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
        XT_SIGNALED(&r, SIGKILL);
        XT_OK(libxl_family_free(ctx, spec.family));
        xt_ctx_free(ctx);
    }
}

XT_TEST(its_status_is_told_in_every_mode, "F4 C6")
{
    in_every_mode();
}

static int no_exit_info(int pidfd, struct xl_exit_info *ret_info)
{
    errno = ENOTTY;
    return -1;
}

/* A host that has its own children reaped by the kernel: the keeper's are not,
 * and are told of. */
static void in_a_host_that_reaps_nobody(void)
{
    static const struct sigaction ways[] = {
        {.sa_handler = SIG_IGN},
        {.sa_handler = is_told, .sa_flags = SA_NOCLDWAIT}};

    for (int way = 0; way < 2; way++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
        libxl_childproc_result r;
        libxl_childproc_id id;
        int hold;
        pid_t pid;

        XT_SYS(sigaction(SIGCHLD, &ways[way], NULL));
        id = xk_start_held(ctx, family, "7", &hold, &pid);
        close(hold);
        XT_OK(libxl_childproc_wait(ctx, id, 10000, 0, &r));
        XT_EXITED(&r, 7);
        XT_EQ_INT(r.has_rusage, 1);
        XT_OK(libxl_family_wait(ctx, family, 10000, 0)); /* hung */
        XT_OK(libxl_family_free(ctx, family));
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_host_that_ignores_sigchld, "F4 F2 C6 C9")
{
    xk_below_an_init(in_a_host_that_reaps_nobody);
}

/* Before Linux 6.15: the keeper alone knows. */
XT_TEST(its_status_is_told_by_the_keeper_alone, "F4 C6")
{
    xl_sys.pidfd_exit_info = no_exit_info;
    in_every_mode();
}

static void dies_with_its_keeper(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    spec.family = family;
    spec.flags = LIBXL_SPAWN_SET_PDEATHSIG;
    spec.pdeathsig = SIGTERM;
    id = xt_spawn(ctx, &spec, NULL, &pid);
    if (xp_exit_info()) {
        xk_kill_keeper(pid);
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, SIGTERM);
    } else {
        XT_OK(libxl_family_end(ctx, family, 0, 0));
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, SIGKILL);
    }
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

XT_TEST(a_parent_death_signal_means_the_keeper, "F4 C16")
{
    xk_below_an_init(dies_with_its_keeper);
}

/* ---- everybody, however deep -------------------------------------------- */

/* The middle one is in a session of its own, and waits for the last. */
XT_TEST(a_first_signal_reaches_who_is_deep_below, "F2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec;
    libxl_childproc_result r;
    libxl_family_id family;
    char line[400];

    xk_fresh_mark();
    snprintf(line, sizeof(line),
             "setsid sh -c '%s/stray setsid %s; setsid sh -c \"sleep 1000; :\" "
             "; :' %s & exit 4",
             XT_HELPERS, xk_mark, xk_mark);
    spec = xt_spec((const char *const[]){"/bin/sh", "-c", line, NULL});
    family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    spec.family = family;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 4);
    XT_EVENTUALLY(xk_some_left, NULL);
    while (libxl_family_wait(ctx, family, 10, 0) == ERROR_TIMEDOUT)
        (void)libxl_family_signal(ctx, family, SIGTERM);
    XT_EQ_INT(xk_left(), 0);
    XT_EQ_INT(xk_look(ctx, family).ending, 0); /* nobody was killed */
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

/* ---- nobody else -------------------------------------------------------- */

XT_TEST(strangers_with_a_kept_childs_number_are_spared, "F2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int forced = 0;

    xk_fresh_mark();
    for (int i = 0; i < 20; i++) {
        libxl_family_id family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
        pid_t pid, stranger;
        int status;

        /* its members live; the child's own number is free */
        (void)xk_run(ctx, family, xk_ways[2 + i % 2], "0");
        pid = xk_look(ctx, family).pid;
        XT_GT_INT(pid, 1);
        while ((stranger = xk_stranger_with(pid)) < 0 && errno == EEXIST)
            ; /* it is about to be reaped */
        if (stranger < 0 && (errno == EPERM || errno == ENOSYS)) {
            XT_OK(libxl_family_end(ctx, family, 0, 0));
            XT_OK(libxl_family_free(ctx, family));
            xt_ctx_free(ctx);
            XT_SKIP("numbers cannot be chosen here");
        }
        XT_EQ_INT(stranger, pid);
        forced++;
        XT_OK(libxl_family_signal(ctx, family, SIGCONT));
        XT_OK(libxl_family_end(ctx, family, i % 2 ? SIGTERM : SIGKILL, 50));
        XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
        XT_RC(libxl_family_signal(ctx, family, SIGKILL), ERROR_NOTFOUND);
        XT_OK(libxl_family_free(ctx, family));
        XT_EQ_INT(waitpid(stranger, &status, WNOHANG), 0); /* it lives */
        XT_SYS(kill(stranger, SIGKILL));
        XT_EQ_INT(waitpid(stranger, &status, 0), stranger);
    }
    XT_NOTE("%d strangers with the number of a child, 0 hit", forced);
    XT_EQ_INT(forced, 20);
    XT_EQ_INT(xk_left(), 0);
    xt_ctx_free(ctx);
}

/* ---- many, and misuse --------------------------------------------------- */

XT_TEST(many_keepers_at_once, "F4")
{
    enum { N = 40 };
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_family_id families[N];

    xk_fresh_mark();
    for (int i = 0; i < N; i++) {
        families[i] = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
        (void)xk_run(ctx, families[i], xk_ways[i % (int)XK_N_WAYS], "0");
    }
    XT_EVENTUALLY(xk_some_left, NULL);
    for (int i = 0; i < N; i++)
        XT_OK(libxl_family_end(ctx, families[i], SIGTERM, 10));
    for (int i = 0; i < N; i++) {
        XT_OK(libxl_family_wait(ctx, families[i], LIBXL_WAIT_FOREVER, 0));
        XT_OK(libxl_family_free(ctx, families[i]));
    }
    XT_EQ_INT(xk_left(), 0);
    xt_ctx_free(ctx);
}

/* A keeper alone is refused; and the group is taken, which says why. */
static void has_no_keeper(libxl_ctx *ctx, const char *why)
{
    libxl_family_opts opts;
    libxl_family_id id;

    libxl_family_opts_init(&opts);
    opts.holds = 1u << LIBXL_HOLD_KEEPER;
    XT_RC(libxl_family_new(ctx, &opts, &id), ERROR_NI);
    opts.holds |= 1u << LIBXL_HOLD_GROUP;
    XT_OK(libxl_family_new(ctx, &opts, &id));
    XT_EQ_INT(xk_look(ctx, id).hold, LIBXL_HOLD_GROUP);
    XT_CONTAINS(xk_look(ctx, id).why, why);
    XT_OK(libxl_family_free(ctx, id));
}

XT_TEST(what_a_keeper_cannot_have_is_refused, "F4 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    static const unsigned flags[] = {LIBXL_SPAWN_HOLD_PID,
                                     LIBXL_SPAWN_REPORT_STOPS};
    libxl_childproc_failure failure;
    libxl_childproc_result r;

    spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER);
    for (int i = 0; i < 2; i++) {
        spec.flags = flags[i];
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
              ERROR_INVAL);
        XT_EQ_STR(failure.argument, "flags");
    }
    /* a start that fails leaves nobody */
    spec.flags = 0;
    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    XT_EQ_INT(xk_look(ctx, spec.family).started, 0);
    spec.path = NULL;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 0);
    XT_OK(libxl_family_free(ctx, spec.family));
    xt_ctx_free(ctx);

    /* a host that makes all children by itself */
    ctx = xt_ctx_forking(libxl_sigchld_owner_none, 1);
    has_no_keeper(ctx, "fork_replacement");
    xt_ctx_free(ctx);
}

/* In a pid namespace of its own, and the outer one's /proc: its numbers mean
 * others here. Skips where none can be made. */
static void with_anothers_proc(void)
{
    libxl_ctx *ctx;
    int status = 0;
    pid_t pid;

    if (unshare(CLONE_NEWPID))
        _exit(XT_EXIT_SKIPPED);
    pid = fork();
    if (pid > 0)
        XT_EQ_INT(waitpid(pid, &status, 0), pid);
    if (pid != 0)
        _exit(status == 0 ? 0 : 1);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    has_no_keeper(ctx, "/proc");
    xt_ctx_free(ctx);
    _exit(0);
}

XT_TEST(the_numbers_of_another_pid_namespace_are_not_taken, "F4 C26")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    XT_OK(libxl_family_free(ctx, xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER)));
    xt_ctx_free(ctx);
    xk_below_an_init(with_anothers_proc);
}

/* The children's alone: a keeper there would tell their numbers wrong. */
static void keeper_in_a_namespace(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;

    spec.family = xk_kept_or_skip(ctx, LIBXL_FAMILY_ALWAYS);
    if (unshare(CLONE_NEWPID))
        _exit(XT_EXIT_SKIPPED);
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SYSTEM);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_FORK);
    XT_EQ_INT(failure.errnoval, EOPNOTSUPP);
    XT_EQ_INT(xk_look(ctx, spec.family).started, 0);
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    XT_OK(libxl_family_free(ctx, spec.family));
    xt_ctx_free(ctx);
}

XT_TEST(no_keeper_is_made_in_a_pid_namespace_of_the_childrens, "F4 C26")
{
    xk_below_an_init(keeper_in_a_namespace);
}

XT_TEST(a_keeper_is_taken_only_where_it_is_named, "F4 F1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_opts opts;
    libxl_family_id id;

    XT_OK(libxl_family_free(ctx, xk_kept_or_skip(ctx, LIBXL_FAMILY_NEVER)));
    libxl_family_opts_init(&opts);
    opts.cgroup_parent = "/"; /* none can be made there */
    XT_OK(libxl_family_new(ctx, &opts, &id));
    XT_EQ_INT(xk_look(ctx, id).hold, LIBXL_HOLD_GROUP);
    XT_OK(libxl_family_free(ctx, id));
    opts.holds = 1u << LIBXL_HOLD_GROUP | 1u << LIBXL_HOLD_KEEPER |
                 1u << LIBXL_HOLD_CGROUP;
    XT_OK(libxl_family_new(ctx, &opts, &id));
    XT_EQ_INT(xk_look(ctx, id).hold, LIBXL_HOLD_KEEPER);
    XT_CONTAINS(xk_look(ctx, id).why, "cgroup v2");
    XT_OK(libxl_family_free(ctx, id));
    xt_ctx_free(ctx);
}
