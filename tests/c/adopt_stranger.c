/* adopt_stranger.c - watching processes that somebody else started
 *
 * Contract lines C6 and C13 for libxl_childproc_adopt: a child of a child, and
 * the life of a daemon that starts again and finds its former children.
 */
#define _GNU_SOURCE
#include "stranger.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "kernel/sys.h"
#include "probe.h"


static void adopted_stranger(struct xh_end end)
{
    int exit_info = xp_recovers();
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_event *event = NULL, *second = NULL;
    libxl_childproc_result *r;
    libxl_childproc_id id = 0;
    struct xf_process f = xf_process_new(end);
    uint64_t ticks;

    XT_OK(libxl_childproc_start_time(f.child, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, &report, &id));
    xt_close(&f.end_gate);
    if (exit_info) {
        /* It has ended, but nobody knows how until its parent looks. */
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 50, 0),
              ERROR_TIMEDOUT);
    }
    xt_close(&f.reap_gate);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    r = &event->u.childproc_exit;
    XT_EQ_INT(r->pid, f.child);
    XT_TRUE(r->id == id);
    XT_EQ_INT(r->has_rusage, 0);
    if (exit_info) {
        XH_ENDED(r, end);
        XT_EQ_INT(r->source, LIBXL_SOURCE_PIDFD);
    } else {
        XT_EQ_INT(r->lost, LIBXL_LOST_NOT_OURS);
        XT_EQ_INT(r->status, 0);
    }
    libxl_event_free(ctx, event);
    XT_RC(libxl_event_check(ctx, &second, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_EQ_INT(xh_reap(f.parent), 0);
    xt_ctx_free(ctx);
}

XT_TEST(the_status_of_a_process_that_is_no_child, "C6 C5")
{
    xf_needs_pidfds();
    adopted_stranger(XH_EXIT(0));
    adopted_stranger(XH_EXIT(201));
    adopted_stranger(XH_SIGNAL(SIGUSR2));
}

/* Its parent ends and has not reaped it: it is ours, for we are where orphans
 * come to, and no pidfd says so. */
XT_TEST(a_zombie_that_becomes_ours_is_reaped, "C6 C5")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_libxl_always_selective_reap};

    xf_needs_pidfds();
    if (!xp_recovers())
        XT_SKIP("its status is lost at its end (before Linux 6.15)");
    XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        libxl_ctx *ctx = xt_ctx_new(owners[i], NULL);
        struct xf_process f = xf_process_new(XH_EXIT(9));
        libxl_childproc_result r;
        libxl_childproc_id id = 0;
        uint64_t ticks;
        int status;

        XT_OK(libxl_childproc_start_time(f.child, &ticks));
        XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, NULL, &id));
        xt_close(&f.end_gate);
        XT_RC(libxl_childproc_wait(ctx, id, 50, 0, &r), ERROR_TIMEDOUT);
        XT_SYS(kill(f.parent, SIGKILL));
        while (waitpid(f.parent, &status, 0) < 0)
            XT_EQ_INT(errno, EINTR);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 9);
        xt_close(&f.reap_gate);
        xt_ctx_free(ctx);
        XT_EQ_INT(waitpid(-1, NULL, __WALL), -1);
    }
}

static int no_watch(int epfd, int op, int fd, struct epoll_event *event)
{
    (void)epfd;
    (void)fd;
    (void)event;
    if (op == EPOLL_CTL_ADD)
        errno = ENOSPC;
    return op == EPOLL_CTL_ADD ? -1 : 0;
}

/* Nothing else would tell its end, least of all to a mainloop. */
XT_TEST(one_that_cannot_be_watched_is_not_adopted, "C12 X5")
{
    static const libxl_sigchld_owner owner[] = {libxl_sigchld_owner_none,
                                                libxl_sigchld_owner_mainloop};
    struct xl_sys real = xl_sys;

    xf_needs_pidfds();
    for (size_t i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
        struct xf_process f = xf_process_new(XH_EXIT(0));
        libxl_childproc_id id = 5;
        libxl_event *event;
        uint64_t ticks;

        XT_OK(libxl_childproc_start_time(f.child, &ticks));
        xl_sys.epoll_ctl = no_watch;
        XT_RC(libxl_childproc_adopt(ctx, f.child, ticks, -1, &report, &id),
              ERROR_SYSTEM);
        XT_EQ_INT(errno, ENOSPC);
        XT_EQ_INT(id, 5);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xl_sys = real;
        XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, &report, &id));
        xt_close(&f.end_gate);
        xt_close(&f.reap_gate);
        XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        XT_EQ_INT(event->u.childproc_exit.pid, f.child);
        libxl_event_free(ctx, event);
        XT_EQ_INT(xh_reap(f.parent), 0);
        xt_ctx_free(ctx);
    }
}

/* Its parent may take its time: meanwhile there is nothing for us to do. */
XT_TEST(an_adopted_zombie_keeps_no_loop_busy, "O5 C6")
{
    static const libxl_sigchld_owner owner[] = {libxl_sigchld_owner_none,
                                                libxl_sigchld_owner_mainloop};

    xf_needs_pidfds();
    if (!xp_recovers())
        XT_SKIP("it is reported at once where the kernel keeps no exits");
    for (size_t i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
        struct pollfd loop = {libxl_ctx_fileno(ctx), POLLIN, 0};
        struct xf_process f = xf_process_new(XH_EXIT(7));
        libxl_childproc_id id = 0;
        libxl_event *event;
        uint64_t ticks;

        XT_OK(libxl_childproc_start_time(f.child, &ticks));
        XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, &report, &id));
        xt_close(&f.end_gate);
        XT_EQ_INT(poll(&loop, 1, -1), 1); /* it has ended */
        XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_NOT_READY);
        XT_EQ_INT(poll(&loop, 1, 0), 0);
        xt_close(&f.reap_gate);
        XT_EQ_INT(poll(&loop, 1, -1), 1); /* it has been reaped */
        XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
        XH_ENDED(&event->u.childproc_exit, XH_EXIT(7));
        libxl_event_free(ctx, event);
        XT_EQ_INT(xh_reap(f.parent), 0);
        xt_ctx_free(ctx);
    }
}

/* The host's own pidfd stays open, and with it what an epoll knows it by: the
 * same one is watched again when it is adopted again. */
XT_TEST(a_pidfd_may_be_adopted_again, "C5 C6 O5")
{
    struct pollfd theirs = {.events = POLLIN};
    libxl_ctx *ctx;
    struct xf_process f;

    xf_needs_pidfds();
    /* without it a zombie of others is reported, and can be adopted again */
    xl_facility_limit(~(unsigned)LIBXL_FACILITY_EXIT_INFO);
    ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    f = xf_process_new(XH_EXIT(0));
    theirs.fd = xf_pidfd(f.child);
    xt_close(&f.end_gate);
    XT_EQ_INT(poll(&theirs, 1, -1), 1);
    for (int i = 0; i < 2; i++) {
        libxl_childproc_id id = 0;
        libxl_childproc_result r;

        XT_OK(libxl_childproc_adopt(ctx, 0, 0, theirs.fd, NULL, &id));
        XT_OK(libxl_childproc_wait(ctx, id, 0, 0, &r));
        XT_EQ_INT(r.lost, LIBXL_LOST_NOT_OURS);
    }
    xt_close(&f.reap_gate);
    XT_EQ_INT(xh_reap(f.parent), 0);
    xt_close(&theirs.fd);
    xt_ctx_free(ctx);
}

/* It has ended, and its parent has not looked: signals would still be taken. */
XT_TEST(an_adopted_zombie_is_not_there_to_be_killed, "C13")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_PROCESS};
    struct pollfd ended = {.events = POLLIN};
    struct xf_process f;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    f = xf_process_new(XH_EXIT(0));
    XT_OK(libxl_childproc_start_time(f.child, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, NULL, &id));
    if (xp_pidfd_send_signal()) /* it is there */
        XT_OK(libxl_childproc_kill(ctx, id, 0, LIBXL_KILL_PROCESS));
    ended.fd = xf_pidfd(f.child);
    xt_close(&f.end_gate);
    XT_EQ_INT(poll(&ended, 1, -1), 1);
    xt_close(&ended.fd);
    XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_terminate(ctx, id, &policy), ERROR_NOTFOUND);
    xt_close(&f.reap_gate);
    (void)xt_wait(ctx, id);
    XT_EQ_INT(xh_reap(f.parent), 0);
    xt_ctx_free(ctx);
}

/* Where signals by pidfd are refused its number is not used in their place: it
 * may be somebody else's at any moment. */
static int by_number;

static int count_kill(pid_t pid, int signo)
{
    (void)pid;
    (void)signo;
    by_number++;
    errno = EPERM;
    return -1;
}

static int refusal;

static int refuse_signal(int pidfd, int signo, unsigned flags)
{
    (void)pidfd;
    (void)signo;
    (void)flags;
    errno = refusal;
    return -1;
}

XT_TEST(a_process_that_is_no_child_is_not_killed_by_number, "C13")
{
    static const struct {
        int errnoval, rc;
    } refusals[] = {{ENOSYS, ERROR_NI}, {EPERM, ERROR_PERMISSION}};
    struct xl_sys real = xl_sys;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    struct xf_process f;
    libxl_ctx *ctx;

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    f = xf_process_new(XH_EXIT(0));
    XT_OK(libxl_childproc_start_time(f.child, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, NULL, &id));
    xl_sys.pidfd_send_signal = refuse_signal;
    xl_sys.kill = count_kill;
    for (int i = 0; i < 2; i++) {
        refusal = refusals[i].errnoval;
        XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS),
              refusals[i].rc);
    }
    xl_sys = real;
    XT_EQ_INT(by_number, 0);
    xt_ctx_free(ctx);
    xt_close(&f.end_gate);
    xt_close(&f.reap_gate);
    XT_EQ_INT(xh_reap(f.parent), 0);
}

/* A daemon starts children, is gone, and its next life adopts them. They are
 * the children of init by then, whose part a process of ours plays. */
XT_TEST(a_daemons_second_life, "C6 X2")
{
    enum { N = 5 };
    int exit_info, tells[2], gate[2];
    struct {
        pid_t pid;
        uint64_t ticks;
    } record[N];
    libxl_childproc_id id[N];
    libxl_ctx *ctx;
    pid_t init, first = 0;

    xf_needs_pidfds();
    exit_info = xp_recovers();
    xt_pipe(tells);
    xt_pipe(gate);
    init = XT_SYS(fork());
    if (!init) {
        close(gate[1]);
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) || (first = fork()) < 0)
            _exit(1);
        while (first && (waitpid(-1, NULL, 0) > 0 || errno == EINTR))
            ;
        if (first)
            _exit(errno != ECHILD);
    }
    if (!init) {
        libxl_childproc_fd fds[] = {{0, gate[0]}};

        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        for (int i = 0; i < N; i++) {
            char code[8];
            const char *argv[] = {xt_child_path(), "hold", "exit", code, NULL};
            libxl_childproc_spec spec = xt_spec(argv);

            snprintf(code, sizeof(code), "%d", 30 + i);
            spec.fds = fds;
            spec.nfds = 1;
            spec.on_free = LIBXL_FREE_LEAVE;
            xt_spawn(ctx, &spec, NULL, &record[i].pid);
            XT_OK(libxl_childproc_start_time(record[i].pid, &record[i].ticks));
        }
        xt_write_all(tells[1], record, sizeof(record));
        if (libxl_ctx_free(ctx))
            _exit(1);
        _exit(0);
    }
    xt_close(&gate[0]);
    xt_close(&tells[1]);
    XT_EQ_INT(read(tells[0], record, sizeof(record)), sizeof(record));
    xt_close(&tells[0]);

    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int i = 0; i < N; i++)
        XT_OK(libxl_childproc_adopt(ctx, record[i].pid, record[i].ticks, -1,
                                    NULL, &id[i]));
    XT_EQ_INT(libxl_childproc_count(ctx), N);
    xt_close(&gate[1]);
    for (int i = 0; i < N; i++) {
        libxl_childproc_result r;

        XT_OK(libxl_childproc_wait(ctx, id[i], LIBXL_WAIT_FOREVER, 0, &r));
        XT_EQ_INT(r.pid, record[i].pid);
        if (exit_info)
            XT_EXITED(&r, 30 + i);
        else
            XT_EQ_INT(r.lost, LIBXL_LOST_NOT_OURS);
    }
    XT_EQ_INT(xh_reap(init), 0);
    xt_ctx_free(ctx);
}
