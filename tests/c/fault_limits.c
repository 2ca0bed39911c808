/* fault_limits.c - the kernel refuses: at every number of fds, bytes, processes
 *
 * Proves C12, C25 and X5 with real limits, where the sweeps (sweep_child.c)
 * make single calls fail: a start, and an operation with all of its streams,
 * under RLIMIT_NOFILE and RLIMIT_AS from too little to enough, in a pid
 * namespace without a number to give, and under RLIMIT_NPROC. What fails says
 * so with the kernel's errno and leaves nothing; with room again it works.
 * Each try is a process of its own, whose memory no other try has used.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"

enum outcome { WORKED = 10, REFUSED = 11, NOT_HERE = 12 };

/* ---- what is tried ------------------------------------------------------ */

/* The child has the limits that it would have had. */
static libxl_childproc_spec unlimited(libxl_childproc_rlimit limit[2])
{
    static const char *argv[] = {NULL, "cat", "exit", "3", NULL};
    libxl_childproc_spec spec;

    argv[0] = xt_child_path();
    spec = xt_spec(argv);
    limit[0] =
        (libxl_childproc_rlimit){RLIMIT_AS, {RLIM_INFINITY, RLIM_INFINITY}};
    spec.rlimits = limit;
    spec.nrlimits = 1;
    return spec;
}

static int is_of(int errnoval, const int *errs)
{
    for (; *errs; errs++)
        if (*errs == errnoval)
            return 1;
    return 0;
}

/* One of these errnos, with a code and a stage that say as much. */
static enum outcome refused(int rc, const libxl_childproc_failure *failure,
                            const int *errs)
{
    if (rc != ERROR_NOMEM && rc != ERROR_SYSTEM && rc != ERROR_SPAWN)
        XT_FAIL("code %s", libxl_strerror(rc));
    if (rc == ERROR_SPAWN || failure->stage != LIBXL_STAGE_NONE) {
        XT_TRUE(is_of(failure->errnoval, errs));
    } else if (rc == ERROR_SYSTEM) {
        XT_TRUE(is_of(errno, errs));
    }
    return REFUSED;
}

static enum outcome one_start(libxl_ctx *ctx, const int *errs)
{
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_rlimit limit[2];
    libxl_childproc_spec spec = unlimited(limit);
    libxl_childproc_fd fd = {0, LIBXL_FD_NULL};
    libxl_childproc_result r;
    libxl_childproc_id id = 4711;
    int rc;

    spec.fds = &fd;
    spec.nfds = 1;
    rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure);
    if (rc) {
        XT_EQ_INT(id, 4711);
        return refused(rc, &failure, errs);
    }
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 3);
    return WORKED;
}

static enum outcome one_operation(libxl_ctx *ctx, const int *errs)
{
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_exec_result result;
    libxl_childproc_rlimit limit[2];
    libxl_childproc_spec spec = unlimited(limit);
    libxl_childproc_exec_opts opts;
    int rc;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream = (libxl_stream){
        .kind = LIBXL_STREAM_BUFFER, .data = "hello", .length = 5};
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.timeout_ms = 600000;
    memset(&result, 0, sizeof(result));
    rc = libxl_childproc_exec(ctx, &spec, &opts, &result, &failure, NULL);
    if (rc == 0) {
        XT_EXITED(&result.child, 3);
        XT_EQ_STR(result.out.data, "hello");
    } else if (result.child.pid > 0) {
        /* it ran, and there was no room for what it said */
        XT_EQ_INT(result.child.lost, LIBXL_LOST_NONE);
    }
    libxl_childproc_exec_result_dispose(&result);
    return rc == 0 ? WORKED : refused(rc, &failure, errs);
}

/* ---- a limit from too little to enough ---------------------------------- */

struct sweep {
    int resource;
    rlim_t from, step; /* added to what is in use */
    const int *errs;
    libxl_sigchld_owner owner;
    int forks, operation;
};

static rlim_t in_use(int resource)
{
    unsigned long pages = 0;
    FILE *f;
    int fd;

    if (resource == RLIMIT_NOFILE) {
        fd = XT_SYS(dup(0));
        close(fd);
        return (rlim_t)fd;
    }
    f = fopen("/proc/self/statm", "re");
    XT_TRUE(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* The C libraries disagree about the type of a resource. */
static int get_limit(int resource, struct rlimit *limit)
{
    return prlimit(0, resource, NULL, limit);
}

static int set_limit(int resource, const struct rlimit *limit)
{
    return prlimit(0, resource, limit, NULL);
}

/* A stack that must grow where there is no room for it is a SIGSEGV of the
 * kernel's, and no call that fails: it has its room before. */
__attribute__((noinline)) static void grow_stack(void)
{
    volatile char room[256 << 10];

    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = 0;
}

/* In a process of its own: _exit with the outcome. */
static void try_once(const struct sweep *s, int n)
{
    libxl_ctx *ctx = xt_ctx_forking(s->owner, s->forks);
    struct xt_state *before = xt_state_take();
    struct rlimit limit, old;
    enum outcome outcome;

    grow_stack();
    XT_SYS(get_limit(s->resource, &old));
    limit = old;
    limit.rlim_cur = in_use(s->resource) + s->from + s->step * (rlim_t)n;
    XT_SYS(set_limit(s->resource, &limit));
    outcome =
        s->operation ? one_operation(ctx, s->errs) : one_start(ctx, s->errs);
    XT_SYS(set_limit(s->resource, &old));
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    if (outcome == REFUSED) /* what worked has filled its caches */
        XT_STATE_SAME(before);
    xt_state_free(before);
    XT_EQ_INT(one_start(ctx, s->errs), WORKED);
    XT_EQ_INT(one_operation(ctx, s->errs), WORKED);
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
    _exit((int)outcome);
}

/* Until three in a row have worked; how many were refused. */
static int sweep(const struct sweep *s)
{
    int nrefused = 0, worked = 0;

    for (int n = 0; worked < 3 && n < 500; n++) {
        pid_t pid = XT_SYS(fork());
        int status;

        if (!pid)
            try_once(s, n);
        status = xh_reap(pid);
        if (status != WORKED << 8 && status != REFUSED << 8)
            XT_FAIL("resource %d, mode %d, %d more: status %#x", s->resource,
                    (int)s->owner, n, (unsigned)status);
        nrefused += status == REFUSED << 8;
        worked = status == WORKED << 8 ? worked + 1 : 0;
    }
    XT_EQ_INT(worked, 3);
    return nrefused;
}

static void sweep_all(struct sweep s)
{
    static const libxl_sigchld_owner owners[] = {libxl_sigchld_owner_none,
                                                 libxl_sigchld_owner_libxl};
    int nrefused = 0;

    for (int i = 0; i < 8; i++) {
        s.owner = owners[i & 1];
        s.forks = i >> 1 & 1;
        s.operation = i >> 2;
        nrefused += sweep(&s);
    }
    XT_NOTE("%d refused", nrefused);
    XT_GT_INT(nrefused, 8);
}

XT_TEST_SLOW(at_every_limit_of_fds, "C12 C25 X5", 120)
{
    static const int errs[] = {EMFILE, 0};

    sweep_all(
        (struct sweep){.resource = RLIMIT_NOFILE, .step = 1, .errs = errs});
}

/* A sanitizer's shadow is more than any limit. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
XT_TEST_SLOW(at_every_limit_of_memory, "C12 C25 X5", 120)
{
    static const int errs[] = {ENOMEM, EAGAIN, 0};

    if (xt_on_valgrind())
        XT_SKIP("valgrind's memory counts");
    sweep_all(
        (struct sweep){.resource = RLIMIT_AS, .step = 8192, .errs = errs});
}
#endif

/* ---- no process to be had ----------------------------------------------- */

static const int again[] = {EAGAIN, 0};

/* Fills what there is, with processes that wait for the gate to close. */
static int fill(pid_t *pid, int most, int gate[2])
{
    int n = 0;

    xt_pipe(gate);
    while (n < most) {
        pid[n] = fork();
        if (pid[n] == 0) {
            char byte;

            close(gate[1]);
            _exit(read(gate[0], &byte, 1) != 0);
        }
        if (pid[n] < 0)
            break;
        n++;
    }
    return n;
}

/* Full: nothing starts, in any way. One has gone: it does. */
static void try_when_full(int most)
{
    pid_t *pid = calloc((size_t)most, sizeof(*pid));
    libxl_ctx *ctx[2] = {xt_ctx_forking(libxl_sigchld_owner_none, 0),
                         xt_ctx_forking(libxl_sigchld_owner_none, 1)};
    struct xt_state *before;
    int gate[2], n;

    XT_TRUE(pid != NULL);
    XT_EQ_INT(one_start(ctx[0], again), WORKED);
    n = fill(pid, most, gate);
    if (n == most)
        _exit(NOT_HERE);
    XT_EQ_INT(errno, EAGAIN);
    before = xt_state_take();
    for (int i = 0; i < 2; i++) {
        XT_EQ_INT(one_start(ctx[i], again), REFUSED);
        XT_EQ_INT(one_operation(ctx[i], again), REFUSED);
        XT_EQ_INT(libxl_childproc_count(ctx[i]), 0);
    }
    XT_STATE_SAME(before);
    xt_state_free(before);
    XT_GT_INT(pid[n - 1], 1);
    XT_SYS(kill(pid[n - 1], SIGKILL));
    (void)xh_reap(pid[--n]);
    for (int i = 0; i < 2; i++) {
        XT_EQ_INT(one_start(ctx[i], again), WORKED);
        XT_EQ_INT(one_operation(ctx[i], again), WORKED);
    }
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    while (n > 0)
        (void)xh_reap(pid[--n]);
    for (int i = 0; i < 2; i++)
        xt_ctx_free(ctx[i]);
    free(pid);
    _exit(WORKED);
}

static void numbers_of_our_own(const char *most)
{
    int fd;

    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("proc", "/proc", "proc", 0, NULL))
        _exit(NOT_HERE);
    fd = open("/proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, most, strlen(most)) < 0)
        _exit(NOT_HERE);
    close(fd);
}

/* Before Linux 6.14 a namespace's pid_max was the whole machine's. */
static int pid_max_is_a_namespaces(void)
{
    return xp_exit_info(); /* which came a release later */
}

XT_TEST_SLOW(no_number_is_left, "C12 C25 X5", 60)
{
    pid_t pid;
    int status;

    if (!pid_max_is_a_namespaces())
        XT_SKIP("pid_max is no namespace's own here");
    pid = XT_SYS(fork());
    if (!pid) {
        if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0)
            _exit(NOT_HERE);
        pid = fork(); /* the namespace's init */
        if (pid == 0) {
            numbers_of_our_own("310");
            try_when_full(400);
        }
        status = xh_reap(pid);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    status = xh_reap(pid);
    if (status == NOT_HERE << 8)
        XT_SKIP("no pid namespace to be had here");
    XT_EQ_INT(status, WORKED << 8);
}

/* The limit is a user's, who else has no process here. */
#define SOMEBODY 54321

XT_TEST_SLOW(no_process_for_this_user, "C12 C25 X5", 60)
{
    struct rlimit few = {20, 20};
    pid_t pid;
    int status;

    if (geteuid() != 0)
        XT_SKIP("only root can be a user without processes");
    pid = XT_SYS(fork());
    if (!pid) {
        XT_SYS(setrlimit(RLIMIT_NPROC, &few));
        XT_SYS(setgroups(0, NULL));
        XT_SYS(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
        XT_SYS(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
        try_when_full(40);
    }
    status = xh_reap(pid);
    XT_EQ_INT(status, WORKED << 8);
}
