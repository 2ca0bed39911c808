/* treaty_libxl.c - the default mode: the library owns SIGCHLD while it has a
 * child, and reaps all children of the process
 *
 * Contract line C1, and what it says about dispositions that were there
 * before. The handler's own behaviour is in treaty_handler.c; the modes that
 * follow from this one are in treaty_always.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"

static void never(int signo)
{
    (void)signo;
}

static void never_info(int signo, siginfo_t *info, void *ucontext)
{
    (void)signo;
    (void)info;
    (void)ucontext;
}

/* ---- the handler is there exactly while there is a child ----------------- */

XT_TEST(handler_only_while_a_child_is_unreaped, "C1 defect-16")
{
    struct xh_action before = xh_action_get(SIGCHLD), during;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);

    XH_SIGCHLD_IS(&before);
    for (int i = 0; i < 3; i++) {
        libxl_childproc_id a, b;
        libxl_childproc_result r;
        int gate_a, gate_b;

        a = xh_spawn_held(ctx, XH_EXIT(3), NULL, NULL, &gate_a, NULL);
        during = xh_action_get(SIGCHLD);
        XT_TRUE(!xh_action_equal(&during, &before));
        XT_TRUE(during.flags & SA_ONSTACK);
        XT_EQ_INT(xh_diagnose(ctx).handler_installed, 1);
        XT_EQ_INT(xh_diagnose(ctx).handler_wanted, 1);

        b = xh_spawn_held(ctx, XH_SIGNAL(SIGUSR1), NULL, NULL, &gate_b, NULL);
        xt_close(&gate_a);
        r = xt_wait(ctx, a);
        XT_EXITED(&r, 3);
        XH_SIGCHLD_IS(&during);

        xt_close(&gate_b);
        r = xt_wait(ctx, b);
        XT_SIGNALED(&r, SIGUSR1);
        XH_SIGCHLD_IS(&before);
        XT_EQ_INT(xh_diagnose(ctx).handler_installed, 0);
        XT_EQ_INT(xh_diagnose(ctx).handler_wanted, 0);
    }
    xt_ctx_free(ctx);
}

static int no_children_left(void *user)
{
    siginfo_t info;

    (void)user;
    return waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG) < 0 &&
           errno == ECHILD;
}

static void comes_back(const struct xh_action *before)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate;

    XH_SIGCHLD_IS(before);
    id = xh_spawn_held(ctx, XH_EXIT(7), NULL, NULL, &gate, NULL);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 7);
    XH_SIGCHLD_IS(before);

    /* A start that fails leaves it, too. */
    {
        const char *const argv[] = {"/nonexistent/program", NULL};
        libxl_childproc_spec spec = xt_spec(argv);

        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
              ERROR_SPAWN);
    }
    XH_SIGCHLD_IS(before);

    /* So does a ctx that is freed while its child lives. */
    {
        libxl_childproc_spec spec = xt_spec(NULL);

        spec.on_free = LIBXL_FREE_KILL;
        xh_spawn_held(ctx, XH_EXIT(0), &spec, NULL, &gate, NULL);
        xt_ctx_free(ctx);
        xt_close(&gate);
    }
    XH_SIGCHLD_IS(before);
    XT_EVENTUALLY(no_children_left, NULL);
}

XT_TEST(disposition_comes_back_bit_for_bit, "C1 X2")
{
    struct xh_action dfl = xh_action_get(SIGCHLD), a;
    sigset_t some, all;

    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGRTMAX);
    sigfillset(&all);

    comes_back(&dfl);
    a = xh_sigchld_install(SIG_DFL, SA_NOCLDSTOP | SA_RESTART, &some);
    comes_back(&a);
    a = xh_sigchld_install(never, 0, NULL);
    comes_back(&a);
    a = xh_sigchld_install(never, SA_RESTART | SA_NODEFER, &some);
    comes_back(&a);
    a = xh_sigchld_install(never, SA_RESTART | SA_NOCLDSTOP | SA_ONSTACK, &all);
    comes_back(&a);
    a = xh_sigchld_install_info(never_info, SA_ONSTACK | SA_NODEFER, &some);
    comes_back(&a);
    xh_action_set(SIGCHLD, &dfl);
}

XT_TEST(an_ignored_sigchld_comes_back_too, "C1 C9")
{
    struct xh_action dfl = xh_action_get(SIGCHLD), a;

    a = xh_sigchld_install(SIG_IGN, 0, NULL);
    comes_back(&a);
    a = xh_sigchld_install(SIG_IGN, SA_RESTART, NULL);
    comes_back(&a);
    a = xh_sigchld_install(never, SA_NOCLDWAIT, NULL);
    comes_back(&a);
    xh_action_set(SIGCHLD, &dfl);
}

/* ---- strangers ----------------------------------------------------------- */

struct strangers {
    libxl_ctx *ctx;
    int n;
    struct {
        pid_t pid;
        int status;
    } got[64];
    int answer;
    pthread_t thread;
    libxl_childproc_id started;
};

static int take_stranger(pid_t pid, int status, void *user)
{
    struct strangers *s = user;

    XT_LT_INT(s->n, 64);
    XT_TRUE(pthread_equal(pthread_self(), s->thread));
    s->got[s->n].pid = pid;
    s->got[s->n].status = status;
    s->n++;
    return s->answer;
}

static int expected_status(const struct strangers *s, pid_t pid)
{
    int found = -1;

    for (int i = 0; i < s->n; i++)
        if (s->got[i].pid == pid) {
            XT_EQ_INT(found, -1);
            found = s->got[i].status;
        }
    return found;
}

/* Pumps until so many strangers were told. */
static void until_told(libxl_ctx *ctx, const struct strangers *s, int n)
{
    libxl_event *event;

    while (s->n < n)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 5, 0), ERROR_TIMEDOUT);
}

XT_TEST(strangers_reach_the_callback_with_their_status, "C1 C5 defect-16")
{
    struct strangers s = {.thread = pthread_self()};
    struct xt_log log;
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, &log, take_stranger, &s);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid[40], ours;
    int gate;

    id = xh_spawn_held(ctx, XH_EXIT(9), NULL, NULL, &gate, &ours);
    for (int i = 0; i < 40; i++)
        pid[i] = xh_fork(xh_end_of(i * 7 + 1));
    for (int i = 0; i < 40; i++)
        if (s.n < i + 1)
            until_told(ctx, &s, i + 1);
    XT_EQ_INT(s.n, 40);
    for (int i = 0; i < 40; i++)
        XT_EQ_INT(expected_status(&s, pid[i]),
                  xh_end_status(xh_end_of(i * 7 + 1)));
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 9);
    XT_EQ_INT(expected_status(&s, ours), -1);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 0);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(a_killed_stranger_is_told_as_killed, "C1 C6")
{
    struct strangers s = {.thread = pthread_self()};
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, NULL, take_stranger, &s);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate, host_gate;
    pid_t pid;

    id = xh_spawn_held(ctx, XH_EXIT(1), NULL, NULL, &gate, NULL);
    pid = xh_fork_held(XH_EXIT(0), &host_gate);
    XT_GT_INT(pid, 1);
    XT_SYS(kill(pid, SIGKILL));
    until_told(ctx, &s, 1);
    XT_EQ_INT(s.got[0].pid, pid);
    XT_TRUE(WIFSIGNALED(s.got[0].status));
    XT_EQ_INT(WTERMSIG(s.got[0].status), SIGKILL);
    xt_close(&host_gate);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 1);
    xt_ctx_free(ctx);
}

XT_TEST(without_a_child_strangers_are_left_alone, "C1")
{
    struct strangers s = {.thread = pthread_self()};
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, NULL, take_stranger, &s);
    pid_t pid = xh_fork_exit(5);

    xh_await_zombie(pid);
    xh_pump(ctx);
    XT_EQ_INT(xh_is_zombie(pid), 1);
    XT_EQ_INT(WEXITSTATUS(xh_reap(pid)), 5);
    XT_EQ_INT(s.n, 0);
    xt_ctx_free(ctx);
}

/* A stranger that ended before our first child: once we own SIGCHLD, all
 * children of the process are reaped, those too. */
XT_TEST(strangers_from_before_are_reaped_too, "C1 C8")
{
    struct strangers s = {.thread = pthread_self()};
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, NULL, take_stranger, &s);
    libxl_childproc_result r;
    libxl_childproc_id id;
    pid_t pid = xh_fork_exit(6);
    int gate;

    xh_await_zombie(pid);
    id = xh_spawn_held(ctx, XH_EXIT(0), NULL, NULL, &gate, NULL);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 0);
    XT_EQ_INT(s.n, 1);
    XT_EQ_INT(s.got[0].pid, pid);
    XT_EQ_INT(s.got[0].status, 6 << 8);
    XH_NO_CHILDREN();
    xt_ctx_free(ctx);
}

/* Both have ended before anybody looks, and ours was the last that we owned
 * SIGCHLD for: the stranger is reaped with it, or nobody would. */
XT_TEST(a_stranger_is_not_forgotten_for_our_last_child, "C1 C8")
{
    for (int first = 0; first < 2; first++) {
        struct strangers s = {.thread = pthread_self()};
        libxl_ctx *ctx =
            xh_ctx_new(libxl_sigchld_owner_libxl, NULL, take_stranger, &s);
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t ours, pid;

        if (first) {
            id = xt_spawn_argv(ctx, XT_CHILD("exit", "8"), NULL, &ours);
            pid = xh_fork_exit(7);
            xh_await_zombie(pid);
            xh_await_zombie(ours);
        } else {
            pid = xh_fork_exit(7);
            xh_await_zombie(pid);
            id = xt_spawn_argv(ctx, XT_CHILD("exit", "8"), NULL, &ours);
            xh_await_zombie(ours);
        }
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 8);
        XH_NO_CHILDREN();
        XT_EQ_INT(s.n, 1);
        XT_EQ_INT(s.got[0].pid, pid);
        XT_EQ_INT(s.got[0].status, 7 << 8);
        xt_ctx_free(ctx);
    }
}

/* Has one stranger die beside a child of ours and reaps both. */
static pid_t one_stranger(libxl_ctx *ctx, int code)
{
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate;
    pid_t pid;

    id = xh_spawn_held(ctx, XH_EXIT(0), NULL, NULL, &gate, NULL);
    pid = xh_fork_exit(code);
    xh_await_zombie(pid);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 0);
    XT_EQ_INT(xh_is_zombie(pid), -1);
    return pid;
}

XT_TEST(without_a_callback_a_stranger_is_one_warning, "C1")
{
    struct xt_log log;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, &log);
    char text[32];
    pid_t pid = one_stranger(ctx, 4);

    snprintf(text, sizeof(text), "%d", (int)pid);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 1);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, text), 1);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_ERROR, NULL), 0);
    XT_EQ_INT(libxl_ctx_disaster_latched(ctx), 0);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(the_warning_goes_to_stderr_by_default, "C1")
{
    libxl_ctx *ctx = NULL;
    int out[2], saved;
    char *said;
    char text[32];
    pid_t pid;

    xt_pipe(out);
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    saved = XT_SYS(dup(2));
    XT_SYS(dup2(out[1], 2));
    pid = one_stranger(ctx, 4);
    XT_SYS(dup2(saved, 2));
    xt_close(&saved);
    xt_close(&out[1]);
    said = xt_read_all(out[0], NULL);
    snprintf(text, sizeof(text), "%d", (int)pid);
    XT_CONTAINS(said, text);
    free(said);
    xt_close(&out[0]);
    xt_ctx_free(ctx);
}

static void one_warning(int answer)
{
    struct strangers s = {.thread = pthread_self(), .answer = answer};
    struct xt_log log;
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, &log, take_stranger, &s);
    char text[32];
    pid_t pid = one_stranger(ctx, 4);

    snprintf(text, sizeof(text), "%d", (int)pid);
    XT_EQ_INT(s.n, 1);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, NULL), 1);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, text), 1);
    XT_EQ_INT(libxl_ctx_disaster_latched(ctx), 0);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

/* Xen has had both codes for it. */
XT_TEST(not_mine_from_the_callback_is_one_warning, "C1")
{
    one_warning(ERROR_NOT_READY);
    one_warning(ERROR_UNKNOWN_CHILD);
}

struct disasters {
    int n;
    libxl_event_type type;
    char text[256];
};

static void take_disaster(void *user, libxl_event_type type, const char *msg,
                          int errnoval)
{
    struct disasters *d = user;

    (void)errnoval;
    d->n++;
    d->type = type;
    snprintf(d->text, sizeof(d->text), "%s", msg);
}

XT_TEST(any_other_answer_is_a_disaster, "C1 E5")
{
    struct strangers s = {.thread = pthread_self(), .answer = ERROR_FAIL};
    struct disasters d = {.n = 0};
    libxl_event_hooks hooks = {.disaster = take_disaster,
                               .size = sizeof(hooks)};
    struct xt_log log;
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, &log, take_stranger, &s);

    XT_OK(libxl_event_register_callbacks(ctx, &hooks, &d));
    one_stranger(ctx, 4);
    XT_EQ_INT(s.n, 1);
    XT_EQ_INT(d.n, 1);
    XT_TRUE(d.text[0]);
    XT_EQ_INT(libxl_ctx_disaster_latched(ctx), 0);

    /* The ctx goes on. */
    s.answer = 0;
    one_stranger(ctx, 5);
    XT_EQ_INT(s.n, 2);
    XT_EQ_INT(d.n, 1);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(a_disaster_without_a_hook_is_latched, "C1 E5")
{
    struct strangers s = {.thread = pthread_self(), .answer = ERROR_FAIL};
    struct xt_log log;
    libxl_ctx *ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, &log, take_stranger, &s);

    one_stranger(ctx, 4);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_CRITICAL, NULL), 1);
    XT_LT_INT(libxl_ctx_disaster_latched(ctx), 0);
    s.answer = 0;
    one_stranger(ctx, 5);
    XT_EQ_INT(s.n, 2);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_CRITICAL, NULL), 1);
    XT_LT_INT(libxl_ctx_disaster_latched(ctx), 0);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

static int start_from_callback(pid_t pid, int status, void *user)
{
    struct strangers *s = user;
    struct xh_argv words;

    s->n++;
    s->got[0].pid = pid;
    s->got[0].status = status;
    if (s->n == 1)
        s->started =
            xt_spawn_argv(s->ctx, xh_end_argv(&words, XH_EXIT(21)), NULL, NULL);
    return 0;
}

XT_TEST(the_callback_may_start_a_child, "C1 C5 E4")
{
    struct strangers s = {.thread = pthread_self()};
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_childproc_result r;

    s.ctx =
        xh_ctx_new(libxl_sigchld_owner_libxl, NULL, start_from_callback, &s);
    one_stranger(s.ctx, 4);
    XT_EQ_INT(s.n, 1);
    XT_NE_INT(s.started, 0);
    r = xt_wait(s.ctx, s.started);
    XT_EXITED(&r, 21);
    XH_SIGCHLD_IS(&before);
    xt_ctx_free(s.ctx);
}

/* Two contexts in this mode: each status belongs to whoever started the
 * child, whichever of them reaps it. */
XT_TEST(two_contexts_do_not_steal_from_each_other, "C1 X3 defect-7")
{
    struct strangers s = {.thread = pthread_self()}, t = s;
    struct xh_action before = xh_action_get(SIGCHLD);
    libxl_ctx *a =
        xh_ctx_new(libxl_sigchld_owner_libxl, NULL, take_stranger, &s);
    libxl_ctx *b =
        xh_ctx_new(libxl_sigchld_owner_libxl, NULL, take_stranger, &t);
    libxl_childproc_id id_a[20], id_b[20];
    pid_t pid_a[20], pid_b[20];
    struct xh_argv words;

    for (int i = 0; i < 20; i++) {
        id_a[i] =
            xt_spawn_argv(a, xh_end_argv(&words, XH_EXIT(i)), NULL, &pid_a[i]);
        id_b[i] = xt_spawn_argv(b, xh_end_argv(&words, XH_EXIT(100 + i)), NULL,
                                &pid_b[i]);
    }
    for (int i = 0; i < 20; i++) {
        libxl_childproc_result r = xt_wait(b, id_b[i]);

        XT_EQ_INT(r.pid, pid_b[i]);
        XT_EXITED(&r, 100 + i);
    }
    for (int i = 0; i < 20; i++) {
        libxl_childproc_result r = xt_wait(a, id_a[i]);

        XT_EQ_INT(r.pid, pid_a[i]);
        XT_EXITED(&r, i);
    }
    XT_EQ_INT(s.n + t.n, 0);
    XH_SIGCHLD_IS(&before);
    xt_ctx_free(a);
    xt_ctx_free(b);
}

XT_TEST(a_free_with_living_children_is_no_abort, "X2 defect-7")
{
    libxl_free_policy policy[] = {LIBXL_FREE_DETACH, LIBXL_FREE_KILL};

    for (size_t i = 0; i < sizeof(policy) / sizeof(policy[0]); i++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
        libxl_childproc_spec spec = xt_spec(NULL);
        int gate;

        spec.on_free = policy[i];
        xh_spawn_held(ctx, XH_EXIT(0), &spec, NULL, &gate, NULL);
        xt_ctx_free(ctx);
        xt_close(&gate);
    }
    XT_EVENTUALLY(no_children_left, NULL);
}
