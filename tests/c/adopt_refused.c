/* adopt_refused.c - whom nobody adopts, and what nobody need ask for it
 *
 * Contract lines C6, C13 and C26 for libxl_childproc_adopt: a number that has
 * changed hands, oneself, one that was reaped, one of a ctx; and adoption where
 * /proc is absent, slow or misleading.
 */
#define _GNU_SOURCE
#include "stranger.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "probe.h"


XT_TEST(another_process_of_that_number_is_not_adopted, "C13 X5")
{
    libxl_ctx *ctx;
    libxl_childproc_id id = 4711;
    uint64_t ticks;
    int gate, own;
    pid_t pid;

    xf_needs_pidfds();
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

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_OK(libxl_childproc_start_time(getpid(), &ticks));
    XT_RC(libxl_childproc_adopt(ctx, getpid(), ticks, -1, NULL, &id),
          ERROR_INVAL);
    own = xf_pidfd(getpid());
    XT_RC(libxl_childproc_adopt(ctx, 0, 0, own, NULL, &id), ERROR_INVAL);
    xt_close(&own);
    own = xf_pidfd(1);
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

    xf_needs_pidfds();
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(3), &gate);
    pidfd = xf_pidfd(pid);
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
    xf_needs_pidfds();
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
                pidfd = xf_pidfd(pid);
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

    xf_needs_pidfds();
    if (!xp_exit_info())
        XT_SKIP("the kernel does not tell whose pidfd it is");
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    pid = xh_fork_held(XH_EXIT(9), &gate);
    pidfd = xf_pidfd(pid);
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
    int pidfd = xf_pidfd(a->pid);

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

    xf_needs_pidfds();
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
        xf_await_byte_or_end(gate[0]);
        if (prctl(PR_SET_NAME, "a) S 1 (2) 3") || write(told[1], "!", 1) != 1)
            _exit(1);
        xf_await_byte_or_end(gate[0]);
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

    xf_needs_pidfds();
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
    if (xf_pidfds()) {
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
