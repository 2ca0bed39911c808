/* adopt.c - watching processes that somebody else started
 *
 * Called by the host. A process is named by a pidfd, or by its pid and start
 * time, checked after its pidfd is open, so that a number that changes hands
 * in between is noticed. Next: child.c, as for any child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/child.h"
#include "loop/enter.h"
#include "child/mode.h"
#include "ctx/process.h"
#include "loop/registration.h"
#include "start/spec.h"
#include "child/exit_watch.h"

/* The 22nd field; the second is in parentheses and may contain anything. */
static int parse_start_time(const char *stat, uint64_t *ret_ticks)
{
    const char *at = strrchr(stat, ')');
    int field;

    if (at == NULL)
        return -1;
    for (field = 2; field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (at == NULL)
            return -1;
    }
    *ret_ticks = strtoull(at + 1, NULL, 10);
    return 0;
}

int libxl_childproc_start_time(pid_t pid, uint64_t *ret_ticks)
{
    char path[64];
    char stat[1024];
    ssize_t n;
    int saved;
    int fd;

    if (pid <= 1 || ret_ticks == NULL)
        return ERROR_INVAL;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = xl_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno == ENOENT ? ERROR_NOTFOUND : ERROR_SYSTEM;
    n = xl_sys.read(fd, stat, sizeof stat - 1);
    saved = errno;
    xl_close(fd);
    errno = saved;
    if (n <= 0)
        return n == 0 || errno == ESRCH ? ERROR_NOTFOUND : ERROR_SYSTEM;
    stat[n] = '\0';
    return parse_start_time(stat, ret_ticks) == 0 ? 0 : ERROR_SYSTEM;
}

/* Nobody adopts init, or themselves. */
static int bad_pid(pid_t pid)
{
    return pid <= 1 || pid == getpid();
}

/* The pid that a pidfd stands for: 0 and *ret_pid, or ERROR_*. */
static int pid_of(int pidfd, pid_t *ret_pid)
{
    char path[64];
    char info[1024];
    const char *at;
    long pid;
    ssize_t n;
    int saved;
    int fd;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    fd = xl_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return ERROR_SYSTEM;
    n = xl_sys.read(fd, info, sizeof info - 1);
    saved = errno;
    xl_close(fd);
    errno = saved;
    if (n < 0)
        return ERROR_SYSTEM;
    info[n] = '\0';
    at = strstr(info, "\nPid:");
    if (at == NULL)
        return ERROR_INVAL; /* no pidfd */
    pid = strtol(at + 5, NULL, 10);
    if (pid < 0)
        return ERROR_NOTFOUND; /* it has been reaped */
    if (bad_pid((pid_t)pid))
        return ERROR_INVAL; /* 0: of another pid namespace */
    *ret_pid = (pid_t)pid;
    return 0;
}

/* 0 and *ret_pidfd, our own; or ERROR_*. */
static int open_process(pid_t *pid, uint64_t start_ticks, int pidfd,
                        int *ret_pidfd)
{
    uint64_t ticks;
    int rc = 0;
    int fd;

    xl_process_lock();
    fd = pidfd >= 0 ? xl_sys.dupfd(pidfd, 0) : xl_sys.pidfd_open(*pid, 0);
    xl_process_unlock();
    if (fd < 0) {
        if (errno == EBADF)
            return ERROR_INVAL;
        return errno == ESRCH || errno == EINVAL ? ERROR_NOTFOUND
                                                 : ERROR_SYSTEM;
    }
    if (pidfd >= 0) {
        rc = pid_of(fd, pid);
    } else {
        rc = libxl_childproc_start_time(*pid, &ticks);
        if (rc == 0 && ticks != start_ticks)
            rc = ERROR_NOTFOUND;
    }
    if (rc != 0) {
        int saved = errno;

        xl_close(fd);
        errno = saved;
        return rc;
    }
    *ret_pidfd = fd;
    return 0;
}

static int is_our_child(int pidfd)
{
    siginfo_t info;

    return xl_sys.waitid(XL_P_PIDFD, (id_t)pidfd, &info,
                         WEXITED | WNOHANG | WNOWAIT, NULL) == 0;
}

static int adopt(libxl_ctx *ctx, pid_t pid, int pidfd, int shared,
                 const libxl_childproc_report *report,
                 libxl_childproc_id *ret_id)
{
    libxl_childproc_spec spec;
    struct xl_child *child = NULL;
    int saved;
    int rc;

    rc = xl_mode_arm(ctx);
    if (rc == 0)
        rc = xl_registration_arm(ctx, XL_NEVER);
    if (rc != 0)
        return rc;
    libxl_childproc_spec_init(&spec);
    spec.on_free = LIBXL_FREE_LEAVE;
    rc = xl_child_new(ctx, &spec, report, &child);
    if (rc != 0)
        return rc;
    child->adopted = !is_our_child(pidfd);
    child->pidfd_shared = shared != 0;
    child->leads_group = getpgid(pid) == pid;
    if (xl_registry_insert(&child->reg, pid, pidfd) != 0) {
        xl_registry_unreserve();
        xl_child_discard(ctx, child);
        return ERROR_INVAL;
    }
    if (child->adopted && xl_exit_watch_adopted(ctx, child, pidfd) != 0) {
        saved = errno;
        xl_registry_remove(&child->reg);
        xl_child_discard(ctx, child);
        errno = saved;
        return ERROR_SYSTEM;
    }
    *ret_id = child->id;
    xl_child_started(ctx, child, pid, pidfd);
    if (!child->adopted)
        xl_exit_watch_new(ctx, child);
    return 0;
}

int libxl_childproc_adopt(libxl_ctx *ctx, pid_t pid, uint64_t start_ticks,
                          int pidfd, const libxl_childproc_report *report,
                          libxl_childproc_id *ret_id)
{
    libxl_childproc_id id = 0;
    int ours = -1;
    int saved = 0;
    int rc;

    if ((pidfd < 0 && bad_pid(pid)) || !xl_report_ok(report))
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    if (xl_exit_watch_without_pidfd(ctx)) {
        rc = ERROR_NI;
        goto out;
    }
    rc = open_process(&pid, start_ticks, pidfd, &ours);
    if (rc != 0)
        goto out;
    ctx->nstarting++;
    rc = adopt(ctx, pid, ours, pidfd >= 0, report, &id);
    ctx->nstarting--;
    if (rc == 0 && ret_id != NULL)
        *ret_id = id;
out:
    saved = errno;
    if (rc != 0)
        xl_close(ours);
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}
