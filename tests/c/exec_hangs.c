/* exec_hangs.c - no operation hangs, whatever is read, written or held
 *
 * Proves C18 with timeouts, aborts, children that do not read, and
 * grandchildren that hold what they were given.
 */
#define _GNU_SOURCE
#include "operation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweep.h"

/* ---- timeouts, and a stdin that nobody reads ---------------------------- */

XT_TEST(timeout_kills, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "early", "pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    long long start = xt_now_ms();

    opts.timeout_ms = 100;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_TIMEDOUT);
    XT_GE_INT(xt_now_ms() - start, 100);
    XT_EQ_INT(result.timed_out, 1);
    XT_EQ_INT(result.aborted, 0);
    XT_SIGNALED(&result.child, SIGKILL);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

XT_TEST(timeout_in_every_mode, "C18 C1 C3 C4")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap};

    for (int o = 0; o < 3; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
        libxl_childproc_exec_opts opts = xo_capturing();
        libxl_childproc_exec_result result;

        opts.timeout_ms = 20;
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
              ERROR_TIMEDOUT);
        XT_SIGNALED(&result.child, SIGKILL);
        libxl_childproc_exec_result_dispose(&result);
        xt_ctx_free(ctx);
    }
}

/* 1 MiB of stdin to a child that reads nothing, and lives until the timeout. */
XT_TEST(stdin_that_nobody_reads, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    size_t length = 1 << 20;
    char *data = calloc(1, length);

    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = data,
                                       .length = length};
    opts.timeout_ms = 100;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_TIMEDOUT);
    XT_LT_INT(result.stdin_written, length);
    XT_GE_INT(result.stdin_written, 4096);
    XT_SIGNALED(&result.child, SIGKILL);
    libxl_childproc_exec_result_dispose(&result);
    free(data);
    xt_ctx_free(ctx);
}

/* The host has SIGPIPE at its default, which would end it. */
XT_TEST(child_that_closes_stdin_early, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_opts opts = xo_capturing();
    size_t length = 1 << 20;
    char *data = calloc(1, length);

    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = data,
                                       .length = length};
    for (int i = 0; i < 20; i++) {
        libxl_childproc_spec spec =
            xt_spec(XT_CHILD("read", "100", "close", "0", "exit", "4"));
        libxl_childproc_exec_result result;

        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
        XT_EXITED(&result.child, 4);
        XT_LT_INT(result.stdin_written, length);
        libxl_childproc_exec_result_dispose(&result);
    }
    free(data);
    xt_ctx_free(ctx);
}

/* ---- grandchildren that hold a pipe ------------------------------------- */

/* A grandchild that holds the pipe: "exited" and "streams closed" are two
 * facts. With DRAIN the operation completes with what there is. */
static void start_grandchild(libxl_childproc_spec *spec, libxl_childproc_fd *fd,
                             int gate[2])
{
    xt_pipe(gate);
    *fd = (libxl_childproc_fd){5, gate[0]};
    spec->fds = fd;
    spec->nfds = 1;
}

XT_TEST(grandchild_holds_the_pipe, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("put", "said", "grandchild", "5", "exit", "6"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_childproc_fd fd;
    int gate[2];

    start_grandchild(&spec, &fd, gate);
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 6);
    XT_EQ_STR(result.out.data, "said");
    XT_EQ_INT(result.out.held_open, 1);
    XT_EQ_INT(result.err.held_open, 1);
    XT_EQ_INT(result.timed_out, 0);
    libxl_childproc_exec_result_dispose(&result);
    xt_close(&gate[0]);
    xt_close(&gate[1]); /* now the grandchild ends */
    xt_ctx_free(ctx);
}

/* With EOF it waits for the grandchild, or the timeout: then the child's own
 * status is the kernel's all the same. */
XT_TEST(grandchild_and_end_of_file, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("put", "said", "grandchild", "5", "exit", "6"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_childproc_fd fd;
    int gate[2];

    start_grandchild(&spec, &fd, gate);
    opts.linger = LIBXL_LINGER_EOF;
    opts.timeout_ms = 400;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_TIMEDOUT);
    XT_EQ_INT(result.timed_out, 1);
    XT_EQ_INT(result.aborted, 0);
    XT_EXITED(&result.child, 6);
    XT_EQ_STR(result.out.data, "said");
    XT_EQ_INT(result.out.held_open, 1);
    libxl_childproc_exec_result_dispose(&result);
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    /* and one whose grandchild lets go */
    {
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        libxl_event *event;

        start_grandchild(&spec, &fd, gate);
        opts.timeout_ms = 0;
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        xt_close(&gate[0]);
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 50, 0), ERROR_TIMEDOUT);
        XT_EQ_INT(c.calls, 0);
        xt_close(&gate[1]);
        xo_pump_until(ctx, &c.calls);
        XT_EQ_INT(c.rc, 0);
        XT_EXITED(&c.result.child, 6);
        XT_EQ_INT(c.result.out.held_open, 0);
        libxl_childproc_exec_result_dispose(&c.result);
    }
    xt_ctx_free(ctx);
}

/* An abort ends the waiting for it; the child had ended by itself, whether
 * anybody has looked or not. */
static void abort_after_the_end(int seen)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("put", "said", "grandchild", "5", "exit", "6"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    libxl_childproc_fd fd;
    libxl_event *event;
    siginfo_t info;
    int gate[2];

    start_grandchild(&spec, &fd, gate);
    opts.linger = LIBXL_LINGER_EOF;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_SYS(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    while (seen && libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 10, 0), ERROR_TIMEDOUT);
    XT_EQ_INT(c.calls, 0);
    XT_OK(libxl_ao_abort(ctx, &how));
    xo_pump_until(ctx, &c.calls);
    XT_EQ_INT(c.rc, 0);
    XT_EXITED(&c.result.child, 6);
    XT_EQ_STR(c.result.out.data, "said");
    XT_EQ_INT(c.result.out.held_open, 1);
    XT_EQ_INT(c.result.aborted, 0);
    libxl_childproc_exec_result_dispose(&c.result);
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    xt_ctx_free(ctx);
}

XT_TEST(abort_ends_the_waiting_for_a_grandchild, "A2 C18")
{
    abort_after_the_end(1);
}

XT_TEST(abort_of_one_that_has_ended_unseen, "A2 C18")
{
    abort_after_the_end(0);
}

/* One that is killed early is not waited for at its pipes, which a grandchild
 * holds: not even with EOF. */
XT_TEST(cut_short_the_grandchild_is_not_waited_for, "A2 C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("put", "said", "grandchild", "5", "ready", "6", "pause"));
    libxl_childproc_exec_opts opts = xo_capturing();

    opts.linger = LIBXL_LINGER_EOF;
    for (int timeout = 0; timeout < 2; timeout++) {
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        libxl_childproc_fd fds[2];
        int gate[2], ready[2];

        xt_pipe(gate);
        xt_pipe(ready);
        fds[0] = (libxl_childproc_fd){5, gate[0]};
        fds[1] = (libxl_childproc_fd){6, ready[1]};
        spec.fds = fds;
        spec.nfds = 2;
        opts.timeout_ms = timeout ? 300 : 0;
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        xt_await_byte(ready[0]);
        if (!timeout)
            XT_OK(libxl_ao_abort(ctx, &how));
        xo_pump_until(ctx, &c.calls);
        XT_EQ_INT(c.rc, timeout ? ERROR_TIMEDOUT : ERROR_ABORTED);
        XT_SIGNALED(&c.result.child, SIGKILL);
        XT_EQ_STR(c.result.out.data, "said");
        XT_EQ_INT(c.result.out.held_open, 1);
        libxl_childproc_exec_result_dispose(&c.result);
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        xt_close(&ready[0]);
        xt_close(&ready[1]);
    }
    xt_ctx_free(ctx);
}

/* It holds the other end of stdin, too, and reads nothing. */
XT_TEST(grandchild_holds_stdin, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("close", "1", "close", "2", "grandchild", "5", "exit",
                         "6"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    size_t length = 1 << 20;
    char *data = calloc(1, length);
    libxl_childproc_fd fd;
    int gate[2];

    start_grandchild(&spec, &fd, gate);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = data,
                                       .length = length};
    opts.linger = LIBXL_LINGER_EOF;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 6);
    XT_LT_INT(result.stdin_written, length);
    XT_EQ_INT(result.out.held_open, 0);
    libxl_childproc_exec_result_dispose(&result);
    free(data);
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    xt_ctx_free(ctx);
}

/* ---- what is over is over ----------------------------------------------- */

/* The child has ended in time; its output takes the host as long as it
 * takes. */
struct slow_reader {
    int asked, timeout_left;
};

static void read_slowly(libxl_ctx *ctx, int stream, const void *data,
                        size_t length, void *user)
{
    struct slow_reader *reader = user;
    struct timeval now = {0, 0};
    libxl_event *event;
    int n = 0;

    (void)stream;
    (void)data;
    (void)length;
    if (reader->asked++)
        return;
    while (libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 10, 0), ERROR_TIMEDOUT);
    reader->timeout_left = -1;
    XT_RC(libxl_osevent_beforepoll(ctx, &n, NULL, &reader->timeout_left, now),
          ERROR_BUFFERFULL);
}

XT_TEST(the_timeout_ends_with_the_child, "C18 A3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("out", "1000", "exit", "6"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    struct slow_reader reader = {0, 0};

    opts.stdout_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stream_data = read_slowly;
    opts.stream_user = &reader;
    opts.timeout_ms = 600000;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 6);
    XT_GE_INT(reader.asked, 2); /* data, and the end */
    XT_EQ_INT(reader.timeout_left, -1);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

/* A SIGPIPE that was the host's before is the host's afterwards, and none is
 * left to it that was not. */
XT_TEST(a_pending_sigpipe_stays, "C18 X5")
{
    static const struct timespec at_once = {0, 0};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("close", "0", "ready", "6", "hold-fd", "5"));
    libxl_childproc_exec_opts opts = xo_capturing();
    sigset_t sigpipe, before, pending;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &sigpipe, &before), 0);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = "x",
                                       .length = 1};
    for (int hosts = 0; hosts < 2; hosts++) {
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        libxl_childproc_fd fds[2];
        int gate[2], ready[2];
        libxl_event *event;

        xt_pipe(gate);
        xt_pipe(ready);
        fds[0] = (libxl_childproc_fd){5, gate[0]};
        fds[1] = (libxl_childproc_fd){6, ready[1]};
        spec.fds = fds;
        spec.nfds = 2;
        if (hosts)
            XT_EQ_INT(pthread_kill(pthread_self(), SIGPIPE), 0);
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        xt_await_byte(ready[0]);
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 0, 0), ERROR_TIMEDOUT);
        XT_SYS(sigpending(&pending));
        XT_EQ_INT(sigismember(&pending, SIGPIPE), hosts);
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        xo_pump_until(ctx, &c.calls);
        XT_EXITED(&c.result.child, 0);
        XT_EQ_INT(c.result.stdin_written, 0);
        libxl_childproc_exec_result_dispose(&c.result);
        xt_close(&ready[0]);
        xt_close(&ready[1]);
    }
    XT_EQ_INT(sigtimedwait(&sigpipe, NULL, &at_once), SIGPIPE);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    xt_ctx_free(ctx);
}

/* Output that cannot be kept is told, also where the child has ended before
 * the first byte of it was read. */
XT_TEST(output_that_cannot_be_kept, "C18 C12 A1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "lost", "exit", "6"));
    libxl_childproc_exec_opts opts = xo_capturing();

    for (int ended = 0; ended < 2; ended++) {
        struct xo_completion c;
        libxl_asyncop_how how = xo_to(&c);
        siginfo_t info;

        spec.argv = ended ? XT_CHILD("put", "lost", "exit", "6")
                          : XT_CHILD("put", "lost", "pause");
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
        if (ended)
            XT_SYS(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
        xs_starve();
        xo_pump_until(ctx, &c.calls);
        xs_feed();
        XT_EQ_INT(c.rc, ERROR_NOMEM);
        if (ended)
            XT_EXITED(&c.result.child, 6);
        else
            XT_SIGNALED(&c.result.child, SIGKILL);
        XT_EQ_INT(c.result.aborted, !ended);
        libxl_childproc_exec_result_dispose(&c.result);
    }
    xt_ctx_free(ctx);
}

/* Data that the child wrote just before it ended is never lost to DRAIN. */
XT_TEST(last_words_are_kept, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_opts opts = xo_capturing();

    for (int i = 0; i < 100; i++) {
        libxl_childproc_spec spec =
            xt_spec(XT_CHILD("out", "60000", "signal", "SIGKILL"));
        libxl_childproc_exec_result result;

        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
        XT_SIGNALED(&result.child, SIGKILL);
        XT_EQ_INT(result.out.length, 60000);
        libxl_childproc_exec_result_dispose(&result);
    }
    xt_ctx_free(ctx);
}

/* The group is killed: a grandchild in it does not go on holding what it has.
 * (Its end of the captured pipe may close a moment after the completion.) */
XT_TEST(timeout_kills_the_group, "C18 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("grandchild-pause", "say", "up", "pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_childproc_fd fds[1];
    int held[2];
    char *rest;

    xt_pipe(held);
    fds[0].target = 5;
    fds[0].source = held[1];
    spec.fds = fds;
    spec.nfds = 1;
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    spec.kill = (libxl_kill_policy){SIGTERM, 1000, LIBXL_KILL_GROUP};
    opts.timeout_ms = 200;
    opts.linger = LIBXL_LINGER_EOF;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_TIMEDOUT);
    XT_SIGNALED(&result.child, SIGTERM);
    XT_EQ_STR(result.out.data, "up\n");
    libxl_childproc_exec_result_dispose(&result);
    xt_close(&held[1]);
    rest = xt_read_all(held[0], NULL); /* ends when the grandchild does */
    XT_EQ_STR(rest, "");
    free(rest);
    xt_close(&held[0]);
    xt_ctx_free(ctx);
}

/* Freeing the ctx with an operation under way. */
XT_TEST(free_aborts_operations_without_completing, "X2 A1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("out", "100", "pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    siginfo_t info;

    spec.on_free = LIBXL_FREE_KILL;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    xt_ctx_free(ctx);
    XT_EQ_INT(c.calls, 0);
    libxl_childproc_exec_result_dispose(&c.result);
    while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT))
        ;
}
