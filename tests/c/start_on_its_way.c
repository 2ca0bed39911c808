/* start_on_its_way.c - what comes to a child that has not executed yet
 *
 * Proves C30 with C14, C21, C22 and X2: signals, frees, forks and the end of
 * the host find the child on its way. Executing is held up by slowexec.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hostchild.h"
#include "kernel/sys.h"
#include "operation.h"
#include "nowait.h"
#include "probe.h"
#include "slowexec.h"

/* ---- signals on its way ------------------------------------------------- */

static libxl_childproc_result end_of_held(libxl_childproc_spec *spec, int signo,
                                          libxl_kill_scope scope)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id = xw_held_at_exec(ctx, spec, NULL, NULL);
    libxl_childproc_result r;

    if (signo)
        XT_OK(libxl_childproc_kill(ctx, id, signo, scope));
    else
        XT_OK(libxl_childproc_terminate(ctx, id, NULL));
    r = xt_wait(ctx, id);
    xt_ctx_free(ctx);
    return r;
}

XT_TEST(signals_reach_one_on_its_way, "C22 C30")
{
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "0"));
    libxl_childproc_result r;

    xw_hold();
    r = end_of_held(&spec, SIGKILL, LIBXL_KILL_PROCESS);
    XT_SIGNALED(&r, SIGKILL);
    r = end_of_held(&spec, SIGTERM, LIBXL_KILL_PROCESS);
    XT_SIGNALED(&r, SIGTERM);
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    spec.kill = (libxl_kill_policy){SIGTERM, 600000, LIBXL_KILL_GROUP};
    r = end_of_held(&spec, SIGTERM, LIBXL_KILL_GROUP);
    XT_SIGNALED(&r, SIGTERM);
    r = end_of_held(&spec, SIGKILL, LIBXL_KILL_GROUP);
    XT_SIGNALED(&r, SIGKILL);
    r = end_of_held(&spec, 0, LIBXL_KILL_GROUP);
    XT_SIGNALED(&r, SIGTERM);
    xe_end();
}

/* ---- the ctx goes ------------------------------------------------------- */

static void free_on_its_way(libxl_free_policy policy)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xw_spec(XT_CHILD("say", "ran", "exit", "0"));
    libxl_childproc_fd fd;
    char *text;
    int out[2];
    pid_t pid;

    xt_pipe(out);
    fd = (libxl_childproc_fd){1, out[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    spec.on_free = policy;
    xw_held_at_exec(ctx, &spec, NULL, &pid);
    xt_close(&out[1]);
    xt_ctx_free(ctx);
    if (policy != LIBXL_FREE_KILL)
        xe_let_go();
    text = xt_read_all(out[0], NULL);
    XT_EQ_STR(text, policy == LIBXL_FREE_KILL ? "" : "ran\n");
    free(text);
    xt_close(&out[0]);
    if (policy == LIBXL_FREE_LEAVE)
        XT_EQ_INT(xh_reap(pid), 0);
    else
        while (waitpid(pid, NULL, WNOHANG) == 0)
            ; /* the library's thread has it, soon */
}

XT_TEST(freed_and_killed_on_its_way, "X2 C22 C30")
{
    xw_hold();
    free_on_its_way(LIBXL_FREE_KILL);
    xe_end();
}

XT_TEST(freed_and_detached_on_its_way, "X2 C30")
{
    xw_hold();
    free_on_its_way(LIBXL_FREE_DETACH);
    xe_end();
}

XT_TEST(freed_and_left_on_its_way, "X2 C30")
{
    xw_hold();
    free_on_its_way(LIBXL_FREE_LEAVE);
    xe_end();
}

XT_TEST(let_go_of_on_its_way, "C21 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "0"));
    pid_t pid;

    xw_hold();
    XT_OK(libxl_childproc_detach(ctx, xw_held_at_exec(ctx, &spec, NULL, &pid)));
    xe_let_go();
    while (xh_is_zombie(pid) >= 0)
        ;
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
    xe_end();
}

/* ---- the host forks, and ends ------------------------------------------- */

XT_TEST(the_host_forks_with_one_on_its_way, "C14 C30")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xw_spec(XT_CHILD("exit", "4"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid;

    xw_hold();
    id = xw_held_at_exec(ctx, &spec, NULL, NULL);
    pid = XT_SYS(fork());
    if (!pid) {
        libxl_ctx *own;

        libxl_postfork_child_noexec(ctx);
        XT_OK(libxl_ctx_free(ctx));
        own = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        xt_ctx_free(own);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    xe_let_go();
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 4);
    xt_ctx_free(ctx);
    xe_end();
}

/* It goes on without the process whose memory it runs in. */
XT_TEST(the_host_ends_with_one_on_its_way, "C30")
{
    for (int i = 0; i < 20; i++) {
        libxl_childproc_fd fd;
        char *text;
        int out[2];
        pid_t pid;

        xt_pipe(out);
        fd = (libxl_childproc_fd){1, out[1]};
        pid = XT_SYS(fork());
        if (!pid) {
            libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
            libxl_childproc_spec spec = xw_spec(XT_CHILD("say", "ran"));

            spec.fds = &fd;
            spec.nfds = 1;
            xt_spawn(ctx, &spec, NULL, NULL);
            _exit(0);
        }
        xt_close(&out[1]);
        text = xt_read_all(out[0], NULL);
        XT_EQ_STR(text, "ran\n");
        free(text);
        xt_close(&out[0]);
        XT_EQ_INT(xh_reap(pid), 0);
    }
}
