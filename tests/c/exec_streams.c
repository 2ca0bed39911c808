/* exec_streams.c - libxl_childproc_exec: every form of stream
 *
 * Proves the stream half of C18, and with vector_tables.c (stream.tsv) that
 * what goes in and comes out is exact.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static libxl_childproc_exec_opts new_opts(void)
{
    libxl_childproc_exec_opts opts;

    libxl_childproc_exec_opts_init(&opts);
    return opts;
}

/* Runs it synchronously; XT_OK; the result is the caller's to dispose. */
static libxl_childproc_exec_result run(libxl_ctx *ctx,
                                       const libxl_childproc_spec *spec,
                                       const libxl_childproc_exec_opts *opts)
{
    libxl_childproc_exec_result result;

    memset(&result, 0xee, sizeof(result));
    XT_OK(libxl_childproc_exec(ctx, spec, opts, &result, NULL, NULL));
    return result;
}

static char *slurp(const char *path)
{
    int fd = XT_SYS(open(path, O_RDONLY | O_CLOEXEC));
    char *text = xt_read_all(fd, NULL);

    xt_close(&fd);
    return text;
}

XT_TEST(defaults, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("count", "exit", "7"));
    libxl_childproc_exec_result r = run(ctx, &spec, NULL);

    XT_EXITED(&r.child, 7);
    XT_EQ_PTR(r.out.data, NULL);
    XT_EQ_PTR(r.err.data, NULL);
    XT_EQ_INT(r.timed_out, 0);
    XT_EQ_INT(r.aborted, 0);
    XT_EQ_INT(r.stdin_written, 0);
    libxl_childproc_exec_result_dispose(&r);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

XT_TEST(null_streams, "C18 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("out", "100000", "say-err", "x", "fd-target", "0"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;

    opts.stdout_stream.kind = LIBXL_STREAM_NULL;
    opts.stderr_stream.kind = LIBXL_STREAM_NULL;
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

XT_TEST(inherited_streams, "C18 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("cat", "say-err", "complaint", "fds"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    libxl_childproc_fd fds[3];
    int in[2], out[2];
    char *text;

    /* INHERIT with an fd map: what the map says. */
    xt_pipe(in);
    xt_pipe(out);
    fds[0] = (libxl_childproc_fd){0, in[0]};
    fds[1] = (libxl_childproc_fd){1, out[1]};
    fds[2] = (libxl_childproc_fd){2, out[1]};
    spec.fds = fds;
    spec.nfds = 3;
    opts.stdin_stream.kind = LIBXL_STREAM_INHERIT;
    xt_write_all(in[1], "given\n", 6);
    xt_close(&in[1]);
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    xt_close(&out[1]);
    text = xt_read_all(out[0], NULL);
    XT_EQ_STR(text, "given\ncomplaint\n0\n1\n2\n");
    free(text);
    xt_close(&out[0]);
    xt_close(&in[0]);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

XT_TEST(fd_streams, "C18 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat", "say-err", "e", "fds"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    int in[2], out[2];
    char *text;

    xt_pipe(in);
    xt_pipe(out);
    xt_write_all(in[1], "through\n", 8);
    xt_close(&in[1]);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_FD, .fd = in[0]};
    opts.stdout_stream = (libxl_stream){.kind = LIBXL_STREAM_FD, .fd = out[1]};
    opts.stderr_stream = (libxl_stream){.kind = LIBXL_STREAM_FD, .fd = out[1]};
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    /* Borrowed: still open here, with their flags. */
    XT_EQ_INT(fcntl(in[0], F_GETFD), FD_CLOEXEC);
    XT_EQ_INT(fcntl(out[1], F_GETFD), FD_CLOEXEC);
    XT_EQ_INT(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
    xt_close(&out[1]);
    text = xt_read_all(out[0], NULL);
    XT_EQ_STR(text, "through\ne\n0\n1\n2\n");
    free(text);
    xt_close(&in[0]);
    xt_close(&out[0]);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

XT_TEST(file_streams, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat", "say-err", "grief"));
    libxl_childproc_exec_opts opts = new_opts();
    char *dir = xt_tmpdir(), in[4096], out[4096], err[4096], *text;

    snprintf(in, sizeof(in), "%s/in", dir);
    snprintf(out, sizeof(out), "%s/out", dir);
    snprintf(err, sizeof(err), "%s/err", dir);
    {
        int fd = XT_SYS(open(in, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

        xt_write_all(fd, "from a file\n", 12);
        xt_close(&fd);
    }
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_FILE, .path = in};
    opts.stdout_stream = (libxl_stream){.kind = LIBXL_STREAM_FILE, .path = out};
    opts.stderr_stream =
        (libxl_stream){.kind = LIBXL_STREAM_APPEND, .path = err};
    for (int i = 0; i < 2; i++) {
        libxl_childproc_exec_result r = run(ctx, &spec, &opts);

        XT_EXITED(&r.child, 0);
        libxl_childproc_exec_result_dispose(&r);
    }
    text = slurp(out);
    XT_EQ_STR(text, "from a file\n"); /* truncated by the second run */
    free(text);
    text = slurp(err);
    XT_EQ_STR(text, "grief\ngrief\n");
    free(text);
    {
        struct stat st;
        mode_t mask = umask(0);

        umask(mask);
        XT_SYS(stat(out, &st));
        XT_EQ_INT(st.st_mode & 0777, 0666 & ~mask);
    }
    xt_tmpdir_remove(dir);
    xt_ctx_free(ctx);
}

XT_TEST(file_that_cannot_be_opened, "C15 C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    libxl_childproc_failure failure;
    int rc;

    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_FILE,
                                       .path = "/nonexistent/file"};
    rc = libxl_childproc_exec(ctx, &spec, &opts, &r, &failure, NULL);
    XT_TRUE(rc == ERROR_SPAWN || rc == ERROR_SYSTEM);
    XT_EQ_INT(failure.errnoval, ENOENT);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

XT_TEST(captured_and_merged, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("alternate", "1000"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;

    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_MERGE;
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    XT_EQ_INT(r.out.length, 2000);
    for (int i = 0; i < 2000; i++)
        XT_EQ_INT(r.out.data[i], i % 2 ? 'e' : 'o'); /* in order */
    XT_EQ_INT(r.out.data[2000], 0);
    XT_EQ_PTR(r.err.data, NULL);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

XT_TEST(merge_follows_stdout_anywhere, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("alternate", "3"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    int out[2];
    char *text;

    xt_pipe(out);
    opts.stdout_stream = (libxl_stream){.kind = LIBXL_STREAM_FD, .fd = out[1]};
    opts.stderr_stream.kind = LIBXL_STREAM_MERGE;
    r = run(ctx, &spec, &opts);
    xt_close(&out[1]);
    text = xt_read_all(out[0], NULL);
    XT_EQ_STR(text, "oeoeoe");
    free(text);
    xt_close(&out[0]);
    libxl_childproc_exec_result_dispose(&r);
    opts.stdout_stream.kind = LIBXL_STREAM_NULL;
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

/* Also where stdout is not a stream of ours: what the map says, or what the
 * host has. */
XT_TEST(merge_follows_an_inherited_stdout, "C18 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_exec_opts opts = new_opts();

    opts.stderr_stream.kind = LIBXL_STREAM_MERGE;
    for (int mapped = 0; mapped < 2; mapped++) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("alternate", "3"));
        libxl_childproc_exec_result r;
        libxl_childproc_fd fd;
        int out[2], hosts = -1;
        char *text;

        xt_pipe(out);
        if (mapped) {
            fd = (libxl_childproc_fd){1, out[1]};
            spec.fds = &fd;
            spec.nfds = 1;
        } else {
            hosts = XT_SYS(fcntl(1, F_DUPFD_CLOEXEC, 10));
            XT_SYS(dup2(out[1], 1));
        }
        r = run(ctx, &spec, &opts);
        if (!mapped) {
            XT_SYS(dup2(hosts, 1));
            xt_close(&hosts);
        }
        XT_EXITED(&r.child, 0);
        libxl_childproc_exec_result_dispose(&r);
        xt_close(&out[1]);
        text = xt_read_all(out[0], NULL);
        XT_EQ_STR(text, "oeoeoe");
        free(text);
        xt_close(&out[0]);
    }
    xt_ctx_free(ctx);
}

/* A stream that is asked for goes before the map. */
XT_TEST(streams_go_before_the_map, "C18 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat", "say", "out", "fds"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    libxl_childproc_fd fds[4];
    int other[2];
    char *text;

    xt_pipe(other);
    for (int i = 0; i < 3; i++)
        fds[i] = (libxl_childproc_fd){i, other[1]};
    fds[3] = (libxl_childproc_fd){7, other[1]};
    spec.fds = fds;
    spec.nfds = 4;
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = "in\n",
                                       .length = 3};
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_NULL;
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    XT_EQ_STR(r.out.data, "in\nout\n0\n1\n2\n7\n");
    libxl_childproc_exec_result_dispose(&r);
    xt_close(&other[1]);
    text = xt_read_all(other[0], NULL);
    XT_EQ_STR(text, "");
    free(text);
    xt_close(&other[0]);
    xt_ctx_free(ctx);
}

/* A host that leads a session without a terminal does not get one by naming
 * it as a file. */
XT_TEST(a_terminal_as_a_file_stays_a_file, "C16")
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), status;
    const char *name;
    pid_t pid;

    if (master < 0)
        XT_SKIP("no pseudo-terminals here: %s", strerror(errno));
    XT_SYS(grantpt(master));
    XT_SYS(unlockpt(master));
    name = ptsname(master);
    pid = fork();
    XT_SYS(pid);
    if (!pid) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
        libxl_childproc_exec_opts opts = new_opts();
        libxl_childproc_exec_result r;
        libxl_ctx *ctx;

        XT_SYS(setsid());
        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_FILE,
                                           .path = name};
        r = run(ctx, &spec, &opts);
        libxl_childproc_exec_result_dispose(&r);
        XT_EQ_INT(open("/dev/tty", O_RDWR | O_CLOEXEC), -1);
        xt_ctx_free(ctx);
        _exit(0);
    }
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_EQ_INT(status, 0);
    xt_close(&master);
}

/* The rest is read, dropped and counted: the child never blocks on it. */
XT_TEST(capture_with_a_limit, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    static const size_t limits[] = {1, 25, 26, 4096, 65536, 299999, 300000,
                                    300001};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("out", "300000", "err", "10"));
    libxl_childproc_exec_opts opts = new_opts();

    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CAPTURE;
    for (int i = 0; i < 8; i++) {
        libxl_childproc_exec_result r;
        size_t kept = limits[i] < 300000 ? limits[i] : 300000;

        opts.stdout_stream.limit = limits[i];
        r = run(ctx, &spec, &opts);
        XT_EXITED(&r.child, 0);
        XT_EQ_INT(r.out.length, kept);
        XT_EQ_INT(r.out.dropped, 300000 - kept);
        for (size_t k = 0; k < kept; k++)
            XT_EQ_INT(r.out.data[k], 'a' + k % 26);
        XT_EQ_INT(r.out.data[kept], 0);
        XT_EQ_INT(r.err.length, 10);
        XT_EQ_INT(r.err.dropped, 0);
        libxl_childproc_exec_result_dispose(&r);
    }
    xt_ctx_free(ctx);
}

/* ---- streaming ---------------------------------------------------------- */

struct streamed {
    char *data[3];
    size_t length[3];
    int ended[3];
    int calls;
};

static void collect(libxl_ctx *ctx, int stream, const void *data,
                    size_t length, void *user)
{
    struct streamed *s = user;

    (void)ctx;
    XT_TRUE(stream == 1 || stream == 2);
    XT_EQ_INT(s->ended[stream], 0);
    s->calls++;
    if (!length) {
        s->ended[stream] = 1;
        return;
    }
    s->data[stream] = realloc(s->data[stream], s->length[stream] + length);
    XT_TRUE(s->data[stream] != NULL);
    memcpy(s->data[stream] + s->length[stream], data, length);
    s->length[stream] += length;
}

XT_TEST(streamed_to_a_callback, "C18 A3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("out", "500000", "err", "3000", "exit", "3"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    struct streamed s = {0};

    opts.stdout_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stderr_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stream_data = collect;
    opts.stream_user = &s;
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 3);
    XT_EQ_INT(s.ended[1], 1);
    XT_EQ_INT(s.ended[2], 1);
    XT_EQ_INT(s.length[1], 500000);
    XT_EQ_INT(s.length[2], 3000);
    for (size_t i = 0; i < s.length[1]; i++)
        XT_EQ_INT(s.data[1][i], 'a' + i % 26);
    XT_EQ_PTR(r.out.data, NULL);
    free(s.data[1]);
    free(s.data[2]);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

/* One captured, one streamed, stdin from a buffer, all large, at once. */
XT_TEST(all_large_at_once, "C18")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("err", "200000", "cat", "err", "200000"));
    libxl_childproc_exec_opts opts = new_opts();
    libxl_childproc_exec_result r;
    struct streamed s = {0};
    size_t length = 3 << 20;
    char *data = malloc(length);

    XT_TRUE(data != NULL);
    for (size_t i = 0; i < length; i++)
        data[i] = (char)(i * 31 + i / 4096);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = data,
                                       .length = length};
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CALLBACK;
    opts.stream_data = collect;
    opts.stream_user = &s;
    r = run(ctx, &spec, &opts);
    XT_EXITED(&r.child, 0);
    XT_EQ_MEM(r.out.data, r.out.length, data, length);
    XT_EQ_INT(r.stdin_written, length);
    XT_EQ_INT(s.length[2], 400000);
    free(s.data[2]);
    free(data);
    libxl_childproc_exec_result_dispose(&r);
    xt_ctx_free(ctx);
}

/* ---- refused combinations ----------------------------------------------- */

XT_TEST(streams_that_make_no_sense, "X5")
{
    static const struct {
        int stream; /* 0, 1, 2 */
        libxl_stream_kind kind;
        int fd;
        size_t length; /* of no data */
    } bad[] = {
        {0, LIBXL_STREAM_CAPTURE, -1, 0},
        {0, LIBXL_STREAM_CALLBACK, -1, 0},
        {0, LIBXL_STREAM_MERGE, -1, 0},
        {0, LIBXL_STREAM_APPEND, -1, 0},
        {1, LIBXL_STREAM_BUFFER, -1, 0},
        {1, LIBXL_STREAM_MERGE, -1, 0},
        {2, LIBXL_STREAM_BUFFER, -1, 0},
        {1, (libxl_stream_kind)99, -1, 0},
        {1, LIBXL_STREAM_FILE, -1, 0},     /* without a path */
        {1, LIBXL_STREAM_APPEND, -1, 0},   /* without a path */
        {1, LIBXL_STREAM_CALLBACK, -1, 0}, /* without stream_data */
        {0, LIBXL_STREAM_FD, -1, 0},
        {2, LIBXL_STREAM_FD, 3999, 0}, /* not open */
        {0, LIBXL_STREAM_BUFFER, -1, 5},
    };
    static const char *const names[] = {"stdin_stream", "stdout_stream",
                                        "stderr_stream"};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        libxl_childproc_exec_opts opts = new_opts();
        libxl_childproc_exec_result r;
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
        libxl_stream *stream = bad[i].stream == 0   ? &opts.stdin_stream
                               : bad[i].stream == 1 ? &opts.stdout_stream
                                                    : &opts.stderr_stream;

        stream->kind = bad[i].kind;
        stream->fd = bad[i].fd;
        stream->length = bad[i].length;
        XT_NOTE("stream %d, kind %d", bad[i].stream, (int)bad[i].kind);
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &r, &failure, NULL),
              ERROR_INVAL);
        XT_EQ_INT(failure.stage, LIBXL_STAGE_ARGUMENT);
        XT_EQ_STR(failure.argument,
                  bad[i].kind == LIBXL_STREAM_CALLBACK && bad[i].stream
                      ? "stream_data"
                      : names[bad[i].stream]);
    }
    {
        libxl_childproc_exec_opts opts = new_opts();
        libxl_childproc_exec_result r;
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};

        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, NULL, &failure, NULL),
              ERROR_INVAL);
        XT_EQ_STR(failure.argument, "ret_result");
        XT_RC(libxl_childproc_exec(ctx, NULL, &opts, &r, &failure, NULL),
              ERROR_INVAL);
        XT_EQ_STR(failure.argument, "spec");

        opts.size = 3;
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &r, NULL, NULL),
              ERROR_INVAL);
        opts = new_opts();
        opts.timeout_ms = -5;
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &r, NULL, NULL),
              ERROR_INVAL);
        opts = new_opts();
        opts.linger = (libxl_linger)5;
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &r, NULL, NULL),
              ERROR_INVAL);
    }
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* In every mode, a hundred times, output and status right. */
XT_TEST(captured_in_every_mode, "C18 C1 C3 C4")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    for (int o = 0; o < 4; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_exec_opts opts = new_opts();

        opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
        for (int i = 0; i < 100; i++) {
            char text[16];
            libxl_childproc_spec spec;
            libxl_childproc_exec_result r;

            snprintf(text, sizeof(text), "%d", i);
            spec = xt_spec(XT_CHILD("put", text, "exit", text));
            r = run(ctx, &spec, &opts);
            XT_EXITED(&r.child, i);
            XT_EQ_INT(r.child.has_rusage, 1);
            XT_EQ_STR(r.out.data, text);
            libxl_childproc_exec_result_dispose(&r);
        }
        xt_ctx_free(ctx);
    }
}
