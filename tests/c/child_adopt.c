/* child_adopt.c - watching processes that somebody else started
 *
 * Contract lines C6 and C13 for libxl_childproc_adopt: a child of the host's,
 * a child of a child, one whose number has changed hands, and the life of a
 * daemon that starts again and finds its former children.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "hostchild.h"
#include "probe.h"
#include "kernel/sys.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static void needs_pidfds(void)
{
    if (!xp_pidfds() || !xp_pidfd_open())
        XT_SKIP("adoption is by pidfd, which is refused here");
}

/* ---- the host's own child ----------------------------------------------- */

XT_TEST(a_child_of_the_host_is_reaped_as_one, "C6 C5 C13")
{
    static const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_none,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_libxl};

    needs_pidfds();
    for (size_t i = 0; i < 3; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id = 0;
        uint64_t ticks = 0;
        pid_t pid;
        int gate;

        pid = xh_fork_held(XH_EXIT(41), &gate);
        XT_OK(libxl_childproc_start_time(pid, &ticks));
        XT_GT_INT(ticks, 0);
        XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
        XT_NE_INT(id, 0);
        XT_EQ_INT(libxl_childproc_count(ctx), 1);
        XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_TIMEDOUT);
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EQ_INT(r.pid, pid);
        XT_EXITED(&r, 41);
        XT_EQ_INT(r.source, LIBXL_SOURCE_REAPED);
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_pidfd_names_it_as_well, "C6 C13 C16")
{
    libxl_ctx *ctx;
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    pid_t pid;
    int gate, pidfd;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_SIGNAL(SIGTERM), &gate);
    pidfd = XT_SYS(syscall(SYS_pidfd_open, pid, 0));
    XT_OK(libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id));
    /* It is duplicated: ours may be closed at once, and was not changed. */
    XT_EQ_INT(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    xt_close(&pidfd);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EQ_INT(r.pid, pid);
    XT_SIGNALED(&r, SIGTERM);
    xt_ctx_free(ctx);
}

XT_TEST(an_adopted_child_can_be_killed, "C13")
{
    libxl_ctx *ctx;
    libxl_kill_policy policy = {SIGUSR1, 600000, LIBXL_KILL_PROCESS};
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    pid_t pid;
    int gate;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(0), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGUSR1);
    xt_close(&gate);
    xt_ctx_free(ctx);
}

/* A group is known by its leader, also when that was adopted. */
XT_TEST(an_adopted_leader_is_killed_with_its_group, "C13")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
    libxl_ctx *ctx, *first;
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("ignore", "SIGTERM", "grandchild-pause", "on-signal-exit",
                 "SIGTERM", "12", "put", "r", "pause"));
    libxl_childproc_fd fd = {.target = 1};
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    pid_t pid;
    int out[2];

    needs_pidfds();
    xt_pipe(out);
    first = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    fd.source = out[1];
    spec.fds = &fd;
    spec.nfds = 1;
    spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    spec.on_free = LIBXL_FREE_LEAVE;
    xt_spawn(first, &spec, NULL, &pid);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    xt_ctx_free(first);

    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 12);
    free(xt_read_all(out[0], NULL)); /* its end: nobody holds it any more */
    xt_close(&out[0]);
    xt_ctx_free(ctx);
}

/* Others of its group are nobody's to signal: it does not lead it. */
XT_TEST(a_member_of_a_group_is_only_a_process, "C13 X5")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_GROUP};
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;
    pid_t pid;
    int gate;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(8), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
    XT_RC(libxl_childproc_kill(ctx, id, 0, LIBXL_KILL_GROUP), ERROR_INVAL);
    XT_RC(libxl_childproc_terminate(ctx, id, &policy), ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP),
          ERROR_INVAL);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 8);
    xt_ctx_free(ctx);
}

/* It has ended, and its status waits: there is nobody to kill. */
XT_TEST(an_adopted_child_that_has_ended, "C13 C6")
{
    libxl_childproc_result r;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;
    int gate;
    pid_t pid;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int late = 0; late < 2; late++) {
        pid = xh_fork_held(XH_EXIT(9), &gate);
        XT_OK(libxl_childproc_start_time(pid, &ticks));
        if (late) { /* ended before it is adopted */
            xt_close(&gate);
            xh_await_zombie(pid);
        }
        XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
        if (!late) {
            xt_close(&gate);
            xh_await_zombie(pid);
        }
        XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
              ERROR_NOTFOUND);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 9);
        XT_EQ_INT(r.has_rusage, 1);
    }
    xt_ctx_free(ctx);
}

/* The ctx goes, and the process is as it was: alive, and its parent's. */
XT_TEST(freed_the_adopted_are_left, "X2")
{
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;
    int gate;
    pid_t pid;

    needs_pidfds();
    for (int ended = 0; ended < 2; ended++) {
        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        pid = xh_fork_held(XH_EXIT(10), &gate);
        XT_OK(libxl_childproc_start_time(pid, &ticks));
        XT_OK(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id));
        if (ended) {
            xt_close(&gate);
            xh_await_zombie(pid);
        }
        xt_ctx_free(ctx);
        if (!ended) {
            XT_EQ_INT(xh_is_zombie(pid), 0);
            xt_close(&gate);
        }
        XT_EQ_INT(xh_reap(pid), 10 << 8);
    }
}

/* ---- somebody else's child ---------------------------------------------- */

/* A process whose parent is another one of ours: the parent waits for it when
 * reap_gate is closed, and ends then. */
struct family {
    pid_t parent, child;
    int end_gate;  /* close: the child ends */
    int reap_gate; /* close: its parent reaps it */
};

static void await_byte_or_end(int fd)
{
    char c;

    while (read(fd, &c, 1) < 0 && errno == EINTR)
        ;
}

static struct family make_family(struct xh_end end)
{
    int ends[2], reaps[2], tells[2];
    struct family f;

    xt_pipe(ends);
    xt_pipe(reaps);
    xt_pipe(tells);
    f.parent = XT_SYS(fork());
    if (!f.parent) {
        pid_t child;

        close(ends[1]);
        close(reaps[1]);
        child = fork();
        if (!child) {
            close(reaps[0]);
            await_byte_or_end(ends[0]);
            xh_end_now(end);
        }
        close(ends[0]);
        if (write(tells[1], &child, sizeof(child)) != sizeof(child))
            _exit(1);
        await_byte_or_end(reaps[0]);
        waitpid(child, NULL, 0);
        _exit(0);
    }
    xt_close(&ends[0]);
    xt_close(&reaps[0]);
    xt_close(&tells[1]);
    XT_EQ_INT(read(tells[0], &f.child, sizeof(f.child)), sizeof(f.child));
    XT_GT_INT(f.child, 1);
    xt_close(&tells[0]);
    f.end_gate = ends[1];
    f.reap_gate = reaps[1];
    return f;
}

static void adopted_stranger(struct xh_end end)
{
    int exit_info = xp_recovers();
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_event *event = NULL, *second = NULL;
    libxl_childproc_result *r;
    libxl_childproc_id id = 0;
    struct family f = make_family(end);
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
    needs_pidfds();
    adopted_stranger(XH_EXIT(0));
    adopted_stranger(XH_EXIT(201));
    adopted_stranger(XH_SIGNAL(SIGUSR2));
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

    needs_pidfds();
    for (size_t i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
        struct family f = make_family(XH_EXIT(0));
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

    needs_pidfds();
    if (!xp_recovers())
        XT_SKIP("it is reported at once where the kernel keeps no exits");
    for (size_t i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
        struct pollfd loop = {libxl_ctx_fileno(ctx), POLLIN, 0};
        struct family f = make_family(XH_EXIT(7));
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
    struct family f;

    needs_pidfds();
    /* without it a zombie of others is reported, and can be adopted again */
    xl_facility_limit(~(unsigned)LIBXL_FACILITY_EXIT_INFO);
    ctx = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    f = make_family(XH_EXIT(0));
    theirs.fd = XT_SYS(syscall(SYS_pidfd_open, f.child, 0));
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
    struct family f;
    libxl_childproc_id id = 0;
    uint64_t ticks;
    libxl_ctx *ctx;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    f = make_family(XH_EXIT(0));
    XT_OK(libxl_childproc_start_time(f.child, &ticks));
    XT_OK(libxl_childproc_adopt(ctx, f.child, ticks, -1, NULL, &id));
    if (xp_pidfd_send_signal()) /* it is there */
        XT_OK(libxl_childproc_kill(ctx, id, 0, LIBXL_KILL_PROCESS));
    ended.fd = XT_SYS(syscall(SYS_pidfd_open, f.child, 0));
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
    struct family f;
    libxl_ctx *ctx;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    f = make_family(XH_EXIT(0));
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

    needs_pidfds();
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

/* ---- what is refused ---------------------------------------------------- */

XT_TEST(another_process_of_that_number_is_not_adopted, "C13 X5")
{
    libxl_ctx *ctx;
    libxl_childproc_id id = 4711;
    uint64_t ticks;
    int gate, own;
    pid_t pid;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(3), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_RC(libxl_childproc_adopt(ctx, pid, ticks + 1, -1, NULL, &id),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_adopt(ctx, pid, 0, -1, NULL, &id), ERROR_NOTFOUND);
    XT_EQ_INT(id, 4711);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_close(&gate);
    XT_EQ_INT(xh_reap(pid), 3 << 8);
    /* Gone altogether. */
    XT_RC(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_start_time(pid, &ticks), ERROR_NOTFOUND);
    /* A descriptor that is none, or no pidfd. */
    XT_RC(libxl_childproc_adopt(ctx, 0, 0, 3999, NULL, &id), ERROR_INVAL);
    own = XT_SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
    XT_RC(libxl_childproc_adopt(ctx, 0, 0, own, NULL, &id), ERROR_INVAL);
    xt_close(&own);
    XT_RC(libxl_childproc_adopt(NULL, pid, ticks, -1, NULL, &id), ERROR_INVAL);
    XT_EQ_INT(id, 4711);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* Neither ourselves nor init, by whatever name. */
XT_TEST(nobody_adopts_themselves, "C13 X5")
{
    libxl_ctx *ctx;
    libxl_childproc_id id = 4711;
    uint64_t ticks;
    int own;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_OK(libxl_childproc_start_time(getpid(), &ticks));
    XT_RC(libxl_childproc_adopt(ctx, getpid(), ticks, -1, NULL, &id),
          ERROR_INVAL);
    own = XT_SYS(syscall(SYS_pidfd_open, getpid(), 0));
    XT_RC(libxl_childproc_adopt(ctx, 0, 0, own, NULL, &id), ERROR_INVAL);
    xt_close(&own);
    own = XT_SYS(syscall(SYS_pidfd_open, 1, 0));
    XT_RC(libxl_childproc_adopt(ctx, 0, 0, own, NULL, &id), ERROR_INVAL);
    xt_close(&own);
    XT_EQ_INT(id, 4711);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* "It has ended" is said only of one that has. */
static int (*real_open)(const char *, int, mode_t);

static int no_descriptor(const char *path, int flags, mode_t mode)
{
    if (strstr(path, "/fdinfo/")) {
        errno = EMFILE;
        return -1;
    }
    return real_open(path, flags, mode);
}

XT_TEST(a_pidfd_of_one_that_was_reaped, "C13 C6 X5")
{
    libxl_ctx *ctx;
    libxl_childproc_id id = 4711;
    int gate, pidfd;
    pid_t pid;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(3), &gate);
    pidfd = XT_SYS(syscall(SYS_pidfd_open, pid, 0));
    real_open = xl_sys.open;
    xl_sys.open = no_descriptor;
    XT_RC(libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id), ERROR_SYSTEM);
    XT_EQ_INT(errno, EMFILE);
    xl_sys.open = real_open;
    xt_close(&gate);
    XT_EQ_INT(xh_reap(pid), 3 << 8);
    if (!xp_exit_info()) {
        XT_RC(libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id),
              ERROR_NOTFOUND);
        XT_EQ_INT(id, 4711);
    } else {
        libxl_childproc_result r;

        XT_OK(libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id));
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 3);
        XT_EQ_INT(r.source, LIBXL_SOURCE_PIDFD);
        XT_EQ_INT(r.pid, 0);
    }
    xt_close(&pidfd);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* By every kind of report, in every mode, also where the pidfd is all there is:
 * without /proc. */
static int absent_proc;

static int no_proc(const char *path, int flags, mode_t mode)
{
    if (absent_proc && !strncmp(path, "/proc/", 6)) {
        errno = ENOENT;
        return -1;
    }
    return real_open(path, flags, mode);
}

static libxl_childproc_result last_told;

static void tell(libxl_ctx *ctx, const libxl_childproc_result *result,
                 void *user)
{
    last_told = *result;
}

XT_TEST(one_that_was_reaped_is_told_at_once, "C6 C26")
{
    needs_pidfds();
    if (!xp_exit_info())
        XT_SKIP("the kernel does not tell how a reaped process ended");
    real_open = xl_sys.open;
    xl_sys.open = no_proc;
    for (int owner = libxl_sigchld_owner_libxl;
         owner <= libxl_sigchld_owner_none; owner++)
        for (int kind = LIBXL_REPORT_HOLD; kind <= LIBXL_REPORT_NONE; kind++)
            for (absent_proc = 0; absent_proc < 2; absent_proc++) {
                struct xh_end end =
                    kind % 2 ? XH_SIGNAL(SIGTERM) : XH_EXIT(40 + kind);
                libxl_ctx *ctx =
                    xt_ctx_new((libxl_sigchld_owner)owner, NULL);
                libxl_childproc_report report = {
                    (libxl_childproc_report_kind)kind, NULL, {17}};
                libxl_childproc_result r;
                libxl_childproc_id id = 0;
                libxl_event *event;
                int gate, pidfd;
                pid_t pid;

                if (kind == LIBXL_REPORT_CALLBACK)
                    report.callback = tell;
                pid = xh_fork_held(end, &gate);
                pidfd = XT_SYS(syscall(SYS_pidfd_open, pid, 0));
                xt_close(&gate);
                XT_EQ_INT(xh_reap(pid), xh_end_status(end));
                memset(&last_told, 0, sizeof(last_told));
                XT_OK(libxl_childproc_adopt(ctx, 0, 0, pidfd, &report, &id));
                XT_NE_INT(id, 0);
                switch (kind) {
                case LIBXL_REPORT_HOLD:
                    XT_OK(libxl_childproc_wait(ctx, id, 0, 0, &r));
                    XH_ENDED(&r, end);
                    break;
                case LIBXL_REPORT_EVENT:
                    XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL,
                                            NULL, NULL));
                    XT_EQ_INT(event->for_user, 17);
                    XH_ENDED(&event->u.childproc_exit, end);
                    libxl_event_free(ctx, event);
                    break;
                case LIBXL_REPORT_CALLBACK:
                    XT_EQ_INT(last_told.id, id);
                    XH_ENDED(&last_told, end);
                    break;
                }
                XT_EQ_INT(libxl_childproc_count(ctx), 0);
                xt_close(&pidfd);
                XT_OK(libxl_ctx_free(ctx));
            }
    xl_sys.open = real_open;
}

/* A live one, too, needs no /proc if its pidfd says who it is (Linux 6.13). */
XT_TEST(by_pidfd_without_proc, "C26 C6")
{
    libxl_ctx *ctx;
    libxl_childproc_id id;
    libxl_childproc_result r;
    int gate, pidfd;
    pid_t pid;

    needs_pidfds();
    if (!xp_exit_info())
        XT_SKIP("the kernel does not tell whose pidfd it is");
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(9), &gate);
    pidfd = XT_SYS(syscall(SYS_pidfd_open, pid, 0));
    real_open = xl_sys.open;
    xl_sys.open = no_proc;
    absent_proc = 1;
    XT_OK(libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id));
    xl_sys.open = real_open;
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 9);
    XT_EQ_INT(r.pid, pid);
    xt_close(&pidfd);
    xt_ctx_free(ctx);
}

/* "It has ended" is said only of one that has. */
XT_TEST(a_start_time_without_proc, "C26 C6 X5")
{
    uint64_t ticks = 4711;
    int gate;
    pid_t pid;

    pid = xh_fork_held(XH_EXIT(3), &gate);
    real_open = xl_sys.open;
    xl_sys.open = no_proc;
    absent_proc = 1;
    XT_RC(libxl_childproc_start_time(pid, &ticks), ERROR_SYSTEM);
    XT_EQ_INT(errno, ENOENT);
    XT_RC(libxl_childproc_start_time(getppid(), &ticks), ERROR_SYSTEM);
    xt_close(&gate);
    xh_await_zombie(pid);
    XT_RC(libxl_childproc_start_time(pid, &ticks), ERROR_SYSTEM);
    XT_EQ_INT(xh_reap(pid), 3 << 8);
    XT_RC(libxl_childproc_start_time(pid, &ticks), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_start_time(-1, &ticks), ERROR_INVAL);
    XT_RC(libxl_childproc_start_time(0, &ticks), ERROR_INVAL);
    XT_RC(libxl_childproc_start_time(1, &ticks), ERROR_INVAL);
    XT_EQ_INT(ticks, 4711);
    xl_sys.open = real_open;
}

/* /proc may keep a thread waiting: nobody else waits with it. */
static int gates[2], asked[2];

static int slow_proc(const char *path, int flags, mode_t mode)
{
    if (!strncmp(path, "/proc/", 6)) {
        xt_write_all(asked[1], "!", 1);
        xt_await_byte(gates[0]);
    }
    return real_open(path, flags, mode);
}

struct adopter {
    libxl_ctx *ctx;
    pid_t pid;
    libxl_childproc_id id;
};

static void *adopts(void *arg)
{
    struct adopter *a = arg;
    int pidfd = XT_SYS(syscall(SYS_pidfd_open, a->pid, 0));

    XT_OK(libxl_childproc_adopt(a->ctx, 0, 0, pidfd, NULL, &a->id));
    xt_close(&pidfd);
    return NULL;
}

XT_TEST(proc_is_asked_without_the_lock, "C26")
{
    struct adopter a = {NULL, 0, 0};
    libxl_childproc_result r;
    pthread_t thread;
    int gate;

    needs_pidfds();
    a.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    xt_pipe(gates);
    xt_pipe(asked);
    a.pid = xh_fork_held(XH_EXIT(8), &gate);
    real_open = xl_sys.open;
    xl_sys.open = slow_proc;
    XT_EQ_INT(pthread_create(&thread, NULL, adopts, &a), 0);
    xt_await_byte(asked[0]);
    XT_EQ_INT(libxl_childproc_count(a.ctx), 0); /* is not kept waiting */
    XT_RC(libxl_ctx_free(a.ctx), ERROR_BUSY);
    XT_EQ_INT(xh_reap(XT_SYS(xh_fork_exit(0))), 0); /* nor are forks */
    xt_write_all(gates[1], "!", 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xl_sys.open = real_open;
    xt_close(&gate);
    r = xt_wait(a.ctx, a.id);
    XT_EXITED(&r, 8);
    xt_ctx_free(a.ctx);
    for (int i = 0; i < 2; i++) {
        xt_close(&gates[i]);
        xt_close(&asked[i]);
    }
}

/* The name of a program may hold whatever separates the fields of its stat. */
XT_TEST(a_start_time_does_not_depend_on_the_name, "C13")
{
    int gate[2], told[2];
    uint64_t before, after = 0;
    pid_t pid;

    xt_pipe(gate);
    xt_pipe(told);
    pid = XT_SYS(fork());
    if (!pid) {
        close(gate[1]);
        await_byte_or_end(gate[0]);
        if (prctl(PR_SET_NAME, "a) S 1 (2) 3") || write(told[1], "!", 1) != 1)
            _exit(1);
        await_byte_or_end(gate[0]);
        _exit(0);
    }
    xt_close(&gate[0]);
    XT_OK(libxl_childproc_start_time(pid, &before));
    xt_write_all(gate[1], "!", 1);
    xt_await_byte(told[0]);
    XT_OK(libxl_childproc_start_time(pid, &after));
    XT_TRUE(before == after);
    xt_close(&gate[1]);
    XT_EQ_INT(xh_reap(pid), 0);
    xt_close(&told[0]);
    xt_close(&told[1]);
}

XT_TEST(a_child_of_a_ctx_is_not_adopted_again, "C5 X5")
{
    libxl_ctx *ctx, *other;
    libxl_childproc_id id, again = 4711;
    libxl_childproc_result r;
    uint64_t ticks;
    pid_t pid;
    int gate;

    needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    other = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    id = xh_spawn_held(ctx, XH_EXIT(6), NULL, NULL, &gate, &pid);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    XT_RC(libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &again),
          ERROR_INVAL);
    XT_RC(libxl_childproc_adopt(other, pid, ticks, -1, NULL, &again),
          ERROR_INVAL);
    XT_EQ_INT(again, 4711);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 6);
    xt_ctx_free(other);
    xt_ctx_free(ctx);
}

XT_TEST(without_pidfds_adoption_says_so, "C4 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id = 4711;
    uint64_t ticks;
    pid_t pid;
    int gate, rc;

    pid = xh_fork_held(XH_EXIT(3), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    rc = libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id);
    if (xp_pidfds() && xp_pidfd_open()) {
        libxl_childproc_result r;

        XT_OK(rc);
        xt_close(&gate);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 3);
    } else {
        XT_TRUE(rc == ERROR_NI || rc == ERROR_SYSTEM);
        XT_EQ_INT(id, 4711);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xt_close(&gate);
        XT_EQ_INT(xh_reap(pid), 3 << 8);
    }
    xt_ctx_free(ctx);
}
