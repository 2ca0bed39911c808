/* gap_kept.c - a child whose number is to be kept, and is reaped meanwhile
 *
 * Contract lines C20, C22, C29: one thread has seen that a child of a's has
 * ended, and is about to keep it unreaped; b, which reaps everybody, reaps it
 * there and hands its status to a. It has ended once, whoever is the first
 * to say so.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

static void pump(void *arg)
{
    xh_pump(arg);
}

static void reaped_before_it_is_kept(libxl_sigchld_owner a_mode,
                                     libxl_sigchld_owner b_mode)
{
    libxl_ctx *a = xt_ctx_new(a_mode, NULL);
    libxl_ctx *b = xt_ctx_new(b_mode, NULL);
    libxl_childproc_id x, e, theirs;
    libxl_childproc_spec spec;
    libxl_childproc_result r;
    int gate[3];
    struct xg_thread *first;
    struct xh_argv words;
    pid_t pid;

    theirs = xh_spawn_held(b, XH_EXIT(33), NULL, NULL, &gate[2], NULL);
    e = xh_spawn_held(a, XH_EXIT(22), NULL, NULL, &gate[1], NULL);
    spec = xt_spec(xh_end_argv(&words, XH_EXIT(11)));
    spec.flags = LIBXL_SPAWN_HOLD_PID;
    x = xt_spawn(a, &spec, NULL, &pid);
    xh_await_zombie(pid);
    first = xg_start(pump, a, "reap: taken by its pid");
    XG_STOPS(first);
    while (xh_is_zombie(pid) >= 0)
        xh_pump(b);
    xg_join(first);
    for (int k = 0; k < 3; k++) {
        xh_pump(a);
        XT_EQ_INT(libxl_childproc_count(a), 2);
    }
    XT_OK(libxl_childproc_wait(a, x, 0, LIBXL_WAIT_KEEP, &r));
    XT_EXITED(&r, 11);
    XT_RC(libxl_childproc_wait(a, e, 0, 0, &r), ERROR_TIMEDOUT);
    xt_close(&gate[1]);
    r = xt_wait(a, e);
    XT_EXITED(&r, 22);
    XT_EQ_INT(libxl_childproc_count(a), 1);
    r = xt_wait(a, x);
    XT_EXITED(&r, 11);
    XT_EQ_INT(libxl_childproc_count(a), 0);
    xt_close(&gate[2]);
    r = xt_wait(b, theirs);
    XT_EXITED(&r, 33);
    xt_ctx_free(a);
    xt_ctx_free(b);
}

XT_TEST(reaped_before_it_is_kept_by_a_default_ctx, "C20 C22 C29")
{
    reaped_before_it_is_kept(libxl_sigchld_owner_none,
                             libxl_sigchld_owner_libxl);
    reaped_before_it_is_kept(libxl_sigchld_owner_libxl_always_selective_reap,
                             libxl_sigchld_owner_libxl);
}

XT_TEST(reaped_before_it_is_kept_by_one_that_always_reaps, "C20 C22 C29")
{
    reaped_before_it_is_kept(libxl_sigchld_owner_none,
                             libxl_sigchld_owner_libxl_always);
    reaped_before_it_is_kept(libxl_sigchld_owner_libxl_always_selective_reap,
                             libxl_sigchld_owner_libxl_always);
}
