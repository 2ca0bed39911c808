/* gap_reaper.c - a ctx is freed while another one lets go of a child
 *
 * Contract lines X2, C21: the thread that reaps what was let go of has nobody
 * left to mind, and is about to end, which libxl_ctx_free waits for. Then
 * another ctx has a child for it, whose life may be long: the thread stays,
 * and libxl_ctx_free returns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

static void frees(void *ctx)
{
    xt_ctx_free(ctx);
}

/* A child that nobody asks for, which lives until the gate is closed. */
static pid_t let_go_of(libxl_ctx *ctx, int by_report, int *ret_gate)
{
    libxl_childproc_report none = {.kind = LIBXL_REPORT_NONE};
    libxl_childproc_spec spec = xt_spec(NULL);
    libxl_childproc_id id;
    pid_t pid;

    spec.on_free = LIBXL_FREE_LEAVE;
    id = xh_spawn_held(ctx, XH_EXIT(3), &spec, by_report ? &none : NULL,
                       ret_gate, &pid);
    if (!by_report)
        XT_OK(libxl_childproc_detach(ctx, id));
    return pid;
}

static int is_gone(void *pid)
{
    return kill(*(pid_t *)pid, 0) != 0 && errno == ESRCH;
}

/* One that outlives its ctx: from then on the thread has an epoll. */
static pid_t orphan(libxl_ctx *ctx, int *ret_gate)
{
    libxl_childproc_spec spec = xt_spec(NULL);
    pid_t pid;

    spec.on_free = LIBXL_FREE_DETACH;
    (void)xh_spawn_held(ctx, XH_EXIT(0), &spec, NULL, ret_gate, &pid);
    xt_ctx_free(ctx);
    return pid;
}

static void freed_meanwhile(int by_report)
{
    libxl_ctx *a = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_ctx *b = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xg_thread *reaper, *freeing;
    int gate[3];
    pid_t first = orphan(xt_ctx_new(libxl_sigchld_owner_none, NULL), &gate[2]);
    pid_t left = let_go_of(a, by_report, &gate[0]);

    xt_close(&gate[2]);
    XT_EVENTUALLY(is_gone, &first);
    reaper = xg_stop_any("reaper thread: woken");
    freeing = xg_start(frees, a, NULL);
    XG_STOPS(reaper);
    XT_EQ_INT(xg_await(freeing, XG_SOON), XG_RUNNING);
    (void)let_go_of(b, by_report, &gate[1]);
    xg_join(reaper);
    xg_join(freeing); /* it hung */
    xt_close(&gate[0]);
    XT_EQ_INT(xh_reap(left), 3 << 8);
    xt_close(&gate[1]);
    xt_pump_until_childless(b);
    xt_ctx_free(b);
}

XT_TEST(another_ctx_detaches_a_child, "X2 C21")
{
    freed_meanwhile(0);
}

XT_TEST(another_ctx_starts_one_that_is_not_reported, "X2 C21")
{
    freed_meanwhile(1);
}
