/* race_thief.c - a thread that calls wait(-1) without pause
 *
 * Contract line C6: whoever reaps a child, its status is the kernel's or it
 * is explicitly lost; none is invented, none hangs, none is told twice. Where
 * the kernel keeps the status of a reaped process (PIDFD_GET_INFO), none is
 * lost.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static atomic_int stop;
static atomic_long stolen;

static void *thief(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);

        if (pid > 0)
            atomic_fetch_add(&stolen, 1);
        else
            sched_yield(); /* nothing to steal at the moment */
    }
    return NULL;
}

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text ? atol(text) : otherwise;
}

struct tally {
    long right, wrong, lost, twice, from_pidfd;
};

static void take(libxl_ctx *ctx, unsigned char *seen, long n, struct tally *t)
{
    libxl_event *event[64];
    int got = libxl_event_wait_many(ctx, event, 64, LIBXL_EVENTMASK_ALL,
                                    LIBXL_WAIT_FOREVER, 0);

    XT_GT_INT(got, 0);
    for (int i = 0; i < got; i++) {
        const libxl_childproc_result *r = &event[i]->u.childproc_exit;
        uint64_t k = event[i]->for_user;

        XT_LT_INT(k, n);
        t->twice += seen[k]++ != 0;
        if (r->lost != LIBXL_LOST_NONE) {
            XT_TRUE(r->lost == LIBXL_LOST_STOLEN ||
                    r->lost == LIBXL_LOST_NOT_PASSED);
            XT_EQ_INT(r->status, 0);
            XT_EQ_INT(r->source, LIBXL_SOURCE_NONE);
            t->lost++;
        } else {
            t->from_pidfd += r->source == LIBXL_SOURCE_PIDFD;
            if (r->status == xh_end_status(xh_end_of(k)))
                t->right++;
            else
                t->wrong++;
        }
        libxl_event_free(ctx, event[i]);
    }
}

static void with_a_thief(libxl_sigchld_owner owner, long n, int live)
{
    int exit_info = xp_recovers();
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    unsigned char *seen = calloc(n, 1);
    struct tally t = {0, 0, 0, 0, 0};
    pthread_t thread;

    XT_TRUE(seen);
    atomic_store(&stop, 0);
    atomic_store(&stolen, 0);
    XT_EQ_INT(pthread_create(&thread, NULL, thief, NULL), 0);
    for (long i = 0; i < n; i++) {
        struct xh_argv words;
        libxl_childproc_spec spec =
            xt_spec(xh_end_argv(&words, xh_end_of((unsigned)i)));

        spec.exited_grace_ms = 20;
        report.u.for_event = i;
        xt_spawn(ctx, &spec, &report, NULL);
        while (i + 1 - t.right - t.wrong - t.lost >= live)
            take(ctx, seen, n, &t);
    }
    while (t.right + t.wrong + t.lost < n)
        take(ctx, seen, n, &t);
    atomic_store(&stop, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xt_note("%s: %ld children, %ld stolen: %ld right (%ld by pidfd), %ld"
            " wrong, %ld lost, %ld told twice",
            libxl_childproc_owner_name(owner), n, atomic_load(&stolen), t.right,
            t.from_pidfd, t.wrong, t.lost, t.twice);
    XT_EQ_INT(t.wrong, 0);
    XT_EQ_INT(t.twice, 0);
    XT_GT_INT(atomic_load(&stolen), 0);
    /* every stolen one is lost, or none */
    XT_EQ_INT(t.lost, exit_info ? 0 : atomic_load(&stolen));
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
    free(seen);
}

XT_TEST_SLOW(a_thief_beside_the_default_mode, "C6 C5 C8 defect-5", 90)
{
    with_a_thief(libxl_sigchld_owner_libxl, setting("XT_THIEF_CHILDREN", 2000),
                 64);
}

XT_TEST_SLOW(a_thief_beside_selective_reaping, "C6 C5 C8 defect-5", 90)
{
    with_a_thief(libxl_sigchld_owner_libxl_always_selective_reap,
                 setting("XT_THIEF_CHILDREN", 1000), 64);
}

XT_TEST_SLOW(a_thief_beside_the_pidfd_mode, "C6 C5 C8 defect-5", 90)
{
    with_a_thief(libxl_sigchld_owner_none, setting("XT_THIEF_CHILDREN", 3000),
                 64);
}

/* A host that promised to pass statuses on, and never does. */
XT_TEST_SLOW(a_thief_beside_a_mainloop, "C6 C5 C2 defect-5", 90)
{
    if (!xp_pidfds())
        XT_SKIP("without pidfds nothing tells that the host reaped a child");
    with_a_thief(libxl_sigchld_owner_mainloop,
                 setting("XT_THIEF_CHILDREN", 1000), 64);
}

/* A start that fails has a child, too, which the thief may reap: the error is
 * told all the same. */
XT_TEST_SLOW(a_thief_beside_failing_starts, "C6 C15 defect-5 defect-6", 60)
{
    static const libxl_sigchld_owner owner[] = {libxl_sigchld_owner_libxl,
                                                libxl_sigchld_owner_none,
                                                libxl_sigchld_owner_mainloop};
    const char *const nothing[] = {"/nonexistent/program", NULL};
    pthread_t thread;

    XT_EQ_INT(pthread_create(&thread, NULL, thief, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_spec spec = xt_spec(nothing);

        for (int k = 0; k < 300; k++) {
            libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};

            XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
                  ERROR_SPAWN);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
            XT_EQ_INT(failure.errnoval, ENOENT);
        }
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xt_ctx_free(ctx);
    }
    atomic_store(&stop, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
}
