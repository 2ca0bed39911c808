/* host_fds.c - a host that closes every fd, or forks and goes on
 *
 * Proves C26 and C14: no fd is closed that is not ours, whatever number it has
 * by now: in a child that closed all and opened its own files before it told
 * the library; in a host that closed all and opened its own; in its forks.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "probe.h"
#include "stranger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/own.h"

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none,
    libxl_sigchld_owner_mainloop};
#define N_OWNERS (sizeof(owners) / sizeof(owners[0]))

#define FILES 48 /* more than a ctx has fds */

static void close_all(void)
{
    for (int fd = 3; fd < 256; fd++)
        close(fd);
}

struct files {
    int fd[FILES];
    ino_t ino[FILES];
};

static void open_own(struct files *f)
{
    struct stat st;

    for (int i = 0; i < FILES; i++) {
        f->fd[i] = XT_SYS(memfd_create("own", MFD_CLOEXEC));
        XT_SYS(fstat(f->fd[i], &st));
        f->ino[i] = st.st_ino;
    }
    XT_EQ_INT(f->fd[0], 3);
}

/* Where our handler is installed, a SIGCHLD that comes before anybody has
 * noticed goes to whatever has the self-pipe's number: a byte each. */
static int handler_writes;

static void are_untouched(const struct files *f)
{
    struct stat st;

    for (int i = 0; i < FILES; i++) {
        if (fstat(f->fd[i], &st))
            XT_FAIL("fd %d is closed", f->fd[i]);
        XT_EQ_INT(st.st_ino, f->ino[i]);
        if (!handler_writes)
            XT_EQ_INT(st.st_size, 0);
    }
}

/* A ctx with everything that it may have open. */
static libxl_ctx *full_ctx(libxl_sigchld_owner owner, int *ret_gate)
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_ctx *gone = xt_ctx_new(owner == libxl_sigchld_owner_mainloop
                                     ? libxl_sigchld_owner_none
                                     : owner,
                                 NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "0"));
    libxl_childproc_fd fds = {0, -1};
    int gate[2];

    xt_pipe(gate);
    fds.source = gate[0];
    spec.fds = &fds;
    spec.nfds = 1;
    spec.on_free = LIBXL_FREE_KILL;
    XT_GE_INT(libxl_ctx_fileno(ctx), 0);
    for (int i = 0; i < 3; i++)
        (void)xt_spawn(ctx, &spec, NULL, NULL);
    spec.on_free = LIBXL_FREE_DETACH;
    (void)xt_spawn(gone, &spec, NULL, NULL);
    xt_ctx_free(gone); /* a thread of ours reaps that one */
    xt_close(&gate[0]);
    *ret_gate = gate[1];
    return ctx;
}

static void use_new_ctx(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;

    for (int i = 0; i < 3; i++) {
        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "6"), NULL, NULL));
        XT_EXITED(&r, 6);
    }
    xt_ctx_free(ctx);
}

static int open_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- a fork that goes on ------------------------------------------------- */

static void in_a_fork(void (*fn)(libxl_ctx *ctx))
{
    int before = open_fds();

    for (size_t o = 0; o < N_OWNERS; o++) {
        int gate;
        libxl_ctx *ctx = full_ctx(owners[o], &gate);
        pid_t pid = XT_SYS(fork());

        if (!pid) {
            XT_EQ_INT(open_fds(), before + 1); /* the gate; nothing of ours */
            fn(ctx);
            _exit(0);
        }
        XT_EQ_INT(xh_reap(pid), 0);
        xt_close(&gate);
        xt_ctx_free(ctx);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
            ;
    }
}

static void a_daemon(libxl_ctx *ctx)
{
    struct files own;

    close_all();
    open_own(&own);
    libxl_postfork_child_noexec(ctx);
    are_untouched(&own);
    use_new_ctx();
    libxl_postfork_child_noexec(NULL);
    are_untouched(&own);
    XT_OK(libxl_ctx_free(ctx)); /* the parent's */
    are_untouched(&own);
}

XT_TEST_SLOW(a_fork_with_files_of_its_own_keeps_them, "C26 C14", 60)
{
    in_a_fork(a_daemon);
}

static void one_that_only_frees(libxl_ctx *ctx)
{
    struct files own;

    close_all();
    open_own(&own);
    XT_OK(libxl_ctx_free(ctx));
    are_untouched(&own);
    use_new_ctx();
    are_untouched(&own);
}

XT_TEST_SLOW(a_fork_that_frees_what_it_inherited_keeps_them, "C26 C14", 60)
{
    in_a_fork(one_that_only_frees);
}

static void one_that_forks_again(libxl_ctx *ctx)
{
    struct files own;
    pid_t pid;

    open_own(&own);
    pid = XT_SYS(fork());
    if (!pid) {
        are_untouched(&own);
        a_daemon(ctx);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    are_untouched(&own);
}

XT_TEST_SLOW(a_daemon_forks_twice, "C26 C14", 60)
{
    for (int fd = 3; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            XT_SKIP("an fd was inherited: the numbers are not as expected");
    in_a_fork(one_that_forks_again);
}

/* ---- a host that closes all, and goes on --------------------------------- */

/* What gets the numbers that were ours. */
static void open_nothing(struct files *f)
{
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < FILES; i++)
        f->fd[i] = -1;
}

static void open_loops(struct files *f)
{
    for (int i = 0; i < FILES; i++)
        f->fd[i] = XT_SYS(i % 2 ? epoll_create1(EPOLL_CLOEXEC)
                                : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    memset(f->ino, 0, sizeof(f->ino));
}

/* What is added to ours is added to another, and never told. */
static void open_epolls(struct files *f)
{
    for (int i = 0; i < FILES; i++)
        f->fd[i] = XT_SYS(epoll_create1(EPOLL_CLOEXEC));
    memset(f->ino, 0, sizeof(f->ino));
}

static void (*const opens[])(struct files *) = {open_nothing, open_own,
                                                open_loops, open_epolls};

static void still_there(const struct files *f)
{
    if (f->ino[0])
        are_untouched(f);
    else
        for (int i = 0; i < FILES; i++)
            XT_TRUE(f->fd[i] < 0 || fcntl(f->fd[i], F_GETFD) >= 0);
}

static int is_noticed(void *ctx)
{
    return libxl_childproc_count(ctx) == ERROR_FDS_CLOSED;
}

enum first_call { LATCHED, WAIT, EXEC, LATER, FREE, N_FIRST_CALLS };

static void host_that_closes(libxl_sigchld_owner owner, int opened,
                             enum first_call first)
{
    libxl_childproc_exec_result result;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_failure failure;
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_event *event;
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    struct files own;
    pid_t pid;

    XT_GE_INT(libxl_ctx_fileno(ctx), 0);
    spec.on_free = LIBXL_FREE_KILL;
    id = xt_spawn(ctx, &spec, NULL, &pid);
    close_all();
    opens[opened](&own);
    switch (first) {
    case LATCHED:
        XT_RC(libxl_ctx_disaster_latched(ctx), ERROR_FDS_CLOSED);
        break;
    case WAIT:
        XT_RC(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &r),
              ERROR_FDS_CLOSED);
        break;
    case EXEC:
        XT_RC(libxl_childproc_exec(ctx, &spec, NULL, &result, NULL, NULL),
              ERROR_FDS_CLOSED);
        break;
    case LATER:
        XT_EVENTUALLY(is_noticed, ctx);
        break;
    default:
        break;
    }
    if (first != FREE) {
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
              ERROR_FDS_CLOSED);
        XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_PROCESS),
              ERROR_FDS_CLOSED);
        XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_FDS_CLOSED);
        still_there(&own);
    }
    /* its forks keep the host's files, too */
    pid = XT_SYS(fork());
    if (!pid) {
        still_there(&own);
        libxl_postfork_child_noexec(ctx);
        still_there(&own);
        use_new_ctx();
        still_there(&own);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    use_new_ctx();
    still_there(&own);
    XT_OK(libxl_ctx_free(ctx));
    still_there(&own);
    use_new_ctx();
    still_there(&own);
}

XT_TEST_SLOW(a_host_that_closes_all, "C26 X2 X5", 60)
{
    for (size_t o = 0; o < N_OWNERS; o++)
        for (int opened = 0; opened < 4; opened++)
            for (int first = 0; first < N_FIRST_CALLS; first++) {
                pid_t pid = XT_SYS(fork());
                int status;

                if (!pid) {
                    handler_writes = (owners[o] != libxl_sigchld_owner_none ||
                                      !xp_pidfds()) &&
                                     owners[o] != libxl_sigchld_owner_mainloop;
                    host_that_closes(owners[o], opened, (enum first_call)first);
                    _exit(0);
                }
                status = xh_reap(pid);
                if (status)
                    XT_FAIL("mode %s, files %d, call %d: status %#x",
                            libxl_childproc_owner_name(owners[o]), opened,
                            first, (unsigned)status);
            }
}

static int three_are_open(void *user)
{
    (void)user;
    return open_fds() == 3; /* the thread that buries the killed one ends */
}

/* A ctx that is made then gets the old one's numbers, as far as the kernel
 * goes: neither passes for the other, in calls, in forks, or in the end. */
static void new_beside_old(libxl_sigchld_owner owner, int replaced, int outer)
{
    libxl_ctx *old = xt_ctx_new(owner, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_result r;
    libxl_ctx *new;
    int status;
    pid_t pid;

    if (outer)
        XT_GE_INT(libxl_ctx_fileno(old), 0);
    spec.on_free = LIBXL_FREE_KILL;
    (void)xt_spawn(old, &spec, NULL, NULL);
    close_all();
    new = xt_ctx_forking(owner, replaced);
    for (int i = 0; i < 3; i++) {
        if (outer && i == 1)
            XT_GE_INT(libxl_ctx_fileno(new), 0);
        if (i == 1)
            XT_EVENTUALLY(is_noticed, old);
        if (i == 2)
            XT_OK(libxl_ctx_free(old));
        r = xt_wait(new, xt_spawn_argv(new, XT_CHILD("exit", "6"), NULL, NULL));
        XT_EXITED(&r, 6);
        pid = XT_SYS(fork());
        if (!pid) {
            if (i > 0) /* before, it is not known whose the numbers are */
                XT_EQ_INT(open_fds(), 3);
            _exit(0);
        }
        XT_EQ_INT(waitpid(pid, &status, 0), pid);
        XT_EQ_INT(status, 0);
    }
    xt_ctx_free(new);
    XT_EVENTUALLY(three_are_open, NULL); /* … and none is left open here */
}

XT_TEST_SLOW(a_new_ctx_beside_one_that_lost_its_fds, "C26 C14 X3", 60)
{
    for (size_t o = 0; o < N_OWNERS; o++)
        for (int replaced = 0; replaced < 2; replaced++)
            for (int outer = 0; outer < 2; outer++) {
                pid_t pid;

                if (owners[o] == libxl_sigchld_owner_mainloop)
                    continue; /* its status would be the host's to learn */
                pid = XT_SYS(fork());
                if (!pid) {
                    new_beside_old(owners[o], replaced, outer);
                    _exit(0);
                }
                XT_EQ_INT(xh_reap(pid), 0);
            }
}

/* ---- the marks ----------------------------------------------------------- */

/* The table of marks itself: runs, single ones, chunk borders, foreign ones. */
XT_TEST(only_what_is_marked_is_closed, "C26 C14")
{
    static const int numbers[] = {63, 64, 65, 127, 128, 200, 202};
    const size_t n = sizeof(numbers) / sizeof(numbers[0]);
    pid_t pid = XT_SYS(fork());

    if (!pid) {
        for (size_t i = 0; i < n; i++)
            XT_EQ_INT(dup3(0, numbers[i], O_CLOEXEC), numbers[i]);
        XT_EQ_INT(dup3(0, 201, O_CLOEXEC), 201);
        XT_EQ_INT(dup2(0, 129), 129);
        for (size_t i = 0; i < n; i++)
            XT_EQ_INT(xl_own(numbers[i]), numbers[i]);
        XT_EQ_INT(xl_own(129), 129); /* was ours; is a file of the host's */
        xl_own_mark(201);            /* two have claimed it, one is not told */
        xl_own_mark(201);
        xl_own_forget(201);
        XT_TRUE(xl_own_is(201));
        xl_own_forget(201);
        xl_own_forget(127);          /* somebody else's now */
        xl_own_close(201);           /* never was ours */
        xl_own_close(202);
        xl_own_postfork(1);
        for (int fd = 60; fd < 256; fd++)
            XT_EQ_INT(fcntl(fd, F_GETFD) >= 0,
                      fd == 127 || fd == 129 || fd == 201);
        XT_EQ_INT(xl_own(127), 127);
        /* closed by the host, and made again: its number is left alone */
        XT_SYS(dup3(0, 127, O_CLOEXEC));
        XT_EQ_INT(xl_own(127), 128);
        XT_EQ_INT(fcntl(127, F_GETFD), -1);
        XT_EQ_INT(fcntl(128, F_GETFD), FD_CLOEXEC);
        xl_own_close(128);
        XT_SYS(dup3(0, 127, O_CLOEXEC));
        xl_own_postfork(0); /* not sure */
        XT_GE_INT(fcntl(127, F_GETFD), 0);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(pid), 0);
}

/* ---- numbers that are closed twice --------------------------------------- */

/* Two children, the first one's pidfd closed by a host that thinks the number
 * its own; the second is given it. As bash does with each pipeline. */
static void closes_twice(libxl_sigchld_owner owner, int reaps)
{
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_spec spec = xt_spec(NULL);
    int low[2], gate[2], hole, number;
    libxl_childproc_id id[2];
    pid_t pid[2];

    spec.exited_grace_ms = 10;
    xt_pipe(low);
    id[0] = xh_spawn_held(ctx, XH_EXIT(47), &spec, NULL, &gate[0], &pid[0]);
    hole = XT_SYS(fcntl(0, F_DUPFD_CLOEXEC, 0)); /* its own end of the gate */
    number = xf_pidfd_number(pid[0]);
    xt_close(&low[0]); /* for the second one's gate */
    xt_close(&low[1]);
    if (number >= 0)
        XT_SYS(close(number));
    id[1] = xh_spawn_held(ctx, XH_EXIT(48), &spec, NULL, &gate[1], &pid[1]);
    for (int i = 0; i < 2; i++) {
        xt_close(&gate[i]);
        if (reaps)
            (void)xh_reap(pid[i]);
        else
            xh_await_zombie_or_gone(&pid[i], 1);
    }
    for (int i = 0; i < 2; i++) {
        libxl_childproc_result r;

        do /* a host that is not idle */
            if (owner == libxl_sigchld_owner_mainloop)
                libxl_childproc_sigchld_occurred(ctx);
        while (libxl_childproc_wait(ctx, id[i], 20, 0, &r));
        if (!r.lost)
            XT_EXITED(&r, 47 + i);
        else
            XT_TRUE(reaps);
    }
    xt_close(&hole);
    xt_ctx_free(ctx);
}

XT_TEST(a_pidfd_closed_by_the_host_is_nobody_elses, "C6 C20 C26")
{
    for (int reaps = 0; reaps < 2; reaps++)
        for (size_t o = 0; o < N_OWNERS; o++)
            closes_twice(owners[o], reaps);
}
