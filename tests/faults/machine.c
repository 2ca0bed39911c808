/* machine.c - faults that are a whole machine's: only where it is ours alone
 *
 * Proves C5, C6, C12, C18 and C25 where the system's table of files is full
 * (ENFILE), where the clock jumps, where a group has no process left (pids.max)
 * and where the kernel kills for want of memory, a child and what it has
 * started beside it. Changes the machine: run in a machine of qemu's by
 * tests/kernels, which says XT_OWN_MACHINE=1; skipped anywhere else.
 */
#define _GNU_SOURCE
#include "cgroupdir.h"
#include "hostchild.h"
#include "operation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOMEBODY 54321

static void only_here(void)
{
    if (!getenv("XT_OWN_MACHINE"))
        XT_SKIP("this machine is not ours alone");
}

/* A start fails with this and leaves nothing. */
static void refused(libxl_ctx *ctx, const char *cgroup, int errnoval)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    int rc;

    spec.cgroup = cgroup;
    rc = libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure);
    XT_TRUE(rc == ERROR_SYSTEM || rc == ERROR_SPAWN);
    XT_EQ_INT(failure.errnoval, errnoval);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    XH_NO_CHILDREN();
}

/* ---- no file in the whole system ---------------------------------------- */

#define FILE_MAX "/proc/sys/fs/file-max"

static void set_number(const char *path, unsigned long number)
{
    char text[32];
    int fd = XT_SYS(open(path, O_WRONLY | O_CLOEXEC));

    xt_write_all(fd, text, (size_t)snprintf(text, sizeof(text), "%lu", number));
    xt_close(&fd);
}

static unsigned long number_in(const char *path)
{
    unsigned long n = 0;
    FILE *f = fopen(path, "re");

    XT_TRUE(f && fscanf(f, "%lu", &n) == 1);
    fclose(f);
    return n;
}

/* As a user whom the limit holds, in both ways to start. */
static void be_somebody(int ready, int go)
{
    libxl_ctx *ctx[2];

    XT_SYS(setgroups(0, NULL));
    XT_SYS(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
    XT_SYS(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
    for (int i = 0; i < 2; i++) {
        ctx[i] = xt_ctx_forking(libxl_sigchld_owner_none, i);
        xh_works(ctx[i]);
    }
    xt_write_all(ready, "r", 1);
    xt_await_byte(go); /* it is full now */
    XT_EQ_INT(open("/dev/null", O_RDONLY), -1);
    XT_EQ_INT(errno, ENFILE);
    for (int i = 0; i < 2; i++)
        refused(ctx[i], NULL, ENFILE);
    xt_write_all(ready, "r", 1);
    xt_await_byte(go); /* and there is room again */
    for (int i = 0; i < 2; i++) {
        xh_works(ctx[i]);
        xt_ctx_free(ctx[i]);
    }
    XH_NO_CHILDREN();
    _exit(0);
}

XT_TEST_SLOW(no_file_is_left, "C12 C25 X5", 60)
{
    unsigned long before;
    int ready[2], go[2];
    pid_t pid;

    only_here();
    before = number_in(FILE_MAX);
    xt_pipe(ready);
    xt_pipe(go);
    pid = XT_SYS(fork());
    if (!pid)
        be_somebody(ready[1], go[0]);
    xt_close(&ready[1]);
    xt_await_byte(ready[0]);
    set_number(FILE_MAX, 0); /* the count is vague below some dozens */
    xt_write_all(go[1], "g", 1);
    (void)!read(ready[0], &(char){0}, 1); /* or its end */
    set_number(FILE_MAX, before);
    xt_write_all(go[1], "g", 1);
    XT_EQ_INT(xh_reap(pid), 0);
    xt_close(&ready[0]);
    xt_close(&go[0]);
    xt_close(&go[1]);
}

/* ---- the clock jumps ---------------------------------------------------- */

static void jump(long seconds)
{
    struct timespec now;

    XT_SYS(clock_gettime(CLOCK_REALTIME, &now));
    now.tv_sec += seconds;
    XT_SYS(clock_settime(CLOCK_REALTIME, &now));
}

/* A time-out comes when its time is over by the clock that does not jump; the
 * other one, of an hour, does not come. */
static void timed(libxl_ctx *ctx, long seconds)
{
    libxl_childproc_spec pause = xt_spec(XT_CHILD("pause"));
    libxl_childproc_spec ends = xt_spec(XT_CHILD("sleep-ms", "300"));
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion first, second;
    libxl_asyncop_how how1 = xo_to(&first), how2 = xo_to(&second);
    long long start = xt_now_ms();

    opts.timeout_ms = 500;
    XT_OK(libxl_childproc_exec(ctx, &pause, &opts, &first.result, NULL, &how1));
    opts.timeout_ms = 3600000;
    XT_OK(libxl_childproc_exec(ctx, &ends, &opts, &second.result, NULL, &how2));
    jump(seconds);
    xo_pump_until(ctx, &second.calls);
    XT_OK(second.rc);
    XT_EXITED(&second.result.child, 0);
    xo_pump_until(ctx, &first.calls);
    XT_RC(first.rc, ERROR_TIMEDOUT);
    XT_SIGNALED(&first.result.child, SIGKILL);
    XT_GE_INT(xt_now_ms() - start, 500);
    XT_LT_INT(xt_now_ms() - start, 60000);
    libxl_childproc_exec_result_dispose(&first.result);
    libxl_childproc_exec_result_dispose(&second.result);
    jump(-seconds);
}

XT_TEST_SLOW(the_clock_jumps, "C18 O6", 60)
{
    libxl_ctx *ctx;

    only_here();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    timed(ctx, 400L * 86400);
    timed(ctx, -400L * 86400);
    xt_ctx_free(ctx);
}

/* ---- a group that is full ----------------------------------------------- */

static void set(const struct xg_group *g, const char *file, const char *text)
{
    if (xg_set(g, file, text) != 0)
        XT_FAIL("%s: %s", file, strerror(errno));
}

/* In the group itself, which has no second process to give. */
static void be_in(const struct xg_group *g)
{
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    for (int i = 0; i < 2; i++) {
        libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, i);

        xh_works(ctx);
        set(g, "cgroup.procs", pid);
        set(g, "pids.max", "1");
        refused(ctx, NULL, EAGAIN);
        set(g, "pids.max", "max");
        xh_works(ctx);
        xt_ctx_free(ctx);
    }
    XH_NO_CHILDREN();
    _exit(0);
}

XT_TEST_SLOW(no_process_is_left_in_the_group, "C12 C15 C16 C25", 60)
{
    struct xg_group g;
    libxl_ctx *ctx;
    pid_t pid;

    only_here();
    xg_new(&g);
    ctx = xt_ctx_forking(libxl_sigchld_owner_none, 0);
    set(&g, "pids.max", "0");
    refused(ctx, g.path, EAGAIN); /* one that is to be born in it */
    set(&g, "pids.max", "max");
    xt_ctx_free(ctx);
    pid = XT_SYS(fork());
    if (!pid)
        be_in(&g);
    XT_EQ_INT(xh_reap(pid), 0);
    xg_end(&g);
}

/* ---- killed for want of memory ------------------------------------------ */

/* tail keeps the last lines in memory: of this file all of it. */
static libxl_childproc_id spawn_glutton(libxl_ctx *ctx,
                                        const struct xg_group *g)
{
    static const char *const argv[] = {"/usr/bin/tail", "/dev/zero", NULL};
    libxl_childproc_spec spec = xt_spec(argv);

    spec.cgroup = g->path;
    return xt_spawn(ctx, &spec, NULL, NULL);
}

static libxl_childproc_id spawn_sibling(libxl_ctx *ctx,
                                        const struct xg_group *g)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));

    spec.cgroup = g->path;
    return xt_spawn(ctx, &spec, NULL, NULL);
}

XT_TEST_SLOW(the_kernel_kills_for_memory, "C5 C6", 120)
{
    for (int i = 0; i < 2; i++)
        for (int whole = 0; whole < 2; whole++) {
            libxl_ctx *ctx;
            libxl_childproc_id eats, sits;
            libxl_childproc_result r;
            struct xg_group g;

            only_here();
            xg_new(&g);
            ctx = xt_ctx_forking(libxl_sigchld_owner_none, i);
            set(&g, "memory.max", "16777216");
            set(&g, "memory.oom.group", whole ? "1" : "0");
            sits = spawn_sibling(ctx, &g);
            eats = spawn_glutton(ctx, &g);
            r = xt_wait(ctx, eats);
            XT_SIGNALED(&r, SIGKILL);
            if (!whole) { /* its sibling is well */
                XT_RC(libxl_childproc_wait(ctx, sits, 0, 0, &r),
                      ERROR_TIMEDOUT);
                XT_OK(libxl_childproc_kill(ctx, sits, SIGTERM,
                                           LIBXL_KILL_PROCESS));
            }
            r = xt_wait(ctx, sits);
            XT_SIGNALED(&r, whole ? SIGKILL : SIGTERM);
            xh_works(ctx);
            xt_ctx_free(ctx);
            xg_end(&g);
        }
}
