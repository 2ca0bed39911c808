/* both.c - a program with children of its own beside the library's
 *
 *     both N HELPER
 *
 * In the founding text's default mode one thread starts N children through
 * the library, another forks N of the program's own, at the same time, each
 * with a status that its neighbours do not have. At the end every status
 * must have arrived, once, at whoever started the child, and SIGCHLD's
 * disposition must be what it was. Prints what it found; exits with 0 if all
 * of it is right. Run by treaty_programs.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xlchild.h"

#define LIVE_AT_ONCE 200

static void die(const char *what, int rc)
{
    fprintf(stderr, "both: %s: %s\n", what,
            rc ? libxl_strerror(rc) : strerror(errno));
    exit(2);
}

/* ---- 0 .. 279: exit codes, then signals that leave no core file --------- */

static const int fatal[] = {
    SIGHUP,  SIGINT, SIGKILL,   SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM,
    SIGPROF, SIGIO,  SIGVTALRM, 35,      36,      37,      38,      39,
    40,      41,     42,        43,      44,      45,      46,      47};
#define NFATAL ((int)(sizeof(fatal) / sizeof(fatal[0])))

static int status_of(int n)
{
    n %= 256 + NFATAL;
    return n < 256 ? n << 8 : fatal[n - 256];
}

/* ---- the program's own children ----------------------------------------- */

struct own {
    pid_t pid;
    int status;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct own *started, *told;
    int nstarted, ntold;
    long handled; /* by the program's own SIGCHLD handler */
} own = {.lock = PTHREAD_MUTEX_INITIALIZER,
         .changed = PTHREAD_COND_INITIALIZER};

static void own_handler(int signo, siginfo_t *info, void *ucontext)
{
    (void)signo;
    (void)info;
    (void)ucontext;
    __atomic_add_fetch(&own.handled, 1, __ATOMIC_RELAXED);
}

static int own_exited(pid_t pid, int status, void *user)
{
    int n = *(int *)user;

    pthread_mutex_lock(&own.lock);
    if (own.ntold < n + 100) {
        own.told[own.ntold].pid = pid;
        own.told[own.ntold].status = status;
    }
    own.ntold++;
    pthread_cond_broadcast(&own.changed);
    pthread_mutex_unlock(&own.lock);
    return 0;
}

static void end_with(int status)
{
    if (!WIFSIGNALED(status))
        _exit(WEXITSTATUS(status));
    for (;;)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), WTERMSIG(status));
}

static void *start_own(void *arg)
{
    int n = *(int *)arg;

    for (int i = 0; i < n; i++) {
        int status = status_of(i * 2 + 1);
        pid_t pid;

        pthread_mutex_lock(&own.lock);
        while (own.nstarted - own.ntold >= LIVE_AT_ONCE)
            pthread_cond_wait(&own.changed, &own.lock);
        pthread_mutex_unlock(&own.lock);
        pid = fork();
        if (pid < 0)
            die("fork", 0);
        if (!pid)
            end_with(status);
        pthread_mutex_lock(&own.lock);
        own.started[own.nstarted].pid = pid;
        own.started[own.nstarted].status = status;
        own.nstarted++;
        pthread_mutex_unlock(&own.lock);
    }
    return NULL;
}

/* A pid may be used again after its owner was told of: compare in order. */
static int count_own_right(int n, int *ret_twice)
{
    int right = 0, told = own.ntold < n + 100 ? own.ntold : n + 100;

    *ret_twice = 0;
    for (int i = 0; i < told; i++) {
        int k;

        for (k = 0; k < n && own.started[k].pid != own.told[i].pid; k++)
            ;
        if (k == n) {
            ++*ret_twice;
            continue;
        }
        right += own.started[k].status == own.told[i].status;
        own.started[k].pid = -1;
    }
    return right;
}

/* ---- the library's ------------------------------------------------------ */

static int take_events(libxl_ctx *ctx, int n, int *seen, int timeout_ms)
{
    libxl_event *event[64];
    int right = 0;
    int got = libxl_event_wait_many(ctx, event, 64, LIBXL_EVENTMASK_ALL,
                                    timeout_ms, 0);

    if (got == ERROR_TIMEDOUT)
        return 0;
    if (got < 0)
        die("libxl_event_wait_many", got);
    for (int i = 0; i < got; i++) {
        const libxl_childproc_result *r = &event[i]->u.childproc_exit;
        uint64_t k = event[i]->for_user;

        if (k < (uint64_t)n) {
            seen[k]++;
            right += r->lost == LIBXL_LOST_NONE &&
                     r->status == status_of((int)k * 2);
        }
        libxl_event_free(ctx, event[i]);
    }
    return right;
}

static void start_one(libxl_ctx *ctx, const char *helper, int status,
                      uint64_t number, int hold_fd)
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_fd fd = {0, hold_fd};
    libxl_childproc_failure failure;
    libxl_childproc_spec spec;
    const char *argv[6];
    char text[16];
    int n = 0, rc;

    snprintf(text, sizeof(text), "%d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    argv[n++] = helper;
    if (hold_fd >= 0)
        argv[n++] = "hold";
    argv[n++] = WIFSIGNALED(status) ? "signal" : "exit";
    argv[n++] = text;
    argv[n] = NULL;
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    if (hold_fd >= 0) {
        spec.fds = &fd;
        spec.nfds = 1;
    }
    report.u.for_event = number;
    rc = libxl_childproc_spawn(ctx, &spec, &report, NULL, NULL, &failure);
    if (rc)
        die("libxl_childproc_spawn", rc);
}

/* The kernel's own words: two are the same if every bit is. */
struct action {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long long mask;
};

static struct action sigchld_now(void)
{
    struct action a;

    memset(&a, 0, sizeof(a));
    if (syscall(SYS_rt_sigaction, SIGCHLD, NULL, &a, 8))
        die("rt_sigaction", 0);
    return a;
}

int main(int argc, char **argv)
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_libxl,
                                   .childproc_exited_callback = own_exited,
                                   .size = sizeof(hooks)};
    int n = argc == 3 ? atoi(argv[1]) : 0;
    int right = 0, done = 0, own_right, own_twice, twice = 0, same;
    int gate[2], *seen;
    struct sigaction mine;
    struct action before, after;
    libxl_ctx *ctx = NULL;
    pthread_t starter;

    if (n < 1) {
        fprintf(stderr, "usage: both N HELPER\n");
        return 2;
    }
    own.started = calloc(n, sizeof(*own.started));
    own.told = calloc(n + 100, sizeof(*own.told));
    seen = calloc(n, sizeof(*seen));
    if (!own.started || !own.told || !seen || pipe(gate))
        die("setting up", 0);

    memset(&mine, 0, sizeof(mine));
    mine.sa_sigaction = own_handler;
    mine.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
    sigaddset(&mine.sa_mask, SIGUSR1);
    sigaddset(&mine.sa_mask, SIGRTMIN + 1);
    if (sigaction(SIGCHLD, &mine, NULL))
        die("sigaction", 0);
    before = sigchld_now();

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL))
        die("libxl_ctx_alloc", 0);
    libxl_childproc_setmode(ctx, &hooks, &n);
    /* The last child of ours lives until the program's own are all told: the
     * library owns SIGCHLD that long. */
    start_one(ctx, argv[2], status_of((n - 1) * 2), n - 1, gate[0]);
    close(gate[0]);
    if (pthread_create(&starter, NULL, start_own, &n))
        die("pthread_create", 0);
    for (int started = 0; started < n - 1; started++) {
        while (started - done >= LIVE_AT_ONCE) {
            right += take_events(ctx, n, seen, 1000);
            done = 0;
            for (int i = 0; i < n; i++)
                done += seen[i];
        }
        start_one(ctx, argv[2], status_of(started * 2), started, -1);
    }
    for (;;) {
        int told;

        right += take_events(ctx, n, seen, 10);
        pthread_mutex_lock(&own.lock);
        told = own.ntold;
        pthread_mutex_unlock(&own.lock);
        if (gate[1] >= 0 && told >= n) {
            close(gate[1]);
            gate[1] = -1;
        }
        done = 0;
        for (int i = 0; i < n; i++)
            done += seen[i] > 0;
        if (done == n && told >= n)
            break;
    }
    pthread_join(starter, NULL);
    take_events(ctx, n, seen, 20);
    after = sigchld_now();
    same = !memcmp(&before, &after, sizeof(before));
    for (int i = 0; i < n; i++)
        twice += seen[i] > 1;
    own_right = count_own_right(n, &own_twice);
    libxl_ctx_free(ctx);
    printf("library: %d of %d right, %d more than once\n", right, n, twice);
    printf("program: %d of %d right, %d unknown or more than once\n", own_right,
           n, own_twice);
    printf("SIGCHLD: %s; own handler called %s\n",
           same ? "as it was" : "changed", own.handled ? "as well" : "never");
    errno = 0;
    same = same && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
    free(own.started);
    free(own.told);
    free(seen);
    return right == n && own_right == n && !twice && !own_twice && same &&
                   own.handled
               ? 0
               : 1;
}
