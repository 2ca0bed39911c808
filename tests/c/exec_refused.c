/* exec_refused.c - an operation whose child must not be killed
 *
 * Proves C24 and A2 where a child has become another user's: the kernel
 * refuses the signal, by pidfd and by number. The completion comes all the
 * same, and says both what was wanted and that the child was left running.
 */
#define _GNU_SOURCE
#include "operation.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "kernel/sys.h"

static int refused; /* this signal; 0: none */
static int (*real_pidfd_send_signal)(int pidfd, int signo, unsigned flags);
static int (*real_kill)(pid_t pid, int signo);

static int some_pidfd_send_signal(int pidfd, int signo, unsigned flags)
{
    if (!refused || signo != refused)
        return real_pidfd_send_signal(pidfd, signo, flags);
    errno = EPERM;
    return -1;
}

static int some_kill(pid_t pid, int signo)
{
    if (!refused || signo != refused)
        return real_kill(pid, signo);
    errno = EPERM;
    return -1;
}

static void refuse(int signo)
{
    if (real_kill == NULL) {
        real_pidfd_send_signal = xl_sys.pidfd_send_signal;
        real_kill = xl_sys.kill;
        xl_sys.pidfd_send_signal = some_pidfd_send_signal;
        xl_sys.kill = some_kill;
    }
    refused = signo;
}

static int no_children_left(void *user)
{
    (void)user;
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* It says "early", ignores SIGTERM, and ends when the gate is closed. */
#define HELD XT_CHILD("ignore", "SIGTERM", "put", "early", "hold-fd", "5")

static void hold(libxl_childproc_spec *spec, libxl_childproc_fd *fd,
                 int gate[2])
{
    xt_pipe(gate);
    *fd = (libxl_childproc_fd){5, gate[0]};
    spec->fds = fd;
    spec->nfds = 1;
}

static void was_left(const libxl_childproc_exec_result *result)
{
    XT_EQ_INT(result->child.lost, LIBXL_LOST_LEFT);
    XT_EQ_INT(result->child.status, 0);
    XT_TRUE(result->child.pid > 1);
    XT_EQ_STR(result->out.data, "early");
    XT_EQ_INT(result->out.held_open, 1);
    XT_EQ_INT(real_kill(result->child.pid, 0), 0);
}

/* At once; or by the time that SIGTERM, which was permitted, has had its
 * grace. */
XT_TEST(a_timeout_whose_kill_is_refused, "C24 C18")
{
    static const libxl_kill_policy policies[] = {
        {0, 0, LIBXL_KILL_PROCESS}, {SIGTERM, 50, LIBXL_KILL_PROCESS}};

    for (int i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_fd fd;
        int gate[2];
        libxl_childproc_spec spec = xt_spec(HELD);
        libxl_childproc_exec_opts opts = xo_capturing();
        libxl_childproc_exec_result result;

        hold(&spec, &fd, gate);
        spec.kill = policies[i];
        opts.timeout_ms = 200 * xt_time_scale(); /* after it ignores */
        refuse(SIGKILL);
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
              ERROR_PERMISSION);
        XT_EQ_INT(result.timed_out, 1);
        XT_EQ_INT(result.aborted, 0);
        was_left(&result);
        libxl_childproc_exec_result_dispose(&result);
        refuse(0);
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        /* nobody pumps: it is reaped all the same */
        XT_EVENTUALLY(no_children_left, NULL);
        xt_ctx_free(ctx);
    }
}

XT_TEST(an_abort_whose_kill_is_refused, "A2 C24")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_fd fd;
    int gate[2];
    libxl_childproc_spec spec = xt_spec(HELD);
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_asyncprogress_how started = {NULL, {.for_event = 1}};
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    libxl_event *event;

    hold(&spec, &fd, gate);
    opts.started = &started;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    libxl_event_free(ctx, event);
    refuse(SIGKILL);
    XT_OK(libxl_ao_abort(ctx, &how));
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, ERROR_PERMISSION);
    XT_EQ_INT(c.result.aborted, 1);
    XT_EQ_INT(c.result.child.lost, LIBXL_LOST_LEFT);
    XT_RC(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
    libxl_childproc_exec_result_dispose(&c.result);
    refuse(0);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    XT_EVENTUALLY(no_children_left, NULL);
    xt_ctx_free(ctx);
}

/* The ctx goes while it runs. */
XT_TEST(the_ctx_may_go_before_one_that_was_left, "X2 C21")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_fd fd;
    int gate[2];
    libxl_childproc_spec spec = xt_spec(HELD);
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;

    hold(&spec, &fd, gate);
    opts.timeout_ms = 50;
    refuse(SIGKILL);
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_PERMISSION);
    libxl_childproc_exec_result_dispose(&result);
    refuse(0);
    xt_ctx_free(ctx);
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    XT_EVENTUALLY(no_children_left, NULL);
}
