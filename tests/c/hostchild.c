/* hostchild.c - what a host does by itself, beside the library
 *
 * See hostchild.h. Called by the treaty_, child_, race_ and world_ tests;
 * builds on fixture.c. Uses fork, and the oldest wait calls, so that it
 * works where newer system calls are refused.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- signal dispositions ------------------------------------------------ */

struct xh_action xh_action_get(int signo)
{
    struct xh_action action;

    memset(&action, 0, sizeof(action));
    XT_SYS(syscall(SYS_rt_sigaction, signo, NULL, &action, 8));
    return action;
}

void xh_action_set(int signo, const struct xh_action *action)
{
    XT_SYS(syscall(SYS_rt_sigaction, signo, action, NULL, 8));
}

int xh_action_equal(const struct xh_action *a, const struct xh_action *b)
{
    return a->handler == b->handler && a->flags == b->flags &&
           a->restorer == b->restorer && a->mask == b->mask;
}

void xh_action_same(const char *file, int line, int signo,
                    const struct xh_action *expected)
{
    struct xh_action now = xh_action_get(signo);

    if (!xh_action_equal(&now, expected))
        xt_fail(file, line,
                "signal %d: handler %p flags %lx mask %llx, not"
                " handler %p flags %lx mask %llx",
                signo, now.handler, now.flags, now.mask, expected->handler,
                expected->flags, expected->mask);
}

struct xh_action xh_sigchld_install(void (*handler)(int), int flags,
                                    const sigset_t *mask)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = handler;
    sa.sa_flags = flags;
    if (mask)
        sa.sa_mask = *mask;
    XT_SYS(sigaction(SIGCHLD, &sa, NULL));
    return xh_action_get(SIGCHLD);
}

struct xh_action xh_sigchld_install_info(void (*handler)(int, siginfo_t *,
                                                         void *),
                                         int flags, const sigset_t *mask)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = handler;
    sa.sa_flags = flags | SA_SIGINFO;
    if (mask)
        sa.sa_mask = *mask;
    XT_SYS(sigaction(SIGCHLD, &sa, NULL));
    return xh_action_get(SIGCHLD);
}

/* ---- ends --------------------------------------------------------------- */

static const int fatal[] = {
    SIGHUP,    SIGINT,    SIGKILL, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM,
    SIGSTKFLT, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR,  35,      36,      37,
    38,        39,        40,      41,      42,      43,      44,      45,
    46,        47,        48,      49,      50,      51,      52,      53,
    54,        55,        56,      57,      58,      59,      60,      61};
#define NFATAL (sizeof(fatal) / sizeof(fatal[0]))

struct xh_end xh_end_of(unsigned n)
{
    n %= 256 + NFATAL;
    return n < 256 ? XH_EXIT((int)n) : XH_SIGNAL(fatal[n - 256]);
}

int xh_end_status(struct xh_end end)
{
    return end.signo ? end.signo : end.code << 8;
}

void xh_end_now(struct xh_end end)
{
    struct xh_action dfl = {NULL, 0, NULL, 0};
    uint64_t none = 0;

    if (end.signo) {
        if (end.signo != SIGKILL)
            syscall(SYS_rt_sigaction, end.signo, &dfl, NULL, 8);
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
        for (;;)
            syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid),
                    end.signo);
    }
    for (;;)
        syscall(SYS_exit_group, end.code);
}

/* ---- the host's own children -------------------------------------------- */

pid_t xh_fork(struct xh_end end)
{
    pid_t pid = fork();

    if (!pid)
        xh_end_now(end);
    XT_SYS(pid);
    XT_GT_INT(pid, 1);
    return pid;
}

pid_t xh_fork_exit(int code)
{
    return xh_fork(XH_EXIT(code));
}

pid_t xh_fork_held(struct xh_end end, int *ret_gate)
{
    int gate[2];
    pid_t pid;

    xt_pipe(gate);
    pid = fork();
    if (!pid) {
        char c;

        for (int fd = 3; fd < 4096; fd++)
            if (fd != gate[0])
                close(fd);
        while (read(gate[0], &c, 1) < 0 && errno == EINTR)
            ;
        xh_end_now(end);
    }
    XT_SYS(pid);
    XT_GT_INT(pid, 1);
    xt_close(&gate[0]);
    *ret_gate = gate[1];
    return pid;
}

/* The kernel's struct clone_args, up to set_tid_size. */
struct clone_as {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack;
    uint64_t stack_size, tls, set_tid, set_tid_size;
};

pid_t xh_fork_as(pid_t pid)
{
    struct clone_as args;
    pid_t wish = pid;

    memset(&args, 0, sizeof(args));
    args.exit_signal = SIGCHLD;
    args.set_tid = (uintptr_t)&wish;
    args.set_tid_size = 1;
    return syscall(SYS_clone3, &args, sizeof(args));
}

int xh_reap(pid_t pid)
{
    int status = -1;
    pid_t r;

    XT_GT_INT(pid, 1);
    do
        r = waitpid(pid, &status, 0);
    while (r < 0 && errno == EINTR);
    XT_SYS(r);
    XT_EQ_INT(r, pid);
    return status;
}

void xh_await_zombie_or_gone(const pid_t *pid, int n)
{
    for (int i = 0; i < n; i++) {
        siginfo_t info;
        int r;

        do
            r = waitid(P_PID, pid[i], &info, WEXITED | WNOWAIT);
        while (r < 0 && errno == EINTR);
        XT_TRUE(r == 0 || errno == ECHILD);
    }
}

void xh_await_zombie(pid_t pid)
{
    siginfo_t info;
    int r;

    do
        r = waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    while (r < 0 && errno == EINTR);
    XT_SYS(r);
    XT_EQ_INT(info.si_pid, pid);
}

int xh_is_zombie(pid_t pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    if (waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG)) {
        XT_EQ_INT(errno, ECHILD);
        return -1;
    }
    return info.si_pid == pid;
}

void xh_no_children(const char *file, int line)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    if (!waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG))
        xt_fail(file, line, "there is a child: pid %d, %s", (int)info.si_pid,
                info.si_pid ? "a zombie" : "alive");
    if (errno != ECHILD)
        xt_fail(file, line, "waitid: %s", strerror(errno));
}

/* ---- children of the library -------------------------------------------- */

const char *const *xh_end_argv(struct xh_argv *buffer, struct xh_end end)
{
    snprintf(buffer->number, sizeof(buffer->number), "%d",
             end.signo ? end.signo : end.code);
    buffer->argv[0] = xt_child_path();
    buffer->argv[1] = end.signo ? "signal" : "exit";
    buffer->argv[2] = buffer->number;
    buffer->argv[3] = NULL;
    return buffer->argv;
}

libxl_childproc_id xh_spawn_held(libxl_ctx *ctx, struct xh_end end,
                                 const libxl_childproc_spec *spec,
                                 const libxl_childproc_report *report,
                                 int *ret_gate, pid_t *ret_pid)
{
    libxl_childproc_spec held = spec ? *spec : xt_spec(NULL);
    struct xh_argv words;
    const char *argv[6];
    libxl_childproc_fd fds[1] = {{0, -1}};
    libxl_childproc_id id;
    int gate[2];

    xt_pipe(gate);
    xh_end_argv(&words, end);
    argv[0] = words.argv[0];
    argv[1] = "hold";
    argv[2] = words.argv[1];
    argv[3] = words.argv[2];
    argv[4] = NULL;
    fds[0].source = gate[0];
    held.argv = argv;
    held.fds = fds;
    held.nfds = 1;
    id = xt_spawn(ctx, &held, report, ret_pid);
    xt_close(&gate[0]);
    *ret_gate = gate[1];
    return id;
}

void xh_ended(const char *file, int line, const libxl_childproc_result *r,
              struct xh_end end)
{
    if (end.signo)
        xt_signaled(file, line, r, end.signo);
    else
        xt_exited(file, line, r, end.code);
}

/* ---- starts ------------------------------------------------------------- */

void xh_works(libxl_ctx *ctx)
{
    libxl_childproc_result r =
        xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL));

    XT_EXITED(&r, 3);
}

void xh_fails_at(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                 libxl_childproc_stage stage, int errnoval)
{
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_id id = 4711;
    pid_t pid = 4712;

    XT_RC(libxl_childproc_spawn(ctx, spec, NULL, &id, &pid, &failure),
          ERROR_SPAWN);
    XT_EQ_STR(libxl_childproc_stage_name(failure.stage),
              libxl_childproc_stage_name(stage));
    XT_EQ_INT(failure.errnoval, errnoval);
    XT_EQ_PTR(failure.argument, NULL);
    XT_EQ_INT(id, 4711);
    XT_EQ_INT(pid, 4712);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    XH_NO_CHILDREN();
}

/* ---- contexts ----------------------------------------------------------- */

libxl_ctx *xh_ctx_new(libxl_sigchld_owner owner, struct xt_log *log,
                      int (*exited)(pid_t, int, void *), void *user)
{
    libxl_childproc_hooks hooks = {.chldowner = owner,
                                   .childproc_exited_callback = exited,
                                   .size = sizeof(hooks)};
    libxl_ctx *ctx = NULL;

    if (log) {
        libxl_logger logger;

        xt_log_init(log, &logger);
        XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger));
    } else {
        XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    }
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, user));
    return ctx;
}

libxl_childproc_diagnosis xh_diagnose(libxl_ctx *ctx)
{
    libxl_childproc_diagnosis d;

    memset(&d, 0, sizeof(d));
    d.size = sizeof(d);
    XT_OK(libxl_childproc_diagnose(ctx, &d, NULL));
    return d;
}

void xh_pump(libxl_ctx *ctx)
{
    libxl_event *event = NULL;

    XT_RC(libxl_event_check(ctx, &event, 0, NULL, NULL), ERROR_NOT_READY);
}
