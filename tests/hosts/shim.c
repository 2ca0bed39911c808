/* shim.c - our half of a cell: fifty children inside somebody's program
 *
 * Loaded into a host by LD_PRELOAD, started by tests/hosts/driver.py. It has a
 * thread and a context of its own and starts children beside those of the host,
 * which need not know of it. The protocol is in tests/hosts/README.md.
 *
 * A host that can do its part of the treaty finds three functions:
 * xlhost_mode, xlhost_exited and xlhost_on_stranger (host.h).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xlchild.h"

#define CHILDREN 50
#define HELD 10    /* these live until the host has done its part */
#define TICK_MS 20 /* how often the host's word is looked for */

#define EXPORT __attribute__((visibility("default")))

EXPORT int xlhost_mode(void);
EXPORT int xlhost_exited(pid_t pid, int status);
EXPORT void xlhost_on_stranger(int (*told)(pid_t pid, int status));

static struct {
    libxl_ctx *ctx;
    libxl_sigchld_owner owner;
    int passes; /* the host does its part */
    int early;  /* we are initialised before the host is */
    int go, gate[2];
    pid_t pid; /* of the host; a child that it forked has nothing to do here */
    char **envp; /* of our children: the host may change its own meanwhile */
    int started, ended, refused;
    char said[256]; /* what came from the host, not yet a whole line */
    char child[4096], go_path[4096], end_path[4096], ours_path[4096];
    FILE *ours;
    pthread_t thread;
    int finished;
    int (*stranger)(pid_t, int);
} shim = {.go = -1, .gate = {-1, -1}};

static void say(const char *what, int rc)
{
    fprintf(shim.ours, "%s %s\n", what, libxl_strerror(rc));
}

static void log_line(void *user, libxl_log_level level, int errnoval,
                     const char *message)
{
    (void)user;
    fprintf(shim.ours, "log %d %d %s\n", (int)level, errnoval, message);
}

static int on_stranger(pid_t pid, int status, void *user)
{
    int (*told)(pid_t, int) = __atomic_load_n(&shim.stranger, __ATOMIC_ACQUIRE);

    (void)user;
    return told ? told(pid, status) : ERROR_NOT_READY;
}

/* ---- what a host may call ----------------------------------------------- */

int xlhost_mode(void)
{
    return shim.passes ? (int)shim.owner : -1;
}

int xlhost_exited(pid_t pid, int status)
{
    return shim.ctx ? libxl_childproc_exited(shim.ctx, pid, status)
                    : ERROR_NOT_READY;
}

void xlhost_on_stranger(int (*told)(pid_t pid, int status))
{
    __atomic_store_n(&shim.stranger, told, __ATOMIC_RELEASE);
}

/* ---- our children ------------------------------------------------------- */

static int arm(void)
{
    libxl_childproc_hooks hooks = {.chldowner = shim.owner,
                                   .size = sizeof(hooks)};
    libxl_logger logger = {sizeof(logger), LIBXL_LOG_WARNING, log_line, NULL};
    int rc;

    if (shim.passes && (shim.owner == libxl_sigchld_owner_libxl ||
                        shim.owner == libxl_sigchld_owner_libxl_always))
        hooks.childproc_exited_callback = on_stranger;
    rc = libxl_ctx_alloc(&shim.ctx, LIBXL_VERSION, 0, &logger);
    if (!rc)
        rc = libxl_childproc_setmode_checked(shim.ctx, &hooks, NULL);
    if (rc)
        say("refused", rc);
    return rc;
}

static void start(int number)
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_fd fds[] = {{0, LIBXL_FD_NULL}};
    libxl_childproc_failure failure;
    libxl_childproc_spec spec;
    char code[16], milliseconds[16];
    const char *argv[] = {shim.child, "sleep-ms", milliseconds,
                          "exit",     code,       NULL};
    int rc;

    snprintf(code, sizeof(code), "%d", number + 1);
    snprintf(milliseconds, sizeof(milliseconds), "%d", number % 16);
    if (number < HELD) {
        argv[1] = "hold";
        argv[2] = "exit";
        argv[3] = code;
        argv[4] = NULL;
        fds[0].source = shim.gate[0];
    }
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    spec.envp = shim.envp;
    spec.fds = fds;
    spec.nfds = 1;
    report.u.for_event = (uint64_t)number;
    rc = libxl_childproc_spawn(shim.ctx, &spec, &report, NULL, NULL, &failure);
    if (rc) {
        shim.refused++;
        fprintf(shim.ours, "refused %s: %s: %s\n", libxl_strerror(rc),
                libxl_childproc_stage_name(failure.stage),
                strerror(failure.errnoval));
    } else {
        shim.started++;
    }
}

static void start_some(int first, int last)
{
    for (int number = first; number < last; number++)
        start(number);
}

static void take_events(void)
{
    libxl_event *event[16];
    int n;

    if (shim.owner == libxl_sigchld_owner_mainloop)
        libxl_childproc_sigchld_occurred(shim.ctx);
    n = libxl_event_wait_many(shim.ctx, event, 16, LIBXL_EVENTMASK_ALL, TICK_MS,
                              0);
    for (int i = 0; i < n; i++) {
        const libxl_childproc_result *r = &event[i]->u.childproc_exit;
        int number = (int)event[i]->for_user;

        if (r->lost)
            fprintf(shim.ours, "%d lost %s\n", number,
                    libxl_childproc_lost_text(r->lost));
        else if (WIFEXITED(r->status))
            fprintf(shim.ours, "%d %d\n", number, WEXITSTATUS(r->status));
        else
            fprintf(shim.ours, "%d signal %d\n", number, WTERMSIG(r->status));
        shim.ended++;
        libxl_event_free(shim.ctx, event[i]);
    }
}

/* ---- the thread --------------------------------------------------------- */

/* Whether the host has said word, in a line of its own. */
static int host_said(const char *word, int timeout_ms)
{
    struct pollfd p = {shim.go, POLLIN, 0};
    size_t have = strlen(shim.said);
    char *line;

    if (poll(&p, 1, timeout_ms) > 0) {
        ssize_t n =
            read(shim.go, shim.said + have, sizeof(shim.said) - 1 - have);

        if (n > 0)
            shim.said[have + (size_t)n] = '\0';
    }
    while ((line = strchr(shim.said, '\n'))) {
        int same;

        *line = '\0';
        same = !strcmp(shim.said, word);
        memmove(shim.said, line + 1, strlen(line + 1) + 1);
        if (same)
            return 1;
    }
    return 0;
}

static void close_gate(void)
{
    close(shim.gate[1]);
    shim.gate[1] = -1;
}

static void finish(void)
{
    char part[4200];
    int rc = libxl_ctx_free(shim.ctx), fd;

    if (rc)
        say("free", rc);
    shim.ctx = NULL;
    fprintf(shim.ours, "end\n");
    fclose(shim.ours);
    snprintf(part, sizeof(part), "%s.part", shim.ours_path);
    if (rename(part, shim.ours_path))
        perror("shim: rename");
    __atomic_store_n(&shim.finished, 1, __ATOMIC_RELEASE);
    fd = open(shim.end_path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "end\n", 4) != 4)
        perror("shim: end");
    close(fd);
}

static void *our_thread(void *unused)
{
    int done = 0;

    (void)unused;
    pthread_setname_np(pthread_self(), "shim");
    while (!host_said("go", TICK_MS))
        if (shim.early)
            take_events();
    if (!shim.early) {
        if (arm()) {
            shim.refused = CHILDREN;
            finish();
            return NULL;
        }
        start_some(0, HELD);
    }
    start_some(HELD, CHILDREN);
    while (shim.ended < shim.started) {
        take_events();
        if (!done && host_said("done", 0)) {
            done = 1;
            close_gate();
        }
    }
    finish();
    return NULL;
}

static char *from_environment(const char *name, char *to, size_t size)
{
    const char *value = getenv(name);

    if (!value || strlen(value) >= size)
        return NULL;
    return strcpy(to, value);
}

static char **copy_environment(void)
{
    size_t n = 0;
    char **copy;

    while (environ[n])
        n++;
    copy = calloc(n + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = strdup(environ[i]);
    return copy;
}

__attribute__((constructor)) static void begin(void)
{
    char owner[16], order[16], part[4200];
    sigset_t all, before;

    if (!from_environment("XLHOST_OWNER", owner, sizeof(owner)) ||
        !from_environment("XLHOST_ORDER", order, sizeof(order)) ||
        !from_environment("XLHOST_CHILD", shim.child, sizeof(shim.child)) ||
        !from_environment("XLHOST_GO", shim.go_path, sizeof(shim.go_path)) ||
        !from_environment("XLHOST_END", shim.end_path, sizeof(shim.end_path)) ||
        !from_environment("XLHOST_OURS", shim.ours_path,
                          sizeof(shim.ours_path)))
        return;
    /* Not in the programs that this one starts, or becomes. */
    unsetenv("LD_PRELOAD");
    unsetenv("XLHOST_OWNER");
    shim.owner = (libxl_sigchld_owner)atoi(owner);
    shim.early = !strcmp(order, "before");
    shim.passes = getenv("XLHOST_PASS") != NULL;
    snprintf(part, sizeof(part), "%s.part", shim.ours_path);
    shim.pid = getpid();
    shim.envp = copy_environment();
    shim.ours = fopen(part, "we");
    shim.go = open(shim.go_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (!shim.ours || shim.go < 0 || !shim.envp ||
        pipe2(shim.gate, O_CLOEXEC)) {
        perror("shim");
        _exit(125);
    }
    setvbuf(shim.ours, NULL, _IONBF, 0); /* nothing for a fork to copy */
    if (shim.early) {
        if (arm())
            _exit(125);
        start_some(0, HELD);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&shim.thread, NULL, our_thread, NULL))
        _exit(125);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A host that ends without a word of its own has done its part. */
__attribute__((destructor)) static void end(void)
{
    static const char words[] = "go\ndone\n";
    int fd;

    if (shim.go < 0 || getpid() != shim.pid ||
        __atomic_load_n(&shim.finished, __ATOMIC_ACQUIRE))
        return;
    fd = open(shim.go_path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, words, sizeof(words) - 1) > 0)
        pthread_join(shim.thread, NULL);
}
