/* loops_hooks.c - foreign loops with registered hooks
 *
 * Proves O2, O3, O4 and O6 with the host loop of hostloop.c, whose timer
 * callbacks remove their own registration.
 */
#define _GNU_SOURCE
#include "hostloop.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap,
    libxl_sigchld_owner_none,
};
#define NOWNERS 4

struct seen {
    int calls;
    int wanted;
    libxl_childproc_result last;
};

static void on_exit_seen(libxl_ctx *ctx, const libxl_childproc_result *result,
                         void *user)
{
    struct seen *s = user;

    (void)ctx;
    s->calls++;
    s->last = *result;
}

static int all_seen(void *user)
{
    struct seen *s = user;

    return s->calls >= s->wanted;
}

static libxl_childproc_report to(struct seen *s)
{
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, on_exit_seen,
                                     {.for_callback = s}};

    return report;
}

XT_TEST(host_loop_runs_children, "O4 O6")
{
    for (int o = 0; o < NOWNERS; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        struct seen s = {0, 100, {0}};
        libxl_childproc_report report = to(&s);
        struct hl_loop loop;
        int idle;

        hl_init(&loop);
        hl_attach(&loop, ctx);
        idle = loop.nfds; /* what the mode needs */
        if (owners[o] == libxl_sigchld_owner_libxl ||
            owners[o] == libxl_sigchld_owner_none)
            XT_EQ_INT(idle, 0);
        XT_LE_INT(idle, 1);
        for (int i = 0; i < 100; i++)
            xt_spawn_argv(ctx, (const char *const[]){xt_tiny_path(), NULL},
                          &report, NULL);
        XT_GE_INT(loop.registered, 1);
        hl_until(&loop, all_seen, &s);
        XT_EQ_INT(s.calls, 100);
        XT_EQ_INT(loop.nfds, idle);
        xt_ctx_free(ctx);
        XT_EQ_INT(loop.nfds, 0);
        XT_EQ_INT(loop.ntimers, 0);
        hl_dispose(&loop);
    }
}

/* Registered again for the next child, and the next. */
XT_TEST(idle_means_nothing_registered, "O4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct seen s = {0, 0, {0}};
    libxl_childproc_report report = to(&s);
    struct hl_loop loop;

    hl_init(&loop);
    hl_attach(&loop, ctx);
    XT_EQ_INT(loop.registered, 0);
    for (int i = 0; i < 10; i++) {
        s.wanted++;
        xt_spawn_argv(ctx, XT_CHILD("exit", "7"), &report, NULL);
        XT_EQ_INT(loop.nfds, 1);
        hl_until(&loop, all_seen, &s);
        XT_EXITED(&s.last, 7);
        XT_EQ_INT(loop.nfds, 0);
        XT_EQ_INT(loop.ntimers, 0);
    }
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}

/* ---- timers ------------------------------------------------------------- */

static libxl_childproc_id start_stubborn(libxl_ctx *ctx, struct seen *s)
{
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "ready", "1", "pause"));
    libxl_childproc_report report = to(s);
    libxl_childproc_fd out;
    libxl_childproc_id id;
    int p[2];

    xt_pipe(p);
    out = (libxl_childproc_fd){1, p[1]};
    spec.fds = &out;
    spec.nfds = 1;
    id = xt_spawn(ctx, &spec, &report, NULL);
    xt_await_byte(p[0]);
    xt_close(&p[0]);
    xt_close(&p[1]);
    return id;
}

XT_TEST(timeout_escalates_in_a_host_loop, "O6 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGTERM, 30, LIBXL_KILL_PROCESS};
    struct seen s = {0, 1, {0}};
    struct hl_loop loop;

    hl_init(&loop);
    hl_attach(&loop, ctx);
    XT_OK(libxl_childproc_terminate(ctx, start_stubborn(ctx, &s), &policy));
    XT_EQ_INT(loop.ntimers, 1);
    hl_until(&loop, all_seen, &s);
    XT_SIGNALED(&s.last, SIGKILL);
    XT_EQ_INT(loop.nfds, 0);
    while (loop.ntimers) /* got rid of by "as soon as possible" */
        hl_round(&loop, -1);
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}

/* At most one timeout is registered, the soonest one; a sooner one replaces
 * it by modify, which only ever says "as soon as possible". */
XT_TEST(sooner_timeout_replaces_a_later_one, "O6 O4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy late = {SIGTERM, 60000, LIBXL_KILL_PROCESS};
    libxl_kill_policy soon = {SIGTERM, 20, LIBXL_KILL_PROCESS};
    struct seen s = {0, 1, {0}};
    libxl_childproc_id stays, goes;
    struct hl_loop loop;

    hl_init(&loop);
    hl_attach(&loop, ctx);
    stays = start_stubborn(ctx, &s);
    goes = start_stubborn(ctx, &s);
    XT_OK(libxl_childproc_terminate(ctx, stays, &late));
    XT_EQ_INT(loop.ntimers, 1);
    XT_OK(libxl_childproc_terminate(ctx, goes, &soon));
    XT_GE_INT(loop.ntimers, 1);
    hl_until(&loop, all_seen, &s);
    XT_SIGNALED(&s.last, SIGKILL);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    XT_OK(libxl_childproc_kill(ctx, stays, SIGKILL, LIBXL_KILL_PROCESS));
    s.wanted = 2;
    hl_until(&loop, all_seen, &s);
    /* The late timeout is unwanted now; it goes without waiting a minute. */
    {
        long long start = xt_now_ms();

        while (loop.ntimers)
            hl_round(&loop, -1);
        XT_LT_INT(xt_now_ms() - start, 30000);
    }
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}

/* ctx_free deregisters what is there, timeouts included. */
XT_TEST(free_deregisters_everything, "X2 O4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy late = {SIGTERM, 60000, LIBXL_KILL_PROCESS};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_id id;
    struct hl_loop loop;
    siginfo_t info;

    hl_init(&loop);
    hl_attach(&loop, ctx);
    spec.on_free = LIBXL_FREE_KILL;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    late.first_signal = SIGCONT;
    XT_OK(libxl_childproc_terminate(ctx, id, &late));
    XT_EQ_INT(loop.nfds, 1);
    XT_EQ_INT(loop.ntimers, 1);
    xt_ctx_free(ctx);
    XT_EQ_INT(loop.nfds, 0);
    XT_EQ_INT(loop.ntimers, 0);
    hl_dispose(&loop);
    while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT))
        ;
}

/* ---- late calls --------------------------------------------------------- */

struct recorded {
    struct hl_loop loop;
    void *fd_token, *timer_token;
    int fd;
};

static struct recorded *recorded;

static int record_fd(void *user, int fd, void **out, short events,
                     void *for_libxl)
{
    recorded->fd_token = for_libxl;
    recorded->fd = fd;
    return hl_hooks.fd_register(user, fd, out, events, for_libxl);
}

static int record_timeout(void *user, void **out, struct timeval abs,
                          void *for_libxl)
{
    recorded->timer_token = for_libxl;
    return hl_hooks.timeout_register(user, out, abs, for_libxl);
}

XT_TEST(late_calls_are_harmless, "O2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGTERM, 20, LIBXL_KILL_PROCESS};
    libxl_osevent_hooks hooks = hl_hooks;
    struct recorded r = {0};
    struct seen s = {0, 1, {0}};
    int reused;

    if (!xp_pidfds())
        XT_SKIP("without pidfds the ctx keeps a timer of its own");
    recorded = &r;
    hooks.fd_register = record_fd;
    hooks.timeout_register = record_timeout;
    hl_init(&r.loop);
    r.loop.ctx = ctx;
    XT_OK(libxl_osevent_register_hooks(ctx, &hooks, &r.loop));
    XT_OK(libxl_childproc_terminate(ctx, start_stubborn(ctx, &s), &policy));
    hl_until(&r.loop, all_seen, &s);
    while (r.loop.ntimers)
        hl_round(&r.loop, -1);
    XT_EQ_INT(r.loop.nfds, 0);
    XT_TRUE(r.fd_token != NULL);
    XT_TRUE(r.timer_token != NULL);
    /* Deregistered; said to be ready all the same, again and again. */
    for (int i = 0; i < 3; i++) {
        libxl_osevent_occurred_fd(ctx, r.fd_token, r.fd, POLLIN, POLLIN);
        libxl_osevent_occurred_fd(ctx, r.fd_token, r.fd, POLLIN, POLLNVAL);
        libxl_osevent_occurred_timeout(ctx, r.timer_token);
    }
    /* Its number reused by the host. */
    reused = XT_SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
    libxl_osevent_occurred_fd(ctx, r.fd_token, reused, POLLIN, POLLIN);
    xt_close(&reused);
    /* Not ready at all, while registered. */
    s.wanted = 2;
    {
        libxl_childproc_id id = start_stubborn(ctx, &s);

        for (int i = 0; i < 3; i++) {
            libxl_osevent_occurred_fd(ctx, r.fd_token, r.fd, POLLIN, POLLIN);
            libxl_osevent_occurred_timeout(ctx, r.timer_token);
        }
        XT_EQ_INT(s.calls, 1);
        XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    }
    hl_until(&r.loop, all_seen, &s);
    xt_ctx_free(ctx);
    hl_dispose(&r.loop);
}

/* A token that is not the timer's says nothing about the timer: it is known
 * as registered still, and deregistered with the ctx. */
XT_TEST(a_timeout_of_somebody_else_is_not_ours, "O2 X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGTERM, 60000, LIBXL_KILL_PROCESS};
    struct seen s = {0, 1, {0}};
    struct hl_loop loop;
    libxl_childproc_id id;

    hl_init(&loop);
    hl_attach(&loop, ctx);
    id = start_stubborn(ctx, &s);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    XT_EQ_INT(loop.ntimers, 1);
    libxl_osevent_occurred_timeout(ctx, &loop);
    libxl_osevent_occurred_timeout(ctx, NULL);
    XT_EQ_INT(loop.ntimers, 1);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    hl_until(&loop, all_seen, &s);
    xt_ctx_free(ctx);
    XT_EQ_INT(loop.ntimers, 0);
    hl_dispose(&loop);
}

/* ---- refusals ----------------------------------------------------------- */

XT_TEST(refused_registration_reaches_the_caller, "O3 C12")
{
    for (int o = 0; o < NOWNERS; o++) {
        libxl_ctx *ctx;
        struct seen s = {0, 1, {0}};
        libxl_childproc_report report = to(&s);
        libxl_childproc_failure failure;
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
        libxl_childproc_id id = 55;
        struct hl_loop loop;
        struct xt_state *before;
        pid_t pid = 66;

        if (owners[o] == libxl_sigchld_owner_libxl_always ||
            owners[o] == libxl_sigchld_owner_libxl_always_selective_reap)
            continue; /* registered already */
        ctx = xt_ctx_new(owners[o], NULL);
        hl_init(&loop);
        hl_attach(&loop, ctx);
        /* What the ctx keeps open for its mode is there after one child. */
        XT_OK(libxl_childproc_spawn(ctx, &spec, &report, NULL, NULL, NULL));
        hl_until(&loop, all_seen, &s);
        s.calls = 0;
        loop.refuse_fd = 4711;
        before = xt_state_take();
        XT_RC(libxl_childproc_spawn(ctx, &spec, &report, &id, &pid, &failure),
              4711);
        XT_EQ_INT(id, 55);
        XT_EQ_INT(pid, 66);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        XT_EQ_INT(loop.nfds, 0);
        XT_STATE_SAME(before);
        xt_state_free(before);
        loop.refuse_fd = 0;
        XT_OK(libxl_childproc_spawn(ctx, &spec, &report, &id, &pid, &failure));
        hl_until(&loop, all_seen, &s);
        XT_EXITED(&s.last, 3);
        xt_ctx_free(ctx);
        hl_dispose(&loop);
    }
}

XT_TEST(refused_timeout_reaches_the_caller, "O3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGTERM, 20, LIBXL_KILL_PROCESS};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    libxl_asyncop_how how = {NULL, {.for_event = 1}};
    struct seen s = {0, 1, {0}};
    libxl_childproc_id id;
    struct hl_loop loop;

    if (!xp_pidfds())
        XT_SKIP("without pidfds the ctx keeps a timer of its own");
    hl_init(&loop);
    hl_attach(&loop, ctx);
    id = start_stubborn(ctx, &s);
    loop.refuse_timer = 99;
    XT_RC(libxl_childproc_terminate(ctx, id, &policy), 99);
    XT_EQ_INT(loop.ntimers, 0);
    libxl_childproc_exec_opts_init(&opts);
    opts.timeout_ms = 1000;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how), 99);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    loop.refuse_timer = 0;
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    hl_until(&loop, all_seen, &s);
    while (loop.ntimers)
        hl_round(&loop, -1);
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}

XT_TEST(hooks_need_an_idle_ctx, "O3 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_osevent_hooks hooks = hl_hooks;
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct hl_loop loop;

    hl_init(&loop);
    hooks.fd_modify = NULL;
    XT_RC(libxl_osevent_register_hooks(ctx, &hooks, &loop), ERROR_INVAL);
    id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
    XT_RC(libxl_osevent_register_hooks(ctx, &hl_hooks, &loop), ERROR_BUSY);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    hl_attach(&loop, ctx);
    XT_OK(libxl_osevent_register_hooks(ctx, NULL, NULL));
    XT_EQ_INT(loop.registered, loop.deregistered);
    /* without hooks again */
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, NULL);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 1);
    XT_EQ_INT(loop.nfds, 0);
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}

/* A refusal when the hooks are registered with a mode that needs an fd. */
XT_TEST(refused_while_registering_hooks, "O3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    libxl_childproc_result r;
    struct hl_loop loop;
    int rc;

    hl_init(&loop);
    loop.refuse_fd = 12;
    rc = libxl_osevent_register_hooks(ctx, &hl_hooks, &loop);
    XT_TRUE(rc == 12 || rc == 0);
    loop.refuse_fd = 0;
    if (rc) { /* nothing changed: it works without hooks */
        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL,
                                       NULL));
        XT_EXITED(&r, 1);
        XT_EQ_INT(loop.registered, 0);
    }
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}

/* A hook must not call into the library; doing so is refused, not deadlock. */
static libxl_ctx *reentered;
static int reentry_rc;

static int reentering_register(void *user, int fd, void **out, short events,
                               void *for_libxl)
{
    libxl_event *event;

    reentry_rc = libxl_event_check(reentered, &event, LIBXL_EVENTMASK_ALL,
                                   NULL, NULL);
    return hl_hooks.fd_register(user, fd, out, events, for_libxl);
}

XT_TEST(reentering_hook_is_refused, "X5 E4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_osevent_hooks hooks = hl_hooks;
    struct seen s = {0, 1, {0}};
    libxl_childproc_report report = to(&s);
    struct hl_loop loop;

    reentered = ctx;
    hooks.fd_register = reentering_register;
    hl_init(&loop);
    loop.ctx = ctx;
    XT_OK(libxl_osevent_register_hooks(ctx, &hooks, &loop));
    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
    XT_EQ_INT(reentry_rc, ERROR_INVAL);
    hl_until(&loop, all_seen, &s);
    xt_ctx_free(ctx);
    hl_dispose(&loop);
}
