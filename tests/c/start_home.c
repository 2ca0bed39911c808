/* start_home.c - what may run where
 *
 * Proves C11 and C17: no callback runs in a signal handler or in a child; the
 * child's half of a start calls nothing that the parent's half may call, and
 * the caller's mask is as before.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "sweep.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- where callbacks run ------------------------------------------------ */

/* Nothing async-signal-unsafe could detect it; but a signal handler runs with
 * SIGCHLD blocked, and a child has another pid. */
static pid_t home;

static void at_home(void)
{
    sigset_t mask;

    XT_EQ_INT(getpid(), home);
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    XT_EQ_INT(sigismember(&mask, SIGCHLD), 0);
    XT_EQ_INT(sigismember(&mask, SIGUSR1), 0);
    XT_EQ_INT(sigismember(&mask, SIGTERM), 0);
}

struct where {
    libxl_ctx *ctx;
    int exits, strangers, events, logs;
};

static void exit_at_home(libxl_ctx *ctx, const libxl_childproc_result *result,
                         void *user)
{
    (void)ctx;
    (void)result;
    at_home();
    ((struct where *)user)->exits++;
}

static int stranger_at_home(pid_t pid, int status, void *user)
{
    (void)pid;
    XT_TRUE(WIFEXITED(status));
    at_home();
    ((struct where *)user)->strangers++;
    return 0;
}

static void event_at_home(void *user, libxl_event *event)
{
    struct where *w = user;

    at_home();
    w->events++;
    libxl_event_free(w->ctx, event);
}

static void log_at_home(void *user, libxl_log_level level, int errnoval,
                        const char *message)
{
    (void)level;
    (void)errnoval;
    (void)message;
    at_home();
    ((struct where *)user)->logs++;
}

XT_TEST(callbacks_run_at_home, "C11 E4 C1")
{
    struct where w = {0};
    libxl_logger logger = {sizeof(logger), LIBXL_LOG_DEBUG, log_at_home, &w};
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_libxl, NULL,
                                   stranger_at_home, sizeof(hooks)};
    libxl_event_hooks events = {LIBXL_EVENTMASK_ALL, event_at_home, NULL,
                                sizeof(events)};
    libxl_childproc_report by_callback = {LIBXL_REPORT_CALLBACK, exit_at_home,
                                          {.for_callback = &w}};
    libxl_childproc_report by_event = {LIBXL_REPORT_EVENT, NULL, {1}};
    libxl_childproc_spec broken = xt_spec(XT_CHILD("exit", "0"));
    libxl_event *none;
    sigset_t usr;

    home = getpid();
    /* Signals that the host blocks are not what is looked at. */
    sigemptyset(&usr);
    XT_OK(libxl_ctx_alloc(&w.ctx, LIBXL_VERSION, 0, &logger));
    XT_OK(libxl_childproc_setmode_checked(w.ctx, &hooks, &w));
    XT_OK(libxl_event_register_callbacks(w.ctx, &events, &w));
    broken.cwd = "/nonexistent/directory";
    for (int i = 0; i < 30; i++) {
        pid_t pid;

        xt_spawn_argv(w.ctx, XT_CHILD("exit", "1"), &by_callback, NULL);
        xt_spawn_argv(w.ctx, XT_CHILD("exit", "2"), &by_event, NULL);
        XT_RC(libxl_childproc_spawn(w.ctx, &broken, NULL, NULL, NULL, NULL),
              ERROR_SPAWN);
        pid = fork();
        XT_SYS(pid);
        if (!pid)
            _exit(3);
    }
    {
        /* Strangers are reaped while the ctx has a child of its own. */
        libxl_childproc_id id =
            xt_spawn_argv(w.ctx, XT_CHILD("pause"), NULL, NULL);
        libxl_childproc_result r;

        while (w.exits < 30 || w.events < 30 || w.strangers < 30)
            XT_RC(libxl_event_wait_many(w.ctx, &none, 1, 0, 20, 0),
                  ERROR_TIMEDOUT);
        XT_OK(libxl_childproc_kill(w.ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
        r = xt_wait(w.ctx, id);
        XT_SIGNALED(&r, SIGKILL);
    }
    XT_EQ_INT(w.exits, 30);
    XT_EQ_INT(w.events, 30);
    XT_EQ_INT(w.strangers, 30);
    xt_ctx_free(w.ctx);
}

/* The same calls from a thread that only floods the process with SIGCHLD. */
struct flood {
    atomic_int stop;
};

static void *flood(void *user)
{
    struct flood *f = user;

    while (!atomic_load(&f->stop)) {
        kill(getpid(), SIGCHLD);
        sched_yield();
    }
    return NULL;
}

XT_TEST(callbacks_run_at_home_in_a_flood, "C11 C7 C8")
{
    struct where w = {0};
    struct flood f = {0};
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, exit_at_home,
                                     {.for_callback = &w}};
    libxl_event *none;
    pthread_t thread;

    home = getpid();
    w.ctx = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    XT_EQ_INT(pthread_create(&thread, NULL, flood, &f), 0);
    for (int i = 0; i < 200; i++)
        xt_spawn_argv(w.ctx, (const char *const[]){xt_tiny_path(), NULL},
                      &report, NULL);
    while (w.exits < 200)
        XT_RC(libxl_event_wait_many(w.ctx, &none, 1, 0, 20, 0),
              ERROR_TIMEDOUT);
    atomic_store(&f.stop, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xt_ctx_free(w.ctx);
}

/* ---- between fork and exec ---------------------------------------------- */

static void start_one_of_everything(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "5"));
    libxl_childproc_fd fds[] = {{0, 2}, {2, 0}, {7, LIBXL_FD_NULL}};
    libxl_childproc_rlimit limit = {RLIMIT_CORE, {0, 0}};
    sigset_t set;
    libxl_childproc_result r;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    spec.fds = fds;
    spec.nfds = 3;
    spec.cwd = "/";
    spec.flags = LIBXL_SPAWN_NEW_SESSION | LIBXL_SPAWN_SET_UMASK |
                 LIBXL_SPAWN_SET_NICE | LIBXL_SPAWN_SET_PDEATHSIG |
                 LIBXL_SPAWN_IGNORE_SIGPIPE;
    spec.umask = 077;
    spec.nice = 1;
    spec.pdeathsig = SIGKILL;
    spec.rlimits = &limit;
    spec.nrlimits = 1;
    spec.sigmask = &set;
    spec.sigignore = &set;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 5);
    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
          ERROR_SPAWN);
}

/* The parent's table of calls, malloc included, is never used in a child. */
XT_TEST(the_childs_half_stays_apart, "C17 C11")
{
    libxl_ctx *ctx;

    xs_watch();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    start_one_of_everything(ctx);
    xt_ctx_free(ctx);
    XT_GT_INT(xs_calls(), 0);
    XT_EQ_INT(xs_foreign_calls(), 0);
    ctx = xt_ctx_forking(libxl_sigchld_owner_none, 1);
    start_one_of_everything(ctx);
    xt_ctx_free(ctx);
    XT_EQ_INT(xs_foreign_calls(), 0);
}

/* Another thread holds malloc's and stdio's locks most of the time. */
static void *hog(void *user)
{
    struct flood *f = user;
    FILE *null = fopen("/dev/null", "we");

    XT_TRUE(null != NULL);
    while (!atomic_load(&f->stop)) {
        char *p = malloc(1 + rand() % 100000);

        fprintf(null, "%p\n", (void *)p);
        free(p);
    }
    fclose(null);
    return NULL;
}

XT_TEST_SLOW(locks_held_elsewhere_do_not_matter, "C17 C14", 120)
{
    struct flood f = {0};
    pthread_t thread;

    XT_EQ_INT(pthread_create(&thread, NULL, hog, &f), 0);
    for (int kind = 0; kind < 2; kind++) {
        libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, kind);

        for (int i = 0; i < 100; i++)
            start_one_of_everything(ctx);
        xt_ctx_free(ctx);
    }
    atomic_store(&f.stop, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
}

/* A failing start leaves the caller's mask, handlers and errno's meaning. */
XT_TEST(mask_of_the_caller_survives, "C17 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    sigset_t set, old;
    struct xt_state *before;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGHUP);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &set, &old), 0);
    start_one_of_everything(ctx);
    before = xt_state_take();
    start_one_of_everything(ctx);
    XT_STATE_SAME(before);
    xt_state_free(before);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    xt_ctx_free(ctx);
}
