/* gap_early.c - a child is stolen between its number and its record
 *
 * Contract lines C5, C6, C20, C22: a start has entered its child's number
 * where everybody finds it, and has not come to its context yet. Meanwhile a
 * wait of the library's looks, sees that the child has ended, and a thief is
 * quicker: the number is known to be gone before the context knows the child.
 * What it is told all the same is what the pidfd tells.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"
#include "kernel/facility.h"
#include "probe.h"

struct stage {
    libxl_ctx *a, *b; /* a starts; b looks, or a itself does */
    libxl_childproc_id id;
    pid_t pid;
};

static void spawn_on_a(void *arg)
{
    struct stage *s = arg;

    s->id = xt_spawn_argv(s->a, XT_CHILD("exit", "33"), NULL, &s->pid);
}

static void pump_a(void *arg)
{
    struct stage *s = arg;

    xh_pump(s->a);
}

static void pump_b(void *arg)
{
    struct stage *s = arg;

    xh_pump(s->b);
}

static int some_zombie(void *user)
{
    siginfo_t *info = user;

    info->si_pid = 0;
    return waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info->si_pid;
}

static int told(pid_t pid, int status, void *user)
{
    XT_FAIL("%d, status %#x, is none of the host's", (int)pid,
            (unsigned)status);
    return 0;
}

static int callback_fits(libxl_sigchld_owner owner)
{
    return owner == libxl_sigchld_owner_libxl ||
           owner == libxl_sigchld_owner_libxl_always;
}

static void stolen_early(libxl_sigchld_owner a, libxl_sigchld_owner b,
                         void (*look)(void *))
{
    struct stage s = {.id = 0};
    struct xg_thread *first, *second;
    libxl_childproc_result r;
    siginfo_t info;

    s.a = xh_ctx_new(a, NULL, callback_fits(a) ? told : NULL, NULL);
    s.b = xh_ctx_new(b, NULL, callback_fits(b) ? told : NULL, NULL);
    first = xg_start(spawn_on_a, &s, "start: registered");
    XG_STOPS(first);
    XT_EVENTUALLY(some_zombie, &info);
    second = xg_start(look, &s, "reap: looked");
    XG_STOPS(second);
    XT_EQ_INT(waitpid(info.si_pid, NULL, 0), info.si_pid);
    xg_join(second);
    pump_a(&s); /* which may have been told that the number is gone */
    xg_join(first);
    XT_EQ_INT(s.pid, info.si_pid);
    r = xt_wait(s.a, s.id);
    if (xp_recovers()) {
        XT_EXITED(&r, 33);
        XT_EQ_INT(r.source, LIBXL_SOURCE_PIDFD);
    } else {
        XT_NE_INT(r.lost, LIBXL_LOST_NONE);
    }
    xt_ctx_free(s.a);
    xt_ctx_free(s.b);
}

#define BY_ANOTHER(name, a)                                            \
    XT_TEST(stolen_from_##name##_while_another_looks, "C5 C6 C20 C22") \
    {                                                                  \
        stolen_early(libxl_sigchld_owner_##a,                          \
                     libxl_sigchld_owner_libxl_always, pump_b);        \
    }

BY_ANOTHER(the_default, libxl)
BY_ANOTHER(always, libxl_always)
BY_ANOTHER(selective, libxl_always_selective_reap)
BY_ANOTHER(none, none)

XT_TEST(stolen_from_the_default_while_it_looks_itself, "C5 C6 C20 C22")
{
    stolen_early(libxl_sigchld_owner_libxl, libxl_sigchld_owner_none, pump_a);
}

XT_TEST(stolen_from_always_while_it_looks_itself, "C5 C6 C20 C22")
{
    stolen_early(libxl_sigchld_owner_libxl_always, libxl_sigchld_owner_none,
                 pump_a);
}

/* Nothing but SIGCHLD announces an end where there are no pidfds, and whoever
 * pumped has heard it before the child was known. It is looked for soon, and
 * not a second later for safety's sake. */
XT_TEST(announced_before_it_is_known, "C8 C5 C22")
{
    static const libxl_sigchld_owner modes[] = {
        libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap};

    xl_facility_limit(~(unsigned)(LIBXL_FACILITY_PIDFD |
                                  XL_FACILITY_PIDFD_OPEN |
                                  LIBXL_FACILITY_EXIT_INFO));
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct stage s = {.id = 0};
        struct xg_thread *first;
        libxl_childproc_result r;
        siginfo_t info;

        s.a = xt_ctx_new(modes[i], NULL);
        first = xg_start(spawn_on_a, &s, "start: registered");
        XG_STOPS(first);
        if (modes[i] == libxl_sigchld_owner_none ||
            modes[i] == libxl_sigchld_owner_libxl_always_selective_reap)
            XT_EVENTUALLY(some_zombie, &info);
        for (int k = 0; k < 3; k++)
            xh_pump(s.a);
        xg_join(first);
        if (modes[i] == libxl_sigchld_owner_none ||
            modes[i] == libxl_sigchld_owner_libxl_always_selective_reap)
            XT_OK(libxl_childproc_wait(s.a, s.id, 800, 0, &r));
        else
            r = xt_wait(s.a, s.id);
        XT_EXITED(&r, 33);
        xt_ctx_free(s.a);
    }
}
