/* fixture.c - what most cases begin with: a ctx, a child to start, a pipe
 *
 * See fixture.h. Called by cases; builds on harness.c.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef XT_HELPERS
#define XT_HELPERS "build/tests/helpers"
#endif

/* ---- contexts ----------------------------------------------------------- */

#define LOG_ROOM ((int)(sizeof(((struct xt_log *)0)->line) / \
                        sizeof(((struct xt_log *)0)->line[0])))

static void take_message(void *user, libxl_log_level level, int errnoval,
                         const char *message)
{
    struct xt_log *log = user;

    pthread_mutex_lock(&log->lock);
    if (log->count < LOG_ROOM) {
        xt_note("log: level %d, errno %d: %s", (int)level, errnoval, message);
        log->line[log->count].level = level;
        log->line[log->count].errnoval = errnoval;
        log->line[log->count].text = strdup(message);
    }
    log->count++;
    pthread_mutex_unlock(&log->lock);
}

void xt_log_init(struct xt_log *log, libxl_logger *ret_logger)
{
    memset(log, 0, sizeof(*log));
    pthread_mutex_init(&log->lock, NULL);
    memset(ret_logger, 0, sizeof(*ret_logger));
    ret_logger->size = sizeof(*ret_logger);
    ret_logger->min_level = LIBXL_LOG_DEBUG;
    ret_logger->log = take_message;
    ret_logger->user = log;
}

void xt_log_dispose(struct xt_log *log)
{
    for (int i = 0; i < LOG_ROOM && i < log->count; i++)
        free(log->line[i].text);
    pthread_mutex_destroy(&log->lock);
    log->count = 0;
}

int xt_log_count(struct xt_log *log, libxl_log_level level, const char *part)
{
    int n = 0;

    pthread_mutex_lock(&log->lock);
    for (int i = 0; i < LOG_ROOM && i < log->count; i++)
        n += log->line[i].level >= level &&
             (!part || strstr(log->line[i].text, part));
    pthread_mutex_unlock(&log->lock);
    return n;
}

static void note_message(void *user, libxl_log_level level, int errnoval,
                         const char *message)
{
    (void)user;
    xt_note("log: level %d, errno %d: %s", (int)level, errnoval, message);
}

libxl_ctx *xt_ctx_new(libxl_sigchld_owner owner, struct xt_log *log)
{
    libxl_childproc_hooks hooks = {.chldowner = owner, .size = sizeof(hooks)};
    libxl_logger logger = {sizeof(logger), LIBXL_LOG_INFO, note_message, NULL};
    libxl_ctx *ctx = NULL;

    if (log)
        xt_log_init(log, &logger);
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger));
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    return ctx;
}

pid_t xt_plain_fork(void *user)
{
    (void)user;
    return fork();
}

libxl_ctx *xt_ctx_forking(libxl_sigchld_owner owner, int forks)
{
    libxl_childproc_hooks hooks = {owner, forks ? xt_plain_fork : NULL, NULL,
                                   sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    return ctx;
}

void xt_ctx_free(libxl_ctx *ctx)
{
    XT_OK(libxl_ctx_free(ctx));
}

/* ---- children ----------------------------------------------------------- */

const char *xt_child_path(void)
{
    return XT_HELPERS "/child";
}

const char *xt_tiny_path(void)
{
    return XT_HELPERS "/tiny";
}

libxl_childproc_spec xt_spec(const char *const *argv)
{
    libxl_childproc_spec spec;

    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    return spec;
}

libxl_childproc_id xt_spawn(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                            const libxl_childproc_report *report,
                            pid_t *ret_pid)
{
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_id id = 0;
    const char *const *argv = spec->argv;
    pid_t pid = -1;
    int rc = libxl_childproc_spawn(ctx, spec, report, &id, &pid, &failure);

    if (rc)
        XT_FAIL("spawn %s: %d (%s), stage %s, %s, argument %s", argv[0],
                rc, libxl_strerror(rc),
                libxl_childproc_stage_name(failure.stage),
                strerror(failure.errnoval),
                failure.argument ? failure.argument : "none");
    XT_NE_INT(id, 0);
    XT_GT_INT(pid, 1);
    if (ret_pid)
        *ret_pid = pid;
    return id;
}

libxl_childproc_id xt_spawn_argv(libxl_ctx *ctx, const char *const *argv,
                                 const libxl_childproc_report *report,
                                 pid_t *ret_pid)
{
    libxl_childproc_spec spec = xt_spec(argv);

    return xt_spawn(ctx, &spec, report, ret_pid);
}

libxl_childproc_report xt_by_event(libxl_ev_user user)
{
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {user}};

    return report;
}

void xt_pump_until_childless(libxl_ctx *ctx)
{
    libxl_event *event;

    while (libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 10, 0),
              ERROR_TIMEDOUT);
}

libxl_childproc_result xt_wait(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_result result;

    memset(&result, 0xee, sizeof(result));
    XT_OK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &result));
    XT_TRUE(result.id == id);
    return result;
}

static void known(const char *file, int line, const libxl_childproc_result *r)
{
    if (r->lost != LIBXL_LOST_NONE)
        xt_fail(file, line, "pid %d: the status is lost: %s", (int)r->pid,
                libxl_childproc_lost_text(r->lost));
    if (r->source == LIBXL_SOURCE_NONE)
        xt_fail(file, line, "pid %d: a status without a source", (int)r->pid);
}

void xt_exited(const char *file, int line, const libxl_childproc_result *r,
               int code)
{
    known(file, line, r);
    if (!WIFEXITED(r->status) || WEXITSTATUS(r->status) != code)
        xt_fail(file, line, "pid %d: status is %#x, not exit %d", (int)r->pid,
                (unsigned)r->status, code);
}

void xt_signaled(const char *file, int line, const libxl_childproc_result *r,
                 int signo)
{
    known(file, line, r);
    if (!WIFSIGNALED(r->status) || WTERMSIG(r->status) != signo)
        xt_fail(file, line, "pid %d: status is %#x, not signal %d",
                (int)r->pid, (unsigned)r->status, signo);
}

char *xt_output(libxl_ctx *ctx, const libxl_childproc_spec *spec)
{
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result r;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    XT_OK(libxl_childproc_exec(ctx, spec, &opts, &r, NULL, NULL));
    XT_EXITED(&r.child, 0);
    return r.out.data; /* the rest of the result is empty */
}

void xt_prints(const char *file, int line, libxl_ctx *ctx,
               const libxl_childproc_spec *spec, const char *text)
{
    char *got = xt_output(ctx, spec);

    xt_eq_str(file, line, "what it printed", got ? got : "", "text", text);
    free(got);
}

/* ---- descriptors -------------------------------------------------------- */

void xt_pipe(int ret_pipe[2])
{
    XT_SYS(pipe2(ret_pipe, O_CLOEXEC));
}

void xt_close(int *fd_io)
{
    XT_SYS(close(*fd_io));
    *fd_io = -1;
}

char *xt_read_all(int fd, size_t *ret_length)
{
    size_t room = 4096, length = 0;
    char *data = malloc(room);

    for (;;) {
        ssize_t n;

        if (!data)
            XT_FAIL("out of memory");
        n = read(fd, data + length, room - length - 1);
        if (n < 0 && errno == EINTR)
            continue;
        XT_SYS(n);
        if (!n)
            break;
        length += n;
        if (length == room - 1)
            data = realloc(data, room *= 2);
    }
    data[length] = 0;
    if (ret_length)
        *ret_length = length;
    return data;
}

void xt_write_all(int fd, const void *data, size_t length)
{
    const char *p = data;

    while (length) {
        ssize_t n = write(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        XT_SYS(n);
        p += n;
        length -= n;
    }
}

void xt_await_byte(int fd)
{
    char c;
    ssize_t n;

    do
        n = read(fd, &c, 1);
    while (n < 0 && errno == EINTR);
    XT_SYS(n);
    XT_EQ_INT(n, 1);
}

char *xt_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *path;

    if (asprintf(&path, "%s/xlchild-test-XXXXXX", base ? base : P_tmpdir) < 0)
        XT_FAIL("out of memory");
    if (!mkdtemp(path))
        XT_FAIL("%s: %s", path, strerror(errno));
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void xt_tmpdir_remove(char *path)
{
    XT_SYS(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS));
    free(path);
}

/* ---- time --------------------------------------------------------------- */

long long xt_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void xt_eventually(const char *file, int line, const char *text,
                   int (*cond)(void *user), void *user)
{
    long long until = xt_now_ms() + 10000LL * xt_time_scale();
    struct timespec ms = {0, 1000000};

    while (!cond(user)) {
        if (xt_now_ms() > until)
            xt_fail(file, line, "%s did not become true", text);
        nanosleep(&ms, NULL);
    }
}
