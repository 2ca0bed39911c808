/* start_overlap.c - the starts of a batch overlap on one thread
 *
 * Proves C12, C15 and C19: a batch begins the next children while the last
 * ones are on their way to exec, a single start and a traced process keep to
 * vfork, and a child that ends without the kernel's word for it is noticed.
 * Watches the clones through the table of system calls.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "hostchild.h"
#include "probe.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/rawcall.h"
#include "kernel/sys.h"

enum { N = 40 };

static struct xl_sys real;
static int nvforks, noverlapping, nstacks;
static void *stacks[N];
static int tell_nothing;
static atomic_int dummy;

static void note_stack(void *stack)
{
    int i;

    for (i = 0; i < nstacks && stacks[i] != stack; i++)
        ;
    if (i == nstacks && i < N)
        stacks[nstacks++] = stack;
}

static pid_t watched_clone3(int (*fn)(void *), void *stack, size_t size,
                            uint64_t flags, void *arg, int *pidfd, int *pid,
                            atomic_int *until_exec, int cgroup)
{
    if (flags & CLONE_VFORK)
        nvforks++;
    else
        noverlapping++;
    note_stack(stack);
    return real.clone3(fn, stack, size, flags, arg, pidfd, pid,
                       tell_nothing ? &dummy : until_exec, cgroup);
}

static void watch(void)
{
    real = xl_sys;
    xl_sys.clone3 = watched_clone3;
}

/* Kernels and builds where starts do not overlap. */
static int overlaps(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 0;
#endif
    return XL_RAWCALL_APART && xp_clone3() && xp_pidfds() && !xl_on_valgrind();
}

/* All of them end with 3, but for every tenth, which has no program. */
static void run_batch(libxl_ctx *ctx)
{
    libxl_childproc_spec good = xt_spec(XT_CHILD("exit", "3"));
    const char *const nothing[] = {"/nonexistent/program", NULL};
    libxl_childproc_spec bad = xt_spec(nothing);
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_batch_entry entry[N];

    memset(entry, 0, sizeof(entry));
    for (int i = 0; i < N; i++) {
        entry[i].spec = i % 10 == 9 ? &bad : &good;
        entry[i].report = &report;
    }
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, entry, N), N - N / 10);
    for (int i = 0; i < N; i++) {
        XT_RC(entry[i].rc, i % 10 == 9 ? ERROR_SPAWN : 0);
        if (i % 10 == 9)
            XT_EQ_INT(entry[i].failure.errnoval, ENOENT);
    }
    for (int i = 0; i < N - N / 10; i++) {
        libxl_event *event;

        XT_EQ_INT(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL,
                                        LIBXL_WAIT_FOREVER, 0),
                  1);
        XT_EQ_INT(event->u.childproc_exit.lost, LIBXL_LOST_NONE);
        XT_EQ_INT(WEXITSTATUS(event->u.childproc_exit.status), 3);
        libxl_event_free(ctx, event);
    }
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
}

XT_TEST(a_batch_overlaps_and_one_start_does_not, "C12 C15 C19")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_report none = {.kind = LIBXL_REPORT_NONE};

    if (!overlaps())
        XT_SKIP("starts do not overlap here");
    watch();
    xt_spawn(ctx, &spec, &none, NULL);
    XT_EQ_INT(nvforks, 1);
    XT_EQ_INT(noverlapping, 0);
    run_batch(ctx);
    XT_EQ_INT(nvforks, 1);
    XT_EQ_INT(noverlapping, N);
    XT_GT_INT(nstacks, 1); /* as many as are on their way at a time */
    xt_ctx_free(ctx);
}

XT_TEST(a_child_that_ends_without_telling, "C12 C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    if (!overlaps())
        XT_SKIP("starts do not overlap here");
    watch();
    tell_nothing = 1;
    run_batch(ctx);
    XT_EQ_INT(noverlapping, N);
    xt_ctx_free(ctx);
}

/* Lets a tracee run until it ends; passes its signals on. */
static int run_traced(pid_t pid)
{
    int status;

    for (;;) {
        int signo = 0;

        XT_EQ_INT(XT_SYS(waitpid(pid, &status, 0)), pid);
        if (!WIFSTOPPED(status))
            return status;
        if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
            signo = WSTOPSIG(status);
        XT_SYS(ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signo));
    }
}

XT_TEST(a_traced_process_keeps_to_vfork, "C12 C15")
{
    pid_t pid;
    int status;

    if (!overlaps())
        XT_SKIP("starts do not overlap here");
    pid = XT_SYS(fork());
    if (!pid) {
        libxl_ctx *ctx;

        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        watch();
        run_batch(ctx);
        _exit(noverlapping == 0 && nvforks == N ? 0 : 1);
    }
    status = run_traced(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        XT_SKIP("tracing is refused here");
    XT_EQ_INT(status, 0);
}
