/* cgroup.c - children in a cgroup of their own
 *
 * Proves C16 (the child starts in it, by whichever way the kernel allows),
 * C15 (a refusal has its stage) and C13 (everything in it can be killed, and
 * nothing else). Needs a cgroup v2 hierarchy in which a group can be made: one
 * that is mounted, or one that the case mounts in a namespace of its own.
 */
#define _GNU_SOURCE
#include "cgroupdir.h"
#include "hostchild.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/sys.h"

/* ---- starting in it ----------------------------------------------------- */

static struct {
    pid_t (*clone3)(int (*)(void *), void *, size_t, uint64_t, void *, int *,
                    int *, atomic_int *, int);
    int calls;
    int tried;  /* … with a cgroup */
    int refuse; /* errno for those; 0 */
} seen;

static pid_t look_at_clone3(int (*fn)(void *), void *stack, size_t size,
                            uint64_t flags, void *arg, int *pidfd, int *pid,
                            atomic_int *until_exec, int cgroup)
{
    seen.calls++;
    seen.tried += cgroup >= 0;
    if (cgroup >= 0 && seen.refuse) {
        errno = seen.refuse;
        return -1;
    }
    return seen.clone3(fn, stack, size, flags, arg, pidfd, pid, until_exec,
                       cgroup);
}

static void starts_there(libxl_ctx *ctx, const struct xg_group *g)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cgroup"));
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;
    char expected[80];

    spec.cgroup = g->path;
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 0);
    snprintf(expected, sizeof(expected), "/%s\n", g->name);
    XT_CONTAINS(result.out.data, expected);
    libxl_childproc_exec_result_dispose(&result);
}

XT_TEST(a_child_starts_in_its_group, "C16")
{
    static const int refusals[] = {EOPNOTSUPP, E2BIG, EINVAL, EPERM};
    libxl_childproc_hooks forks = {libxl_sigchld_owner_none, xt_plain_fork,
                                   NULL, sizeof(forks)};
    struct xg_group g;
    libxl_ctx *ctx;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    seen.clone3 = xl_sys.clone3;
    xl_sys.clone3 = look_at_clone3;
    starts_there(ctx, &g);
    XT_EQ_INT(seen.tried, seen.calls > 0); /* where there is clone3 at all */
    /* moved there by itself, where the kernel does not start it there */
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        seen.refuse = refusals[i];
        starts_there(ctx, &g);
    }
    seen.refuse = 0;
    xl_sys.clone3 = seen.clone3;
    XT_OK(libxl_childproc_setmode_checked(ctx, &forks, NULL));
    starts_there(ctx, &g);
    xt_ctx_free(ctx);
    xg_end(&g);
}

static void refused(libxl_ctx *ctx, const char *cgroup, int errnoval)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;

    spec.cgroup = cgroup;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_CGROUP);
    XT_EQ_INT(failure.errnoval, errnoval);
}

XT_TEST(a_group_that_refuses_is_told_as_such, "C15 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    char *dir = xt_tmpdir();
    char threads[400], other[400], type[420];
    struct xg_group g;
    int fd;

    refused(ctx, "/nonexistent/group", ENOENT);
    refused(ctx, dir, ENOENT); /* no cgroup at all */
    xt_tmpdir_remove(dir);
    xg_new(&g);
    /* once one member group is for threads, a new one is for nobody yet */
    snprintf(threads, sizeof(threads), "%s/threads", g.path);
    snprintf(type, sizeof(type), "%s/cgroup.type", threads);
    snprintf(other, sizeof(other), "%s/other", g.path);
    XT_SYS(mkdir(threads, 0755));
    fd = XT_SYS(open(type, O_WRONLY | O_CLOEXEC));
    xt_write_all(fd, "threaded", 8);
    xt_close(&fd);
    XT_SYS(mkdir(other, 0755));
    refused(ctx, other, EOPNOTSUPP);
    XT_SYS(rmdir(other));
    XT_SYS(rmdir(threads));
    xt_ctx_free(ctx);
    xg_end(&g);
}

/* ---- killing everything in it ------------------------------------------- */

/* A child that has said a byte, and holds the pipe. */
static libxl_childproc_id spawn_in(libxl_ctx *ctx, const struct xg_group *g,
                                   const char *const *argv,
                                   libxl_free_policy on_free, int *ret_out,
                                   pid_t *ret_pid)
{
    libxl_childproc_spec spec = xt_spec(argv);
    libxl_childproc_id id;
    libxl_childproc_fd fd;
    int out[2];

    xt_pipe(out);
    fd = (libxl_childproc_fd){1, out[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    spec.cgroup = g->path;
    spec.on_free = on_free;
    spec.kill.scope = LIBXL_KILL_CGROUP;
    id = xt_spawn(ctx, &spec, NULL, ret_pid);
    xt_close(&out[1]);
    xt_await_byte(out[0]);
    *ret_out = out[0];
    return id;
}

/* A grandchild, and a child that has left its session and group; both hold the
 * pipe, whose end of file says that both are gone. */
static libxl_childproc_id spawn_family(libxl_ctx *ctx, const struct xg_group *g,
                                       libxl_free_policy on_free, int *ret_out)
{
    return spawn_in(ctx, g,
                    XT_CHILD("grandchild-pause", "setsid", "put", "r", "pause"),
                    on_free, ret_out, NULL);
}

static void all_gone(int *out)
{
    free(xt_read_all(*out, NULL));
    xt_close(out);
}

/* One by one, and nobody else: by pidfd. */
static int members_can_be_signalled(void)
{
    int fd = xp_pidfd_open() ? xl_sys.pidfd_open(getpid(), 0) : -1;
    int r = fd < 0 ? -1 : xl_sys.pidfd_send_signal(fd, 0, 0);

    if (fd >= 0)
        xt_close(&fd);
    return r == 0;
}

XT_TEST(everything_in_the_group_dies, "C13 C16")
{
    static const int signals[] = {SIGTERM, SIGKILL};
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xg_group g;
    libxl_ctx *ctx;
    int out;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    for (int i = 0; i < 2; i++) {
        id = spawn_family(ctx, &g, LIBXL_FREE_DETACH, &out);
        if (signals[i] != SIGKILL && !members_can_be_signalled()) {
            int rc =
                libxl_childproc_kill(ctx, id, signals[i], LIBXL_KILL_CGROUP);

            XT_TRUE(rc == ERROR_SYSTEM || rc == ERROR_PERMISSION);
            XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP));
            all_gone(&out);
            xt_wait(ctx, id);
            continue;
        }
        XT_OK(libxl_childproc_kill(ctx, id, signals[i], LIBXL_KILL_CGROUP));
        all_gone(&out);
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, signals[i]);
        XT_RC(libxl_childproc_kill(ctx, id, signals[i], LIBXL_KILL_CGROUP),
              ERROR_NOTFOUND);
    }
    xt_ctx_free(ctx);
    xg_end(&g);
}

/* Linux 6.18 kills at birth whoever is started in a group that was killed. */
XT_TEST(a_group_that_was_killed_can_be_used_again, "C13 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xg_group g;
    int out;

    xg_new(&g);
    for (int i = 0; i < 3; i++) {
        starts_there(ctx, &g);
        id = spawn_family(ctx, &g, LIBXL_FREE_DETACH, &out);
        XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP));
        r = xt_wait(ctx, id);
        XT_SIGNALED(&r, SIGKILL);
        all_gone(&out);
    }
    xt_ctx_free(ctx);
    xg_end(&g);
}

static int (*real_open)(const char *, int, mode_t);

static int open_without_kill(const char *path, int flags, mode_t mode)
{
    if (strstr(path, "/cgroup.kill")) {
        errno = ENOENT; /* before Linux 5.14 */
        return -1;
    }
    return real_open(path, flags, mode);
}

XT_TEST(it_dies_without_cgroup_kill_too, "C13")
{
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xg_group g;
    libxl_ctx *ctx;
    int out;

    if (!members_can_be_signalled())
        XT_SKIP("without pidfds there is only cgroup.kill");
    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    id = spawn_family(ctx, &g, LIBXL_FREE_DETACH, &out);
    real_open = xl_sys.open;
    xl_sys.open = open_without_kill;
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP));
    xl_sys.open = real_open;
    all_gone(&out);
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_ctx_free(ctx);
    xg_end(&g);
}

XT_TEST(a_timeout_ends_the_group, "C13 C18")
{
    libxl_childproc_spec spec =
        xt_spec(XT_CHILD("ignore", "SIGTERM", "grandchild-pause", "setsid",
                         "grandchild-pause", "say", "there", "pause"));
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;
    struct xg_group g;
    libxl_ctx *ctx;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spec.cgroup = g.path;
    spec.kill.first_signal = SIGTERM;
    spec.kill.grace_ms = 20;
    spec.kill.scope = LIBXL_KILL_CGROUP;
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.timeout_ms = 300;
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL),
          ERROR_TIMEDOUT);
    XT_SIGNALED(&result.child, SIGKILL);
    XT_EQ_INT(result.timed_out, 1);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
    xg_end(&g); /* it is empty */
}

XT_TEST(freed_with_a_group_policy_the_group_is_empty, "C13 X2")
{
    struct xg_group g;
    libxl_ctx *ctx;
    int out;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spawn_family(ctx, &g, LIBXL_FREE_KILL, &out);
    xt_ctx_free(ctx);
    all_gone(&out);
    xg_end(&g);
}

/* The child obeys and ends; a grandchild does not, and is killed then, whoever
 * has reaped the child. */
static void rest_goes(const struct xg_group *g, libxl_sigchld_owner owner,
                      int hosts_wait)
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_CGROUP};
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int status = 0, out;
    pid_t pid;

    id = spawn_in(ctx, g,
                  XT_CHILD("ignore", "SIGTERM", "grandchild-pause",
                           "on-signal-exit", "SIGTERM", "12", "put", "r",
                           "pause"),
                  LIBXL_FREE_DETACH, &out, &pid);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    if (hosts_wait)
        status = xh_reap(pid);
    if (owner == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, status));
    r = xt_wait(ctx, id);
    if (!r.lost)
        XT_EXITED(&r, 12);
    else
        XT_EQ_INT(r.lost, LIBXL_LOST_STOLEN);
    all_gone(&out);
    xt_ctx_free(ctx);
}

XT_TEST(the_rest_of_the_group_goes_with_its_child, "C13")
{
    struct xg_group g;

    if (!members_can_be_signalled())
        XT_SKIP("without pidfds nobody in it is asked first");
    xg_new(&g);
    rest_goes(&g, libxl_sigchld_owner_none, 0);
    rest_goes(&g, libxl_sigchld_owner_libxl, 0);
    rest_goes(&g, libxl_sigchld_owner_mainloop, 1);
    rest_goes(&g, libxl_sigchld_owner_none, 1); /* a thief */
    xg_end(&g);
}

/* ---- and nobody else ---------------------------------------------------- */

static void move_to(const char *group, pid_t pid)
{
    char path[420], text[16];
    int fd, n;

    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    n = snprintf(text, sizeof(text), "%d", (int)pid);
    fd = XT_SYS(open(path, O_WRONLY | O_CLOEXEC));
    xt_write_all(fd, text, (size_t)n);
    xt_close(&fd);
}

/* Into the group's own parent. */
static void move_out(const struct xg_group *g, pid_t pid)
{
    char parent[300];

    strcpy(parent, g->path);
    *strrchr(parent, '/') = 0;
    move_to(parent, pid);
}

static FILE *(*real_fopen)(const char *, const char *);
static const struct xg_group *left;
static pid_t leaver;
static int looks;

/* Between the first look at who is there and the second it leaves. */
static FILE *fopen_after_it_left(const char *path, const char *mode)
{
    if (looks++ == 1)
        move_out(left, leaver);
    return real_fopen(path, mode);
}

XT_TEST(who_has_left_the_group_is_spared, "C13")
{
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xg_group g;
    libxl_ctx *ctx;
    int out, gate;
    pid_t pid;

    if (!members_can_be_signalled())
        XT_SKIP("without pidfds there is only cgroup.kill");
    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    id = spawn_in(ctx, &g, XT_CHILD("put", "r", "pause"), LIBXL_FREE_DETACH,
                  &out, &pid);
    leaver = xh_fork_held(XH_EXIT(7), &gate);
    left = &g;
    move_to(g.path, leaver);
    real_fopen = xl_sys.fopen;
    xl_sys.fopen = fopen_after_it_left;
    XT_OK(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP));
    xl_sys.fopen = real_fopen;
    XT_GE_INT(looks, 2);
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGTERM);
    xt_close(&gate);
    XT_EQ_INT(xh_reap(leaver), 7 << 8);
    all_gone(&out);

    /* and when it is the child itself there is nobody left */
    id = spawn_in(ctx, &g, XT_CHILD("put", "r", "pause"), LIBXL_FREE_DETACH,
                  &out, &pid);
    move_out(&g, pid);
    XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP),
          ERROR_NOTFOUND);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    all_gone(&out);
    xt_ctx_free(ctx);
    xg_end(&g);
}

/* Members of another pid namespace are listed as 0; init is never meant. */
static int opened;

static FILE *fopen_odd_members(const char *path, const char *mode)
{
    static char odd[] = "0\n1\n";

    if (!strstr(path, "/cgroup.procs"))
        return real_fopen(path, mode);
    return fmemopen(odd, sizeof(odd) - 1, "r");
}

static int count_open(pid_t pid, unsigned flags)
{
    (void)pid;
    (void)flags;
    opened++;
    errno = EPERM;
    return -1;
}

XT_TEST(odd_members_are_nobody, "C13")
{
    struct xl_sys real = xl_sys;
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xg_group g;
    libxl_ctx *ctx;
    int out, rc;

    xg_new(&g);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    id = spawn_in(ctx, &g, XT_CHILD("put", "r", "pause"), LIBXL_FREE_DETACH,
                  &out, NULL);
    real_fopen = xl_sys.fopen;
    xl_sys.fopen = fopen_odd_members;
    xl_sys.pidfd_open = count_open;
    rc = libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP);
    xl_sys = real;
    XT_RC(rc, ERROR_NOTFOUND);
    XT_EQ_INT(opened, 0);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    all_gone(&out);
    xt_ctx_free(ctx);
    xg_end(&g);
}
