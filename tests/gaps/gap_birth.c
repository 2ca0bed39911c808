/* gap_birth.c - a child that is killed at birth, and reaped by who then leaves
 *
 * Contract lines C5, C6, C22, C23: b's fork has not returned yet, so nobody
 * can tell whose its child is. That is killed, and a, which reaps all, takes
 * its status; before it is known whose it was, a is freed, leaves its mode, or
 * is refused to. It is b's child: b is told how it ended, and nobody else is
 * told anything. The host's own child, which a has reaped at the same time, is
 * told of or logged all the same, and once.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

enum leave { STAYS, FREES, SETS_MODE, IS_REFUSED };

struct stage {
    libxl_ctx *a, *b;
    struct xt_log log_a, log_b;
    atomic_int born; /* b's child */
    atomic_int host; /* the host's */
    atomic_int told; /* of the host's */
    int rc;          /* what b's start came to */
    libxl_childproc_failure failure;
    libxl_childproc_id id;
};

static pid_t make_child(void *user)
{
    struct stage *s = user;
    pid_t pid = fork();

    if (pid > 0)
        atomic_store(&s->born, pid);
    return pid;
}

static int exited(pid_t pid, int status, void *user)
{
    struct stage *s = user;

    if (pid != atomic_load(&s->host))
        XT_FAIL("%d, status %#x, is none of the host's", (int)pid,
                (unsigned)status);
    XT_EQ_INT(status, 77 << 8);
    atomic_fetch_add(&s->told, 1);
    return 0;
}

static void spawn_on_b(void *arg)
{
    struct stage *s = arg;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "4"));

    s->rc = libxl_childproc_spawn(s->b, &spec, NULL, &s->id, NULL, &s->failure);
}

static void killed_at_birth(libxl_sigchld_owner mode, enum leave how)
{
    libxl_childproc_hooks none = {.chldowner = libxl_sigchld_owner_none};
    libxl_childproc_hooks forks = {.chldowner = libxl_sigchld_owner_none,
                                   .fork_replacement = make_child,
                                   .size = sizeof(forks)};
    struct stage s = {.rc = 0};
    libxl_childproc_result r;
    libxl_childproc_id gate_id = 0;
    struct xg_thread *first;
    int gate = -1;
    pid_t pid;

    s.a = xh_ctx_new(mode, &s.log_a, exited, &s);
    s.b = xh_ctx_new(libxl_sigchld_owner_none, &s.log_b, NULL, NULL);
    XT_OK(libxl_childproc_setmode_checked(s.b, &forks, &s));
    /* with a child, or this mode would look at nobody; and it may not leave */
    if (mode == libxl_sigchld_owner_libxl || how == IS_REFUSED)
        gate_id = xh_spawn_held(s.a, XH_EXIT(3), NULL, NULL, &gate, NULL);
    first = xg_start(spawn_on_b, &s, "start: forked");
    XG_STOPS(first);
    pid = atomic_load(&s.born);
    XT_TRUE(pid > 1);
    atomic_store(&s.host, xh_fork_exit(77));
    XT_SYS(kill(pid, SIGKILL));
    xh_await_zombie(pid);
    xh_await_zombie(atomic_load(&s.host));
    while (xh_is_zombie(pid) >= 0 || xh_is_zombie(atomic_load(&s.host)) >= 0)
        xh_pump(s.a);
    if (gate >= 0 && how != IS_REFUSED) {
        xt_close(&gate);
        r = xt_wait(s.a, gate_id);
        XT_EXITED(&r, 3);
    }
    switch (how) {
    case STAYS:
        break;
    case FREES:
        xt_ctx_free(s.a);
        s.a = NULL;
        break;
    case SETS_MODE:
        XT_OK(libxl_childproc_setmode_checked(s.a, &none, NULL));
        break;
    case IS_REFUSED:
        XT_RC(libxl_childproc_setmode_checked(s.a, &none, NULL), ERROR_BUSY);
        xt_close(&gate);
        r = xt_wait(s.a, gate_id);
        XT_EXITED(&r, 3);
        break;
    }
    xg_join(first);
    if (s.rc != 0)
        XT_FAIL("its start: %s, stage %s, %s", libxl_strerror(s.rc),
                libxl_childproc_stage_name(s.failure.stage),
                strerror(s.failure.errnoval));
    r = xt_wait(s.b, s.id);
    XT_EQ_INT(r.pid, pid);
    XH_ENDED(&r, XH_SIGNAL(SIGKILL));
    if (s.a != NULL) {
        xh_pump(s.a);
        xt_ctx_free(s.a);
    }
    xt_ctx_free(s.b);
    XT_EQ_INT(atomic_load(&s.told) +
                  xt_log_count(&s.log_a, LIBXL_LOG_WARNING, "unknown child") +
                  xt_log_count(&s.log_b, LIBXL_LOG_WARNING, "unknown child"),
              1);
    xt_log_dispose(&s.log_a);
    xt_log_dispose(&s.log_b);
}

#define LEAVES(name, mode, how)                           \
    XT_TEST(killed_at_birth_##name, "C5 C6 C22 C23")      \
    {                                                     \
        killed_at_birth(libxl_sigchld_owner_##mode, how); \
    }

LEAVES(reaped_by_a_ctx_that_stays, libxl_always, STAYS)
LEAVES(reaped_by_a_ctx_that_is_freed, libxl_always, FREES)
LEAVES(reaped_by_a_ctx_that_leaves_its_mode, libxl_always, SETS_MODE)
LEAVES(reaped_by_a_ctx_that_may_not_leave, libxl_always, IS_REFUSED)
LEAVES(reaped_by_a_default_ctx_that_stays, libxl, STAYS)
LEAVES(reaped_by_a_default_ctx_that_is_freed, libxl, FREES)
LEAVES(reaped_by_a_default_ctx_that_leaves_its_mode, libxl, SETS_MODE)
LEAVES(reaped_by_a_default_ctx_that_may_not_leave, libxl, IS_REFUSED)
