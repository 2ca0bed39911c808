/* race_abort.c - aborting operations that are just completing by themselves
 *
 * Contract lines A1, A2 and E2: one thread starts operations and pumps,
 * another aborts each some moment later. Every operation completes once, and
 * both sides agree on what became of it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "hostchild.h"

#define N 300
#define LIVE 8

struct operation {
    libxl_asyncop_how how;
    libxl_childproc_exec_result result;
    int completion; /* its code, once calls is 1 */
    atomic_int calls;
    int abort_answer; /* the other thread's until it has been joined */
};

static struct {
    libxl_ctx *ctx;
    struct operation *op;
    atomic_int started, completed;
} race;

static void completed(libxl_ctx *ctx, int rc, void *user)
{
    struct operation *op = user;

    XT_EQ_PTR(ctx, race.ctx);
    op->completion = rc;
    XT_EQ_INT(atomic_fetch_add(&op->calls, 1), 0);
    atomic_fetch_add(&race.completed, 1);
}

static void *aborter(void *arg)
{
    (void)arg;
    for (int i = 0; i < N; i++) {
        while (atomic_load(&race.started) <= i)
            sched_yield();
        race.op[i].abort_answer = libxl_ao_abort(race.ctx, &race.op[i].how);
    }
    return NULL;
}

static void start(struct operation *op, int i)
{
    libxl_childproc_exec_opts opts;
    struct xh_argv words;
    libxl_childproc_spec spec = xt_spec(xh_end_argv(&words, XH_EXIT(i % 256)));

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    op->how.callback = completed;
    op->how.u.for_callback = op;
    XT_OK(libxl_childproc_exec(race.ctx, &spec, &opts, &op->result, NULL,
                               &op->how));
    atomic_store(&race.started, i + 1);
}

static void race_in(libxl_sigchld_owner owner)
{
    int succeeded = 0, aborted = 0;
    pthread_t thread;

    race.ctx = xt_ctx_new(owner, NULL);
    race.op = calloc(N, sizeof(*race.op));
    XT_TRUE(race.op != NULL);
    atomic_store(&race.started, 0);
    atomic_store(&race.completed, 0);
    XT_EQ_INT(pthread_create(&thread, NULL, aborter, NULL), 0);
    while (atomic_load(&race.completed) < N) {
        int begun = atomic_load(&race.started);
        libxl_event *event;

        if (begun < N && begun - atomic_load(&race.completed) < LIVE)
            start(&race.op[begun], begun);
        /* no events are made: this only pumps */
        XT_RC(libxl_event_wait_many(race.ctx, &event, 1, LIBXL_EVENTMASK_ALL,
                                    begun == N ? 5 : 0, 0),
              ERROR_TIMEDOUT);
    }
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    for (int i = 0; i < N; i++) {
        struct operation *op = &race.op[i];

        XT_EQ_INT(atomic_load(&op->calls), 1);
        if (op->abort_answer)
            XT_RC(op->abort_answer, ERROR_NOTFOUND);
        if (op->completion == 0) {
            XT_EXITED(&op->result.child, i % 256);
            succeeded++;
        } else {
            XT_RC(op->completion, ERROR_ABORTED);
            XT_EQ_INT(op->abort_answer, 0); /* nobody else asked */
            XT_EQ_INT(op->result.aborted, 1);
            /* the signal may have met a child that was exiting */
            if (WIFSIGNALED(op->result.child.status))
                XT_SIGNALED(&op->result.child, SIGKILL);
            else
                XT_EXITED(&op->result.child, i % 256);
            aborted++;
        }
        libxl_childproc_exec_result_dispose(&op->result);
    }
    xt_note("%s: %d succeeded, %d aborted", libxl_childproc_owner_name(owner),
            succeeded, aborted);
    XH_NO_CHILDREN();
    xt_ctx_free(race.ctx);
    free(race.op);
}

XT_TEST_SLOW(abort_against_completion, "A1 A2 E2 C5", 60)
{
    race_in(libxl_sigchld_owner_none);
    race_in(libxl_sigchld_owner_libxl);
}
