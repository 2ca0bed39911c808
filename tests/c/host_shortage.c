/* host_shortage.c - a host that is short of something when it first starts
 *
 * Proves C25: what a moment without fds, memory or processes, or a thread that
 * waits for every child, keeps the library from finding out is asked again,
 * and never taken for a kernel that lacks it. Each try is a process of its
 * own, since what is found out holds for the process's life.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "probe.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "kernel/sys.h"

/* A start takes this one back where it is refused: it is not asked for. */
#define ASKED_FOR (~XL_FACILITY_CLONE3)

struct found {
    unsigned there, known;
};

/* fn in a process of its own; its status, and how much of *ret_found it has
 * told. Like in the original, it must leave no child and no fd. */
static int try_in_a_process(void (*fn)(void), struct found *ret_found,
                            ssize_t *ret_told)
{
    struct found f;
    int out[2];
    pid_t pid;

    xt_pipe(out);
    pid = XT_SYS(fork());
    if (!pid) {
        struct xt_state *before = xt_state_take();

        fn();
        XT_STATE_SAME(before);
        xt_state_free(before);
        f.there = xl_facilities();
        f.known = xl_facility_known();
        xt_write_all(out[1], &f, sizeof(f));
        _exit(0);
    }
    xt_close(&out[1]);
    *ret_told = read(out[0], ret_found, sizeof(*ret_found));
    xt_close(&out[0]);
    return xh_reap(pid);
}

/* The same of one that reaches its end. */
static struct found in_a_process(void (*fn)(void))
{
    struct found f;
    ssize_t told;
    int status = try_in_a_process(fn, &f, &told);

    XT_EQ_INT(told, sizeof(f));
    XT_EQ_INT(status, 0);
    return f;
}

static void plainly(void)
{
    XT_OK(xl_facility_ask());
}

/* ---- each call of the probe, refused once or for a while ----------------- */

#define CALLS(X) X(pidfd_open) X(mmap) X(clone) X(waitid) X(pidfd_exit_info)

enum call {
#define CALL_ENUM(name) CALL_##name,
    CALLS(CALL_ENUM) NCALLS
#undef CALL_ENUM
};

static struct xl_sys real;
static enum call failing;
static int nth, lasts, err; /* lasts: and all that follow */
static int calls, failed;

static int fails(enum call c)
{
    if (c != failing || (++calls != nth && !(lasts && calls > nth)))
        return 0;
    failed++;
    errno = err;
    return 1;
}

static int bad_pidfd_open(pid_t pid, unsigned flags)
{
    return fails(CALL_pidfd_open) ? -1 : real.pidfd_open(pid, flags);
}

static void *bad_mmap(size_t size)
{
    return fails(CALL_mmap) ? (void *)-1 : real.mmap(size);
}

static pid_t bad_clone(int (*fn)(void *), void *stack_top, int flags, void *arg,
                       int *ret_pidfd, void *tls, int *word)
{
    return fails(CALL_clone)
               ? -1
               : real.clone(fn, stack_top, flags, arg, ret_pidfd, tls, word);
}

static int bad_waitid(int idtype, id_t id, siginfo_t *info, int options,
                      struct rusage *usage)
{
    return fails(CALL_waitid) ? -1
                              : real.waitid(idtype, id, info, options, usage);
}

static int bad_pidfd_exit_info(int pidfd, struct xl_exit_info *info)
{
    return fails(CALL_pidfd_exit_info) ? -1 : real.pidfd_exit_info(pidfd, info);
}

static void spoil(void)
{
    real = xl_sys;
#define CALL_SET(name) xl_sys.name = bad_##name;
    CALLS(CALL_SET)
#undef CALL_SET
}

static void spoiled_for_a_while(void)
{
    spoil();
    if (xl_facility_ask() != 0)
        XT_EQ_INT(errno, err);
    xl_sys = real;
    XT_OK(xl_facility_ask());
    if (!failed)
        _exit(3); /* the probe makes no such call any more */
}

/* 0, or 3: that call is not reached. */
static int sweep_once(struct found expected)
{
    struct found f = {0, 0};
    ssize_t told;
    int status = try_in_a_process(spoiled_for_a_while, &f, &told);

    if (status == 3 << 8)
        return 3;
    XT_EQ_INT(status, 0);
    if (f.there != expected.there || f.known != expected.known)
        XT_FAIL("call %d, its %dth%s, errno %d: there %#x, known %#x; not %#x, "
                "%#x",
                (int)failing, nth, lasts ? " and later" : "", err, f.there,
                f.known, expected.there, expected.known);
    return 0;
}

XT_TEST_SLOW(a_passing_refusal_is_no_missing_facility, "C25", 120)
{
    static const int errs[] = {EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR};
    struct found expected = in_a_process(plainly);
    int tried = 0;

    for (int c = 0; c < NCALLS; c++) {
        failing = c;
        for (size_t e = 0; e < sizeof(errs) / sizeof(errs[0]); e++) {
            err = errs[e];
            /* a wait that goes on failing could reap nobody ever */
            for (lasts = 0; lasts < (c == CALL_waitid ? 1 : 2); lasts++)
                for (nth = 1; sweep_once(expected) == 0; nth++)
                    tried++;
        }
    }
    XT_NOTE("%d tries", tried);
    XT_GE_INT(tried, 20);
}

/* ---- somebody else's wait ------------------------------------------------ */

static int stolen_waitid(int idtype, id_t id, siginfo_t *info, int options,
                         struct rusage *usage)
{
    siginfo_t thief;

    if (idtype == P_PID && id > 1 && !(options & WNOWAIT))
        (void)real.waitid(P_PID, id, &thief, WEXITED | __WALL, NULL);
    return real.waitid(idtype, id, info, options, usage);
}

static void stolen(void)
{
    real = xl_sys;
    xl_sys.waitid = stolen_waitid;
    (void)xl_facility_ask();
    xl_sys = real;
    XT_OK(xl_facility_ask());
}

XT_TEST(a_stolen_probe_is_no_missing_facility, "C25")
{
    struct found expected = in_a_process(plainly);
    struct found f = in_a_process(stolen);

    XT_EQ_INT(f.there, expected.there);
    XT_EQ_INT(f.known, expected.known);
}

static atomic_int stop;

static void *wait_for_all(void *unused)
{
    while (!atomic_load(&stop))
        (void)waitpid(-1, NULL, __WALL | WNOHANG);
    return unused;
}

static int asked(void *unused)
{
    return xl_facility_ask() == 0;
}

static void beside_a_thief(void)
{
    pthread_t thief;

    atomic_store(&stop, 0);
    XT_EQ_INT(pthread_create(&thief, NULL, wait_for_all, NULL), 0);
    XT_EVENTUALLY(asked, NULL);
    atomic_store(&stop, 1);
    XT_EQ_INT(pthread_join(thief, NULL), 0);
}

XT_TEST_SLOW(beside_a_thread_that_waits_for_all, "C25", 60)
{
    struct found expected = in_a_process(plainly);

    for (int i = 0; i < 50; i++) {
        struct found f = in_a_process(beside_a_thief);

        XT_EQ_INT(f.there, expected.there);
        XT_EQ_INT(f.known, expected.known);
    }
}

/* ---- what the host sees -------------------------------------------------- */

static int no_fds_left(void)
{
    int fd = XT_SYS(dup(0));

    close(fd);
    return fd;
}

static void limit_fds(struct rlimit *ret_before)
{
    struct rlimit now;

    XT_SYS(getrlimit(RLIMIT_NOFILE, ret_before));
    now = *ret_before;
    now.rlim_cur = (rlim_t)no_fds_left();
    XT_SYS(setrlimit(RLIMIT_NOFILE, &now));
}

static void short_of_fds(libxl_sigchld_owner owner)
{
    libxl_childproc_hooks hooks = {owner, NULL, NULL, sizeof(hooks)};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_failure failure;
    libxl_childproc_diagnosis d;
    libxl_childproc_id id = 4711;
    libxl_childproc_result r;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    struct rlimit before;
    char *words;
    pid_t pid;

    if (owner != libxl_sigchld_owner_none)
        XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    limit_fds(&before);
    if (owner == libxl_sigchld_owner_none)
        XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure),
          ERROR_SYSTEM);
    XT_EQ_INT(errno, EMFILE);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_PREPARE);
    XT_EQ_INT(failure.errnoval, EMFILE);
    XT_EQ_INT(id, 4711);
    XT_RC(libxl_childproc_adopt(ctx, getppid(), 0, -1, NULL, &id),
          ERROR_SYSTEM);
    XT_EQ_INT(errno, EMFILE);
    XT_OK(libxl_childproc_diagnose(ctx, NULL, &words));
    XT_CONTAINS(words, "not known yet");
    free(words);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.mode_in_force, owner);
    XT_TRUE(d.mode_reason == NULL);

    XT_SYS(setrlimit(RLIMIT_NOFILE, &before));
    XT_OK(libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL));
    if (owner == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 3);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.mode_in_force, owner);
    XT_TRUE(d.mode_reason == NULL);
    xt_ctx_free(ctx);
}

/* A start finds out as well: what it asks for may be refused although its
 * parts are there. */
static void with_a_start(void)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));

    XT_EXITED(&r, 3);
    xt_ctx_free(ctx);
}

static libxl_sigchld_owner mode;

static void short_of_fds_in_mode(void)
{
    short_of_fds(mode);
}

XT_TEST(without_an_fd_at_the_first_start, "C25 C4 C12")
{
    struct found expected = in_a_process(with_a_start);

    if (!xp_pidfds() || !xp_pidfd_open())
        XT_SKIP("pidfds are refused here: no fd is needed to find out");
    for (mode = libxl_sigchld_owner_libxl; mode <= libxl_sigchld_owner_none;
         mode++) {
        struct found f = in_a_process(short_of_fds_in_mode);

        XT_EQ_INT(f.there & ASKED_FOR, expected.there & ASKED_FOR);
    }
}

static pid_t no_process(int (*fn)(void *), void *stack_top, int flags,
                        void *arg, int *ret_pidfd, void *tls, int *word)
{
    errno = EAGAIN;
    return -1;
}

static void short_of_processes(void)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_failure failure;
    libxl_childproc_result r;
    libxl_ctx *ctx;

    real = xl_sys;
    xl_sys.clone = no_process;
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SYSTEM);
    XT_EQ_INT(errno, EAGAIN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_PREPARE);
    XT_EQ_INT(failure.errnoval, EAGAIN);
    xl_sys = real;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 3);
    xt_ctx_free(ctx);
}

XT_TEST(without_a_process_at_the_first_start, "C25 C12")
{
    struct found expected = in_a_process(with_a_start);
    struct found f = in_a_process(short_of_processes);

    XT_EQ_INT(f.there & ASKED_FOR, expected.there & ASKED_FOR);
    XT_EQ_INT(f.known, expected.known);
}
