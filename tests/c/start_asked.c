/* start_asked.c - the child gets what was asked and no more
 *
 * Proves C16 where the tables of tests/vectors cannot: fd maps with swaps and
 * cycles, leaks of the host's fds, controlling terminals, parent-death
 * signals. And C15 by comparison with real exits.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child prints, with this spec and a ctx of its own. */
static char *output(libxl_childproc_spec *spec)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    char *got = xt_output(ctx, spec);

    xt_ctx_free(ctx);
    return got;
}

static void expect(libxl_childproc_spec *spec, const char *text)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    XT_PRINTS(ctx, spec, text);
    xt_ctx_free(ctx);
}

/* ---- descriptors -------------------------------------------------------- */

/* A file of its own, whose name in /proc tells it from the others. */
static int marked(char *dir, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return XT_SYS(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static const char *base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Starts a child with the map and compares where its fds 3 to 9 point. */
static void expect_fds(const libxl_childproc_fd *fds, int n,
                       const char *const at[10])
{
    libxl_childproc_spec spec = xt_spec(
        XT_CHILD("fd-target", "3", "fd-target", "4", "fd-target", "5",
                 "fd-target", "6", "fd-target", "7", "fd-target", "8",
                 "fd-target", "9"));
    char *got, *rest, *line;

    spec.fds = fds;
    spec.nfds = n;
    got = rest = output(&spec);
    for (int fd = 3; fd < 10; fd++) {
        line = strsep(&rest, "\n");
        XT_NOTE("fd %d", fd);
        XT_EQ_STR(base(line), at[fd] ? at[fd] : "closed");
    }
    free(got);
}

XT_TEST(fd_swaps_and_cycles, "C16")
{
    char *dir = xt_tmpdir();
    int a, b, c;

    /* The sources are 3, 4 and 5 themselves. */
    a = marked(dir, "a");
    b = marked(dir, "b");
    c = marked(dir, "c");
    XT_EQ_INT(a, 3);
    XT_EQ_INT(b, 4);
    XT_EQ_INT(c, 5);
    {
        libxl_childproc_fd same[] = {{3, 3}, {4, 4}, {5, 5}};
        libxl_childproc_fd swap[] = {{3, 4}, {4, 3}};
        libxl_childproc_fd cycle[] = {{3, 4}, {4, 5}, {5, 3}};
        libxl_childproc_fd chain[] = {{4, 3}, {5, 4}, {6, 5}};
        libxl_childproc_fd back[] = {{6, 5}, {5, 4}, {4, 3}};
        libxl_childproc_fd fan[] = {{3, 5}, {4, 5}, {5, 5}, {9, 5}};
        libxl_childproc_fd mixed[] = {{5, 3}, {3, 5}, {4, LIBXL_FD_NULL},
                                      {7, 4}, {8, LIBXL_FD_CLOSED}, {9, 4}};
        const char *at_same[10] = {[3] = "a", [4] = "b", [5] = "c"};
        const char *at_swap[10] = {[3] = "b", [4] = "a"};
        const char *at_cycle[10] = {[3] = "b", [4] = "c", [5] = "a"};
        const char *at_chain[10] = {[4] = "a", [5] = "b", [6] = "c"};
        const char *at_fan[10] = {[3] = "c", [4] = "c", [5] = "c", [9] = "c"};
        const char *at_mixed[10] = {[3] = "c", [4] = "null", [5] = "a",
                                    [7] = "b", [9] = "b"};

        expect_fds(NULL, 0, (const char *[10]){NULL});
        expect_fds(same, 3, at_same);
        expect_fds(swap, 2, at_swap);
        expect_fds(cycle, 3, at_cycle);
        expect_fds(chain, 3, at_chain);
        expect_fds(back, 3, at_chain);
        expect_fds(fan, 4, at_fan);
        expect_fds(mixed, 6, at_mixed);
    }
    /* The caller's own flags are as they were. */
    XT_EQ_INT(fcntl(a, F_GETFD), FD_CLOEXEC);
    XT_EQ_INT(fcntl(b, F_GETFD), FD_CLOEXEC);
    xt_close(&a);
    xt_close(&b);
    xt_close(&c);
    xt_tmpdir_remove(dir);
}

/* Stdio swapped with itself and closed. */
XT_TEST(fd_stdio, "C16")
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("say-err", "x", "fds"));
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_fd swap[] = {{1, 0}, {2, 0}, {0, LIBXL_FD_CLOSED}};
    int p[2];
    char *text;

    xt_pipe(p);
    swap[0].source = swap[1].source = p[1];
    spec.fds = swap;
    spec.nfds = 3;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 0);
    xt_close(&p[1]);
    text = xt_read_all(p[0], NULL);
    XT_EQ_STR(text, "x\n1\n2\n");
    free(text);
    xt_close(&p[0]);
    xt_ctx_free(ctx);
}

/* The host's stdio may be closed: our own fds must not land there unseen. */
XT_TEST(fd_closed_stdio_of_the_host, "C16 C14")
{
    pid_t pid = fork();
    int status;

    XT_SYS(pid);
    if (!pid) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("fds"));
        libxl_ctx *ctx;
        libxl_childproc_result r;
        libxl_childproc_fd out;
        char *text;
        int p[2];

        close(0);
        close(1);
        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        XT_GT_INT(libxl_ctx_fileno(ctx), 2);
        XT_EQ_INT(fcntl(0, F_GETFD), -1); /* they stay so */
        XT_EQ_INT(fcntl(1, F_GETFD), -1);
        xt_pipe(p);
        out = (libxl_childproc_fd){1, p[1]};
        spec.fds = &out;
        spec.nfds = 1;
        r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
        XT_EXITED(&r, 0);
        close(p[1]);
        text = xt_read_all(p[0], NULL);
        XT_EQ_STR(text, "1\n2\n");
        free(text);
        xt_ctx_free(ctx);
        _exit(0);
    }
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_EQ_INT(status, 0);
}

/* A source that is not open stays so, though the library opens fds of its own
 * on the way, and one of them takes the number. */
XT_TEST(fd_not_open_is_never_ours, "C16 C15")
{
    int next = dup(0);
    libxl_childproc_exec_opts opts;

    XT_SYS(close(next));
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    for (int i = 0; i < 12; i++) {
        libxl_childproc_spec spec = xt_spec(XT_CHILD("fds"));
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
        libxl_childproc_fd fd = {7, next + i};
        libxl_childproc_exec_result result;

        spec.fds = &fd;
        spec.nfds = 1;
        if (fcntl(next + i, F_GETFD) < 0) {
            XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, &failure,
                                       NULL),
                  ERROR_SPAWN);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_FDS);
            XT_EQ_INT(failure.errnoval, EBADF);
            XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
                  ERROR_SPAWN);
            XT_EQ_INT(failure.errnoval, EBADF);
        }
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xt_ctx_free(ctx);
    }
}

/* Thousands of fds of the host, without close-on-exec: none gets through. */
XT_TEST(fd_nothing_leaks, "C16 C14")
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("fds"));
    struct rlimit limit;
    int fds[900];

    XT_SYS(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < 1024)
        XT_SKIP("only %d fds may be open here", (int)limit.rlim_cur);
    for (int i = 0; i < 900; i++)
        fds[i] = XT_SYS(open("/dev/null", O_RDONLY));
    expect(&spec, "0\n1\n2\n");
    XT_EQ_INT(fcntl(fds[0], F_GETFD), 0);
    for (int i = 0; i < 900; i++)
        xt_close(&fds[i]);
}

/* KEEP_FDS: those without close-on-exec stay, and only those. */
XT_TEST(fd_kept_on_request, "C16")
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("fds"));
    int plain = XT_SYS(open("/dev/null", O_RDONLY));
    int cloexec = XT_SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
    char want[64];

    spec.flags |= LIBXL_SPAWN_KEEP_FDS;
    snprintf(want, sizeof(want), "0\n1\n2\n%d\n", plain);
    expect(&spec, want);
    xt_close(&plain);
    xt_close(&cloexec);
}

/* Every fd that the library opens is close-on-exec from birth. */
XT_TEST(fd_ours_are_close_on_exec, "C14")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
        libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    for (int o = 0; o < 5; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
        libxl_childproc_exec_opts opts;
        libxl_childproc_exec_result result;
        libxl_asyncop_how how = {NULL, {.for_event = 1}};
        DIR *d;
        struct dirent *e;

        libxl_ctx_fileno(ctx);
        libxl_childproc_exec_opts_init(&opts);
        opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                           .data = "x",
                                           .length = 1};
        opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
        opts.timeout_ms = 60000;
        spec.on_free = LIBXL_FREE_KILL;
        XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, &how));
        d = opendir("/proc/self/fd");
        XT_TRUE(d != NULL);
        while ((e = readdir(d)))
            if (e->d_name[0] != '.' && atoi(e->d_name) > 2) {
                int flags = fcntl(atoi(e->d_name), F_GETFD);

                /* what watched the last ctx's child may go meanwhile */
                if (flags == -1 && errno == EBADF)
                    continue;
                XT_NOTE("fd %s", e->d_name);
                XT_EQ_INT(flags, FD_CLOEXEC);
            }
        closedir(d);
        xt_ctx_free(ctx);
        libxl_childproc_exec_result_dispose(&result);
        while (waitpid(-1, NULL, WNOHANG) != -1)
            ;
    }
}

/* ---- the rest of the struct --------------------------------------------- */

XT_TEST(environment_of_the_caller, "C16")
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("env-of", "XT_ONLY_HERE"));

    expect(&spec, "unset\n");
    XT_SYS(setenv("XT_ONLY_HERE", "a value", 1));
    expect(&spec, "a value\n");
    XT_SYS(unsetenv("XT_ONLY_HERE"));
}

/* Where a program without a slash is looked for when the spec names no path:
 * what the child's environment says, what the caller's says, the usual. */
XT_TEST(where_programs_are_searched, "C16")
{
    char *dir = xt_tmpdir(), tool[4096], in_env[4200], long_path[10100];
    const char *before = getenv("PATH");
    char *saved = before ? strdup(before) : NULL;
    const char *const say[] = {"tool", "say", "x", NULL};
    const char *const usual[] = {"env", NULL};
    const char *elsewhere[] = {"PATH=/nonexistent", NULL};
    const char *there[] = {in_env, NULL};
    const char *nothing[] = {NULL};
    libxl_childproc_spec spec = xt_spec(say);

    snprintf(tool, sizeof(tool), "%s/tool", dir);
    XT_SYS(symlink(xt_child_path(), tool));
    snprintf(in_env, sizeof(in_env), "PATH=%s", dir);
    spec.flags = LIBXL_SPAWN_SEARCH_PATH;
    XT_SYS(setenv("PATH", "/nonexistent", 1));
    spec.envp = there;
    expect(&spec, "x\n");
    spec.search_path = dir; /* before either */
    spec.envp = elsewhere;
    expect(&spec, "x\n");
    /* a directory whose name is too long is no reason to stop */
    memset(long_path, 'x', 5000);
    snprintf(long_path + 5000, sizeof(long_path) - 5000, ":%s", dir);
    spec.search_path = long_path;
    expect(&spec, "x\n");
    spec.search_path = NULL;
    XT_SYS(setenv("PATH", dir, 1));
    spec.envp = nothing;
    expect(&spec, "x\n");
    XT_SYS(unsetenv("PATH"));
    spec.argv = usual;
    expect(&spec, "");
    if (saved)
        XT_SYS(setenv("PATH", saved, 1));
    free(saved);
    xt_tmpdir_remove(dir);
}

XT_TEST(joining_a_group, "C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec leader = xt_spec(XT_CHILD("pause"));
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pgrp"));
    libxl_childproc_id id;
    libxl_childproc_result r;
    char want[32];
    pid_t pid;

    leader.flags |= LIBXL_SPAWN_NEW_GROUP;
    id = xt_spawn(ctx, &leader, NULL, &pid);
    spec.flags |= LIBXL_SPAWN_JOIN_GROUP;
    spec.group = pid;
    snprintf(want, sizeof(want), "%d\n", (int)pid);
    expect(&spec, want);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_GROUP));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_ctx_free(ctx);
}

XT_TEST(controlling_terminal, "C16")
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("session", "tty"));
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

    if (master < 0)
        XT_SKIP("no pseudo-terminals here: %s", strerror(errno));
    XT_SYS(grantpt(master));
    XT_SYS(unlockpt(master));
    slave = XT_SYS(open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC));
    spec.flags |= LIBXL_SPAWN_SET_CTTY;
    spec.ctty_fd = slave;
    expect(&spec, "sid self\ngroup self\nyes\n");
    spec.flags = LIBXL_SPAWN_NEW_SESSION;
    spec.ctty_fd = -1;
    expect(&spec, "sid self\ngroup self\nno\n");
    xt_close(&slave);
    xt_close(&master);
}

/* The parent-death signal fires when the starting process ends. */
XT_TEST(parent_death_signal, "C16")
{
    int alive[2], go_on[2], status;
    pid_t pid;

    xt_pipe(alive);
    xt_pipe(go_on);
    pid = fork();
    XT_SYS(pid);
    if (!pid) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("ready", "5", "pause"));
        libxl_childproc_fd fd = {5, alive[1]};

        spec.fds = &fd;
        spec.nfds = 1;
        spec.flags |= LIBXL_SPAWN_SET_PDEATHSIG;
        spec.pdeathsig = SIGKILL;
        xt_spawn(ctx, &spec, NULL, NULL);
        xt_await_byte(go_on[0]);
        _exit(0);
    }
    xt_close(&alive[1]);
    xt_await_byte(alive[0]);
    xt_write_all(go_on[1], "!", 1);
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    XT_EQ_INT(status, 0);
    {
        char c;

        XT_EQ_INT(read(alive[0], &c, 1), 0); /* it is gone, and its end too */
    }
    xt_close(&alive[0]);
    xt_close(&go_on[0]);
    xt_close(&go_on[1]);
}

/* ---- a failed start is no exit status ----------------------------------- */

XT_TEST(exit_127_is_an_exit, "C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "127"));
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_id id = 3;
    libxl_childproc_result r;
    siginfo_t info;

    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 127);
    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(failure.errnoval, ENOENT);
    XT_EQ_INT(id, 3);
    /* There is no such child, not even a dead one, and no report. */
    XT_EQ_INT(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* The steps in the order in which they are taken: each fails by its own name
 * although later ones would fail as well. */
XT_TEST(first_failing_stage_is_named, "C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_rlimit limit = {RLIMIT_NOFILE, {100, 50}};
    libxl_childproc_failure failure;

    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    spec.cwd = "/nonexistent/directory";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_CHDIR);
    spec.rlimits = &limit;
    spec.nrlimits = 1;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_RLIMIT);
    XT_EQ_INT(failure.errnoval, EINVAL);
    xt_ctx_free(ctx);
}

/* Batches: every entry its own fate. */
XT_TEST(batch_entries_fail_alone, "C15 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    for (int starters = 0; starters <= 2; starters += 2) {
        libxl_childproc_spec good = xt_spec(XT_CHILD("exit", "4"));
        libxl_childproc_spec missing = good, invalid = good;
        libxl_childproc_batch_entry e[30];
        libxl_childproc_result r;
        int n;

        XT_OK(libxl_childproc_set_starters(ctx, starters));
        missing.path = "/nonexistent/program";
        invalid.nice = 100;
        invalid.flags |= LIBXL_SPAWN_SET_NICE;
        memset(e, 0xee, sizeof(e));
        for (int i = 0; i < 30; i++) {
            e[i].spec = i % 3 == 0 ? &good : i % 3 == 1 ? &missing : &invalid;
            e[i].report = NULL;
        }
        n = libxl_childproc_spawn_many(ctx, e, 30);
        XT_EQ_INT(n, 10);
        for (int i = 0; i < 30; i++)
            if (i % 3 == 0) {
                XT_EQ_INT(e[i].rc, 0);
                XT_GT_INT(e[i].pid, 1);
                r = xt_wait(ctx, e[i].id);
                XT_EXITED(&r, 4);
                XT_EQ_INT(r.pid, e[i].pid);
            } else {
                XT_EQ_INT(e[i].rc, i % 3 == 1 ? ERROR_SPAWN : ERROR_INVAL);
                XT_EQ_INT(e[i].id, 0);
                XT_EQ_INT(e[i].pid, -1);
                XT_EQ_INT(e[i].failure.stage, i % 3 == 1
                                                  ? LIBXL_STAGE_EXEC
                                                  : LIBXL_STAGE_ARGUMENT);
            }
    }
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, NULL, 1), ERROR_INVAL);
    xt_ctx_free(ctx);
}
