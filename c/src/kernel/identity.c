/* identity.c - telling two processes apart that have had the same number
 *
 * Called by numbers.c, adopt.c, and whoever signals by a pidfd. See identity.h.
 */
#define _GNU_SOURCE
#include "kernel/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kernel/procstat.h"
#include "kernel/sys.h"

#define FIELD_START_TIME 22

#define PIDFS_MAGIC 0x50494446
#define IS_INODE (UINT64_C(1) << 63) /* else the mark is a start time */

int xl_identity_start_time(pid_t pid, uint64_t *ret_ticks)
{
    return xl_procstat_field(pid, FIELD_START_TIME, ret_ticks);
}

/* The inode of a pidfd, where it is the process's alone; else 0. */
static uint64_t inode_of(int pidfd)
{
    struct statfs fs;
    struct stat st;

    if (pidfd < 0 || fstatfs(pidfd, &fs) != 0 || fs.f_type != PIDFS_MAGIC ||
        fstat(pidfd, &st) != 0)
        return 0;
    return (uint64_t)st.st_ino;
}

uint64_t xl_identity_of_pidfd(int pidfd)
{
    uint64_t inode = inode_of(pidfd);

    return inode != 0 ? inode | IS_INODE : 0;
}

uint64_t xl_identity_mark(pid_t pid, int pidfd)
{
    uint64_t mark = xl_identity_of_pidfd(pidfd);
    uint64_t ticks;

    if (pidfd < 0) { /* one for a moment: ages are in hundredths of a second */
        int saved = errno;

        pidfd = xl_sys.pidfd_open(pid, 0);
        mark = xl_identity_of_pidfd(pidfd);
        xl_close(pidfd);
        errno = saved;
    }
    if (mark != 0)
        return mark;
    if (xl_identity_start_time(pid, &ticks) == 0)
        return ticks;
    return 0;
}

int xl_identity_is(pid_t pid, uint64_t mark)
{
    uint64_t ticks;
    int is = 1;

    if (mark == 0)
        return 1;
    if (mark & IS_INODE) {
        int pidfd = xl_sys.pidfd_open(pid, 0);
        int saved = errno;

        errno = saved;
        if (pidfd < 0)
            return saved != ESRCH; /* no fd left to look with: believed */
        is = (inode_of(pidfd) | IS_INODE) == mark;
        xl_close(pidfd);
        errno = 0;
        return is;
    }
    if (xl_identity_start_time(pid, &ticks) == 0)
        is = ticks == mark;
    errno = 0;
    return is;
}

/* ---- pidfds that the host may have closed -------------------------------- */

int xl_identity_fdinfo_pid(int pidfd, pid_t *ret_pid)
{
    char path[64];
    char info[1024];
    const char *at;
    ssize_t length;
    int saved;
    int fd;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    fd = xl_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    length = xl_sys.read(fd, info, sizeof info - 1);
    saved = errno;
    xl_close(fd);
    errno = saved;
    if (length < 0)
        return -1;
    info[length] = '\0';
    at = strstr(info, "\nPid:");
    if (at == NULL) {
        errno = EINVAL;
        return -1;
    }
    *ret_pid = (pid_t)strtol(at + 5, NULL, 10);
    return 0;
}

/* Before Linux 6.13, or where it is refused, the kernel is asked by /proc. */
static int is_of(int pidfd, pid_t pid)
{
    struct xl_exit_info info;
    pid_t its;

    if (xl_sys.pidfd_exit_info(pidfd, &info) == 0)
        return info.known || info.pid == pid;
    if (errno == EBADF)
        return 0;
    if (errno == ESRCH)
        return 1;
    if (xl_identity_fdinfo_pid(pidfd, &its) == 0)
        return its == -1 || its == pid;
    return errno != EINVAL;
}

int xl_identity_pidfd_is(int pidfd, pid_t pid, uint64_t mark)
{
    int saved = errno;
    struct stat st;
    int is;

    if (mark & IS_INODE) /* no file but a pidfd is sent signals by */
        is = fstat(pidfd, &st) == 0 && ((uint64_t)st.st_ino | IS_INODE) == mark;
    else
        is = is_of(pidfd, pid);
    errno = saved;
    return is;
}

int xl_identity_open(pid_t pid, uint64_t mark)
{
    int pidfd = xl_sys.pidfd_open(pid, 0);
    uint64_t ticks;
    int is;

    if (pidfd < 0)
        return -1;
    if (mark & IS_INODE)
        is = (inode_of(pidfd) | IS_INODE) == mark;
    else
        is = mark != 0 && xl_identity_start_time(pid, &ticks) == 0 &&
             ticks == mark;
    if (is)
        return pidfd;
    xl_close(pidfd);
    errno = ESRCH;
    return -1;
}
