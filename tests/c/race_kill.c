/* race_kill.c - killing children that are just ending by themselves
 *
 * Contract lines C13 and C5: a kill that loses the race answers
 * ERROR_NOTFOUND, and the status tells which of the two it was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

#define N 400

static struct {
    libxl_ctx *ctx;
    libxl_childproc_id id[N];
    atomic_int started;
    atomic_int killed, too_late;
    int terminate;
} race;

/* Kills each child some moment after it was started. */
static void *killer(void *arg)
{
    libxl_kill_policy policy = {SIGTERM, 0, LIBXL_KILL_PROCESS};

    (void)arg;
    for (int i = 0; i < N; i++) {
        int rc;

        while (atomic_load(&race.started) <= i)
            sched_yield();
        rc = race.terminate
                 ? libxl_childproc_terminate(race.ctx, race.id[i], &policy)
                 : libxl_childproc_kill(race.ctx, race.id[i], SIGTERM,
                                        LIBXL_KILL_PROCESS);
        if (rc)
            XT_RC(rc, ERROR_NOTFOUND);
        atomic_fetch_add(rc ? &race.too_late : &race.killed, 1);
    }
    return NULL;
}

static void race_in(libxl_sigchld_owner owner, int terminate)
{
    struct strays {
        int exited, term, kill;
    } how = {0, 0, 0};
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    unsigned char seen[N] = {0};
    pthread_t thread;
    int done = 0;

    race.ctx = xt_ctx_new(owner, NULL);
    race.terminate = terminate;
    atomic_store(&race.started, 0);
    atomic_store(&race.killed, 0);
    atomic_store(&race.too_late, 0);
    XT_EQ_INT(pthread_create(&thread, NULL, killer, NULL), 0);
    while (done < N) {
        int started = atomic_load(&race.started);
        libxl_event *event[16];
        int got;

        if (started < N && started - done < 8) {
            struct xh_argv words;

            report.u.for_event = started;
            race.id[started] = xt_spawn_argv(
                race.ctx, xh_end_argv(&words, XH_EXIT(33)), &report, NULL);
            atomic_store(&race.started, started + 1);
        }
        got = libxl_event_wait_many(race.ctx, event, 16, LIBXL_EVENTMASK_ALL,
                                    started == N ? LIBXL_WAIT_FOREVER : 0, 0);
        if (got == ERROR_TIMEDOUT)
            continue;
        XT_GT_INT(got, 0);
        for (int i = 0; i < got; i++) {
            const libxl_childproc_result *r = &event[i]->u.childproc_exit;

            XT_LT_INT(event[i]->for_user, N);
            XT_EQ_INT(seen[event[i]->for_user]++, 0);
            XT_EQ_INT(r->lost, LIBXL_LOST_NONE);
            if (WIFSIGNALED(r->status)) {
                how.term += WTERMSIG(r->status) == SIGTERM;
                how.kill += WTERMSIG(r->status) == SIGKILL;
            } else {
                XT_EQ_INT(WEXITSTATUS(r->status), 33);
                how.exited++;
            }
            libxl_event_free(race.ctx, event[i]);
            done++;
        }
    }
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    XT_EQ_INT(how.exited + how.term + how.kill, N);
    XT_EQ_INT(atomic_load(&race.killed) + atomic_load(&race.too_late), N);
    /* Nobody dies of a signal that was not sent. */
    XT_LE_INT(how.term + how.kill, atomic_load(&race.killed));
    if (!terminate)
        XT_EQ_INT(how.kill, 0);
    xt_note("%s: %d exited, %d of SIGTERM, %d of SIGKILL; %d kills too late",
            libxl_childproc_owner_name(owner), how.exited, how.term, how.kill,
            atomic_load(&race.too_late));
    XH_NO_CHILDREN();
    xt_ctx_free(race.ctx);
}

XT_TEST_SLOW(kill_against_exit, "C13 C5 C6 defect-9", 60)
{
    race_in(libxl_sigchld_owner_none, 0);
    race_in(libxl_sigchld_owner_libxl, 0);
    race_in(libxl_sigchld_owner_libxl_always_selective_reap, 0);
}

XT_TEST_SLOW(terminate_against_exit, "C13 C5 C6 defect-9", 60)
{
    race_in(libxl_sigchld_owner_none, 1);
    race_in(libxl_sigchld_owner_libxl, 1);
}

static int no_children_left(void *user)
{
    siginfo_t info;

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG) < 0 &&
           errno == ECHILD;
}

/* The ctx is freed while some children are just ending and others live. */
XT_TEST_SLOW(free_against_exit, "X2 C13 C5", 60)
{
    static const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_libxl_always_selective_reap};

    for (int round = 0; round < 60; round++) {
        libxl_ctx *ctx = xt_ctx_new(owner[round % 3], NULL);
        int gate[6];

        for (int i = 0; i < 6; i++) {
            libxl_childproc_spec spec = xt_spec(NULL);

            spec.on_free = LIBXL_FREE_KILL;
            xh_spawn_held(ctx, XH_EXIT(i), &spec, NULL, &gate[i], NULL);
        }
        for (int i = 0; i < 6; i += 1 + round % 2)
            xt_close(&gate[i]);
        xt_ctx_free(ctx);
        for (int i = 0; i < 6; i++)
            if (gate[i] >= 0)
                xt_close(&gate[i]);
        XT_EVENTUALLY(no_children_left, NULL);
    }
}
