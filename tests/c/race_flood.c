/* race_flood.c - SIGCHLD without pause
 *
 * Contract lines C7 and C8: other threads send the process SIGCHLD as fast as
 * they can while children start and end. A handler that takes a lock, or a
 * loop that loses a wakeup, hangs here.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static atomic_int stop;
static atomic_long sent;

static void *flood(void *arg)
{
    pid_t self = getpid();

    (void)arg;
    XT_GT_INT(self, 1);
    while (!atomic_load(&stop)) {
        XT_SYS(kill(self, SIGCHLD));
        atomic_fetch_add(&sent, 1);
        if (atomic_load(&sent) % 64 == 0)
            sched_yield();
    }
    return NULL;
}

/* N children (or XT_FLOOD_CHILDREN), at most `live` at once, while the flood
 * runs. */
static void children_in_flood(libxl_sigchld_owner owner, int n, int live)
{
    const char *text = getenv("XT_FLOOD_CHILDREN");
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_id *id;
    pthread_t thread[2];
    pid_t *pid;

    n = text ? atoi(text) : n;
    id = calloc(n, sizeof(*id));
    pid = calloc(n, sizeof(*pid));
    XT_TRUE(n > 0 && id && pid);
    atomic_store(&stop, 0);
    atomic_store(&sent, 0);
    for (int i = 0; i < 2; i++)
        XT_EQ_INT(pthread_create(&thread[i], NULL, flood, NULL), 0);
    for (int i = 0; i < n + live; i++) {
        if (i >= live) {
            libxl_childproc_result r;

            if (owner == libxl_sigchld_owner_mainloop)
                XT_OK(libxl_childproc_exited(ctx, pid[i - live],
                                             xh_reap(pid[i - live])));
            r = xt_wait(ctx, id[i - live]);
            XT_EQ_INT(r.pid, pid[i - live]);
            XH_ENDED(&r, xh_end_of(i - live));
        }
        if (i < n) {
            struct xh_argv words;

            id[i] = xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i)), NULL,
                                  &pid[i]);
        }
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        XT_EQ_INT(pthread_join(thread[i], NULL), 0);
    XT_GT_INT(atomic_load(&sent), n);
    xt_note("%s: %ld signals for %d children",
            libxl_childproc_owner_name(owner), atomic_load(&sent), n);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
    free(id);
    free(pid);
}

static void ignore_it(int signo)
{
    (void)signo;
}

XT_TEST_SLOW(flood_in_the_default_mode, "C7 C8 C1 defect-1", 60)
{
    children_in_flood(libxl_sigchld_owner_libxl, 600, 16);
}

/* One child at a time: the handler comes and goes with each. */
XT_TEST_SLOW(flood_while_the_handler_comes_and_goes, "C7 C8 C1 defect-1", 60)
{
    struct xh_action before = xh_action_get(SIGCHLD);

    children_in_flood(libxl_sigchld_owner_libxl, 400, 1);
    XH_SIGCHLD_IS(&before);
}

XT_TEST_SLOW(flood_through_a_chained_handler, "C7 C8 C3 defect-1", 60)
{
    struct xh_action dfl = xh_action_get(SIGCHLD), mine;

    mine = xh_sigchld_install(ignore_it, SA_RESTART, NULL);
    children_in_flood(libxl_sigchld_owner_libxl_always, 400, 16);
    children_in_flood(libxl_sigchld_owner_libxl_always_selective_reap, 400, 16);
    XH_SIGCHLD_IS(&mine);
    xh_action_set(SIGCHLD, &dfl);
}

XT_TEST_SLOW(flood_in_the_quiet_modes, "C7 C8 C2 C4 defect-1", 60)
{
    struct xh_action dfl = xh_action_get(SIGCHLD);

    /* The host's own handler, so that the signal interrupts every call. */
    xh_sigchld_install(ignore_it, 0, NULL);
    children_in_flood(libxl_sigchld_owner_mainloop, 400, 16);
    children_in_flood(libxl_sigchld_owner_none, 400, 16);
    xh_action_set(SIGCHLD, &dfl);
}

/* ---- contexts that come and go ------------------------------------------ */

static void *come_and_go(void *arg)
{
    for (int i = 0; i < 150; i++) {
        libxl_ctx *ctx = xt_ctx_new(*(libxl_sigchld_owner *)arg, NULL);
        libxl_childproc_result r;
        struct xh_argv words;

        r = xt_wait(ctx, xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i)),
                                       NULL, NULL));
        XH_ENDED(&r, xh_end_of(i));
        xt_ctx_free(ctx);
    }
    return NULL;
}

XT_TEST_SLOW(flood_while_contexts_come_and_go, "C7 C8 X2 X3 defect-1", 60)
{
    static libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap};
    struct xh_action before = xh_action_get(SIGCHLD);
    pthread_t thread[3], flooder;

    XT_EQ_INT(pthread_create(&flooder, NULL, flood, NULL), 0);
    for (int i = 0; i < 3; i++)
        XT_EQ_INT(pthread_create(&thread[i], NULL, come_and_go, &owner[i]), 0);
    for (int i = 0; i < 3; i++)
        XT_EQ_INT(pthread_join(thread[i], NULL), 0);
    atomic_store(&stop, 1);
    XT_EQ_INT(pthread_join(flooder, NULL), 0);
    XT_GT_INT(atomic_load(&sent), 100);
    XH_SIGCHLD_IS(&before);
    XH_NO_CHILDREN();
}
