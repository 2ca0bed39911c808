/* xen.c - a program in the names of Xen's released libxl
 *
 * Written as a toolstack would be: glue between libxl's hooks and an event
 * loop with handles, a logger of xentoollog's, all owners of SIGCHLD. Only
 * starting children has no name of Xen's. Started by treaty_programs.c, which
 * reads what it prints.
 */
#define _GNU_SOURCE
#undef NDEBUG /* assert does the work here */
#include <xlchild/libxl_compat.h>

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the application's event loop ---------------------------------------- */

#define MAX_HANDLES 8

struct handle {
    bool used;
    int fd; /* -1: a timer */
    short events;
    long long due_ms; /* of a timer; -1: never */
    void (*fire)(struct handle *handle, short revents);
    void *opaque;
};

static struct handle handles[MAX_HANDLES];

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static struct handle *add_handle(int fd, short events, long long due_ms,
                                 void (*fire)(struct handle *, short),
                                 void *opaque)
{
    for (int i = 0; i < MAX_HANDLES; i++)
        if (!handles[i].used) {
            handles[i] =
                (struct handle){true, fd, events, due_ms, fire, opaque};
            return &handles[i];
        }
    return NULL;
}

static int count_handles(void)
{
    int n = 0;

    for (int i = 0; i < MAX_HANDLES; i++)
        n += handles[i].used;
    return n;
}

static void run_once(void)
{
    struct pollfd fds[MAX_HANDLES];
    int timeout = -1;

    for (int i = 0; i < MAX_HANDLES; i++) {
        const struct handle *h = &handles[i];

        fds[i].fd = h->used ? h->fd : -1;
        fds[i].events = h->events;
        fds[i].revents = 0;
        if (h->used && h->due_ms >= 0) {
            long long left = h->due_ms - now_ms();

            left = left < 0 ? 0 : left;
            if (timeout < 0 || left < timeout)
                timeout = (int)left;
        }
    }
    if (poll(fds, MAX_HANDLES, timeout) < 0)
        return; /* a signal */
    for (int i = 0; i < MAX_HANDLES; i++) {
        struct handle *h = &handles[i];

        if (h->used && h->fd >= 0 && fds[i].revents)
            h->fire(h, fds[i].revents);
        else if (h->used && h->fd < 0 && h->due_ms >= 0 &&
                 h->due_ms <= now_ms())
            h->fire(h, 0);
    }
}

/* ---- the glue between libxl and the loop --------------------------------- */

static int timers_fired;

struct fd_info {
    libxl_ctx *ctx;
    void *libxl_priv;
};

static void fd_event(struct handle *handle, short revents)
{
    struct fd_info *info = handle->opaque;

    libxl_osevent_occurred_fd(info->ctx, info->libxl_priv, handle->fd, 0,
                              revents);
}

static int fd_register(void *user, int fd, void **hndp, short events,
                       void *for_libxl)
{
    struct fd_info *info = malloc(sizeof(*info));
    struct handle *handle;

    if (!info)
        return ERROR_OSEVENT_REG_FAIL;
    *info = (struct fd_info){*(libxl_ctx **)user, for_libxl};
    handle = add_handle(fd, events, -1, fd_event, info);
    if (!handle) {
        free(info);
        return ERROR_OSEVENT_REG_FAIL;
    }
    *hndp = handle;
    return 0;
}

static int fd_modify(void *user, int fd, void **hndp, short events)
{
    struct handle *handle = *hndp;

    (void)user;
    assert(handle->fd == fd);
    handle->events = events;
    return 0;
}

static void fd_deregister(void *user, int fd, void *hnd)
{
    struct handle *handle = hnd;

    (void)user;
    assert(handle->fd == fd);
    free(handle->opaque);
    handle->used = false;
}

/* The registration is gone before libxl hears that it fired. */
static void timer_event(struct handle *handle, short revents)
{
    struct fd_info info = *(struct fd_info *)handle->opaque;

    (void)revents;
    free(handle->opaque);
    handle->used = false;
    timers_fired++;
    libxl_osevent_occurred_timeout(info.ctx, info.libxl_priv);
}

static int timeout_register(void *user, void **hndp, struct timeval abs,
                            void *for_libxl)
{
    struct fd_info *info = malloc(sizeof(*info));
    struct timeval now, left;
    long long ms;

    if (!info)
        return ERROR_OSEVENT_REG_FAIL;
    *info = (struct fd_info){*(libxl_ctx **)user, for_libxl};
    gettimeofday(&now, NULL);
    timersub(&abs, &now, &left);
    ms = left.tv_sec * 1000LL + (left.tv_usec + 999) / 1000;
    *hndp = add_handle(-1, 0, now_ms() + (ms < 0 ? 0 : ms), timer_event, info);
    assert(*hndp);
    return 0;
}

static int timeout_modify(void *user, void **hndp, struct timeval abs)
{
    struct handle *handle = *hndp;

    (void)user;
    assert(abs.tv_sec == 0 && abs.tv_usec == 0); /* as soon as possible */
    handle->due_ms = now_ms();
    return 0;
}

static void timeout_deregister(void *user, void *hnd)
{
    struct handle *handle = hnd;

    (void)user;
    free(handle->opaque);
    handle->used = false;
}

static const libxl_osevent_hooks osevent_hooks = {
    .fd_register = fd_register,
    .fd_modify = fd_modify,
    .fd_deregister = fd_deregister,
    .timeout_register = timeout_register,
    .timeout_modify = timeout_modify,
    .timeout_deregister = timeout_deregister,
};

/* ---- events, by hook and by check ---------------------------------------- */

static int exits_seen, completions;

static void event_occurs(void *user,
#ifndef LIBXL_HAVE_NONCONST_EVENT_OCCURS_EVENT_ARG
                         const
#endif
                         libxl_event *event)
{
    libxl_ctx **ctx = user;

    if (event->type == LIBXL_EVENT_TYPE_CHILDPROC_EXIT) {
        assert(event->for_user == 17);
        exits_seen++;
    } else if (event->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE) {
        assert(event->for_user == 18);
        assert(event->u.operation_complete.rc == ERROR_TIMEDOUT);
        completions++;
    }
    libxl_event_free(*ctx, event);
}

static void disaster(void *user, libxl_event_type type, const char *msg,
                     int errnoval)
{
    (void)user;
    (void)type;
    fprintf(stderr, "disaster: %s (%d)\n", msg, errnoval);
    abort();
}

static const libxl_event_hooks event_hooks = {
    .event_occurs_mask = LIBXL_EVENTMASK_ALL,
    .event_occurs = event_occurs,
    .disaster = disaster,
};

/* ---- children ------------------------------------------------------------ */

static libxl_ctx *new_ctx(xentoollog_logger *logger,
                          const libxl_childproc_hooks *hooks, void *user)
{
    libxl_ctx *ctx;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, logger))
        abort();
    libxl_childproc_setmode(ctx, hooks, user);
    return ctx;
}

static pid_t start(libxl_ctx *ctx, const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT,
                                     .u.for_event = 17};
    libxl_childproc_spec spec;
    pid_t pid;

    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    if (libxl_childproc_spawn(ctx, &spec, &report, NULL, &pid, NULL))
        abort();
    return pid;
}

static pid_t start_own(int code)
{
    pid_t pid = fork();

    if (!pid)
        _exit(code);
    return pid;
}

/* A loop with handles; libxl reaps its own. Timeouts fire in the loop. */
static void with_a_loop(xentoollog_logger *logger)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap};
    const char *argv[] = {"/bin/sleep", "1000", NULL};
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;
    libxl_childproc_spec spec;
    libxl_asyncop_how how = {.callback = NULL, .u.for_event = 18};
    libxl_ctx *ctx = new_ctx(logger, &hooks, NULL);
    pid_t own = start_own(3);
    int status;

    libxl_osevent_register_hooks(ctx, &osevent_hooks, &ctx);
    libxl_event_register_callbacks(ctx, &event_hooks, &ctx);
    for (int i = 0; i < 5; i++)
        start(ctx, "exit 1");
    while (exits_seen < 5)
        run_once();
    printf("loop: %d exits\n", exits_seen);

    libxl_childproc_spec_init(&spec);
    libxl_childproc_exec_opts_init(&opts);
    spec.argv = argv;
    opts.timeout_ms = 20;
    for (int i = 0; i < 3; i++) {
        int fired = timers_fired;

        if (libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how))
            abort();
        while (completions == i)
            run_once();
        assert(timers_fired > fired);
        assert(WTERMSIG(result.child.status) == SIGKILL);
        libxl_childproc_exec_result_dispose(&result);
    }
    printf("loop: 3 timeouts fired\n");
    assert(libxl_ao_abort(ctx, &how) == ERROR_NOTFOUND);
    /* the application's own was left to it */
    assert(waitpid(own, &status, 0) == own && WEXITSTATUS(status) == 3);
    libxl_ctx_free(ctx);
    assert(count_handles() == 0);
    printf("loop: nothing left registered\n");
}

/* The application reaps, and passes on. */
static void as_mainloop(xentoollog_logger *logger)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_mainloop};
    libxl_ctx *ctx = new_ctx(logger, &hooks, NULL);
    pid_t own = start_own(4), theirs = start(ctx, "exit 5");
    libxl_event *event;
    int status;

    for (int i = 0; i < 2; i++) {
        pid_t pid = wait(&status);
        int rc = libxl_childproc_reaped(ctx, pid, status);

        assert(rc == (pid == theirs ? 0 : ERROR_UNKNOWN_CHILD));
        assert(pid == theirs || pid == own);
    }
    assert(!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0));
    assert(WEXITSTATUS(event->u.childproc_exit.status) == 5);
    libxl_event_free(ctx, event);
    assert(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0) ==
           ERROR_NOT_READY);
    start(ctx, "exit 6");
    do
        libxl_childproc_sigchld_occurred(ctx);
    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0));
    assert(WEXITSTATUS(event->u.childproc_exit.status) == 6);
    libxl_event_free(ctx, event);
    libxl_ctx_free(ctx);
    printf("mainloop: both ways\n");
}

static pid_t awaited;
static int recognised;

static int reaped(pid_t pid, int status, void *user)
{
    (void)status;
    (void)user;
    if (pid != awaited)
        return ERROR_UNKNOWN_CHILD;
    recognised++;
    return 0;
}

/* libxl reaps everything, in a poll() loop. */
static void as_owner_of_all(xentoollog_logger *logger)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always,
        .reaped_callback = reaped};
    libxl_ctx *ctx = new_ctx(logger, &hooks, NULL);
    libxl_event *event;
    int exits = 0;

    awaited = start_own(7);
    start(ctx, "exit 8");
    while (!exits || !recognised) {
        struct pollfd fds[4];
        struct timeval now;
        int nfds = 4, timeout = -1;

        gettimeofday(&now, NULL);
        if (libxl_osevent_beforepoll(ctx, &nfds, fds, &timeout, now))
            abort();
        poll(fds, (nfds_t)nfds, timeout);
        gettimeofday(&now, NULL);
        libxl_osevent_afterpoll(ctx, nfds, fds, now);
        while (!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0)) {
            exits++;
            libxl_event_free(ctx, event);
        }
    }
    libxl_ctx_free(ctx);
    printf("always: %d exit, %d of the application's\n", exits, recognised);
}

static void in_a_forked_child(xentoollog_logger *logger)
{
    libxl_ctx *ctx = new_ctx(logger, NULL, NULL);
    int status;
    pid_t pid;

    pid = fork();
    if (!pid) {
        libxl_event *event;
        libxl_ctx *own;

        libxl_postfork_child_noexec(ctx);
        own = new_ctx(logger, 0, 0);
        start(own, "exit 9");
        assert(!libxl_event_wait(own, &event, LIBXL_EVENTMASK_ALL, 0, 0));
        _exit(WEXITSTATUS(event->u.childproc_exit.status));
    }
    assert(waitpid(pid, &status, 0) == pid);
    libxl_ctx_free(ctx);
    printf("postfork: %d\n", WEXITSTATUS(status));
}

/* ---- the rest of xentoollog, and of libxl's utilities -------------------- */

typedef struct {
    xentoollog_logger vtable;
    char *last; /* shared with the buffer that it was made from */
    int ended;
} xentoollog_logger_own;

static void own_vmessage(xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context, const char *format,
                         va_list al)
{
    xentoollog_logger_own *own = (xentoollog_logger_own *)logger;
    char text[256];

    vsnprintf(text, sizeof text, format, al);
    snprintf(own->last, 512, "%s %d %s: %s", xtl_level_to_string(level),
             errnoval, context ? context : "-", text);
}

static void own_progress(xentoollog_logger *logger, const char *context,
                         const char *doing_what, int percent,
                         unsigned long done, unsigned long total)
{
    xentoollog_logger_own *own = (xentoollog_logger_own *)logger;

    snprintf(own->last, 512, "%s %s %lu/%lu %d%%", context, doing_what, done,
             total, percent);
}

static void own_destroy(xentoollog_logger *logger)
{
    free(logger);
}

static void loggers(void)
{
    char last[512] = "", *text = NULL;
    xentoollog_logger_own buffer = {.last = last}, *own;
    xentoollog_logger_stdiostream *std;
    xentoollog_logger *logger;
    libxl_ctx *ctx;
    size_t length;
    FILE *f = open_memstream(&text, &length);

    own = XTL_NEW_LOGGER(own, buffer);
    logger = (xentoollog_logger *)own;
    xtl_log(logger, XTL_NOTICE, -1, "me", "%d and %s", 7, "words");
    assert(!strcmp(last, "notice -1 me: 7 and words"));
    xtl_progress(logger, "me", "moving", 1, 4);
    assert(!strcmp(last, "me moving 1/4 25%"));
    ctx = new_ctx(logger, NULL, NULL);
    libxl_childproc_setmode(ctx, &(libxl_childproc_hooks){.size = 1}, NULL);
    assert(strstr(last, "error -1 libxl: libxl_childproc_setmode"));
    libxl_report_child_exitstatus(ctx, XTL_ERROR, "helper", 123, 5 << 8);
    assert(!strcmp(last, "error -1 libxl: helper [123] failed: exit status 5"));
    libxl_report_child_exitstatus(ctx, XTL_WARN, "helper", 123, SIGKILL);
    assert(!strcmp(last, "warning -1 libxl: helper [123] killed by signal 9"));
    libxl_ctx_free(ctx);
    xtl_logger_destroy(logger);
    xtl_logger_destroy(NULL);

    std = xtl_createlogger_stdiostream(f, XTL_ERROR, 0);
    logger = (xentoollog_logger *)std;
    xtl_log(logger, XTL_WARN, -1, "a", "not this");
    xtl_stdiostream_set_minlevel(std, XTL_PROGRESS);
    xtl_log(logger, XTL_WARN, ENOENT, "a", "this");
    xtl_progress(logger, "a", "b", 1, 2);
    xtl_stdiostream_adjust_flags(std, XTL_STDIOSTREAM_HIDE_PROGRESS, 0);
    xtl_progress(logger, "a", "not this", 1, 2);
    xtl_stdiostream_adjust_flags(std, XTL_STDIOSTREAM_PROGRESS_USE_CR,
                                 XTL_STDIOSTREAM_HIDE_PROGRESS);
    xtl_progress(logger, "a", "b", 1, 2);
    xtl_progress(logger, NULL, "b", 2, 2);
    xtl_logger_destroy(logger);
    fclose(f);
    assert(!strcmp(text, "a: warning: this: No such file or directory\n"
                         "a: b: 1/2  50%\n"
                         "\ra: b: 1/2  50%\rb: 2/2 100%   \n"));
    free(text);
    printf("loggers: one's own, and stdio's\n");
}

static void utilities(xentoollog_logger *logger)
{
    libxl_ctx *ctx = new_ctx(logger, NULL, NULL);
    char name[] = "/tmp/xen.XXXXXX", got[8] = "", *json;
    int fds[2], length, file = mkstemp(name);
    libxl_event *event;
    void *data;

    assert(!libxl_pipe(ctx, fds));
    assert(!libxl_fd_set_cloexec(ctx, fds[0], 1));
    assert(fcntl(fds[0], F_GETFD) == FD_CLOEXEC);
    assert(!libxl_fd_set_cloexec(ctx, fds[0], 0));
    assert(fcntl(fds[0], F_GETFD) == 0);
    assert(!libxl_fd_set_nonblock(ctx, fds[0], 1));
    assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert(!libxl_fd_set_nonblock(ctx, fds[0], 0));
    assert(!libxl_write_exactly(ctx, fds[1], "1234567", 7, "pipe", "digits"));
    assert(!libxl_read_exactly(ctx, fds[0], got, 5, "pipe", NULL));
    assert(!strcmp(got, "12345"));
    close(fds[1]);
    libxl_ctx_free(ctx);

    /* what fails is logged */
    ctx = new_ctx(NULL, NULL, NULL);
    freopen("/dev/null", "w", stderr);
    assert(libxl_read_exactly(ctx, fds[0], got, 5, "pipe", NULL) == EPROTO);
    assert(libxl_fd_set_cloexec(ctx, -1, 1) == ERROR_FAIL && errno == EBADF);
    close(fds[0]);
    assert(!libxl_read_file_contents(ctx, name, &data, &length));
    assert(data == NULL && length == 0);
    assert(!libxl_write_exactly(ctx, file, "text", 4, name, NULL));
    assert(!libxl_read_file_contents(ctx, name, &data, &length));
    assert(length == 4 && !memcmp(data, "text", 4));
    free(data);
    close(file);
    unlink(name);
    assert(libxl_read_file_contents(ctx, name, &data, &length) == ENOENT);
    assert(libxl_read_file_contents(ctx, "/dev", &data, NULL) == ENOTTY);

    start(ctx, "exit 3");
    assert(!libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0));
    event->link.tqe_next = NULL;
    event->link.tqe_prev = &event->link.tqe_next;
    assert(event->domid == 0);
    json = libxl_event_to_json(ctx, event);
    assert(strstr(json, "\"type\": \"childproc_exit\"") &&
           strstr(json, "\"status\": 768"));
    free(json);
    libxl_event_free(ctx, event);
    libxl_ctx_free(ctx);
    assert(!strcmp(libxl_error_to_string((libxl_error)ERROR_INVAL),
                   "error_inval"));
    assert(!libxl_error_to_string((libxl_error)-100));
#define NAMED(name, value, text)                                  \
    assert(!strcasecmp(libxl_error_to_string((libxl_error)value), \
                       "error_" #name));
    LIBXL_ERRORS(NAMED)
    assert(!strcmp(libxl_event_type_to_string(LIBXL_EVENT_TYPE_DOMAIN_DEATH),
                   "domain_death"));
    printf("utilities: as Xen's\n");
}

int main(void)
{
    xentoollog_logger *logger =
        (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);

    setvbuf(stdout, NULL, _IOLBF, 0); /* the children must not say it again */
    with_a_loop(logger);
    as_mainloop(logger);
    as_owner_of_all(logger);
    in_a_forked_child(logger);
    loggers();
    utilities(logger);
    xtl_logger_destroy(logger);
    return 0;
}
