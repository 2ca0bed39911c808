/* probe.c - what this kernel, or this world, offers: asked without the library
 *
 * See probe.h. Each question is put to the kernel anew, by the call itself;
 * nothing is guessed from a version.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

/* The kernel's numbers; the C library's headers may be older than they. */
#define XP_P_PIDFD 3
#define XP_CLOSE_RANGE_UNSHARE 2u
#define XP_INFO_EXIT (UINT64_C(1) << 3)

/* struct pidfd_info as it was when it learnt about exits. */
struct xp_info {
    uint64_t mask;
    uint64_t cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t ids[8];
    int32_t exit_code;
};
#define XP_GET_INFO _IOWR(0xFF, 11, struct xp_info)

int xp_pidfd_open(void)
{
    long fd = syscall(SYS_pidfd_open, getpid(), 0);

    if (fd < 0)
        return 0;
    close(fd);
    return 1;
}

/* A child that exits at once, or once there is a byte at its gate, by clone as
 * fork calls it; *ret_pidfd if asked.
 * The raw call keeps the C library's fork handlers out of it. */
static pid_t clone_exit(int code, int gate, int *ret_pidfd)
{
    int pidfd = -1;
    char byte;
    pid_t pid = syscall(SYS_clone, SIGCHLD | (ret_pidfd ? CLONE_PIDFD : 0),
                        NULL, &pidfd, NULL, NULL);

    if (!pid && gate >= 0)
        syscall(SYS_read, gate, &byte, 1);
    if (!pid)
        for (;;)
            syscall(SYS_exit_group, code);
    if (pid > 0 && ret_pidfd)
        *ret_pidfd = pidfd;
    return pid;
}

static void reap(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
}

int xp_clone_pidfd(void)
{
    int pidfd = -1;
    pid_t pid = clone_exit(0, -1, &pidfd);

    if (pid < 0)
        return 0;
    reap(pid);
    if (pidfd < 0)
        return 0;
    close(pidfd);
    return 1;
}

/* Asked of ourselves, who are no child of ours: ECHILD where it works. */
int xp_waitid_pidfd(void)
{
    long fd = syscall(SYS_pidfd_open, getpid(), 0);
    siginfo_t info;
    int r, e;

    r = syscall(SYS_waitid, XP_P_PIDFD, fd < 0 ? 0 : fd, &info,
                WEXITED | WNOHANG, NULL);
    e = errno;
    if (fd >= 0)
        close(fd);
    return r == 0 || e == ECHILD || e == EBADF;
}

int xp_clone3(void)
{
    return syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL;
}

int xp_pidfd_send_signal(void)
{
    return syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0) < 0 && errno == EBADF;
}

int xp_pidfd_group(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int r;

    if (fd < 0)
        return 0;
    r = (int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 4u);
    if (r < 0 && errno == ESRCH)
        r = 0; /* this process leads no group */
    close(fd);
    return r == 0 && xp_pidfds();
}

int xp_close_range(void)
{
    return syscall(SYS_close_range, ~0u, ~0u, 0) == 0;
}

int xp_close_range_unshare(void)
{
    return syscall(SYS_close_range, ~0u, ~0u, XP_CLOSE_RANGE_UNSHARE) == 0;
}

int xp_exit_info(void)
{
    struct xp_info info;
    int pidfd = -1, works = 0;
    pid_t pid = clone_exit(42, -1, &pidfd);

    if (pid < 0) {
        int gate[2]; /* where SIGCHLD is ignored it would be gone too soon */

        xt_pipe(gate);
        pid = clone_exit(42, gate[0], NULL);
        if (pid < 0)
            XT_FAIL("clone: %s", strerror(errno));
        pidfd = syscall(SYS_pidfd_open, pid, 0);
        xt_write_all(gate[1], "", 1);
        xt_close(&gate[0]);
        xt_close(&gate[1]);
    }
    reap(pid);
    memset(&info, 0, sizeof(info));
    info.mask = XP_INFO_EXIT;
    if (pidfd >= 0) {
        works = !ioctl(pidfd, XP_GET_INFO, &info) &&
                (info.mask & XP_INFO_EXIT) && info.exit_code == 42 << 8;
        close(pidfd);
    }
    return works;
}

int xp_pidfds(void)
{
    return (xp_clone_pidfd() || xp_pidfd_open()) && xp_waitid_pidfd();
}

int xp_recovers(void)
{
    return xp_pidfds() && xp_exit_info();
}
