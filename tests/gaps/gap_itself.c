/* gap_itself.c - the stop points stop, and let go
 *
 * What the other cases here rest on (gap.h).
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

struct it {
    libxl_ctx *ctx;
    libxl_childproc_id id;
    libxl_childproc_result result;
    int rc;
    int gate;
    struct xg_thread *any;
};

static void wait_for_it(void *arg)
{
    struct it *it = arg;

    it->rc = libxl_childproc_wait(it->ctx, it->id, LIBXL_WAIT_FOREVER, 0,
                                  &it->result);
}

static void look_for_it(void *arg)
{
    struct it *it = arg;

    it->rc = libxl_childproc_wait(it->ctx, it->id, 0, 0, &it->result);
}

XT_TEST(a_thread_stops_and_another_goes_on, "C6")
{
    struct it one = {.rc = 99}, two = {.rc = 99};
    struct xg_thread *a, *b;
    int gate;

    one.ctx = two.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    one.id = xh_spawn_held(one.ctx, XH_EXIT(3), NULL, NULL, &gate, NULL);
    two.id = one.id;
    a = xg_start(wait_for_it, &one, "pump: about to sleep");
    XG_STOPS(a);
    xg_go_on_to(a, "pump: woken");
    xt_close(&gate);
    XG_STOPS(a);
    XT_EQ_INT(one.rc, 99);
    XT_GE_INT(xg_passed("pump: woken"), 1);
    b = xg_start(look_for_it, &two, "no such point");
    XT_EQ_INT(xg_await(b, XG_SURELY), XG_RETURNED);
    xg_join(a);
    xg_join(b);
    xt_ctx_free(one.ctx);
}

static void spawn_it(void *arg)
{
    struct it *it = arg;

    it->id = xt_spawn_argv(it->ctx, XT_CHILD("exit", "4"), NULL, NULL);
}

XT_TEST(a_start_stops_with_its_child_running, "C6")
{
    struct it it = {.rc = 99};
    struct xg_thread *a;
    siginfo_t info;

    it.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    a = xg_start(spawn_it, &it, "start: cloned");
    XG_STOPS(a);
    XT_SYS(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    XT_EQ_INT(it.id, 0);
    xg_join(a);
    it.result = xt_wait(it.ctx, it.id);
    XT_EXITED(&it.result, 4);
    xt_ctx_free(it.ctx);
}

/* Any other thread: here the case's own. */
static void release_it(void *arg)
{
    struct it *it = arg;

    XG_STOPS(it->any);
    xt_close(&it->gate);
    xg_release(it->any);
}

XT_TEST(whoever_comes_by_is_stopped, "C6")
{
    struct it it = {.rc = 99};
    struct xg_thread *any = xg_stop_any("pump: about to sleep"), *a;

    it.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    it.id = xh_spawn_held(it.ctx, XH_EXIT(3), NULL, NULL, &it.gate, NULL);
    it.any = any;
    a = xg_start(release_it, &it, NULL);
    wait_for_it(&it);
    XT_EQ_INT(it.rc, 0);
    xg_join(a);
    xg_join(any);
    xt_ctx_free(it.ctx);
}
