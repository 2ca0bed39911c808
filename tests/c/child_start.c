/* child_start.c - what happens around a start: before the fork, and in the
 * child
 *
 * Contract lines C12 (arming comes before forking), C15 and C16. The shared
 * tables in tests/vectors hold one row a member of the spec; here is what
 * needs a host with descriptors, masks and limits of its own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"
#include "kernel/facility.h"

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

static libxl_childproc_result finish(libxl_ctx *ctx, libxl_childproc_id id,
                                     pid_t pid)
{
    if (xh_diagnose(ctx).mode_asked == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
    return xt_wait(ctx, id);
}

/* ---- C12: no fd, no child ----------------------------------------------- */

static int highest_fd(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    int highest = -1;

    XT_TRUE(d);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d) &&
            atoi(e->d_name) > highest)
            highest = atoi(e->d_name);
    closedir(d);
    return highest;
}

/* Fills every hole below the highest open fd; returns how many were made. */
static int fill_holes(int *filler, int room)
{
    int highest = highest_fd(), n = 0, fd;

    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0 &&
           fd < highest) {
        XT_LT_INT(n, room);
        filler[n++] = fd;
    }
    XT_SYS(fd);
    XT_SYS(close(fd));
    return n;
}

/* The child leaves a mark when it runs at all. With k descriptors to be had,
 * k = 0, 1, 2, …: either the start fails, and no child ever ran, or it
 * succeeds and the exit is reported. */
static void few_fds(libxl_sigchld_owner owner)
{
    struct rlimit saved, low;
    int filler[1024], nfiller, failed = 0, mark[2];
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_fd fds[1];
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "m", "exit", "19"));

    xt_pipe(mark);
    XT_SYS(fcntl(mark[0], F_SETFL, O_NONBLOCK));
    fds[0].target = 1;
    fds[0].source = mark[1];
    spec.fds = fds;
    spec.nfds = 1;
    XT_SYS(getrlimit(RLIMIT_NOFILE, &saved));
    nfiller = fill_holes(filler, 1024);
    for (int k = 0;; k++) {
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
        libxl_childproc_id id = 4711;
        libxl_childproc_result r;
        pid_t pid = 4712;
        char c;
        int rc;

        XT_LT_INT(k, 40);
        low = saved;
        low.rlim_cur = highest_fd() + 1 + k;
        XT_SYS(setrlimit(RLIMIT_NOFILE, &low));
        rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, &failure);
        XT_SYS(setrlimit(RLIMIT_NOFILE, &saved));
        if (!rc) {
            r = finish(ctx, id, pid);
            XT_EXITED(&r, 19);
            XT_EQ_INT(read(mark[0], &c, 1), 1);
            break;
        }
        failed++;
        XT_TRUE(rc == ERROR_SYSTEM || rc == ERROR_NOMEM || rc == ERROR_SPAWN);
        XT_NE_INT(failure.stage, LIBXL_STAGE_NONE);
        XT_EQ_INT(failure.errnoval, EMFILE);
        XT_EQ_INT(id, 4711);
        XT_EQ_INT(pid, 4712);
        XH_NO_CHILDREN();
        XT_EQ_INT(read(mark[0], &c, 1), -1);
        XT_EQ_INT(errno, EAGAIN);
    }
    xt_note("%s: %d starts were refused", libxl_childproc_owner_name(owner),
            failed);
    while (nfiller)
        XT_SYS(close(filler[--nfiller]));
    xt_ctx_free(ctx);
    xt_close(&mark[0]);
    xt_close(&mark[1]);
}

XT_TEST(no_descriptors_no_child, "C12 C15 X5 defect-3")
{
    if (xt_on_valgrind())
        XT_SKIP("valgrind's own descriptors are in the way");
    for (size_t i = 0; i < N_OWNERS; i++)
        few_fds(all[i]);
}

/* The process limit: the kernel's own error reaches the caller. */
XT_TEST(a_refused_fork_is_reported_as_such, "C12 C10 defect-4 defect-11")
{
    sigset_t before, after;
    pid_t pid;

    if (geteuid())
        XT_SKIP("the process limit of another user needs root to set up");
    XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
    XT_OK(xl_facility_ask()); /* before that, it is the stage PREPARE */
    /* In a child: giving up root cannot be taken back. */
    pid = fork();
    if (!pid) {
        struct rlimit none = {1, 1};
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));

        XT_SYS(setresuid(54321, 54321, 54321));
        XT_SYS(setrlimit(RLIMIT_NPROC, &none));
        for (size_t i = 0; i < N_OWNERS; i++) {
            libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
            libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
            struct xh_action action = xh_action_get(SIGCHLD);

            for (int k = 0; k < 3; k++) {
                XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL,
                                            &failure),
                      ERROR_SYSTEM);
                XT_EQ_INT(failure.stage, LIBXL_STAGE_FORK);
                XT_EQ_INT(failure.errnoval, EAGAIN);
                XH_SIGCHLD_IS(&action);
                XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
                XT_EQ_MEM(&before, 8, &after, 8);
            }
            XT_EQ_INT(libxl_childproc_count(ctx), 0);
            xt_ctx_free(ctx);
        }
        _exit(0);
    }
    XT_SYS(pid);
    XT_EQ_INT(xh_reap(pid), 0);
}

/* The caller's mask is what it was, and any signal that came meanwhile is
 * handled: after a start that works, one that fails, and one refused. */
XT_TEST(the_callers_mask_comes_back, "C16 X5 defect-11")
{
    const char *const nothing[] = {"/nonexistent/program", NULL};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    sigset_t some, before, after;

    sigemptyset(&some);
    for (int round = 0; round < 2; round++) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
        libxl_childproc_result r;
        libxl_childproc_id id;

        XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &some, NULL), 0);
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &before), 0);
        id = xt_spawn(ctx, &spec, NULL, NULL);
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
        XT_EQ_MEM(&before, 8, &after, 8);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 0);
        spec.argv = nothing;
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
              ERROR_SPAWN);
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
        XT_EQ_MEM(&before, 8, &after, 8);
        spec.argv = NULL;
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
              ERROR_INVAL);
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
        XT_EQ_MEM(&before, 8, &after, 8);
        sigaddset(&some, SIGUSR1);
        sigaddset(&some, SIGRTMIN + 3);
    }
    sigemptyset(&some);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &some, NULL), 0);
    xt_ctx_free(ctx);
}

/* ---- C16: descriptors --------------------------------------------------- */

/* Runs the helper with stdout captured through `out`, others as mapped. */
static char *output_of(libxl_ctx *ctx, libxl_childproc_spec *spec,
                       const libxl_childproc_fd *map, size_t nmap)
{
    libxl_childproc_fd fds[16];
    libxl_childproc_result r;
    libxl_childproc_id id;
    int out[2];
    char *text;

    XT_LT_INT(nmap, 15);
    xt_pipe(out);
    if (nmap)
        memcpy(fds, map, nmap * sizeof(*map));
    fds[nmap].target = 1;
    fds[nmap].source = out[1];
    spec->fds = fds;
    spec->nfds = nmap + 1;
    id = xt_spawn(ctx, spec, NULL, NULL);
    xt_close(&out[1]);
    text = xt_read_all(out[0], NULL);
    xt_close(&out[0]);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 0);
    return text;
}

/* A file whose content is its name: tells which descriptor arrived where. */
static int named_file(const char *name, int at)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    XT_SYS(fd);
    xt_write_all(fd, name, strlen(name));
    XT_SYS(lseek(fd, 0, SEEK_SET));
    if (fd != at) {
        XT_EQ_INT(fcntl(at, F_GETFD), -1);
        XT_SYS(dup3(fd, at, O_CLOEXEC));
        XT_SYS(close(fd));
    }
    return at;
}

XT_TEST(swapped_and_rotated_descriptors, "C16 defect-10")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("fd-target", "10", "fd-target", "11", "fd-target",
                         "12", "fd-target", "13"));
    static const struct {
        int source[4];
        const char *expected[4];
    } plan[] = {
        {{11, 10, 12, 13}, {"bbb", "aaa", "ccc", "ddd"}}, /* a swap */
        {{11, 12, 13, 10}, {"bbb", "ccc", "ddd", "aaa"}}, /* a rotation */
        {{13, 12, 11, 10}, {"ddd", "ccc", "bbb", "aaa"}}, /* two swaps */
        {{10, 11, 12, 13}, {"aaa", "bbb", "ccc", "ddd"}}, /* itself */
        {{12, 12, 12, 12}, {"ccc", "ccc", "ccc", "ccc"}}, /* duplicates */
        {{11, 10, 10, 11}, {"bbb", "aaa", "aaa", "bbb"}},
        {{13, 10, 11, 12}, {"ddd", "aaa", "bbb", "ccc"}},
    };
    int fd[4] = {named_file("aaa", 10), named_file("bbb", 11),
                 named_file("ccc", 12), named_file("ddd", 13)};

    for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++) {
        libxl_childproc_fd map[4];
        char *text, *line, *rest;

        for (int k = 0; k < 4; k++) {
            map[k].target = fd[k];
            map[k].source = plan[i].source[k];
        }
        text = output_of(ctx, &spec, map, 4);
        rest = text;
        for (int k = 0; k < 4; k++) {
            line = strsep(&rest, "\n");
            XT_CONTAINS(line, plan[i].expected[k]);
        }
        free(text);
        /* The caller's own are as they were. */
        for (int k = 0; k < 4; k++)
            XT_EQ_INT(fcntl(fd[k], F_GETFD), FD_CLOEXEC);
    }
    for (int k = 0; k < 4; k++)
        XT_SYS(close(fd[k]));
    xt_ctx_free(ctx);
}

/* 300 descriptors without close-on-exec, and one far away: none arrives. */
XT_TEST(every_other_descriptor_is_closed, "C16 C14 defect-12")
{
    static const libxl_sigchld_owner owner[] = {libxl_sigchld_owner_none,
                                                libxl_sigchld_owner_libxl};
    int fd[300];

    for (int i = 0; i < 300; i++)
        fd[i] = XT_SYS(open("/dev/null", O_RDWR));
    XT_SYS(dup2(fd[0], 1000));
    for (size_t i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_new(owner[i], NULL);
        libxl_childproc_spec spec =
            xt_spec(XT_CHILD("fd-target", "1000", "fd-target", "7", "fds"));
        char *text;
        int lines = 0;

        XT_SYS(libxl_ctx_fileno(ctx));
        text = output_of(ctx, &spec, NULL, 0);
        XT_TRUE(!strncmp(text, "closed\nclosed\n", 14));
        for (char *p = text; *p; p++)
            lines += *p == '\n';
        XT_EQ_INT(lines, 2 + 3);
        free(text);
        xt_ctx_free(ctx);
    }
    for (int i = 0; i < 300; i++) {
        XT_EQ_INT(fcntl(fd[i], F_GETFD), 0);
        XT_SYS(close(fd[i]));
    }
    XT_SYS(close(1000));
}

XT_TEST(kept_descriptors_are_the_hosts_not_ours, "C16 C14")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("fds"));
    int kept = XT_SYS(open("/dev/null", O_RDWR)), gate, lines = 0;
    libxl_childproc_result r;
    libxl_childproc_id held;
    char *text;

    /* With everything of the library's open. */
    XT_SYS(libxl_ctx_fileno(ctx));
    held = xh_spawn_held(ctx, XH_EXIT(0), NULL, NULL, &gate, NULL);
    spec.flags |= LIBXL_SPAWN_KEEP_FDS;
    text = output_of(ctx, &spec, NULL, 0);
    for (char *p = text; *p; p++)
        lines += *p == '\n';
    XT_EQ_INT(lines, 4); /* 0, 1, 2, kept */
    free(text);
    XT_SYS(close(kept));
    xt_close(&gate);
    r = xt_wait(ctx, held);
    XT_EXITED(&r, 0);
    xt_ctx_free(ctx);
}

/* A host that has closed its own stdio: descriptors of ours then have the
 * numbers 0, 1 and 2, and the child still gets what was asked. */
XT_TEST(a_host_without_stdio, "C16 defect-10")
{
    pid_t pid = fork();

    if (!pid) {
        libxl_childproc_result r;
        libxl_childproc_id id;
        libxl_ctx *ctx;
        int out[2];
        char *text;

        xt_pipe(out);
        out[0] = XT_SYS(fcntl(out[0], F_DUPFD_CLOEXEC, 20));
        out[1] = XT_SYS(fcntl(out[1], F_DUPFD_CLOEXEC, 20));
        close(0);
        close(1);
        close(2);
        for (int fd = 3; fd < 20; fd++)
            close(fd);
        for (size_t i = 0; i < N_OWNERS; i++) {
            libxl_childproc_fd fds[] = {{1, out[1]}, {2, LIBXL_FD_NULL}};
            libxl_childproc_spec spec = xt_spec(
                XT_CHILD("fd-target", "0", "fd-target", "2", "exit", "5"));
            libxl_childproc_hooks hooks = {.chldowner = all[i],
                                           .size = sizeof(hooks)};

            spec.fds = fds;
            spec.nfds = 2;
            if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL) ||
                libxl_childproc_setmode_checked(ctx, &hooks, NULL) ||
                libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL))
                _exit(101);
            if (all[i] == libxl_sigchld_owner_mainloop) {
                int status;

                if (waitpid(pid, &status, 0) != pid ||
                    libxl_childproc_exited(ctx, pid, status))
                    _exit(102);
            }
            if (libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &r) ||
                r.status != 5 << 8 || libxl_ctx_free(ctx))
                _exit(103);
        }
        close(out[1]);
        text = xt_read_all(out[0], NULL);
        for (size_t i = 0; i < N_OWNERS; i++) {
            const char *expected = "closed\n/dev/null\n";

            if (strncmp(text + i * strlen(expected), expected,
                        strlen(expected)))
                _exit(104);
        }
        _exit(0);
    }
    XT_SYS(pid);
    XT_EQ_INT(xh_reap(pid), 0);
}

/* ---- C16: signals ------------------------------------------------------- */

static void never(int signo)
{
    (void)signo;
}

/* The host blocks, ignores and handles signals; the child starts clean. */
XT_TEST(the_child_starts_with_clean_signals, "C16 defect-11")
{
    static const int touched[] = {SIGINT, SIGPIPE, SIGUSR1, SIGTERM, 40};
    struct xh_action saved[65];
    sigset_t everything, none;

    sigfillset(&everything);
    sigemptyset(&none);
    for (size_t k = 0; k < sizeof(touched) / sizeof(touched[0]); k++) {
        struct sigaction sa;

        memset(&sa, 0, sizeof(sa));
        sa.sa_handler = k % 2 ? SIG_IGN : never;
        saved[touched[k]] = xh_action_get(touched[k]);
        XT_SYS(sigaction(touched[k], &sa, NULL));
    }
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD(
            "mask", "put", "|", "ignored", "put", "|", "caught", "put", "|"));
        libxl_childproc_fd fds[1];
        libxl_childproc_id id;
        libxl_childproc_result r;
        int out[2], rc;
        char *text;
        pid_t pid;

        xt_pipe(out);
        fds[0].target = 1;
        fds[0].source = out[1];
        spec.fds = fds;
        spec.nfds = 1;
        XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &everything, NULL), 0);
        rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL);
        XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
        if (rc == ERROR_SIGCHLD_UNAVAILABLE && !xp_pidfds()) {
            /* Blocked in every thread: that start is refused (C9). */
            rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL);
        }
        XT_OK(rc);
        xt_close(&out[1]);
        text = xt_read_all(out[0], NULL);
        XT_TRUE(!strstr(text, "SIG"));
        XT_TRUE(!strstr(text, "40"));
        free(text);
        xt_close(&out[0]);
        r = finish(ctx, id, pid);
        XT_EXITED(&r, 0);
        xt_ctx_free(ctx);
    }
    for (size_t k = 0; k < sizeof(touched) / sizeof(touched[0]); k++)
        xh_action_set(touched[k], &saved[touched[k]]);
}

/* Signals sent to the host while it starts children stay the host's: none is
 * lost, none runs a handler of the host in the child. */
static volatile sig_atomic_t handled;

static void count(int signo)
{
    (void)signo;
    handled++;
}

static atomic_int stop_sending;
static atomic_long sent;

static void *send_usr1(void *thread)
{
    while (!stop_sending) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        sent++;
        sched_yield();
    }
    return NULL;
}

XT_TEST(the_hosts_handlers_never_run_in_the_child, "C16 C17 C11")
{
    struct xh_action saved = xh_action_get(SIGUSR1);
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pthread_t self = pthread_self(), sender;
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = count;
    sa.sa_flags = SA_RESTART;
    XT_SYS(sigaction(SIGUSR1, &sa, NULL));
    XT_EQ_INT(pthread_create(&sender, NULL, send_usr1, &self), 0);
    for (int i = 0; i < 300; i++) {
        struct xh_argv words;
        libxl_childproc_result r = xt_wait(
            ctx, xt_spawn_argv(ctx, xh_end_argv(&words, XH_EXIT(i % 256)), NULL,
                               NULL));

        XT_EXITED(&r, i % 256);
    }
    stop_sending = 1;
    XT_EQ_INT(pthread_join(sender, NULL), 0);
    XT_GT_INT(sent, 0);
    XT_GT_INT(handled, 0);
    xt_ctx_free(ctx);
    xh_action_set(SIGUSR1, &saved);
}
