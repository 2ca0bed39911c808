/* loops_fd.c - foreign loops that poll: one fd a ctx, or beforepoll/afterpoll
 *
 * Proves O1 and O5; loops_hooks.c has the registered hooks.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "probe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const libxl_sigchld_owner reaping_owners[] = {
    libxl_sigchld_owner_libxl,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap,
    libxl_sigchld_owner_none,
};
#define NREAPING 4

static int readable(int fd, int timeout_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n;

    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    XT_GE_INT(n, 0);
    XT_EQ_INT(p.revents & ~POLLIN, 0);
    return n;
}

static int take_all(libxl_ctx *ctx)
{
    libxl_event *event;
    int n = 0;

    while (!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL)) {
        libxl_event_free(ctx, event);
        n++;
    }
    return n;
}

static libxl_childproc_report by_event = {LIBXL_REPORT_EVENT, NULL, {1}};

/* A child that ends when the returned fd is closed. */
static int start_held(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "3"));
    libxl_childproc_fd fd;
    int p[2];

    xt_pipe(p);
    fd = (libxl_childproc_fd){0, p[0]};
    spec.fds = &fd;
    spec.nfds = 1;
    xt_spawn(ctx, &spec, &by_event, NULL);
    xt_close(&p[0]);
    return p[1];
}

/* ---- libxl_ctx_fileno --------------------------------------------------- */

XT_TEST(fileno_is_quiet_while_idle, "O5")
{
    for (int o = 0; o < NREAPING; o++) {
        libxl_ctx *ctx = xt_ctx_new(reaping_owners[o], NULL);
        int fd = libxl_ctx_fileno(ctx), gate;

        XT_GE_INT(fd, 0);
        XT_EQ_INT(libxl_ctx_fileno(ctx), fd);
        XT_EQ_INT(readable(fd, 0), 0);
        gate = start_held(ctx);
        take_all(ctx);
        XT_EQ_INT(readable(fd, 0), 0); /* a live child is no work */
        xt_close(&gate);
        XT_EQ_INT(readable(fd, -1), 1);
        while (!take_all(ctx))
            readable(fd, -1);
        XT_EQ_INT(readable(fd, 0), 0);
        xt_ctx_free(ctx);
    }
}

/* Queued events are work too, until the last is taken. */
XT_TEST(fileno_stays_readable_while_events_are_queued, "O5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int fd = libxl_ctx_fileno(ctx);
    libxl_event *event, *none;

    for (int i = 0; i < 3; i++)
        xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &by_event, NULL);
    while (libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &none, 1, 0, 10, 0), ERROR_TIMEDOUT);
    for (int i = 0; i < 3; i++) {
        XT_EQ_INT(readable(fd, 0), 1);
        XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        libxl_event_free(ctx, event);
    }
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_EQ_INT(readable(fd, 0), 0);
    xt_ctx_free(ctx);
}

/* Asked for late: after the events were queued. */
XT_TEST(fileno_asked_for_late, "O5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_event *none;

    xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &by_event, NULL);
    while (libxl_childproc_count(ctx))
        XT_RC(libxl_event_wait_many(ctx, &none, 1, 0, 10, 0), ERROR_TIMEDOUT);
    XT_EQ_INT(readable(libxl_ctx_fileno(ctx), 0), 1);
    XT_EQ_INT(take_all(ctx), 1);
    XT_EQ_INT(readable(libxl_ctx_fileno(ctx), 0), 0);
    xt_ctx_free(ctx);
}

/* Timers make it readable as well: a kill's grace period ends. */
XT_TEST(fileno_covers_timers, "O5 O6 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {0, 0, LIBXL_KILL_PROCESS};
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "ready", "1", "pause"));
    int fd = libxl_ctx_fileno(ctx), p[2], taken = 0;
    libxl_childproc_fd out;
    libxl_childproc_id id;

    xt_pipe(p);
    out = (libxl_childproc_fd){1, p[1]};
    spec.fds = &out;
    spec.nfds = 1;
    id = xt_spawn(ctx, &spec, &by_event, NULL);
    xt_await_byte(p[0]);
    policy.first_signal = SIGTERM;
    policy.grace_ms = 30;
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    while (!taken) {
        XT_EQ_INT(readable(fd, -1), 1);
        taken = take_all(ctx);
    }
    XT_EQ_INT(readable(fd, 0), 0);
    xt_close(&p[0]);
    xt_close(&p[1]);
    xt_ctx_free(ctx);
}

/* Edge-triggered and level-triggered epoll loops over two ctxs. */
#define EACH 100

static void epoll_loop(uint32_t trigger)
{
    libxl_ctx *ctx[2];
    int ep = XT_SYS(epoll_create1(EPOLL_CLOEXEC)), left = 2 * EACH;

    for (int c = 0; c < 2; c++) {
        struct epoll_event want = {EPOLLIN | trigger, {.u32 = c}};

        ctx[c] = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        XT_SYS(epoll_ctl(ep, EPOLL_CTL_ADD, libxl_ctx_fileno(ctx[c]), &want));
        for (int i = 0; i < EACH; i++)
            xt_spawn_argv(ctx[c], (const char *const[]){xt_tiny_path(), NULL},
                          &by_event, NULL);
    }
    while (left) {
        struct epoll_event got[2];
        int n = epoll_wait(ep, got, 2, -1);

        XT_TRUE(n > 0 || errno == EINTR);
        for (int i = 0; i < n; i++)
            left -= take_all(ctx[got[i].data.u32]);
        XT_GE_INT(left, 0);
    }
    xt_close(&ep);
    xt_ctx_free(ctx[0]);
    xt_ctx_free(ctx[1]);
}

XT_TEST(epoll_level_triggered, "O5 X3")
{
    epoll_loop(0);
}

XT_TEST(epoll_edge_triggered, "O5 X3")
{
    epoll_loop(EPOLLET);
}

/* ---- beforepoll, afterpoll ---------------------------------------------- */

static struct timeval now(void)
{
    struct timeval t;

    gettimeofday(&t, NULL);
    return t;
}

XT_TEST(beforepoll_says_how_much_room, "O1")
{
    for (int o = 0; o < NREAPING; o++) {
        libxl_ctx *ctx = xt_ctx_new(reaping_owners[o], NULL);
        int gate = start_held(ctx);
        int n = 0, timeout = -1, needed;
        struct pollfd fds[16];

        XT_RC(libxl_osevent_beforepoll(ctx, &n, NULL, &timeout, now()),
              ERROR_BUFFERFULL);
        XT_GE_INT(n, 1);
        XT_LE_INT(n, 16);
        needed = n;
        n--;
        memset(fds, 0x77, sizeof(fds));
        XT_RC(libxl_osevent_beforepoll(ctx, &n, n ? fds : NULL, &timeout,
                                       now()),
              ERROR_BUFFERFULL);
        XT_EQ_INT(n, needed);
        n = 16;
        XT_OK(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()));
        XT_EQ_INT(n, needed);
        XT_EQ_INT(fds[needed].fd, 0x77777777);
        for (int i = 0; i < n; i++)
            XT_GE_INT(fds[i].fd, 0);
        xt_close(&gate);
        while (!take_all(ctx)) {
            struct pollfd p = {libxl_ctx_fileno(ctx), POLLIN, 0};
            poll(&p, 1, -1);
        }
        xt_ctx_free(ctx);
    }
}

XT_TEST(beforepoll_refuses_nonsense, "O1 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct pollfd fds[4];
    int n = -1, timeout = 5;

    XT_RC(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()),
          ERROR_INVAL);
    XT_RC(libxl_osevent_beforepoll(ctx, NULL, fds, &timeout, now()),
          ERROR_INVAL);
    n = 4;
    XT_RC(libxl_osevent_beforepoll(ctx, &n, NULL, &timeout, now()),
          ERROR_INVAL);
    XT_RC(libxl_osevent_beforepoll(ctx, &n, fds, NULL, now()), ERROR_INVAL);
    XT_EQ_INT(timeout, 5);
    XT_EQ_INT(n, 4);
    xt_ctx_free(ctx);
}

XT_TEST(beforepoll_only_lowers_the_timeout, "O1 O6")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGCONT, 5000, LIBXL_KILL_PROCESS};
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct pollfd fds[16];
    int n = 16, timeout = -1;

    if (!xp_pidfds())
        XT_SKIP("without pidfds the ctx keeps a timer of its own");
    id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
    XT_OK(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()));
    XT_EQ_INT(timeout, -1);
    timeout = 1234;
    n = 16;
    XT_OK(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()));
    XT_EQ_INT(timeout, 1234);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    n = 16;
    timeout = -1;
    XT_OK(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()));
    XT_GT_INT(timeout, 0);
    XT_LE_INT(timeout, 5000);
    n = 16;
    timeout = 3;
    XT_OK(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()));
    XT_EQ_INT(timeout, 3);
    n = 0; /* the timeout is set even where the room is too small */
    timeout = -1;
    XT_RC(libxl_osevent_beforepoll(ctx, &n, NULL, &timeout, now()),
          ERROR_BUFFERFULL);
    XT_GT_INT(timeout, 0);
    XT_LE_INT(timeout, 5000);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_ctx_free(ctx);
}

/* A whole program's loop, with fds of the host's own before and after ours. */
XT_TEST(poll_loop_runs_children, "O1 O5")
{
    for (int o = 0; o < NREAPING; o++) {
        libxl_ctx *ctx = xt_ctx_new(reaping_owners[o], NULL);
        int left = 100, started = 0, own[2];

        xt_pipe(own);
        while (left) {
            struct pollfd fds[32];
            int n = 30, timeout = -1;

            while (started < 100 && started - (100 - left) < 16) {
                xt_spawn_argv(ctx,
                              (const char *const[]){xt_tiny_path(), NULL},
                              &by_event, NULL);
                started++;
            }
            fds[0] = (struct pollfd){own[0], POLLIN, 0};
            XT_OK(libxl_osevent_beforepoll(ctx, &n, fds + 1, &timeout, now()));
            fds[n + 1] = (struct pollfd){own[0], POLLIN, 0};
            if (poll(fds, n + 2, timeout) < 0) {
                XT_EQ_INT(errno, EINTR);
                continue;
            }
            libxl_osevent_afterpoll(ctx, n + 2, fds, now());
            left -= take_all(ctx);
        }
        xt_close(&own[0]);
        xt_close(&own[1]);
        xt_ctx_free(ctx);
    }
}

/* The same, for a child whose kill escalates: the timeout drives it. */
XT_TEST(poll_loop_runs_timers, "O1 O6 C13")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_kill_policy policy = {SIGTERM, 30, LIBXL_KILL_PROCESS};
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "ready", "1", "pause"));
    libxl_childproc_fd out;
    int p[2], taken = 0;

    xt_pipe(p);
    out = (libxl_childproc_fd){1, p[1]};
    spec.fds = &out;
    spec.nfds = 1;
    {
        libxl_childproc_id id = xt_spawn(ctx, &spec, &by_event, NULL);

        xt_await_byte(p[0]);
        XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    }
    while (!taken) {
        struct pollfd fds[16];
        int n = 16, timeout = -1;

        XT_OK(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now()));
        poll(fds, n, timeout);
        libxl_osevent_afterpoll(ctx, n, fds, now());
        taken = take_all(ctx);
    }
    xt_close(&p[0]);
    xt_close(&p[1]);
    xt_ctx_free(ctx);
}

/* Entries that are not ours, or not ready, are harmless. */
XT_TEST(afterpoll_ignores_others, "O2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct pollfd fds[3] = {{-1, POLLIN, POLLIN},
                            {0, POLLIN, POLLNVAL},
                            {9999, POLLIN, POLLIN | POLLHUP}};
    int gate = start_held(ctx);

    libxl_osevent_afterpoll(ctx, 3, fds, now());
    libxl_osevent_afterpoll(ctx, 0, NULL, now());
    libxl_osevent_afterpoll(ctx, -1, fds, now());
    XT_EQ_INT(take_all(ctx), 0);
    xt_close(&gate);
    while (!take_all(ctx))
        readable(libxl_ctx_fileno(ctx), -1);
    xt_ctx_free(ctx);
}
