/* facility.c - what this kernel, and its seccomp filter, let us use
 *
 * Called by mode.c and spawn.c before the first start. See facility.h.
 */
#define _GNU_SOURCE
#include "kernel/facility.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/probe_child.h"
#include "kernel/stop_point.h"
#include "kernel/sys.h"
#include "xlchild/childproc.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

#define PROBE_STACK (128 * 1024)

static atomic_uint probed; /* 0: not yet; the high bit marks it done */
static atomic_uint refused;

#define DONE (1u << 31)
#define OPEN_PIDFD (-2)

/* Starts, waits for and looks at one child. The exit signal is none, so that
 * neither SIGCHLD nor anybody's wait(-1) sees it. Returns its exit status, or
 * -1. *ret_pidfd is its pidfd with CLONE_PIDFD, or if it was OPEN_PIDFD. */
static int try_child(int (*fn)(void *), void *stack, int flags, int *ret_pidfd)
{
    siginfo_t info;
    xl_sigset all, before;
    int open_pidfd;
    pid_t pid;
    int r;

    xl_sigset_fill(&all);
    if (xl_sys.sigprocmask(SIG_SETMASK, &all, &before) != 0)
        return -1;
    open_pidfd = *ret_pidfd == OPEN_PIDFD;
    *ret_pidfd = -1;
    pid = xl_sys.clone(fn, (char *)stack + PROBE_STACK, flags, NULL, ret_pidfd,
                       NULL);
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid <= 1)
        return -1;
    if (open_pidfd)
        *ret_pidfd = xl_sys.pidfd_open(pid, 0);
    do {
        info.si_status = -1;
        r = xl_sys.waitid(P_PID, (id_t)pid, &info, WEXITED | __WALL, NULL);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? info.si_status : -1;
}

static unsigned probe(void)
{
    const int plain = CLONE_VM | CLONE_VFORK;
    struct xl_exit_info info;
    siginfo_t si;
    unsigned found = 0;
    void *stack;
    int pidfd = xl_sys.pidfd_open(getpid(), 0);

    if (pidfd >= 0)
        found |= XL_FACILITY_PIDFD_OPEN;
    xl_close(pidfd);
    pidfd = -1;
    if (syscall(SYS_close_range, 0x7ffffff0U, ~0U, 0) == 0)
        found |= LIBXL_FACILITY_CLOSE_RANGE;
    stack = xl_sys.mmap(PROBE_STACK);
    if (stack == (void *)-1)
        return found;
    if (xl_on_valgrind()) {
        /* it turns a shared-memory clone into a fork: ask for one */
        pidfd = OPEN_PIDFD;
        (void)try_child(xl_probe_child, stack, 0, &pidfd);
        goto pidfd;
    }
    if (try_child(xl_probe_child, stack, plain, &pidfd) == 0)
        found |= LIBXL_FACILITY_VFORK | XL_FACILITY_CLONE3;
    if ((found & LIBXL_FACILITY_VFORK) &&
        (found & LIBXL_FACILITY_CLOSE_RANGE) &&
        try_child(xl_probe_child_unshare, stack, plain | CLONE_FILES, &pidfd) ==
            0)
        found |= LIBXL_FACILITY_SHARED_FILES;
    if (found & LIBXL_FACILITY_VFORK)
        (void)try_child(xl_probe_child, stack, plain | CLONE_PIDFD, &pidfd);
    if ((found & LIBXL_FACILITY_VFORK) && pidfd < 0) {
        pidfd = OPEN_PIDFD;
        (void)try_child(xl_probe_child, stack, plain, &pidfd);
    }
pidfd:
    if (pidfd >= 0) {
        if (xl_sys.pidfd_exit_info(pidfd, &info) == 0 && info.known)
            found |= LIBXL_FACILITY_EXIT_INFO;
    } else {
        pidfd = xl_sys.pidfd_open(getpid(), 0);
    }
    if (pidfd >= 0) {
        /* neither is a child of ours: ECHILD means that it was looked up */
        if (xl_sys.waitid(XL_P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG,
                          NULL) != 0 &&
            errno == ECHILD)
            found |= LIBXL_FACILITY_PIDFD;
        xl_close(pidfd);
    }
    xl_munmap(stack, PROBE_STACK);
    return found;
}

unsigned xl_facilities(void)
{
    unsigned found = atomic_load(&probed);

    /* two threads may probe at once: no lock that a fork could leave held */
    if (!(found & DONE)) {
        found = probe() | DONE;
        XL_STOP_POINT("facility: probed");
        atomic_store(&probed, found);
    }
    return found & ~DONE & ~atomic_load(&refused);
}

void xl_facility_refused(unsigned bits)
{
    atomic_fetch_or(&refused, bits);
}

void xl_facility_limit(unsigned bits)
{
    atomic_store(&refused, ~bits);
}

int xl_facility_pidfds(int forked)
{
    unsigned have = xl_facilities();

    return (have & LIBXL_FACILITY_PIDFD) != 0 &&
           (!forked || (have & XL_FACILITY_PIDFD_OPEN) != 0);
}
