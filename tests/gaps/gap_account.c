/* gap_account.c - accounts, with somebody else between two steps
 *
 * Proves that a signal of ours is claimed only where the child was alive when
 * the kernel took it (C33), and that an account is there once, and freed once,
 * whoever reads its cgroup meanwhile (C32, C34).
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/wait.h>

#include "cgroupdir.h"
#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

struct it {
    libxl_ctx *ctx;
    libxl_childproc_id id;
    libxl_childproc_result result;
    int signo;
    int rc;
};

static void kill_it(void *arg)
{
    struct it *it = arg;

    it->rc = libxl_childproc_kill(it->ctx, it->id, it->signo,
                                  LIBXL_KILL_PROCESS);
}

static void wait_for_it(void *arg)
{
    struct it *it = arg;

    it->rc = libxl_childproc_wait(it->ctx, it->id, LIBXL_WAIT_FOREVER,
                                  LIBXL_WAIT_KEEP, &it->result);
}

static pid_t spawn_it(struct it *it, const char *const *argv,
                      const struct xg_group *g)
{
    libxl_childproc_spec spec = xt_spec(argv);
    pid_t pid;

    spec.flags |= LIBXL_SPAWN_ACCOUNT;
    spec.cgroup = g != NULL ? g->path : NULL;
    it->rc = 99;
    it->id = xt_spawn(it->ctx, &spec, NULL, &pid);
    XT_LT_INT(1, pid);
    return pid;
}

static libxl_childproc_account take(struct it *it)
{
    libxl_childproc_account account = {.size = sizeof(account)};

    XT_OK(libxl_childproc_account_take(it->ctx, it->id, &account));
    return account;
}

/* Another's SIGKILL comes between our look and our own. */
XT_TEST(a_kill_that_came_late_is_not_claimed, "C33")
{
    struct it it = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL),
                    .signo = SIGKILL};
    libxl_childproc_account account;
    struct xg_thread *a;
    siginfo_t info;
    pid_t pid;

    if (!(xh_diagnose(it.ctx).facilities & LIBXL_FACILITY_PIDFD))
        XT_SKIP("by number it is one step with the look");
    pid = spawn_it(&it, XT_CHILD("pause"), NULL);
    a = xg_start(kill_it, &it, "send: seen alive");
    XG_STOPS(a);
    XT_SYS(kill(pid, SIGKILL));
    XT_SYS(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    xg_join(a);
    XT_OK(it.rc); /* the kernel takes signals for zombies */
    it.result = xt_wait(it.ctx, it.id);
    XT_SIGNALED(&it.result, SIGKILL);
    account = take(&it);
    XT_EQ_INT(account.ended_by, LIBXL_ENDED_KILL);
    XT_EQ_INT(account.perhaps, 1);
    xt_ctx_free(it.ctx);
}

/* It is alive for certain when the kernel takes the signal: it stands still. */
XT_TEST(a_kill_of_one_that_lives_is_claimed, "C33")
{
    struct it it = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL),
                    .signo = SIGTERM};
    libxl_childproc_account account;
    siginfo_t info;
    pid_t pid = spawn_it(&it, XT_CHILD("stop", "pause"), NULL);

    XT_SYS(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT));
    kill_it(&it);
    XT_OK(it.rc);
    XT_SYS(kill(pid, SIGCONT));
    it.result = xt_wait(it.ctx, it.id);
    XT_SIGNALED(&it.result, SIGTERM);
    account = take(&it);
    XT_EQ_INT(account.ended_by, LIBXL_ENDED_KILL);
    XT_EQ_INT(account.perhaps, 0);
    xt_ctx_free(it.ctx);
}

/* While one thread reads the cgroup, another takes the account, or lets go of
 * the child. */
XT_TEST(an_account_that_is_being_read_is_taken_once, "C32 C34")
{
    struct it it;
    libxl_childproc_account account = {.size = sizeof(account)};
    struct xg_thread *a;
    struct xg_group g;

    xg_new(&g);
    it.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int taken = 0; taken < 2; taken++) {
        (void)spawn_it(&it, XT_CHILD("exit", "3"), &g);
        a = xg_start(wait_for_it, &it, "account: read");
        XG_STOPS(a);
        if (taken) {
            account = take(&it);
            XT_EQ_INT(account.ended_by, LIBXL_ENDED_ITSELF);
            XT_GE_INT(account.cpu_usec, 0);
        } else {
            XT_OK(libxl_childproc_detach(it.ctx, it.id));
        }
        XT_RC(libxl_childproc_account_take(it.ctx, it.id, &account),
              ERROR_NOTFOUND);
        xg_join(a);
        XT_RC(it.rc, taken ? 0 : ERROR_NOTFOUND);
        if (taken)
            XT_EXITED(&it.result, 3);
        XT_RC(libxl_childproc_account_take(it.ctx, it.id, &account),
              ERROR_NOTFOUND);
        if (taken)
            XT_OK(libxl_childproc_detach(it.ctx, it.id));
    }
    xt_ctx_free(it.ctx);
    xg_end(&g);
}
