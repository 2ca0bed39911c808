/* exec_ops.c - operations: how they complete, are aborted, tell of progress
 *
 * Proves A1, A2 and A3. That none hangs is in exec_hangs.c.
 */
#define _GNU_SOURCE
#include "operation.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- by callback, by event, synchronous --------------------------------- */

XT_TEST(completes_by_callback_once, "A1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "x", "exit", "5"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    libxl_event *event;

    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, 0);
    XT_EXITED(&c.result.child, 5);
    XT_EQ_STR(c.result.out.data, "x");
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 20, 0),
          ERROR_TIMEDOUT);
    XT_EQ_INT(c.calls, 1);
    XT_RC(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
    libxl_childproc_exec_result_dispose(&c.result);
    xt_ctx_free(ctx);
}

XT_TEST(completes_by_event_once, "A1 E1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "x", "exit", "5"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_asyncop_how how = {NULL, {.for_event = 0xabcdef0123456789}};
    libxl_event *event;

    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    XT_TRUE(event->for_user == 0xabcdef0123456789);
    XT_EQ_INT(event->u.operation_complete.rc, 0);
    libxl_event_free(ctx, event);
    XT_EXITED(&result.child, 5);
    XT_EQ_STR(result.out.data, "x");
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 20, 0),
          ERROR_TIMEDOUT);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

#define MANY 60

XT_TEST(many_operations_at_once, "A1 C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_result result[MANY];
    libxl_childproc_exec_opts opts = xo_capturing();
    char *big = malloc(200000);
    int seen[MANY] = {0};

    XT_TRUE(big != NULL);
    memset(big, 'z', 200000);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = big,
                                       .length = 200000};
    for (int i = 0; i < MANY; i++) {
        libxl_childproc_spec spec =
            xt_spec(i % 2 ? XT_CHILD("cat") : XT_CHILD("exit", "3"));
        libxl_asyncop_how how = {NULL, {.for_event = i}};

        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result[i], NULL, &how));
    }
    memset(big, 'y', 200000); /* an asynchronous call has copied it */
    for (int i = 0; i < MANY; i++) {
        libxl_event *event;
        int n;

        XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        n = (int)event->for_user;
        XT_EQ_INT(event->u.operation_complete.rc, 0);
        XT_EQ_INT(seen[n]++, 0);
        libxl_event_free(ctx, event);
        XT_EXITED(&result[n].child, n % 2 ? 0 : 3);
        XT_EQ_INT(result[n].out.length, n % 2 ? 200000 : 0);
        if (n % 2)
            XT_TRUE(!memchr(result[n].out.data, 'y', 200000));
        libxl_childproc_exec_result_dispose(&result[n]);
    }
    free(big);
    xt_ctx_free(ctx);
}

/* A failed start completes nothing: the call itself says it. */
XT_TEST(failed_start_is_the_calls_own, "A1 C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_failure failure;
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    libxl_event *event;

    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &c.result, &failure, &how),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(failure.errnoval, ENOENT);
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 20, 0),
          ERROR_TIMEDOUT);
    XT_EQ_INT(c.calls, 0);
    XT_RC(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* A synchronous one pumps: another's callback is called meanwhile. */
static void count_exit(libxl_ctx *ctx, const libxl_childproc_result *result,
                       void *user)
{
    (void)ctx;
    (void)result;
    ++*(int *)user;
}

XT_TEST(synchronous_pumps_the_others, "A1 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "1"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    int calls = 0, p[2];
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, count_exit,
                                     {.for_callback = &calls}};

    /* It ends when the other child, which holds the pipe, has ended. */
    xt_pipe(p);
    {
        libxl_childproc_spec other = xt_spec(XT_CHILD("exit", "0"));
        libxl_childproc_fd fd = {9, p[1]};

        other.fds = &fd;
        other.nfds = 1;
        xt_spawn(ctx, &other, &report, NULL);
    }
    xt_close(&p[1]);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_FD, .fd = p[0]};
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 1);
    libxl_childproc_exec_result_dispose(&result);
    xo_pump_until(ctx, &calls);
    XT_EQ_INT(calls, 1);
    xt_close(&p[0]);
    xt_ctx_free(ctx);
}

/* Nested: a completion starts and waits for the next one. */
static void nest(libxl_ctx *ctx, int rc, void *user)
{
    int *left = user;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "2"));
    libxl_childproc_exec_result result;

    XT_EQ_INT(rc, 0);
    XT_OK(libxl_childproc_exec(ctx, &spec, NULL, &result, NULL, NULL));
    XT_EXITED(&result.child, 2);
    libxl_childproc_exec_result_dispose(&result);
    --*left;
}

XT_TEST(synchronous_inside_a_completion, "A1 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_result result[3];
    int left = 3;
    libxl_asyncop_how how = {nest, {.for_callback = &left}};
    libxl_event *event;

    for (int i = 0; i < 3; i++)
        XT_OK(libxl_childproc_exec(ctx, &spec, NULL, &result[i], NULL, &how));
    while (left)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 20,
                                    0),
              ERROR_TIMEDOUT);
    for (int i = 0; i < 3; i++)
        libxl_childproc_exec_result_dispose(&result[i]);
    xt_ctx_free(ctx);
}

/* ---- abort -------------------------------------------------------------- */

XT_TEST(abort_kills_and_waits, "A2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "seen", "pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c), other = how, stranger = how;
    siginfo_t info;

    other.u.for_callback = &other;
    stranger.callback = nest; /* not called */
    XT_RC(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_RC(libxl_ao_abort(ctx, &other), ERROR_NOTFOUND);
    XT_RC(libxl_ao_abort(ctx, &stranger), ERROR_NOTFOUND);
    XT_RC(libxl_ao_abort(ctx, NULL), ERROR_INVAL);
    XT_OK(libxl_ao_abort(ctx, &how));
    XT_EQ_INT(c.calls, 0);
    XT_RC(libxl_ao_abort(ctx, &how), ERROR_ABORTED);
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, ERROR_ABORTED);
    XT_EQ_INT(c.result.aborted, 1);
    XT_EQ_INT(c.result.timed_out, 0);
    XT_SIGNALED(&c.result.child, SIGKILL);
    XT_EQ_INT(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
    XT_RC(libxl_ao_abort(ctx, &how), ERROR_NOTFOUND);
    libxl_childproc_exec_result_dispose(&c.result);
    xt_ctx_free(ctx);
}

/* By policy: TERM first, and a child that obeys in its own way. */
XT_TEST(abort_follows_the_policy, "A2 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("on-signal-exit", "SIGTERM", "9", "ready", "3", "pause"));
    libxl_childproc_fd fd;
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    int p[2];

    xt_pipe(p);
    fd = (libxl_childproc_fd){3, p[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    spec.kill = (libxl_kill_policy){SIGTERM, 60000, LIBXL_KILL_PROCESS};
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    xt_await_byte(p[0]);
    XT_OK(libxl_ao_abort(ctx, &how));
    xo_pump_until(ctx, &c.calls);
    XT_TRUE(c.rc == ERROR_ABORTED);
    XT_EXITED(&c.result.child, 9);
    libxl_childproc_exec_result_dispose(&c.result);
    /* The same child, deaf to TERM: killed after the grace period. */
    spec.argv = XT_CHILD("ignore", "SIGTERM", "ready", "3", "pause");
    spec.kill.grace_ms = 30;
    how = xo_to(&c);
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    xt_await_byte(p[0]);
    XT_OK(libxl_ao_abort(ctx, &how));
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, ERROR_ABORTED);
    XT_SIGNALED(&c.result.child, SIGKILL);
    libxl_childproc_exec_result_dispose(&c.result);
    xt_close(&p[0]);
    xt_close(&p[1]);
    xt_ctx_free(ctx);
}

/* The child had ended already: abort may be answered 0 and the operation
 * still completes with success. Whatever wins, both sides agree. */
XT_TEST(abort_against_completion, "A2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec((const char *const[]){xt_tiny_path(), NULL});
    libxl_childproc_exec_opts opts = xo_capturing();
    int succeeded = 0, aborted = 0;

    for (int i = 0; i < 300; i++) {
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        libxl_event *event;
        int rc;

        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        if (i % 3)
            libxl_event_wait_many(ctx, &event, 1, 0, i % 3 - 1, 0);
        rc = libxl_ao_abort(ctx, &how);
        XT_TRUE(rc == 0 || rc == ERROR_NOTFOUND);
        if (rc == ERROR_NOTFOUND)
            XT_EQ_INT(c.calls, 1);
        xo_pump_until(ctx, &c.calls);
        XT_EQ_INT(c.calls, 1);
        if (c.rc == 0) {
            XT_EXITED(&c.result.child, 0);
            succeeded++;
        } else {
            XT_EQ_INT(c.rc, ERROR_ABORTED);
            XT_EQ_INT(rc, 0);
            aborted++;
        }
        libxl_childproc_exec_result_dispose(&c.result);
    }
    XT_NOTE("%d succeeded, %d aborted", succeeded, aborted);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* ---- progress ----------------------------------------------------------- */

struct ordered {
    libxl_ctx *ctx;
    char order[8];
    int n, calls;
    pid_t pid;
};

static void on_started(libxl_ctx *ctx, libxl_event *event, void *user)
{
    struct ordered *o = user;

    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
    o->pid = event->u.childproc_started.pid;
    o->order[o->n++] = 's';
    libxl_event_free(ctx, event);
}

static void on_complete(libxl_ctx *ctx, int rc, void *user)
{
    struct ordered *o = user;

    (void)ctx;
    XT_EQ_INT(rc, 0);
    o->order[o->n++] = 'c';
    o->calls++;
}

XT_TEST(progress_comes_before_completion, "A3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    for (int i = 0; i < 50; i++) {
        libxl_childproc_spec spec =
            xt_spec((const char *const[]){xt_tiny_path(), NULL});
        libxl_childproc_exec_opts opts = xo_capturing();
        libxl_childproc_exec_result result;
        struct ordered o = {.ctx = ctx};
        libxl_asyncprogress_how started = {on_started, {.for_callback = &o}};
        libxl_asyncop_how how = {on_complete, {.for_callback = &o}};

        opts.started = &started;
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
        xo_pump_until(ctx, &o.calls);
        XT_EQ_STR(o.order, "sc");
        XT_EQ_INT(o.pid, result.child.pid);
        libxl_childproc_exec_result_dispose(&result);
    }
    xt_ctx_free(ctx);
}

XT_TEST(progress_by_event, "A3 E1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec((const char *const[]){xt_tiny_path(), NULL});
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_asyncprogress_how started = {NULL, {.for_event = 1}};
    libxl_asyncop_how how = {NULL, {.for_event = 2}};
    libxl_event *event;

    opts.started = &started;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
    XT_EQ_INT(event->for_user, 1);
    libxl_event_free(ctx, event);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    XT_EQ_INT(event->for_user, 2);
    libxl_event_free(ctx, event);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

/* What it says is good for the calls that name a child. */
XT_TEST(progress_names_the_child, "A3 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncprogress_how started = {NULL, {.for_event = 1}};
    libxl_asyncop_how how = xo_to(&c);
    libxl_childproc_id found;
    libxl_event *event;

    opts.started = &started;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STARTED);
    XT_OK(libxl_childproc_lookup(ctx, event->u.childproc_started.pid, &found));
    XT_TRUE(found == event->u.childproc_started.id);
    XT_OK(libxl_childproc_kill(ctx, found, SIGUSR1, LIBXL_KILL_PROCESS));
    libxl_event_free(ctx, event);
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, 0);
    XT_SIGNALED(&c.result.child, SIGUSR1);
    libxl_childproc_exec_result_dispose(&c.result);
    xt_ctx_free(ctx);
}

XT_TEST(progress_of_a_synchronous_call, "A3 A1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    struct ordered o = {.ctx = ctx};
    libxl_asyncprogress_how started = {on_started, {.for_callback = &o}};

    opts.started = &started;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EQ_STR(o.order, "s");
    XT_EQ_INT(o.pid, result.child.pid);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

/* Every byte is handed over before the completion. */
static void count_bytes(libxl_ctx *ctx, int stream, const void *data,
                        size_t length, void *user)
{
    struct ordered *o = user;

    (void)ctx;
    (void)stream;
    (void)data;
    XT_EQ_INT(o->calls, 0);
    o->n += (int)length;
}

static void on_complete_bytes(libxl_ctx *ctx, int rc, void *user)
{
    struct ordered *o = user;

    (void)ctx;
    XT_EQ_INT(rc, 0);
    XT_EQ_INT(o->n, 100000);
    o->calls++;
}

XT_TEST(data_comes_before_completion, "A3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("out", "100000"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    struct ordered o = {.ctx = ctx};
    libxl_asyncop_how how = {on_complete_bytes, {.for_callback = &o}};

    opts.stdout_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stream_data = count_bytes;
    opts.stream_user = &o;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
    xo_pump_until(ctx, &o.calls);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}
