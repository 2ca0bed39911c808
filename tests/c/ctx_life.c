/* ctx_life.c - contexts come and go: allocation, freeing, misuse
 *
 * Proves X1, X2, X4 and X5 for the ctx itself; sweep_ctx.c fails its calls.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

XT_TEST(alloc_and_free, "X1 X2")
{
    struct xt_state *before = xt_state_take();
    libxl_ctx *ctx = NULL;

    for (int i = 0; i < 50; i++) {
        XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
        XT_TRUE(ctx != NULL);
        XT_GE_INT(libxl_ctx_fileno(ctx), 0);
        XT_OK(libxl_ctx_free(ctx));
    }
    XT_STATE_SAME(before);
    xt_state_free(before);
}

XT_TEST(alloc_refuses_bad_arguments, "X1 X5")
{
    libxl_logger logger = {0, LIBXL_LOG_INFO, NULL, NULL};
    libxl_ctx *ctx = (libxl_ctx *)&logger;

    XT_RC(libxl_ctx_alloc(&ctx, LIBXL_VERSION + 1, 0, NULL), ERROR_VERSION);
    XT_EQ_PTR(ctx, NULL);
    ctx = (libxl_ctx *)&logger;
    XT_RC(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 1, NULL), ERROR_INVAL);
    XT_EQ_PTR(ctx, NULL);
    XT_RC(libxl_ctx_alloc(NULL, LIBXL_VERSION, 0, NULL), ERROR_INVAL);
    ctx = (libxl_ctx *)&logger;
    XT_RC(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger), ERROR_INVAL);
    XT_EQ_PTR(ctx, NULL);
}

/* With no fd to be had, whatever ctx_alloc needs, it fails or works; never
 * something in between. */
XT_TEST(alloc_without_fds, "X1")
{
    struct rlimit was, limit;
    struct xt_state *before;
    libxl_ctx *ctx;
    int failed = 0, rc;

    XT_SYS(getrlimit(RLIMIT_NOFILE, &was));
    before = xt_state_take();
    for (int room = 0; room < 16; room++) {
        limit = was;
        limit.rlim_cur = 3 + room;
        ctx = (libxl_ctx *)&limit;
        XT_SYS(setrlimit(RLIMIT_NOFILE, &limit));
        rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL);
        if (rc) {
            XT_EQ_INT(rc, ERROR_SYSTEM);
            XT_EQ_INT(errno, EMFILE);
            XT_EQ_PTR(ctx, NULL);
            failed++;
        } else {
            XT_OK(libxl_ctx_free(ctx));
        }
        XT_SYS(setrlimit(RLIMIT_NOFILE, &was));
        XT_STATE_SAME(before);
    }
    XT_GT_INT(failed, 0);
    XT_LT_INT(failed, 16);
    xt_state_free(before);
}

XT_TEST(free_of_null, "X2")
{
    XT_OK(libxl_ctx_free(NULL));
}

XT_TEST(null_ctx_is_refused, "X5")
{
    libxl_event *event = NULL;
    libxl_childproc_result result;
    libxl_childproc_id id;
    libxl_evgen_childproc_exit *evgen;
    libxl_asyncop_how how = {NULL, {0}};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    struct timeval now = {0, 0};
    int n = 0, timeout = -1;

    XT_RC(libxl_ctx_fileno(NULL), ERROR_INVAL);
    XT_RC(libxl_event_check(NULL, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_event_wait(NULL, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_event_wait_many(NULL, &event, 1, LIBXL_EVENTMASK_ALL, 0, 0),
          ERROR_INVAL);
    XT_RC(libxl_event_register_callbacks(NULL, NULL, NULL), ERROR_INVAL);
    XT_RC(libxl_evenable_childproc_exit(NULL, 0, 0, &evgen), ERROR_INVAL);
    XT_RC(libxl_ao_abort(NULL, &how), ERROR_INVAL);
    XT_RC(libxl_osevent_register_hooks(NULL, NULL, NULL), ERROR_INVAL);
    XT_RC(libxl_osevent_beforepoll(NULL, &n, NULL, &timeout, now),
          ERROR_INVAL);
    libxl_osevent_afterpoll(NULL, 0, NULL, now);
    libxl_osevent_occurred_fd(NULL, NULL, 0, 0, 0);
    libxl_osevent_occurred_timeout(NULL, NULL);
    libxl_childproc_setmode(NULL, NULL, NULL);
    XT_RC(libxl_childproc_setmode_checked(NULL, NULL, NULL), ERROR_INVAL);
    XT_RC(libxl_childproc_exited(NULL, 1234, 0), ERROR_NOT_READY);
    libxl_childproc_sigchld_occurred(NULL);
    XT_RC(libxl_childproc_spawn(NULL, &spec, NULL, &id, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_childproc_spawn_many(NULL, NULL, 0), ERROR_INVAL);
    XT_RC(libxl_childproc_set_starters(NULL, 1), ERROR_INVAL);
    XT_RC(libxl_childproc_wait(NULL, 1, 0, 0, &result), ERROR_INVAL);
    XT_RC(libxl_childproc_kill(NULL, 1, SIGTERM, LIBXL_KILL_PROCESS),
          ERROR_INVAL);
    XT_RC(libxl_childproc_terminate(NULL, 1, NULL), ERROR_INVAL);
    XT_RC(libxl_childproc_detach(NULL, 1), ERROR_INVAL);
    XT_RC(libxl_childproc_lookup(NULL, 1234, &id), ERROR_INVAL);
    XT_RC(libxl_childproc_count(NULL), ERROR_INVAL);
    XT_RC(libxl_childproc_adopt(NULL, 1234, 0, -1, NULL, &id), ERROR_INVAL);
    XT_RC(libxl_childproc_exec(NULL, &spec, NULL, NULL, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_childproc_diagnose(NULL, NULL, NULL), ERROR_INVAL);
    libxl_event_free(NULL, NULL);
    libxl_evdisable_childproc_exit(NULL, NULL);
}

XT_TEST(bad_arguments_change_nothing, "X5 C13")
{
    struct xt_log log;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, &log);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold"));
    libxl_childproc_fd stdin_fd;
    libxl_childproc_id id, got = 99;
    libxl_childproc_result result;
    libxl_kill_policy bad = {-1, 0, LIBXL_KILL_PROCESS};
    int p[2];

    xt_pipe(p);
    stdin_fd = (libxl_childproc_fd){0, p[0]};
    spec.fds = &stdin_fd;
    spec.nfds = 1;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    for (pid_t pid = -2; pid <= 1; pid++)
        XT_RC(libxl_childproc_lookup(ctx, pid, &got), ERROR_INVAL);
    XT_EQ_INT(got, 99);
    XT_RC(libxl_childproc_kill(ctx, id, -1, LIBXL_KILL_PROCESS), ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, 65, LIBXL_KILL_PROCESS), ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP),
          ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP),
          ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, (libxl_kill_scope)7),
          ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id + 1000, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_kill(ctx, 0, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_terminate(ctx, id, &bad), ERROR_INVAL);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 8, &result), ERROR_INVAL);
    XT_RC(libxl_childproc_wait(ctx, id, -7, 0, &result), ERROR_INVAL);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &result), ERROR_TIMEDOUT);
    XT_RC(libxl_childproc_set_starters(ctx, -1), ERROR_INVAL);
    XT_RC(libxl_childproc_set_starters(ctx, 65), ERROR_INVAL);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    xt_close(&p[1]);
    result = xt_wait(ctx, id);
    XT_EXITED(&result, 0);
    xt_close(&p[0]);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

/* pid 0, -1 and negative pids are refused where a pid is an argument. */
XT_TEST(special_pids_are_refused, "C13 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_evgen_childproc_exit *evgen = NULL;
    libxl_childproc_id id = 5;
    uint64_t ticks = 6;

    for (pid_t pid = -3; pid <= 1; pid++) {
        XT_RC(libxl_childproc_adopt(ctx, pid, 0, -1, NULL, &id), ERROR_INVAL);
        XT_RC(libxl_childproc_start_time(pid, &ticks), ERROR_INVAL);
        if (pid < 0)
            XT_RC(libxl_evenable_childproc_exit(ctx, pid, 0, &evgen),
                  ERROR_INVAL);
    }
    XT_EQ_INT(id, 5);
    XT_EQ_INT(ticks, 6);
    XT_EQ_PTR(evgen, NULL);
    xt_ctx_free(ctx);
}

/* ---- hook structs are copied and carry their size ----------------------- */

static void count_event(void *user, libxl_event *event)
{
    libxl_ctx **ctx = user;

    libxl_event_free(*ctx, event);
    *ctx = NULL; /* seen */
}

XT_TEST(hooks_are_copied, "X4")
{
    libxl_ctx *ctx, *seen;
    libxl_event_hooks hooks;
    libxl_childproc_hooks mode;
    libxl_logger logger = {0};
    struct xt_log log;
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {0}};

    xt_log_init(&log, &logger);
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger));
    memset(&logger, 0xff, sizeof(logger));
    memset(&mode, 0, sizeof(mode));
    mode.chldowner = libxl_sigchld_owner_none;
    mode.size = sizeof(mode);
    XT_OK(libxl_childproc_setmode_checked(ctx, &mode, NULL));
    memset(&mode, 0xff, sizeof(mode));
    memset(&hooks, 0, sizeof(hooks));
    hooks.event_occurs_mask = LIBXL_EVENTMASK_ALL;
    hooks.event_occurs = count_event;
    hooks.size = sizeof(hooks);
    seen = ctx;
    XT_OK(libxl_event_register_callbacks(ctx, &hooks, &seen));
    memset(&hooks, 0xff, sizeof(hooks));
    xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
    while (seen) {
        libxl_event *event;

        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 10, 0),
              ERROR_TIMEDOUT);
    }
    /* Misuse is logged through the copy of the logger. */
    XT_RC(libxl_childproc_exited(ctx, 1234, 0), ERROR_NOT_READY);
    XT_GT_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 0);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

/* The founding text's structs have no size: 0 stands for their members. */
XT_TEST(hooks_carry_their_size, "X4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_hooks mode = {libxl_sigchld_owner_none, NULL, NULL, 0};
    libxl_event_hooks events = {0};
    libxl_osevent_hooks os = {0};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;

    XT_OK(libxl_childproc_setmode_checked(ctx, &mode, NULL));
    mode.size = 3;
    XT_RC(libxl_childproc_setmode_checked(ctx, &mode, NULL), ERROR_INVAL);
    XT_OK(libxl_event_register_callbacks(ctx, &events, NULL));
    events.size = 5;
    XT_RC(libxl_event_register_callbacks(ctx, &events, NULL), ERROR_INVAL);
    XT_RC(libxl_osevent_register_hooks(ctx, &os, NULL), ERROR_INVAL);
    spec.size = 0;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_ARGUMENT);
    XT_EQ_STR(failure.argument, "size");
    xt_ctx_free(ctx);
}

/* ---- freeing with live children ----------------------------------------- */

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl,
    libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap,
    libxl_sigchld_owner_none,
};
#define NOWNERS ((int)(sizeof(owners) / sizeof(owners[0])))

static int no_children(void *user)
{
    siginfo_t info;

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1;
}

/* A child that lives until *ret_fd is closed. */
static libxl_childproc_id start_holding(libxl_ctx *ctx,
                                        libxl_free_policy policy, int *ret_fd,
                                        pid_t *ret_pid)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "5"));
    libxl_childproc_id id;
    libxl_childproc_fd fd = {0, -1};
    int p[2];

    xt_pipe(p);
    fd.source = p[0];
    spec.fds = &fd;
    spec.nfds = 1;
    spec.on_free = policy;
    id = xt_spawn(ctx, &spec, NULL, ret_pid);
    xt_close(&p[0]);
    *ret_fd = p[1];
    return id;
}

XT_TEST(free_kills_a_child, "X2")
{
    for (int i = 0; i < NOWNERS; i++) {
        struct xt_state *before = xt_state_take();
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);
        int fd;

        start_holding(ctx, LIBXL_FREE_KILL, &fd, NULL);
        xt_ctx_free(ctx);
        XT_EVENTUALLY(no_children, NULL);
        xt_close(&fd);
        XT_STATE_SAME(before);
        xt_state_free(before);
    }
}

XT_TEST(free_leaves_a_child, "X2")
{
    for (int i = 0; i < NOWNERS; i++) {
        struct xt_state *before = xt_state_take();
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);
        int fd, status;
        pid_t pid;

        start_holding(ctx, LIBXL_FREE_LEAVE, &fd, &pid);
        xt_ctx_free(ctx);
        XT_SYS(kill(pid, 0));
        xt_close(&fd);
        XT_EQ_INT(waitpid(pid, &status, 0), pid);
        XT_TRUE(WIFEXITED(status));
        XT_EQ_INT(WEXITSTATUS(status), 5);
        XT_STATE_SAME(before);
        xt_state_free(before);
    }
}

/* Detached children outlive the ctx and are still reaped, not by the host. */
XT_TEST(free_detaches_a_child, "X2")
{
    for (int i = 0; i < NOWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);
        int fd;
        pid_t pid;

        XT_NOTE("owner %s", libxl_childproc_owner_name(owners[i]));
        start_holding(ctx, LIBXL_FREE_DETACH, &fd, &pid);
        xt_ctx_free(ctx);
        XT_SYS(kill(pid, 0));
        xt_close(&fd);
        XT_EVENTUALLY(no_children, NULL);
    }
}

/* The detached child of one ctx while another goes on. */
XT_TEST(free_detaches_beside_another_ctx, "X2 X3")
{
    libxl_ctx *a = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_ctx *b = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int fd_a, fd_b;

    start_holding(a, LIBXL_FREE_DETACH, &fd_a, NULL);
    id = start_holding(b, LIBXL_FREE_DETACH, &fd_b, NULL);
    xt_ctx_free(a);
    xt_close(&fd_b);
    r = xt_wait(b, id);
    XT_EXITED(&r, 5);
    xt_close(&fd_a);
    XT_EVENTUALLY(no_children, NULL);
    xt_ctx_free(b);
}

XT_TEST(detach_is_reaped_in_silence, "X2 C5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;
    int fd;

    id = start_holding(ctx, LIBXL_FREE_DETACH, &fd, NULL);
    XT_OK(libxl_childproc_detach(ctx, id));
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    xt_close(&fd);
    while (libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 10,
                                    0),
              ERROR_TIMEDOUT);
    XT_TRUE(no_children(NULL));
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_NOTFOUND);
    xt_ctx_free(ctx);
}

/* Unread events, held results, evenables and operations go with the ctx. */
XT_TEST(free_takes_everything, "X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report event = {LIBXL_REPORT_EVENT, NULL, {9}};
    libxl_evgen_childproc_exit *evgen;
    libxl_childproc_result r;
    libxl_childproc_id held, waited;

    XT_OK(libxl_evenable_childproc_exit(ctx, 0, 4, &evgen));
    for (int i = 0; i < 5; i++)
        xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &event, NULL);
    held = xt_spawn_argv(ctx, XT_CHILD("exit", "2"), NULL, NULL);
    waited = xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL);
    r = xt_wait(ctx, waited);
    XT_EXITED(&r, 3);
    while (libxl_childproc_wait(ctx, held + 100, 0, 0, &r) != ERROR_NOTFOUND)
        ;
    xt_ctx_free(ctx);
    XT_EVENTUALLY(no_children, NULL);
}

static int rc_in_callback;

static void free_inside(libxl_ctx *ctx, const libxl_childproc_result *result,
                        void *user)
{
    int *seen = user;

    (void)result;
    rc_in_callback = libxl_ctx_free(ctx);
    *seen = 1;
}

XT_TEST(free_inside_a_callback_is_refused, "X5 X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int seen = 0;
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, free_inside,
                                     {.for_callback = &seen}};
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;

    xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
    while (!seen)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 10,
                                    0),
              ERROR_TIMEDOUT);
    XT_EQ_INT(rc_in_callback, ERROR_BUSY);
    /* and the ctx is as good as before */
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "4"), NULL, NULL);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 4);
    xt_ctx_free(ctx);
}

/* Freeing puts the host's SIGCHLD disposition back, bit for bit. */
static void host_handler(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)info;
    (void)context;
}

XT_TEST(free_restores_sigchld, "X2 C1 C3")
{
    struct sigaction action = {.sa_sigaction = host_handler,
                               .sa_flags = SA_SIGINFO | SA_RESTART |
                                           SA_NODEFER};
    struct xh_action old = xh_action_get(SIGCHLD);

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    XT_SYS(sigaction(SIGCHLD, &action, NULL));
    for (int i = 0; i < NOWNERS; i++) {
        struct xt_state *before = xt_state_take();
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);
        int fd;

        start_holding(ctx, LIBXL_FREE_KILL, &fd, NULL);
        xt_ctx_free(ctx);
        XT_EVENTUALLY(no_children, NULL);
        xt_close(&fd);
        XT_STATE_SAME(before);
        xt_state_free(before);
    }
    xh_action_set(SIGCHLD, &old);
}
