/* gap_nowait.c - somebody comes between the clone and the call's return
 *
 * Contract lines C30, C15, C6, C20 and C22: a start that waits for nobody
 * stands where its child is there already, and may have failed; a thief takes
 * that, a signal comes, the host forks. It is told once, as what it is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"
#include "slowexec.h"

struct stage {
    libxl_ctx *ctx;
    const char *const *argv;
    int rc;
    libxl_childproc_id id;
    pid_t pid;
    libxl_childproc_failure failure;
};

static const char *const nothing[] = {"/nonexistent/program", NULL};

static void spawn(void *arg)
{
    struct stage *s = arg;
    libxl_childproc_spec spec = xt_spec(s->argv);

    spec.flags |= LIBXL_SPAWN_NOWAIT;
    s->rc = libxl_childproc_spawn(s->ctx, &spec, NULL, &s->id, &s->pid,
                                  &s->failure);
}

/* Until a child of this process has ended; its pid. It stays a zombie. */
static int some_zombie(void *user)
{
    siginfo_t *info = user;

    info->si_pid = 0;
    return waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info->si_pid;
}

/* By the call, where it could tell still, or by the end. */
static void never_ran(struct stage *s)
{
    libxl_childproc_result r;

    if (s->rc) {
        XT_RC(s->rc, ERROR_SPAWN);
        XT_EQ_INT(s->failure.stage, LIBXL_STAGE_EXEC);
        XT_EQ_INT(s->failure.errnoval, ENOENT);
    } else {
        r = xt_wait(s->ctx, s->id);
        XT_EQ_INT(r.lost, LIBXL_LOST_NEVER_RAN);
        XT_EQ_INT(r.stage, LIBXL_STAGE_EXEC);
        XT_EQ_INT(r.errnoval, ENOENT);
    }
    XT_EQ_INT(libxl_childproc_count(s->ctx), 0);
    XH_NO_CHILDREN();
}

static struct stage nothing_to_run(void)
{
    return (struct stage){.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL),
                          .argv = nothing};
}

/* Where it can run; a child that is forked waits for its release first. */
static const char *is_cloned(libxl_ctx *ctx)
{
    return xh_diagnose(ctx).facilities & LIBXL_FACILITY_VFORK
               ? "start: cloned"
               : "start: released";
}

XT_TEST(a_thief_at_the_clone, "C30 C15 C6 C20")
{
    struct stage s = nothing_to_run();
    struct xg_thread *starter = xg_start(spawn, &s, is_cloned(s.ctx));
    siginfo_t info;

    XG_STOPS(starter);
    XT_EVENTUALLY(some_zombie, &info);
    XT_EQ_INT(waitpid(info.si_pid, NULL, 0), info.si_pid);
    xg_join(starter);
    never_ran(&s);
    xt_ctx_free(s.ctx);
}

XT_TEST(it_ends_before_the_ctx_knows_it, "C30 C15 C22")
{
    struct stage s = nothing_to_run();
    struct xg_thread *starter = xg_start(spawn, &s, "start: registered");

    XG_STOPS(starter);
    xg_join(starter);
    never_ran(&s);
    xt_ctx_free(s.ctx);
}

/* It is handed over as one that is on its way, and has just failed. */
XT_TEST(it_fails_when_it_is_handed_over, "C30 C15 C22")
{
    struct stage s = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL),
                      .argv = nothing};
    struct xg_thread *starter;
    siginfo_t info;

    if (!xe_hold()) {
        xt_ctx_free(s.ctx);
        XT_SKIP("no supervisor may hold an execve here");
    }
    starter = xg_start(spawn, &s, "start: not waited for");
    XG_STOPS(starter);
    xe_let_go();
    XT_EVENTUALLY(some_zombie, &info);
    xg_join(starter);
    never_ran(&s);
    xt_ctx_free(s.ctx);
    xe_end();
}

XT_TEST(the_host_forks_meanwhile_and_it_is_killed, "C30 C22")
{
    struct stage s = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL),
                      .argv = XT_CHILD("pause")};
    struct xg_thread *starter = xg_start(spawn, &s, "start: registered");
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    XG_STOPS(starter);
    pid = XT_SYS(fork()); /* of the host's, at that moment */
    if (!pid)
        _exit(0);
    XT_EQ_INT(xh_reap(pid), 0);
    xg_join(starter);
    XT_OK(s.rc);
    XT_OK(libxl_childproc_lookup(s.ctx, s.pid, &id));
    XT_EQ_INT(id, s.id);
    XT_OK(libxl_childproc_kill(s.ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(s.ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_ctx_free(s.ctx);
}
