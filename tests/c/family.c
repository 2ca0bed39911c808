/* family.c - a child's whole family: held, waited for, signalled, ended
 *
 * Contract lines F1 to F4. Each hold where it is to be had; a cgroup's cases
 * say why they are skipped elsewhere.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "kernel/sys.h"
#include "probe.h"
#include "strays.h"

/* ---- a command that ended well leaves nothing behind -------------------- */

XT_TEST_SLOW(six_ways_to_stay_leave_nothing_in_a_cgroup, "F1 F3", 300)
{
    xk_leaves_nothing(LIBXL_HOLD_CGROUP, XK_N_WAYS, xk_how_many(36));
}

XT_TEST_SLOW(who_stays_in_its_group_is_not_left, "F1 F3", 300)
{
    xk_leaves_nothing(LIBXL_HOLD_GROUP, XK_N_STAYING, xk_how_many(36));
}

XT_TEST_SLOW(six_ways_to_stay_leave_nothing_with_a_keeper, "F1 F3", 300)
{
    xk_leaves_nothing(LIBXL_HOLD_KEEPER, XK_N_WAYS, xk_how_many(36));
}

/* ---- the policy --------------------------------------------------------- */

static void ends_when(libxl_family_hold hold, libxl_family_when when,
                      const char *status, int ends)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family;

    xk_fresh_mark();
    family = xk_family_or_skip(ctx, hold, when);
    (void)xk_run(ctx, family, "and", status);
    if (!ends) {
        XT_RC(libxl_family_wait(ctx, family, 0, 0), ERROR_TIMEDOUT);
        XT_EVENTUALLY(xk_some_left, NULL);
        XT_EQ_INT(xk_look(ctx, family).ending, 0);
        XT_OK(libxl_family_signal(ctx, family, 0));
        XT_OK(libxl_family_end(ctx, family, SIGTERM, 60000));
    }
    XT_EQ_INT(xk_look(ctx, family).ending, 1);
    XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
    XT_EVENTUALLY(xk_none_left, NULL);
    XT_RC(libxl_family_signal(ctx, family, SIGTERM), ERROR_NOTFOUND);
    XT_RC(libxl_family_end(ctx, family, 0, 0), ERROR_NOTFOUND);
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

static void each_policy(libxl_family_hold hold)
{
    ends_when(hold, LIBXL_FAMILY_NEVER, "3", 0);
    ends_when(hold, LIBXL_FAMILY_TIMEOUT, "3", 0);
    ends_when(hold, LIBXL_FAMILY_FAILURE, "0", 0);
    ends_when(hold, LIBXL_FAMILY_FAILURE, "3", 1);
    ends_when(hold, LIBXL_FAMILY_ALWAYS, "0", 1);
}

XT_TEST(a_policy_says_when_a_cgroup_ends, "F3")
{
    each_policy(LIBXL_HOLD_CGROUP);
}

XT_TEST(a_policy_says_when_a_group_ends, "F3")
{
    each_policy(LIBXL_HOLD_GROUP);
}

XT_TEST(a_policy_says_when_a_keepers_family_ends, "F3")
{
    each_policy(LIBXL_HOLD_KEEPER);
}

/* A time-out of the command, which has left somebody behind and stays. */
static void at_a_timeout(libxl_family_hold hold, const char *way)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;
    libxl_childproc_spec spec;
    char line[400];

    xk_fresh_mark();
    snprintf(line, sizeof(line), "%s/stray %s %s; exec sleep 1000", XT_HELPERS,
             way, xk_mark);
    spec = xt_spec((const char *const[]){"/bin/sh", "-c", line, NULL});
    spec.family = xk_family_or_skip(ctx, hold, LIBXL_FAMILY_TIMEOUT);
    libxl_childproc_exec_opts_init(&opts);
    opts.timeout_ms = 300;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_TIMEDOUT);
    libxl_childproc_exec_result_dispose(&result);
    XT_EQ_INT(xk_look(ctx, spec.family).ending, 1); /* its policy has */
    XT_OK(libxl_family_wait(ctx, spec.family, LIBXL_WAIT_FOREVER, 0));
    XT_EVENTUALLY(xk_none_left, NULL);
    XT_OK(libxl_family_free(ctx, spec.family));
    xt_ctx_free(ctx);
}

XT_TEST(a_timeout_takes_the_family_with_it, "F3 C18")
{
    at_a_timeout(LIBXL_HOLD_GROUP, "nohup");
}

XT_TEST(a_timeout_takes_a_cgroup_with_it, "F3 C18")
{
    at_a_timeout(LIBXL_HOLD_CGROUP, "flee");
}

XT_TEST(a_timeout_takes_a_keepers_family_with_it, "F3 C18")
{
    at_a_timeout(LIBXL_HOLD_KEEPER, "flee");
}

/* ---- a grace ------------------------------------------------------------ */

/* Somebody who does not care about the first signal. */
XT_TEST(who_does_not_obey_is_killed_after_the_grace, "F2")
{
    for (int hold = LIBXL_HOLD_GROUP; hold <= LIBXL_HOLD_CGROUP; hold++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_spec spec;
        libxl_family_id family;
        libxl_childproc_result r;

        xk_fresh_mark();
        family = xk_family_or_skip(ctx, (libxl_family_hold)hold,
                                LIBXL_FAMILY_NEVER);
        spec = xk_stray("nohup", "0");
        spec.family = family;
        r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
        XT_EXITED(&r, 0);
        XT_EVENTUALLY(xk_some_left, NULL);
        /* it ignores SIGHUP from its first moment or dies of it */
        (void)libxl_family_end(ctx, family, SIGHUP, 20);
        XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
        XT_EVENTUALLY(xk_none_left, NULL);
        XT_OK(libxl_family_free(ctx, family));
        xt_ctx_free(ctx);
    }
}

/* ---- being told --------------------------------------------------------- */

static int told, told_rc;

static void on_empty(libxl_ctx *ctx, int rc, void *user)
{
    XT_EQ_PTR(user, &told);
    told++;
    told_rc = rc;
    /* may re-enter */
    XT_RC(libxl_family_wait(ctx, 12345, 0, 0), ERROR_NOTFOUND);
}

static void tells(libxl_family_hold hold)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_asyncop_how by_callback = {on_empty, {.for_callback = &told}};
    libxl_asyncop_how by_event = {NULL, {.for_event = 77}};
    libxl_family_id family;
    libxl_event *event;

    told = 0;
    told_rc = -1;
    xk_fresh_mark();
    family = xk_family_or_skip(ctx, hold, LIBXL_FAMILY_NEVER);
    (void)xk_run(ctx, family, "and", "0");
    XT_OK(libxl_family_when_empty(ctx, family, &by_callback));
    XT_OK(libxl_family_when_empty(ctx, family, &by_event));
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_EQ_INT(told, 0);
    XT_OK(libxl_family_end(ctx, family, 0, 0));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    XT_EQ_INT(event->for_user, 77);
    XT_EQ_INT(event->u.operation_complete.rc, 0);
    libxl_event_free(ctx, event);
    XT_EQ_INT(told, 1);
    XT_EQ_INT(told_rc, 0);
    /* of one that is empty already it is told at once */
    XT_OK(libxl_family_when_empty(ctx, family, &by_callback));
    XT_EQ_INT(told, 2);
    XT_OK(libxl_family_free(ctx, family));
    XT_RC(libxl_family_when_empty(ctx, family, &by_event), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

XT_TEST(one_is_told_when_a_cgroup_is_empty, "F2")
{
    tells(LIBXL_HOLD_CGROUP);
}

XT_TEST(one_is_told_when_a_group_is_empty, "F2")
{
    tells(LIBXL_HOLD_GROUP);
}

XT_TEST(one_is_told_when_a_keepers_family_is_empty, "F2")
{
    tells(LIBXL_HOLD_KEEPER);
}

static void *waits(void *arg)
{
    void **args = arg;

    XT_OK(libxl_family_wait(args[0], *(libxl_family_id *)args[1],
                            LIBXL_WAIT_FOREVER, 0));
    return NULL;
}

XT_TEST(any_number_of_threads_may_wait, "F2 E2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_id family;
    pthread_t threads[3];
    void *args[2] = {ctx, &family};

    xk_fresh_mark();
    family = xk_family_or_skip(ctx, LIBXL_HOLD_GROUP, LIBXL_FAMILY_NEVER);
    (void)xk_run(ctx, family, "and", "0");
    for (int i = 0; i < 3; i++)
        XT_EQ_INT(pthread_create(&threads[i], NULL, waits, args), 0);
    XT_OK(libxl_family_end(ctx, family, 0, 0));
    for (int i = 0; i < 3; i++)
        XT_EQ_INT(pthread_join(threads[i], NULL), 0);
    XT_OK(libxl_family_free(ctx, family));
    xt_ctx_free(ctx);
}

/* ---- nobody else -------------------------------------------------------- */

static void spares_strangers(libxl_family_hold hold)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    int forced = 0;

    xk_fresh_mark();
    /* whoever is left is ours to reap, and its number free at once */
    XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    for (int i = 0; i < 20; i++) {
        libxl_family_id family =
            xk_family_or_skip(ctx, hold, LIBXL_FAMILY_NEVER);
        pid_t pid, stranger;
        int status;

        (void)xk_run(ctx, family, "and", "0");
        pid = xk_look(ctx, family).pid;
        XT_GT_INT(pid, 1);
        XT_OK(libxl_family_end(ctx, family, 0, 0));
        while (waitpid(-1, NULL, 0) > 0)
            ;
        if (i % 2) /* else it has not looked, and has not been told */
            XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
        stranger = xk_stranger_with(pid);
        if (stranger < 0 && (errno == EPERM || errno == ENOSYS)) {
            XT_OK(libxl_family_free(ctx, family));
            xt_ctx_free(ctx);
            XT_SKIP("numbers cannot be chosen here");
        }
        XT_EQ_INT(stranger, pid);
        XT_SYS(setpgid(stranger, stranger)); /* and with a group of it */
        forced++;
        XT_RC(libxl_family_signal(ctx, family, SIGKILL), ERROR_NOTFOUND);
        XT_RC(libxl_family_end(ctx, family, SIGTERM, 0), ERROR_NOTFOUND);
        XT_OK(libxl_family_free(ctx, family));
        XT_EQ_INT(waitpid(stranger, &status, WNOHANG), 0); /* it lives */
        XT_SYS(kill(stranger, SIGKILL));
        XT_EQ_INT(waitpid(stranger, &status, 0), stranger);
    }
    XT_NOTE("%d strangers with the number of a child, 0 hit", forced);
    XT_EQ_INT(forced, 20);
    xt_ctx_free(ctx);
}

XT_TEST(strangers_with_a_groups_number_are_spared, "F2")
{
    spares_strangers(LIBXL_HOLD_GROUP);
}

XT_TEST(strangers_with_a_members_number_are_spared, "F2")
{
    spares_strangers(LIBXL_HOLD_CGROUP);
}

/* ---- where pidfds do not name groups ------------------------------------ */

static int (*real_send)(int, int, unsigned);

static int send_without_groups(int pidfd, int signo, unsigned flags)
{
    if (flags != 0) {
        errno = EINVAL;
        return -1;
    }
    return real_send(pidfd, signo, flags);
}

XT_TEST(before_linux_6_9_a_group_goes_with_its_child, "F1 F3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_opts opts;
    libxl_family_id family;

    real_send = xl_sys.pidfd_send_signal;
    xl_sys.pidfd_send_signal = send_without_groups;
    xk_fresh_mark();
    libxl_family_opts_init(&opts);
    opts.holds = 1u << LIBXL_HOLD_GROUP;
    opts.end_when = LIBXL_FAMILY_ALWAYS;
    for (int i = 0; i < XK_N_STAYING; i++) {
        libxl_childproc_result r;

        XT_OK(libxl_family_new(ctx, &opts, &family));
        r = xk_run(ctx, family, xk_ways[i], "0");
        XT_EXITED(&r, 0);
        XT_EVENTUALLY(xk_none_left, NULL);
        /* what nobody can tell is not said */
        XT_RC(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0), ERROR_NI);
        XT_OK(libxl_family_free(ctx, family));
    }
    xl_sys.pidfd_send_signal = real_send;
    xt_ctx_free(ctx);
}

/* ---- choosing, and misuse ----------------------------------------------- */

XT_TEST(the_best_hold_is_taken_and_named, "F1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_family_state state;
    libxl_family_opts opts;
    libxl_family_id id;

    XT_OK(libxl_family_new(ctx, NULL, &id));
    state = xk_look(ctx, id);
    XT_EQ_INT(state.started, 0);
    XT_EQ_INT(state.empty, 1);
    XT_TRUE(state.hold == LIBXL_HOLD_CGROUP ? state.why == NULL
                                            : state.why != NULL);
    XT_OK(libxl_family_wait(ctx, id, LIBXL_WAIT_FOREVER, 0));
    XT_OK(libxl_family_free(ctx, id));
    XT_RC(libxl_family_free(ctx, id), ERROR_NOTFOUND);
    libxl_family_opts_init(&opts);
    opts.cgroup_parent = "/";
    XT_OK(libxl_family_new(ctx, &opts, &id));
    state = xk_look(ctx, id);
    XT_EQ_INT(state.hold, LIBXL_HOLD_GROUP);
    XT_CONTAINS(state.why, "cgroup v2");
    XT_OK(libxl_family_free(ctx, id));
    XT_EQ_STR(libxl_family_hold_name(LIBXL_HOLD_CGROUP), "cgroup");
    XT_EQ_STR(libxl_family_hold_name(LIBXL_HOLD_KEEPER), "keeper");
    XT_EQ_STR(libxl_family_hold_name(LIBXL_HOLD_GROUP), "group");
    XT_EQ_STR(libxl_family_hold_name((libxl_family_hold)9), "unknown");
    xt_ctx_free(ctx);
}

static void wrong_opts(libxl_ctx *ctx, const libxl_family_opts *opts,
                       struct xt_log *log, const char *member)
{
    libxl_family_id id = 5;

    XT_RC(libxl_family_new(ctx, opts, &id), ERROR_INVAL);
    XT_EQ_INT(id, 5);
    XT_GT_INT(xt_log_count(log, LIBXL_LOG_ERROR, member), 0);
}

XT_TEST(misuse_is_refused_by_name, "X5 X7")
{
    struct xt_log log;
    libxl_logger logger;
    libxl_ctx *ctx;
    libxl_family_opts opts, good;
    libxl_childproc_failure failure;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_family_id id;
    libxl_asyncop_how how = {0};

    xt_log_init(&log, &logger);
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger));
    libxl_family_opts_init(&good);
    XT_RC(libxl_family_new(ctx, &good, NULL), ERROR_INVAL);
    opts = good, opts.end_when = (libxl_family_when)4;
    wrong_opts(ctx, &opts, &log, "end_when");
    opts = good, opts.first_signal = -1;
    wrong_opts(ctx, &opts, &log, "first_signal");
    opts = good, opts.grace_ms = -1;
    wrong_opts(ctx, &opts, &log, "grace_ms");
    opts = good, opts.holds = 1;
    wrong_opts(ctx, &opts, &log, "holds");
    opts = good, opts.cgroup_parent = "here";
    wrong_opts(ctx, &opts, &log, "cgroup_parent");
    opts = good, opts.size = 3;
    wrong_opts(ctx, &opts, &log, "size");

    spec.family = 99;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "family");
    opts = good, opts.holds = 1u << LIBXL_HOLD_GROUP;
    XT_OK(libxl_family_new(ctx, &opts, &id));
    spec.family = id;
    spec.flags = LIBXL_SPAWN_JOIN_GROUP;
    spec.group = getpgrp();
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "family");
    spec.flags = 0;
    /* a start that fails leaves it as it was */
    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(xk_look(ctx, id).started, 0);
    spec.path = NULL;
    (void)xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    /* it has had its child */
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "family");

    XT_RC(libxl_family_look(ctx, id, NULL), ERROR_INVAL);
    XT_RC(libxl_family_wait(ctx, id, -2, 0), ERROR_INVAL);
    XT_RC(libxl_family_wait(ctx, id, 0, 2), ERROR_INVAL);
    XT_RC(libxl_family_when_empty(ctx, id, NULL), ERROR_INVAL);
    XT_RC(libxl_family_when_empty(ctx, 99, &how), ERROR_NOTFOUND);
    XT_RC(libxl_family_signal(ctx, id, -1), ERROR_INVAL);
    XT_RC(libxl_family_signal(ctx, id, 65), ERROR_INVAL);
    XT_RC(libxl_family_end(ctx, id, 65, 0), ERROR_INVAL);
    XT_RC(libxl_family_end(ctx, id, 0, -1), ERROR_INVAL);
    XT_RC(libxl_family_end(ctx, 99, 0, 0), ERROR_NOTFOUND);
    XT_OK(libxl_family_free(ctx, id));
    XT_OK(libxl_ctx_free(ctx));
    xt_log_dispose(&log);
}

/* ---- the ctx goes ------------------------------------------------------- */

XT_TEST(a_ctx_that_goes_takes_its_cgroups, "F1 X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec;
    char *empty, *killed;
    libxl_family_id id;

    xk_fresh_mark();
    id = xk_family_or_skip(ctx, LIBXL_HOLD_CGROUP, LIBXL_FAMILY_NEVER);
    empty = strdup(xk_look(ctx, id).cgroup);
    id = xk_family_or_skip(ctx, LIBXL_HOLD_CGROUP, LIBXL_FAMILY_TIMEOUT);
    killed = strdup(xk_look(ctx, id).cgroup);
    spec = xk_stray("setsid", "0");
    spec.family = id;
    spec.on_free = LIBXL_FREE_KILL;
    spec.argv =
        (const char *const[]){"/bin/sleep", "1000", NULL};
    (void)xt_spawn(ctx, &spec, NULL, NULL);
    XT_TRUE(xk_is_directory(empty) && xk_is_directory(killed));
    xt_ctx_free(ctx);
    XT_TRUE(!xk_is_directory(empty));
    XT_TRUE(!xk_is_directory(killed));
    free(empty);
    free(killed);
}
