/* sys.c - the table of system calls, filled with the real ones
 *
 * Called by every file of the parent's side. See sys.h.
 */
#define _GNU_SOURCE
#include "kernel/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/rawclone.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define FUTEX_WAIT 0 /* <linux/futex.h> does not come with musl */

static int real_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int real_dupfd(int fd, int min)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, min);
}

static void *real_mmap(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
}

/* The kernel's struct sigaction, as its own call takes it. */
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    xl_sigset mask;
};

static int real_sigaction(int signo, const struct sigaction *new_action,
                          struct sigaction *ret_old)
{
#ifdef __GLIBC__
    return sigaction(signo, new_action, ret_old);
#else /* musl's leaves sa_restorer out of what it returns */
    struct kernel_sigaction k;

    memset(&k, 0, sizeof k);
    if (ret_old != NULL &&
        syscall(SYS_rt_sigaction, signo, NULL, &k, sizeof k.mask) != 0)
        return -1;
    if (sigaction(signo, new_action, ret_old) != 0)
        return -1;
    if (ret_old != NULL)
        ret_old->sa_restorer = k.restorer;
    return 0;
#endif
}

static int real_sigprocmask(int how, const xl_sigset *set, xl_sigset *ret_old)
{
    return (int)syscall(SYS_rt_sigprocmask, how, set, ret_old, sizeof *set);
}

/* The thread may end while the child runs on its memory: what compilers look
 * for beyond the thread pointer (a canary) is found in the child's own stack,
 * where nothing else is. */
void *xl_child_tls(void *stack)
{
    return (char *)stack + 1024;
}

static pid_t real_clone(int (*fn)(void *), void *stack_top, int flags,
                        void *arg, int *ret_pidfd, void *tls, int *child_word)
{
    return clone(fn, stack_top, flags, arg, ret_pidfd, tls, child_word);
}

static pid_t real_clone3(int (*fn)(void *), void *stack, size_t stack_size,
                         uint64_t flags, void *arg, int *ret_pidfd,
                         int *ret_pid, atomic_int *until_exec, int cgroup)
{
    struct xl_clone3_args args;
    long r;

    memset(&args, 0, sizeof args);
    args.flags = (flags & ~XL_CLONE_UNSEEN) | XL_CLONE_CLEAR_SIGHAND;
    args.pidfd = (flags & CLONE_PIDFD) ? (uint64_t)(uintptr_t)ret_pidfd : 0;
    args.exit_signal = (flags & XL_CLONE_UNSEEN) ? 0 : SIGCHLD;
    args.stack = (uint64_t)(uintptr_t)stack;
    args.stack_size = stack_size;
    if (flags & CLONE_PARENT_SETTID)
        args.parent_tid = (uint64_t)(uintptr_t)ret_pid;
    if (flags & CLONE_CHILD_CLEARTID)
        args.child_tid = (uint64_t)(uintptr_t)until_exec;
    if (flags & CLONE_SETTLS)
        args.tls = (uint64_t)(uintptr_t)xl_child_tls(stack);
    if (cgroup >= 0) {
        args.flags |= XL_CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    r = xl_clone3_call(&args, sizeof args, fn, arg);
    if (r < 0) {
        errno = (int)-r;
        return -1;
    }
    return (pid_t)r;
}

static int real_futex_wait(atomic_int *word, int value, int timeout_ms)
{
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = timeout_ms % 1000 * 1000000};

    return (int)syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

static int real_waitid(int idtype, id_t id, siginfo_t *ret_info, int options,
                       struct rusage *ret_rusage)
{
    return (int)syscall(SYS_waitid, idtype, id, ret_info, options, ret_rusage);
}

static int real_pidfd_open(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int real_pidfd_send_signal(int pidfd, int signo, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, flags);
}

/* The first 64 bytes of the kernel's struct pidfd_info (Linux 6.13), which
 * end with the exit code that 6.15 added. */
struct pidfd_info_v1 {
    uint64_t mask;
    uint64_t cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t ids[8];
    int32_t exit_code;
};

#define INFO_EXIT (UINT64_C(1) << 3)

static int real_pidfd_exit_info(int pidfd, struct xl_exit_info *ret_info)
{
    struct pidfd_info_v1 info;

    memset(&info, 0, sizeof info);
    info.mask = INFO_EXIT;
    if (ioctl(pidfd, _IOWR(0xFF, 11, struct pidfd_info_v1), &info) != 0)
        return -1;
    ret_info->known = (info.mask & INFO_EXIT) != 0;
    ret_info->status = ret_info->known ? info.exit_code : 0;
    ret_info->pid = (pid_t)info.pid;
    return 0;
}

struct xl_sys xl_sys = {
    .malloc = malloc,
    .calloc = calloc,
    .realloc = realloc,
    .pipe2 = pipe2,
    .eventfd = eventfd,
    .epoll_create1 = epoll_create1,
    .epoll_ctl = epoll_ctl,
    .epoll_wait = epoll_wait,
    .poll = poll,
    .timerfd_create = timerfd_create,
    .timerfd_settime = timerfd_settime,
    .open = real_open,
    .dupfd = real_dupfd,
    .fopen = fopen,
    .opendir = opendir,
    .open_memstream = open_memstream,
    .pread = pread,
    .read = read,
    .write = write,
    .mmap = real_mmap,
    .sigaction = real_sigaction,
    .sigprocmask = real_sigprocmask,
    .fork = fork,
    .clone = real_clone,
    .clone3 = real_clone3,
    .futex_wait = real_futex_wait,
    .waitid = real_waitid,
    .pidfd_open = real_pidfd_open,
    .pidfd_send_signal = real_pidfd_send_signal,
    .pidfd_exit_info = real_pidfd_exit_info,
    .kill = kill,
    .setpgid = setpgid,
    .pthread_create = pthread_create,
    .clock_gettime = clock_gettime,
};

void xl_free(void *memory)
{
    free(memory);
}

void xl_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

void xl_munmap(void *at, size_t size)
{
    (void)munmap(at, size);
}

void xl_sigset_fill(xl_sigset *set)
{
    memset(set, 0xff, sizeof *set);
}

void xl_sigset_empty(xl_sigset *set)
{
    memset(set, 0, sizeof *set);
}

#define SIG_WORD(signo) ((size_t)((signo)-1) / (8 * sizeof(unsigned long)))
#define SIG_BIT(signo) \
    (1UL << ((size_t)((signo)-1) % (8 * sizeof(unsigned long))))

int xl_sigset_has(const xl_sigset *set, int signo)
{
    return (set->bits[SIG_WORD(signo)] & SIG_BIT(signo)) != 0;
}

void xl_sigset_add(xl_sigset *set, int signo)
{
    set->bits[SIG_WORD(signo)] |= SIG_BIT(signo);
}

void xl_sigset_remove(xl_sigset *set, int signo)
{
    set->bits[SIG_WORD(signo)] &= ~SIG_BIT(signo);
}

void xl_sigset_from(xl_sigset *ret_set, const sigset_t *set)
{
    int signo;

    xl_sigset_empty(ret_set);
    for (signo = 1; signo < _NSIG; signo++)
        if (sigismember(set, signo) == 1)
            xl_sigset_add(ret_set, signo);
}

/* libc's sigaction marks every disposition with SA_RESTORER, so that a
 * default one that was never set would come back with a flag more. The
 * kernel's own call does not; it may only be used where no handler, and so
 * no restorer, is involved. */
int xl_sigaction_restore(int signo, const struct sigaction *action)
{
    struct kernel_sigaction k;

    if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)
        return sigaction(signo, action, NULL);
    memset(&k, 0, sizeof k);
    k.handler = action->sa_handler;
    k.flags = (unsigned long)(unsigned)action->sa_flags;
    k.restorer = action->sa_restorer;
    xl_sigset_from(&k.mask, &action->sa_mask);
    return (int)syscall(SYS_rt_sigaction, signo, &k, NULL, sizeof k.mask);
}

int xl_on_valgrind(void)
{
#ifdef __SANITIZE_THREAD__
    return 1; /* it loses track of a thread whose memory a child shares */
#endif
#ifdef RUNNING_ON_VALGRIND
    if (RUNNING_ON_VALGRIND)
        return 1;
#endif
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}
