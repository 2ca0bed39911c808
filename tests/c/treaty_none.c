/* treaty_none.c - nobody needs SIGCHLD: exits arrive through pidfds
 *
 * Contract lines C4 and C9. Where pidfds are refused the mode falls back to
 * selective reaping; these cases then check that it does, and says so. Run
 * them in such a world: see world.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "hostchild.h"
#include "probe.h"

XT_TEST(no_signal_handler_with_pidfds, "C4")
{
    struct xh_action before = xh_action_get(SIGCHLD);
    struct xt_log log;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, &log);
    libxl_childproc_diagnosis d;
    libxl_childproc_result r;
    libxl_childproc_id id;
    char *words = NULL;
    int gate;

    id = xh_spawn_held(ctx, XH_EXIT(5), NULL, NULL, &gate, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.mode_asked, libxl_sigchld_owner_none);
    XT_OK(libxl_childproc_diagnose(ctx, NULL, &words));
    if (xp_pidfds()) {
        XH_SIGCHLD_IS(&before);
        XT_EQ_INT(d.mode_in_force, libxl_sigchld_owner_none);
        XT_EQ_PTR(d.mode_reason, NULL);
        XT_EQ_INT(d.handler_wanted, 0);
        XT_TRUE(d.facilities & LIBXL_FACILITY_PIDFD);
        XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 0);
    } else {
        XT_EQ_INT(d.mode_in_force,
                  libxl_sigchld_owner_libxl_always_selective_reap);
        XT_TRUE(d.mode_reason && d.mode_reason[0]);
        XT_CONTAINS(words, d.mode_reason);
        XT_EQ_INT(d.handler_installed, 1);
        XT_TRUE(!(d.facilities & LIBXL_FACILITY_PIDFD));
        XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 1);
    }
    free(words);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 5);
    xt_ctx_free(ctx);
    XH_SIGCHLD_IS(&before);
    xt_log_dispose(&log);
}

XT_TEST(strangers_are_never_reaped, "C4 C3 defect-16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id[30];
    pid_t theirs[30];

    for (int i = 0; i < 30; i++) {
        struct xh_argv words;

        id[i] = xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i * 8)), NULL,
                              NULL);
        theirs[i] = xh_fork(xh_end_of(i * 8 + 3));
    }
    for (int i = 0; i < 30; i++) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        XH_ENDED(&r, xh_end_of(i * 8));
    }
    for (int i = 0; i < 30; i++)
        xh_await_zombie(theirs[i]);
    xh_pump(ctx);
    for (int i = 0; i < 30; i++)
        XT_EQ_INT(xh_reap(theirs[i]), xh_end_status(xh_end_of(i * 8 + 3)));
    xt_ctx_free(ctx);
}

/* ---- SIGCHLD blocked, ignored ------------------------------------------- */

static const libxl_sigchld_owner not_mainloop[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_NOT_MAINLOOP (sizeof(not_mainloop) / sizeof(not_mainloop[0]))

/* Either the child's exit arrives, or the start is refused and says why. */
static void starts_or_says_why(libxl_sigchld_owner owner)
{
    struct xt_log log;
    libxl_ctx *ctx = xt_ctx_new(owner, &log);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "61"));
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_id id = 0;
    libxl_childproc_result r;
    int rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure);

    if (xp_pidfds()) {
        XT_OK(rc);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 61);
        XT_EQ_INT(r.source, LIBXL_SOURCE_REAPED);
    } else {
        XT_RC(rc, ERROR_SIGCHLD_UNAVAILABLE);
        XT_EQ_INT(id, 0);
        XT_GE_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 1);
    }
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(blocked_in_every_thread, "C9")
{
    sigset_t chld, saved;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &chld, &saved), 0);
    for (size_t i = 0; i < N_NOT_MAINLOOP; i++)
        starts_or_says_why(not_mainloop[i]);
    {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

        XT_EQ_INT(xh_diagnose(ctx).sigchld_blocked, 1);
        XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &saved, NULL), 0);
        XT_EQ_INT(xh_diagnose(ctx).sigchld_blocked, 0);
        xt_ctx_free(ctx);
    }
    /* What came while it was blocked goes to the default action: nothing. */
}

/* One thread that takes it is enough, where nothing but SIGCHLD tells. */
static void *take_sigchld(void *end)
{
    sigset_t none;
    char c;

    sigemptyset(&none);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    while (read(*(int *)end, &c, 1) < 0)
        XT_EQ_INT(errno, EINTR);
    xt_write_all(((int *)end)[1], "!", 1);
    while (read(*(int *)end, &c, 1) < 0)
        XT_EQ_INT(errno, EINTR);
    return NULL;
}

XT_TEST(blocked_but_in_one_thread, "C9 C4")
{
    sigset_t chld, saved;

    xl_facility_limit(~(unsigned)LIBXL_FACILITY_PIDFD);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &chld, &saved), 0);
    for (size_t i = 0; i < N_NOT_MAINLOOP; i++) {
        struct xt_log log;
        libxl_ctx *ctx = xt_ctx_new(not_mainloop[i], &log);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "61"));
        libxl_childproc_result r;
        pthread_t thread;
        int go_on[2], says[2], ends[2];

        xt_pipe(go_on);
        xt_pipe(says);
        ends[0] = go_on[0];
        ends[1] = says[1];
        XT_EQ_INT(pthread_create(&thread, NULL, take_sigchld, ends), 0);
        xt_write_all(go_on[1], "!", 1);
        xt_await_byte(says[0]);
        r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
        XT_EXITED(&r, 61);
        xt_close(&go_on[1]);
        XT_EQ_INT(pthread_join(thread, NULL), 0);
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
              ERROR_SIGCHLD_UNAVAILABLE);
        XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_ERROR, "is blocked"), 1);
        XH_NO_CHILDREN();
        xt_close(&go_on[0]);
        xt_close(&says[0]);
        xt_close(&says[1]);
        xt_ctx_free(ctx);
        xt_log_dispose(&log);
    }
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &saved, NULL), 0);
}

/* In mainloop mode a blocked SIGCHLD is the host's own business. */
XT_TEST(blocked_under_a_mainloop, "C9 C2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    sigset_t chld, saved;
    siginfo_t info;
    pid_t pid;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &chld, &saved), 0);
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "62"), NULL, &pid);
    while (sigwaitinfo(&chld, &info) < 0)
        XT_EQ_INT(errno, EINTR);
    libxl_childproc_sigchld_occurred(ctx);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 62);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &saved, NULL), 0);
    xt_ctx_free(ctx);
}

static void never(int signo)
{
    (void)signo;
}

/* The kernel throws the statuses of children away. Our own handler stands above
 * that, in the modes that have one; without it only the pidfd still knows, or
 * the start is refused. */
static void thrown_away(void)
{
    for (size_t i = 0; i < N_NOT_MAINLOOP; i++) {
        struct xt_log log;
        libxl_ctx *ctx = xt_ctx_new(not_mainloop[i], &log);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "63"));
        int nobody_knows =
            xh_diagnose(ctx).mode_in_force == libxl_sigchld_owner_none &&
            !xp_recovers();
        libxl_childproc_id id = 0;
        libxl_childproc_result r;
        int rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, NULL);

        if (nobody_knows) {
            XT_RC(rc, ERROR_SIGCHLD_UNAVAILABLE);
            XT_EQ_INT(id, 0);
            XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_ERROR, "is ignored"), 1);
        } else {
            XT_OK(rc);
            r = xt_wait(ctx, id);
            XT_EXITED(&r, 63);
        }
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
        xt_log_dispose(&log);
    }
}

XT_TEST(ignored_before_the_start, "C9 C6 defect-5")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);

    xh_sigchld_install(SIG_IGN, 0, NULL);
    {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

        XT_EQ_INT(xh_diagnose(ctx).sigchld_ignored, 1);
        xt_ctx_free(ctx);
    }
    thrown_away();
    xh_action_set(SIGCHLD, &dfl);
}

XT_TEST(nocldwait_before_the_start, "C9 C6 defect-5")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);

    xh_sigchld_install(never, SA_NOCLDWAIT, NULL);
    thrown_away();
    xh_sigchld_install(SIG_DFL, SA_NOCLDWAIT, NULL);
    thrown_away();
    xh_action_set(SIGCHLD, &dfl);
}

/* The host starts to ignore SIGCHLD while children live. */
static void ignored_under_way(libxl_sigchld_owner owner, int flags,
                              void (*handler)(int))
{
    int exit_info = xp_recovers();
    struct xh_action dfl = xh_action_get(SIGCHLD), mine;
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_id id[5];
    int gate[5];

    for (int i = 0; i < 5; i++)
        id[i] =
            xh_spawn_held(ctx, xh_end_of(i * 60), NULL, NULL, &gate[i], NULL);
    mine = xh_sigchld_install(handler, flags, NULL);
    for (int i = 0; i < 5; i++)
        xt_close(&gate[i]);
    for (int i = 0; i < 5; i++) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        if (exit_info || r.lost == LIBXL_LOST_NONE) {
            XH_ENDED(&r, xh_end_of(i * 60));
        } else {
            XT_TRUE(r.lost == LIBXL_LOST_IGNORED ||
                    r.lost == LIBXL_LOST_STOLEN);
            XT_EQ_INT(r.status, 0);
        }
    }
    XH_SIGCHLD_IS(&mine);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

XT_TEST(ignored_while_children_live, "C9 C6 C7 defect-5")
{
    for (size_t i = 0; i < N_NOT_MAINLOOP; i++) {
        ignored_under_way(not_mainloop[i], 0, SIG_IGN);
        ignored_under_way(not_mainloop[i], SA_NOCLDWAIT, never);
    }
}

/* mainloop: an ignored SIGCHLD means that the host never learns a status. */
XT_TEST(ignored_under_a_mainloop, "C9 C6 C2")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    int exit_info = xp_recovers(), gate;
    libxl_childproc_spec spec = xt_spec(NULL);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;

    if (!xp_pidfds()) {
        xt_ctx_free(ctx);
        XT_SKIP("without pidfds nothing tells that the kernel threw the"
                " status away");
    }
    xh_sigchld_install(SIG_IGN, 0, NULL);
    spec.exited_grace_ms = 50;
    id = xh_spawn_held(ctx, XH_EXIT(64), &spec, NULL, &gate, NULL);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    if (exit_info) {
        XT_EXITED(&r, 64);
        XT_EQ_INT(r.source, LIBXL_SOURCE_PIDFD);
    } else {
        XT_TRUE(r.lost == LIBXL_LOST_IGNORED ||
                r.lost == LIBXL_LOST_NOT_PASSED);
    }
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

/* ---- pidfds that are refused from some moment on ------------------------ */

XT_TEST(the_fallback_may_come_late, "C4")
{
    struct xt_log log;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, &log);
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_childproc_diagnosis d;
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate;

    if (!xp_pidfds())
        XT_SKIP("pidfds are refused here from the beginning");
    XT_EQ_INT(xh_diagnose(ctx).mode_in_force, libxl_sigchld_owner_none);
    XT_EQ_PTR(xh_diagnose(ctx).mode_reason, NULL);
    xl_facility_limit(~(unsigned)LIBXL_FACILITY_PIDFD);
    id = xh_spawn_held(ctx, XH_EXIT(70), NULL, NULL, &gate, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.mode_asked, libxl_sigchld_owner_none);
    XT_EQ_INT(d.mode_in_force, libxl_sigchld_owner_libxl_always_selective_reap);
    XT_CONTAINS(d.mode_reason, "pidfds are refused");
    XT_EQ_INT(d.handler_installed, 1);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, "pidfds are refused"), 1);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 70);
    XH_SIGCHLD_IS(&before);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}
