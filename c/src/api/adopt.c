/* adopt.c - watching processes that somebody else started
 *
 * Called by the host. A process is named by a pidfd, or by its pid and start
 * time, checked after its pidfd is open, so that a number that changes hands
 * in between is noticed. Next: child.c, as for any child; at once for one that
 * has been reaped, if the kernel still knows how it ended.
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
#include "kernel/cancel.h"
#include "kernel/facility.h"
#include "kernel/identity.h"
#include "child/mode.h"
#include "ctx/process.h"
#include "loop/registration.h"
#include "start/spec.h"
#include "child/exit_watch.h"

/* What it means that /proc has no such process: without /proc, or where others
 * are hidden, it may live all the same. */
static int not_in_proc(pid_t pid, int errnoval)
{
    if (xl_sys.kill(pid, 0) != 0 && errno == ESRCH)
        return ERROR_NOTFOUND;
    errno = errnoval;
    return ERROR_SYSTEM;
}

/* pid > 1 */
static int start_time(pid_t pid, uint64_t *ret_ticks)
{
    if (xl_identity_start_time(pid, ret_ticks) == 0)
        return 0;
    switch (errno) {
    case ESRCH:
        return ERROR_NOTFOUND;
    case ENOENT: /* no such file */
    case EPROTO: /* no such text in it */
        return not_in_proc(pid, errno);
    default:
        return ERROR_SYSTEM;
    }
}

int libxl_childproc_start_time(pid_t pid, uint64_t *ret_ticks)
{
    int rc;

    if (pid <= 1 || ret_ticks == NULL)
        return ERROR_INVAL;
    xl_cancel_hold();
    rc = start_time(pid, ret_ticks);
    xl_cancel_release();
    return rc;
}

/* Nobody adopts init, or themselves. */
static int bad_pid(pid_t pid)
{
    return pid <= 1 || pid == getpid();
}

/* A process that somebody names. */
struct named {
    int pidfd; /* our own; -1 */
    pid_t pid; /* 0: it has been reaped, and how is: */
    int status;
    uint64_t mark; /* what it is known by if the host closes the pidfd */
};

/* What the kernel itself knows. 0 and n->pid or n->status, or ERROR_*. */
static int ask_kernel(struct named *n, int otherwise)
{
    struct xl_exit_info info = {0, 0, 0};

    if (xl_sys.pidfd_exit_info(n->pidfd, &info) != 0)
        return errno == ESRCH ? ERROR_NOTFOUND : otherwise;
    if (info.known) {
        n->status = info.status;
        return 0;
    }
    n->pid = info.pid;
    return bad_pid(info.pid) ? ERROR_INVAL : 0;
}

/* Which process our pidfd stands for. */
static int look_at_pidfd(struct named *n)
{
    pid_t pid;
    int saved;
    int rc;

    if (xl_identity_fdinfo_pid(n->pidfd, &pid) != 0) {
        saved = errno;
        rc = ERROR_SYSTEM;
        if (saved == EINVAL)
            rc = ERROR_INVAL; /* no pidfd */
        else if (saved == ENOENT || saved == EACCES)
            rc = ask_kernel(n, ERROR_SYSTEM);
        errno = saved;
        return rc;
    }
    if (pid < 0) /* it has been reaped */
        return ask_kernel(n, ERROR_NOTFOUND);
    if (bad_pid(pid))
        return ERROR_INVAL; /* 0: of another pid namespace */
    n->pid = pid;
    return 0;
}

/* 0 and *n, its pidfd our own; or ERROR_*. Without the ctx's lock: /proc may
 * keep us waiting. */
static int find(pid_t pid, uint64_t start_ticks, int pidfd, struct named *n)
{
    uint64_t ticks;
    int saved;
    int rc;

    xl_process_lock();
    n->pidfd = pidfd >= 0 ? xl_sys.dupfd(pidfd, 0) : xl_sys.pidfd_open(pid, 0);
    saved = errno;
    xl_process_unlock();
    errno = saved;
    if (n->pidfd < 0) {
        if (errno == EBADF)
            return ERROR_INVAL;
        return errno == ESRCH || errno == EINVAL ? ERROR_NOTFOUND
                                                 : ERROR_SYSTEM;
    }
    if (pidfd >= 0) {
        rc = look_at_pidfd(n);
    } else {
        n->pid = pid;
        rc = start_time(pid, &ticks);
        if (rc == 0 && ticks != start_ticks)
            rc = ERROR_NOTFOUND;
    }
    if (rc == 0 && n->pid > 0) {
        saved = errno;
        n->mark = xl_identity_mark(n->pid, n->pidfd);
        errno = saved;
    }
    return rc;
}

static int is_our_child(int pidfd)
{
    siginfo_t info;

    return xl_sys.waitid(XL_P_PIDFD, (id_t)pidfd, &info,
                         WEXITED | WNOHANG | WNOWAIT, NULL) == 0;
}

static int adopt(libxl_ctx *ctx, const struct named *n, int shared,
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
    child->adopted = n->pid == 0 || !is_our_child(n->pidfd);
    child->pidfd_shared = shared != 0;
    if (n->pid == 0) {
        xl_registry_unreserve();
        *ret_id = child->id;
        xl_child_started(ctx, child, 0, n->pidfd);
        xl_child_ended(ctx, child, n->status, LIBXL_LOST_NONE,
                       LIBXL_SOURCE_PIDFD, NULL);
        return 0;
    }
    child->leads_group = getpgid(n->pid) == n->pid;
    child->reg.mark = n->mark;
    if (xl_registry_insert(&child->reg, n->pid, n->pidfd) != 0) {
        xl_registry_unreserve();
        xl_child_discard(ctx, child);
        return ERROR_INVAL;
    }
    if (child->adopted && xl_exit_watch_adopted(ctx, child, n->pidfd) != 0) {
        saved = errno;
        xl_registry_remove(&child->reg);
        xl_child_discard(ctx, child);
        errno = saved;
        return ERROR_SYSTEM;
    }
    *ret_id = child->id;
    xl_child_started(ctx, child, n->pid, n->pidfd);
    if (!child->adopted)
        xl_exit_watch_new(ctx, child);
    return 0;
}

int libxl_childproc_adopt(libxl_ctx *ctx, pid_t pid, uint64_t start_ticks,
                          int pidfd, const libxl_childproc_report *report,
                          libxl_childproc_id *ret_id)
{
    struct named n = {-1, 0, 0, 0};
    libxl_childproc_id id = 0;
    int saved;
    int rc;

    if ((pidfd < 0 && bad_pid(pid)) || !xl_report_ok(report))
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    ctx->nstarting++; /* the mode stays as it is */
    if (xl_facility_ask() != 0) {
        rc = ERROR_SYSTEM;
        goto out;
    }
    if (xl_exit_watch_without_pidfd(ctx)) {
        rc = ERROR_NI;
        goto out;
    }
    pthread_mutex_unlock(&ctx->lock);
    rc = find(pid, start_ticks, pidfd, &n);
    saved = errno;
    pthread_mutex_lock(&ctx->lock);
    errno = saved;
    if (rc == 0)
        rc = adopt(ctx, &n, pidfd >= 0, report, &id);
    if (rc == 0 && ret_id != NULL)
        *ret_id = id;
out:
    saved = errno;
    ctx->nstarting--;
    if (rc != 0)
        xl_close(n.pidfd);
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}
