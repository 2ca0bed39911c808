/* gap_stranger.c - a host's child that is reaped while somebody is starting
 *
 * Contract lines C1, C23: context a reaps all. While a start of b's is under
 * way nobody can tell whether a number is that start's child or the host's; a
 * is freed, or leaves its mode, before it is known. The status of the host's
 * child comes to its callback, or to another's, or is logged, in any case.
 */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/wait.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

struct stage {
    libxl_ctx *a, *b;
    struct xt_log log;
    pid_t host;
    atomic_int told; /* to the callback: a's, or c's */
    libxl_childproc_id id;
};

static int exited(pid_t pid, int status, void *user)
{
    struct stage *s = user;

    XT_EQ_INT(pid, s->host);
    XT_EQ_INT(WEXITSTATUS(status), 77);
    atomic_fetch_add(&s->told, 1);
    return 0;
}

static void spawn_on_b(void *arg)
{
    struct stage *s = arg;

    s->id = xt_spawn_argv(s->b, XT_CHILD("exit", "4"), NULL, NULL);
}

static const char *point(libxl_ctx *ctx)
{
    return xh_diagnose(ctx).facilities & LIBXL_FACILITY_VFORK
               ? "start: cloned"
               : "start: released";
}

enum leave { FREES, SETS_MODE, STAYS };

static void a_leaves(libxl_sigchld_owner mode, enum leave how, int callback)
{
    libxl_childproc_hooks none = {.chldowner = libxl_sigchld_owner_none};
    struct stage s = {.host = 0};
    libxl_childproc_result r;
    libxl_childproc_id gate_id = 0;
    struct xg_thread *first;
    int gate = -1, told, logged;

    /* with a child, or this mode would look at nobody */
    s.a = xh_ctx_new(mode, &s.log, callback ? exited : NULL, &s);
    s.b = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    if (mode == libxl_sigchld_owner_libxl)
        gate_id = xh_spawn_held(s.a, XH_EXIT(3), NULL, NULL, &gate, NULL);
    first = xg_start(spawn_on_b, &s, point(s.b));
    XG_STOPS(first);
    s.host = xh_fork_exit(77);
    xh_await_zombie(s.host);
    if (gate >= 0)
        xt_close(&gate);
    while (xh_is_zombie(s.host) >= 0)
        xh_pump(s.a);
    if (how == FREES) {
        xt_ctx_free(s.a);
    } else if (how == SETS_MODE) {
        if (gate_id != 0) {
            r = xt_wait(s.a, gate_id); /* which held the mode up */
            XT_EXITED(&r, 3);
        }
        XT_OK(libxl_childproc_setmode_checked(s.a, &none, NULL));
    }
    xg_join(first);
    if (how != FREES)
        xh_pump(s.a);
    r = xt_wait(s.b, s.id);
    XT_EXITED(&r, 4);
    if (how != FREES)
        xt_ctx_free(s.a);
    xt_ctx_free(s.b);
    logged = xt_log_count(&s.log, LIBXL_LOG_WARNING, "unknown child");
    told = atomic_load(&s.told);
    XT_EQ_INT(told + logged, 1);
    if (how == STAYS) /* who has gone away may be told no longer */
        XT_EQ_INT(told, callback);
    xt_log_dispose(&s.log);
}

#define LEAVES(name, mode, how)                                                \
    XT_TEST(name##_is_told, "C1 C23")                                          \
    {                                                                          \
        a_leaves(libxl_sigchld_owner_##mode, how, 1);                           \
    }                                                                          \
    XT_TEST(name##_is_logged, "C1 C23")                                        \
    {                                                                          \
        a_leaves(libxl_sigchld_owner_##mode, how, 0);                           \
    }

LEAVES(a_stranger_of_a_ctx_that_stays, libxl_always, STAYS)
LEAVES(a_stranger_of_a_ctx_that_is_freed, libxl_always, FREES)
LEAVES(a_stranger_of_a_ctx_that_leaves_its_mode, libxl_always, SETS_MODE)
LEAVES(a_stranger_of_a_default_ctx_that_stays, libxl, STAYS)
LEAVES(a_stranger_of_a_default_ctx_that_is_freed, libxl, FREES)
LEAVES(a_stranger_of_a_default_ctx_that_leaves_its_mode, libxl, SETS_MODE)
