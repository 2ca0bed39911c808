/* simkernel.c - a simulated kernel, as far as children are concerned; see
 * simkernel.h */
#define _GNU_SOURCE
#include "simkernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#define FIRST_PID 5000000 /* pids end at 4194304 */

struct sim sim;
static struct xl_sys real;

static struct sim_process *by_pid(pid_t pid)
{
    int i = pid - FIRST_PID;

    return i >= 0 && i < sim.n ? &sim.process[i] : NULL;
}

/* The latest to whom the number was given. */
static struct sim_process *by_pidfd(int fd)
{
    for (int i = sim.n - 1; i >= 0; i--)
        if (sim.process[i].pidfd == fd)
            return &sim.process[i];
    return NULL;
}

/* ---- starting ------------------------------------------------------------ */

static pid_t start(int (*fn)(void *), uint64_t flags, void *arg, int *ret_pidfd)
{
    struct xl_image *image = arg;
    struct sim_process *p;
    int ends[2];

    FZ_TRUE(fn == xl_image_run);
    if (sim.look)
        sim.look(image);
    if (sim.clone_errno || sim.n == SIM_PROCESSES) {
        errno = sim.clone_errno ? sim.clone_errno : EAGAIN;
        return -1;
    }
    p = &sim.process[sim.n];
    *p = (struct sim_process){.pid = FIRST_PID + sim.n,
                              .alive = 1,
                              .pidfd = -1,
                              .ending = -1,
                              .kept = -1};
    sim.n++;
    if (flags & CLONE_PIDFD) {
        FZ_EQ(pipe2(ends, O_CLOEXEC), 0);
        p->pidfd = *ret_pidfd = ends[0];
        p->ending = ends[1];
        p->kept = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
        FZ_TRUE(p->kept >= 0);
    }
    if (sim.exec_errno) {
        image->stage = LIBXL_STAGE_EXEC;
        image->errnoval = sim.exec_errno;
        p->failed_start = 1;
        sim_exit(p, 127 << 8);
    }
    return p->pid;
}

static pid_t sim_clone(int (*fn)(void *), void *stack, int flags, void *arg,
                       int *ret_pidfd)
{
    (void)stack;
    return start(fn, (uint64_t)(unsigned)flags, arg, ret_pidfd);
}

static pid_t sim_clone3(int (*fn)(void *), void *stack, size_t size,
                        uint64_t flags, void *arg, int *ret_pidfd,
                        atomic_int *until_exec, int cgroup)
{
    (void)stack;
    (void)size;
    (void)cgroup;
    if (flags & CLONE_CHILD_CLEARTID)
        atomic_store(until_exec, 0); /* its program runs when we go on */
    return start(fn, flags, arg, ret_pidfd);
}

static pid_t sim_fork(void)
{
    FZ_FAIL("a fork where a shared-memory start was possible");
}

static int sim_pidfd_open(pid_t pid, unsigned flags)
{
    (void)pid;
    (void)flags;
    FZ_FAIL("pidfd_open where the start had given a pidfd");
}

/* ---- ending -------------------------------------------------------------- */

void sim_exit(struct sim_process *p, int status)
{
    FZ_TRUE(p->alive);
    p->alive = 0;
    p->status = status;
    if (p->ending >= 0)
        FZ_EQ(write(p->ending, "", 1), 1);
    raise(SIGCHLD);
}

static void reap(struct sim_process *p, enum sim_reaper reaper)
{
    FZ_TRUE(!p->alive && p->reaped == SIM_UNREAPED);
    p->reaped = reaper;
    if (p->ending >= 0)
        close(p->ending);
    p->ending = -1;
}

void sim_host_reaps(struct sim_process *p)
{
    reap(p, SIM_HOST);
}

static struct sim_process *any_child(int *ret_some)
{
    *ret_some = 0;
    for (int i = 0; i < sim.n; i++) {
        *ret_some |= sim.process[i].reaped == SIM_UNREAPED;
        if (!sim.process[i].alive && sim.process[i].reaped == SIM_UNREAPED)
            return &sim.process[i];
    }
    return NULL;
}

static int sim_waitid(int idtype, id_t id, siginfo_t *info, int options,
                      struct rusage *usage)
{
    struct sim_process *p;
    int some;

    if (idtype == P_ALL) {
        FZ_TRUE(sim.may_wait_any);
        p = any_child(&some);
    } else {
        p = idtype == P_PID ? by_pid((pid_t)id) : by_pidfd((int)id);
        FZ_TRUE(idtype == P_PID || p); /* a pidfd that never was */
        some = p && p->reaped == SIM_UNREAPED;
    }
    if (!some) {
        errno = ECHILD;
        return -1;
    }
    memset(info, 0, sizeof(*info));
    if (!p || p->alive || !(options & WEXITED)) {
        FZ_TRUE(options & WNOHANG); /* it would block for ever */
        return 0;
    }
    info->si_signo = SIGCHLD;
    info->si_pid = p->pid;
    info->si_code = WIFEXITED(p->status) ? CLD_EXITED : CLD_KILLED;
    info->si_status =
        WIFEXITED(p->status) ? WEXITSTATUS(p->status) : WTERMSIG(p->status);
    if (usage)
        memset(usage, 0, sizeof(*usage));
    if (!(options & WNOWAIT)) {
        FZ_TRUE(sim.may_reap || p->failed_start);
        reap(p, SIM_LIBRARY);
    }
    return 0;
}

static int sim_pidfd_exit_info(int pidfd, struct xl_exit_info *ret_info)
{
    struct sim_process *p = by_pidfd(pidfd);

    FZ_TRUE(p != NULL);
    if (!sim.exit_info) {
        errno = ENOTTY;
        return -1;
    }
    ret_info->known = p->reaped != SIM_UNREAPED;
    ret_info->status = p->status;
    return 0;
}

/* ---- signals ------------------------------------------------------------- */

static void deliver(struct sim_process *p, int signo)
{
    if (p->alive && signo)
        sim_exit(p, signo);
}

static int sim_kill(pid_t pid, int signo)
{
    struct sim_process *p = by_pid(pid);

    if (!p || p->reaped != SIM_UNREAPED)
        FZ_FAIL("kill(%d, %d) would hit a stranger", (int)pid, signo);
    deliver(p, signo);
    return 0;
}

static int sim_pidfd_send_signal(int pidfd, int signo, unsigned flags)
{
    struct sim_process *p = by_pidfd(pidfd);

    FZ_TRUE(p != NULL && flags == 0);
    if (p->reaped != SIM_UNREAPED) {
        errno = ESRCH;
        return -1;
    }
    deliver(p, signo);
    return 0;
}

/* ---- the seam ------------------------------------------------------------ */

static void no_log(void *user, libxl_log_level level, int errnoval,
                   const char *message)
{
    (void)user;
    (void)level;
    (void)errnoval;
    (void)message;
}

const libxl_logger sim_silent = {sizeof(sim_silent), LIBXL_LOG_CRITICAL, no_log,
                                 NULL};

void sim_begin(void)
{
    memset(&sim, 0, sizeof(sim));
    real = xl_sys;
    xl_sys.fork = sim_fork;
    xl_sys.clone = sim_clone;
    xl_sys.clone3 = sim_clone3;
    xl_sys.waitid = sim_waitid;
    xl_sys.pidfd_open = sim_pidfd_open;
    xl_sys.pidfd_send_signal = sim_pidfd_send_signal;
    xl_sys.pidfd_exit_info = sim_pidfd_exit_info;
    xl_sys.kill = sim_kill;
}

void sim_end(void)
{
    xl_sys = real;
    for (int i = 0; i < sim.n; i++) {
        if (sim.process[i].ending >= 0)
            close(sim.process[i].ending);
        if (sim.process[i].kept >= 0)
            close(sim.process[i].kept);
    }
}
