/* gap_keeper.c - a keeper's child, with somebody else between two steps
 *
 * Proves that what is said of a family while its keeper makes the child counts
 * (C22), and that a keeper which goes between two looks at its child loses no
 * status (F5, C6).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gap.h"
#include "kept.h"
#include "kernel/sys.h"

struct it {
    libxl_ctx *ctx;
    libxl_family_id family;
    libxl_childproc_id id;
    libxl_childproc_result result;
    int rc;
};

static void spawn_it(void *arg)
{
    struct it *it = arg;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));

    spec.family = it->family;
    it->rc = libxl_childproc_spawn(it->ctx, &spec, NULL, &it->id, NULL, NULL);
}

static void wait_for_it(void *arg)
{
    struct it *it = arg;

    it->rc = libxl_childproc_wait(it->ctx, it->id, LIBXL_WAIT_FOREVER,
                                  LIBXL_WAIT_KEEP, &it->result);
}

/* The keeper is there, and perhaps the child. */
XT_TEST(what_is_said_while_a_keeper_starts_its_child, "F4 C22 C14")
{
    struct it it = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL)};
    struct xg_thread *a;
    int status;
    pid_t copy;

    it.family = xk_kept_or_skip(it.ctx, LIBXL_FAMILY_NEVER);
    a = xg_start(spawn_it, &it, "keeper: made");
    XG_STOPS(a);
    XT_RC(libxl_family_free(it.ctx, it.family), ERROR_BUSY);
    XT_EQ_INT(xk_look(it.ctx, it.family).started, 0);
    copy = fork(); /* which holds no leash */
    if (copy == 0) {
        libxl_postfork_child_noexec(it.ctx);
        _exit(0);
    }
    XT_EQ_INT(waitpid(copy, &status, 0), copy);
    XT_EQ_INT(status, 0);
    XT_OK(libxl_family_signal(it.ctx, it.family, SIGKILL));
    xg_join(a);
    if (it.rc == 0) { /* else it was killed before its program */
        it.result = xt_wait(it.ctx, it.id);
        XT_SIGNALED(&it.result, SIGKILL);
    }
    XT_OK(libxl_family_wait(it.ctx, it.family, LIBXL_WAIT_FOREVER, 0));
    XT_OK(libxl_family_free(it.ctx, it.family));
    XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    XT_EQ_INT(errno, ECHILD);
    xt_ctx_free(it.ctx);
}

static void goes_between_two_looks(void)
{
    struct it it = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL)};
    struct xg_thread *a;
    pid_t pid, keeper;
    int hold;

    XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    it.family = xk_kept_or_skip(it.ctx, LIBXL_FAMILY_NEVER);
    it.id = xk_start_held(it.ctx, it.family, "9", &hold, &pid);
    keeper = xk_parent_of(pid);
    XT_GT_INT(keeper, 1);
    XT_SYS(kill(keeper, SIGSTOP));
    XT_EVENTUALLY(xk_is_stopped, &keeper);
    a = xg_start(wait_for_it, &it, "adopted: not our child");
    close(hold);
    XG_STOPS(a); /* it has ended, and is not reaped */
    XT_SYS(kill(keeper, SIGKILL));
    XT_EVENTUALLY(xk_is_gone, &keeper);
    xg_join(a);
    XT_OK(it.rc);
    XT_EXITED(&it.result, 9);
    XT_OK(libxl_childproc_detach(it.ctx, it.id));
    XT_OK(libxl_family_free(it.ctx, it.family));
    xt_ctx_free(it.ctx);
}

XT_TEST(a_keeper_goes_between_two_looks, "F5 C6")
{
    goes_between_two_looks();
}

static int no_exit_info(int pidfd, struct xl_exit_info *ret_info)
{
    errno = ENOTTY;
    return -1;
}

XT_TEST(a_keeper_goes_between_two_looks_before_linux_6_15, "F5 C6")
{
    xl_sys.pidfd_exit_info = no_exit_info;
    goes_between_two_looks();
}
