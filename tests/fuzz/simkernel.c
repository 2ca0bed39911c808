/* simkernel.c - a simulated kernel, as far as children are concerned; see
 * simkernel.h
 */
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
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif
#define PATIENCE 10 /* seconds, for what another thread is about to do */

struct sim sim;
static struct xl_sys real;
static pthread_t main_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t reaped = PTHREAD_COND_INITIALIZER;
static struct sim_process *met; /* whom the last wait for anybody found */

struct sim_process *sim_by_pid(pid_t pid)
{
    for (int i = sim.n - 1; i >= 0; i--)
        if (sim.process[i].pid == pid)
            return &sim.process[i];
    return NULL;
}

/* ---- starting ----------------------------------------------------------- */

static struct sim_process *new_process(void)
{
    struct sim_process *p = &sim.process[sim.n];

    p->pid = sim.next_pid ? sim.next_pid : SIM_FIRST_PID + sim.n;
    sim.next_pid = 0;
    sim.n++;
    p->alive = 1;
    p->ending = -1;
    p->kept = -1;
    return p;
}

static void end_process(struct sim_process *p, int status)
{
    FZ_TRUE(p->alive);
    p->alive = 0;
    p->status = status;
    p->stop = 0;
    if (p->ending >= 0)
        FZ_EQ(write(p->ending, "", 1), 1);
    if (!p->elsewhere)
        pthread_kill(main_thread, SIGCHLD);
}

static pid_t start(int (*fn)(void *), uint64_t flags, void *arg, int *ret_pidfd,
                   int *ret_pid)
{
    struct xl_child_setup *image = arg;
    struct sim_process *p;
    pid_t pid = -1;

    FZ_TRUE(fn == xl_child_setup_run);
    pthread_mutex_lock(&lock);
    p = sim.n < SIM_PROCESSES ? &sim.process[sim.n] : NULL;
    if (sim.look)
        sim.look(image, p);
    if (sim.clone_errno || !p) {
        errno = sim.clone_errno ? sim.clone_errno : EAGAIN;
        goto out;
    }
    new_process();
    p->ours = 1;
    p->leads =
        (image->spec->flags & (LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                               LIBXL_SPAWN_SET_CTTY)) != 0;
    if (flags & CLONE_PIDFD)
        *ret_pidfd = sim_make_pidfd(p);
    *ret_pid = p->pid;
    if (sim.exec_errno) {
        image->stage = LIBXL_STAGE_EXEC;
        image->errnoval = sim.exec_errno;
        p->failed_start = 1;
        end_process(p, 127 << 8);
    } else if (p->instant) {
        end_process(p, 0);
    }
    pid = p->pid;
out:
    pthread_mutex_unlock(&lock);
    return pid;
}

static pid_t sim_clone(int (*fn)(void *), void *stack, int flags, void *arg,
                       int *ret_pidfd, void *tls, int *ret_pid)
{
    struct xl_child_setup *image = arg;

    (void)stack;
    (void)tls;
    if (flags & CLONE_CHILD_CLEARTID) {
        *ret_pid = 0; /* its program runs when we go on */
        ret_pid = (int *)image->own_number;
    }
    return start(fn, (uint64_t)(unsigned)flags, arg, ret_pidfd, ret_pid);
}

static pid_t sim_clone3(int (*fn)(void *), void *stack, size_t size,
                        uint64_t flags, void *arg, int *ret_pidfd, int *ret_pid,
                        atomic_int *until_exec, int cgroup)
{
    (void)stack;
    (void)size;
    (void)cgroup;
    if (flags & CLONE_CHILD_CLEARTID)
        atomic_store(until_exec, 0); /* its program runs when we go on */
    return start(fn, flags, arg, ret_pidfd, ret_pid);
}

static pid_t sim_fork(void)
{
    FZ_FAIL("a fork where a shared-memory start was possible");
}

struct sim_process *sim_started_elsehow(int elsewhere)
{
    struct sim_process *p;

    if (sim.n == SIM_PROCESSES)
        return NULL;
    p = new_process();
    p->elsewhere = elsewhere;
    close(sim_make_pidfd(p));
    return p;
}

/* ---- ending ------------------------------------------------------------- */

void sim_exit(struct sim_process *p, int status)
{
    pthread_mutex_lock(&lock);
    end_process(p, status);
    pthread_mutex_unlock(&lock);
}

static void called(void)
{
    struct sim_process *p = sim.later;

    if (!p || !pthread_equal(pthread_self(), main_thread) ||
        sim.later_after-- > 0)
        return;
    sim.later = NULL;
    if (!p->alive)
        return;
    sim.interfered++;
    end_process(p, SIM_LATER_STATUS);
}

void sim_called(void)
{
    pthread_mutex_lock(&lock);
    called();
    pthread_mutex_unlock(&lock);
}

static void reap(struct sim_process *p, enum sim_reaper reaper)
{
    FZ_TRUE(!p->alive && p->reaped == SIM_UNREAPED);
    p->reaped = reaper;
    p->asked = sim.asks && !p->ours;
    if (p->ending >= 0)
        close(p->ending);
    p->ending = -1;
    pthread_cond_broadcast(&reaped);
}

void sim_host_reaps(struct sim_process *p)
{
    pthread_mutex_lock(&lock);
    if (p->reaped == SIM_UNREAPED) /* an orphan is reaped at any time */
        reap(p, SIM_HOST);
    pthread_mutex_unlock(&lock);
}

void sim_await_reaped(struct sim_process *p)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    pthread_mutex_lock(&lock);
    while (p->reaped == SIM_UNREAPED)
        FZ_EQ(pthread_cond_timedwait(&reaped, &lock, &until), 0);
    pthread_mutex_unlock(&lock);
}

static struct sim_process *any_child(int *ret_some)
{
    *ret_some = 0;
    for (int i = 0; i < sim.n; i++) {
        struct sim_process *p = &sim.process[i];

        if (p->elsewhere || p->reaped != SIM_UNREAPED)
            continue;
        *ret_some = 1;
        if (!p->alive)
            return p;
    }
    return NULL;
}

static int tell_stop(struct sim_process *p, siginfo_t *info)
{
    info->si_pid = p->pid;
    info->si_code = p->stop == SIGCONT ? CLD_CONTINUED : CLD_STOPPED;
    info->si_status = p->stop;
    if (p->ntaken < SIM_STOPS)
        p->taken[p->ntaken++] = p->stop;
    p->stop = 0;
    return 0;
}

static int tell_end(struct sim_process *p, siginfo_t *info, int options,
                    int by_name)
{
    info->si_pid = p->pid;
    info->si_code = WIFEXITED(p->status)   ? CLD_EXITED
                    : WCOREDUMP(p->status) ? CLD_DUMPED
                                           : CLD_KILLED;
    info->si_status =
        WIFEXITED(p->status) ? WEXITSTATUS(p->status) : WTERMSIG(p->status);
    if (options & WNOWAIT) {
        met = by_name ? met : p;
        return 0;
    }
    FZ_TRUE(sim.may_reap || p->failed_start || p->orphan || p->let_go);
    FZ_TRUE(p->ours || !by_name || p == met); /* a stranger is not sought */
    reap(p, SIM_LIBRARY);
    return 0;
}

static int wait_locked(int idtype, id_t id, siginfo_t *info, int options)
{
    struct sim_process *p;
    int some;

    if (idtype == P_ALL) {
        FZ_TRUE(sim.may_wait_any);
        p = any_child(&some);
    } else {
        p = idtype == P_PID ? sim_by_pid((pid_t)id) : sim_by_pidfd((int)id);
        FZ_TRUE(idtype == P_PID || p); /* a pidfd that never was */
        some = p && !p->elsewhere && p->reaped == SIM_UNREAPED;
    }
    if (!some) {
        errno = ECHILD;
        return -1;
    }
    memset(info, 0, sizeof(*info));
    info->si_signo = SIGCHLD;
    if (p && p->stop && (options & (WSTOPPED | WCONTINUED)))
        return tell_stop(p, info);
    if (p && !p->alive && (options & WEXITED))
        return tell_end(p, info, options, idtype != P_ALL);
    FZ_TRUE(options & WNOHANG); /* it would block for ever */
    return 0;
}

static int sim_waitid(int idtype, id_t id, siginfo_t *info, int options,
                      struct rusage *usage)
{
    int r;

    pthread_mutex_lock(&lock);
    called();
    r = wait_locked(idtype, id, info, options);
    pthread_mutex_unlock(&lock);
    if (r == 0 && usage)
        memset(usage, 0, sizeof(*usage));
    return r;
}

/* ---- signals ------------------------------------------------------------ */

static void deliver(struct sim_process *p, int signo)
{
    if (!p->alive || !signo)
        return;
    if (signo == SIGSTOP || signo == SIGCONT) {
        p->stop = signo;
        if (!p->elsewhere)
            pthread_kill(main_thread, SIGCHLD);
        return;
    }
    p->kills += signo == SIGKILL;
    if (signo == SIGKILL || !p->stubborn)
        end_process(p, signo);
}

static void deliver_to_group(struct sim_process *p, int signo)
{
    FZ_TRUE(p->leads);
    deliver(p, signo);
    if (signo == SIGKILL)
        p->rest = 0;
}

void sim_signal(struct sim_process *p, int signo)
{
    pthread_mutex_lock(&lock);
    deliver(p, signo);
    pthread_mutex_unlock(&lock);
}

static int sim_kill(pid_t pid, int signo)
{
    struct sim_process *p = sim_by_pid(pid < 0 ? -pid : pid);

    if (!p || p->reaped != SIM_UNREAPED || p->elsewhere)
        FZ_FAIL("kill(%d, %d) could hit a stranger", (int)pid, signo);
    pthread_mutex_lock(&lock);
    called();
    if (pid < 0)
        deliver_to_group(p, signo);
    else
        deliver(p, signo);
    pthread_mutex_unlock(&lock);
    return 0;
}

static int sim_pidfd_send_signal(int pidfd, int signo, unsigned flags)
{
    struct sim_process *p = sim_by_pidfd(pidfd);
    int to_group = flags == PIDFD_SIGNAL_PROCESS_GROUP;

    FZ_TRUE(p != NULL && (flags == 0 || to_group));
    sim_called();
    if (p->reaped != SIM_UNREAPED && !(to_group && p->rest)) {
        errno = ESRCH;
        return -1;
    }
    pthread_mutex_lock(&lock);
    if (to_group)
        deliver_to_group(p, signo);
    else
        deliver(p, signo);
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- the seam ----------------------------------------------------------- */

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

/* Starters have no attributes. */
static int sim_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                              void *(*fn)(void *), void *arg)
{
    if (attr != NULL && !sim.may_start_reaper)
        return EAGAIN;
    return real.pthread_create(thread, attr, fn, arg);
}

void sim_begin(void)
{
    memset(&sim, 0, sizeof(sim));
    met = NULL;
    main_thread = pthread_self();
    real = xl_sys;
    xl_sys.fork = sim_fork;
    xl_sys.clone = sim_clone;
    xl_sys.clone3 = sim_clone3;
    xl_sys.waitid = sim_waitid;
    xl_sys.pidfd_send_signal = sim_pidfd_send_signal;
    xl_sys.kill = sim_kill;
    xl_sys.pthread_create = sim_pthread_create;
    sim_clock_begin();
    sim_pidfd_begin();
}

void sim_end(void)
{
    struct xl_sys simulated = xl_sys;

    sim_clock_end();
    xl_sys = real;
    /* for who still has simulated pidfds */
    xl_sys.waitid = simulated.waitid;
    xl_sys.pidfd_exit_info = simulated.pidfd_exit_info;
    xl_sys.open = simulated.open;
    for (int i = 0; i < sim.n; i++) {
        if (sim.process[i].ending >= 0)
            close(sim.process[i].ending);
        if (sim.process[i].kept >= 0)
            close(sim.process[i].kept);
    }
}

void sim_gone(void)
{
    xl_sys.waitid = real.waitid;
    xl_sys.pidfd_exit_info = real.pidfd_exit_info;
    xl_sys.open = real.open;
}
