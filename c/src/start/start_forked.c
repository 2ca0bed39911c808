/* start_forked.c - starting a child by fork, or the host's fork_replacement
 *
 * Called by start.c where memory cannot be shared. The child waits at a gate
 * until its pidfd is open and tells failures through a pipe. Next:
 * child_setup.c in the child.
 */
#define _GNU_SOURCE
#include "start/start_forked.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ctx/defer.h"
#include "kernel/facility.h"
#include "kernel/stop_point.h"
#include "ctx/forkfd.h"
#include "start/prepare.h"
#include "ctx/process.h"
#include "start/sigplan.h"

/* Each [0] is read, [1] written: the gate by the parent, errors by the child.
 * Both sides wait for the other's end of file. */
struct pipes {
    struct xl_forkfd gate[2];
    struct xl_forkfd error[2];
};

static void init_pipes(struct pipes *p)
{
    int i;

    for (i = 0; i < 2; i++) {
        xl_forkfd_init(&p->gate[i]);
        xl_forkfd_init(&p->error[i]);
    }
}

static void close_pipes(struct pipes *p)
{
    int i;

    for (i = 0; i < 2; i++) {
        xl_forkfd_close(&p->gate[i]);
        xl_forkfd_close(&p->error[i]);
    }
}

/* childs: which end our child keeps. Under the process lock. */
static int make_pipe(struct xl_forkfd pipe[2], int childs)
{
    int fds[2];
    int i;

    if (xl_sys.pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    for (i = 0; i < 2; i++)
        xl_forkfd_note(&pipe[i], fds[i], i == childs);
    return 0;
}

static int make_pipes(struct pipes *p)
{
    int r;

    init_pipes(p);
    xl_process_lock();
    r = make_pipe(p->gate, 0);
    if (r == 0)
        r = make_pipe(p->error, 1);
    xl_process_unlock();
    return r;
}

static pid_t fork_child(struct xl_start_request *request)
{
    pid_t pid;

    if (request->fork_replacement == NULL)
        return xl_sys.fork();
    xl_hook_mark(1);
    pid = request->fork_replacement(request->fork_user);
    xl_hook_mark(-1);
    return pid;
}

/* Lets the child go and hears whether it executed its program. Our own end
 * of the gate stays open meanwhile: a child that has ended before its time
 * must not become a SIGPIPE here, and what it left unread tells of it. */
static int release(struct pipes *p, struct xl_child_setup_failure *failure)
{
    struct pollfd unread = {.fd = p->gate[0].fd, .events = POLLIN};
    ssize_t n;
    int r;

    xl_forkfd_close(&p->error[1]);
    do
        n = xl_sys.write(p->gate[1].fd, "", 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) {
        failure->stage = LIBXL_STAGE_GATE;
        failure->errnoval = errno;
        return -1;
    }
    do
        n = xl_sys.read(p->error[0].fd, failure, sizeof *failure);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *failure)
        return -1;
    do
        r = xl_sys.poll(&unread, 1, 0);
    while (r < 0 && errno == EINTR);
    if (r == 1) {
        failure->stage = LIBXL_STAGE_GATE;
        failure->errnoval = EPIPE;
        return -1;
    }
    return 0;
}

int xl_start_forked(struct xl_start_request *request)
{
    struct xl_registry_start start;
    struct xl_child_setup_failure failure = {0, 0};
    struct pipes pipes;
    struct xl_prepared p;
    xl_sigset all, before;
    pid_t parent = getpid();
    pid_t pid = -1;
    int pidfd = -1;
    int rc;

    memset(&p, 0, sizeof p);
    if (make_pipes(&pipes) != 0) {
        rc = xl_start_failed(request, LIBXL_STAGE_PREPARE, errno);
        goto out;
    }
    p.image.gate_fd = pipes.gate[0].fd;
    p.image.error_fd = pipes.error[1].fd;
    if (xl_prepare(request, &p) != 0) {
        rc = xl_start_failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
        goto out;
    }
    /* the host's own fork sees its own mask; the child blocks at once */
    if (xl_sys.sigprocmask(SIG_SETMASK, NULL, &before) != 0) {
        rc = xl_start_failed(request, LIBXL_STAGE_PREPARE, errno);
        goto out;
    }
    xl_sigplan_make(request, &p.image, 0,
                    request->caller_mask != NULL ? request->caller_mask
                                                 : &before);
    xl_sigset_fill(&all);
    if (request->fork_replacement == NULL)
        (void)xl_sys.sigprocmask(SIG_SETMASK, &all, NULL);
    xl_registry_start_begin(&start);
    pid = fork_child(request);
    if (pid == 0 && getpid() != parent) {
        /* the fork handlers have; but a replacement may go round them, and
         * then we would hold our own gate open */
        xl_close(pipes.gate[1].fd);
        (void)xl_sys.sigprocmask(SIG_SETMASK, &all, NULL);
        (void)xl_child_setup_run(&p.image);
        _exit(127);
    }
    rc = pid < 0 ? xl_start_failed(request, LIBXL_STAGE_FORK, errno) : 0;
    XL_STOP_POINT("start: forked");
    if (request->fork_replacement == NULL)
        (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid == 0 || pid == 1) /* a replacement that cannot be right */
        rc = xl_start_failed(request, LIBXL_STAGE_FORK, EINVAL);
    if (rc == 0 && (xl_facilities() & LIBXL_FACILITY_PIDFD) &&
        (xl_facilities() & XL_FACILITY_PIDFD_OPEN)) {
        pidfd = xl_sys.pidfd_open(pid, 0);
        if (pidfd < 0 && (errno == ENOSYS || errno == EPERM))
            xl_facility_refused(XL_FACILITY_PIDFD_OPEN);
        else if (pidfd < 0)
            rc = xl_start_failed(request, LIBXL_STAGE_GATE, errno);
    }
    if (rc == 0 && release(&pipes, &failure) != 0)
        rc = xl_start_failed(request, (libxl_childproc_stage)failure.stage,
                             failure.errnoval);
    if (rc == 0) {
        XL_STOP_POINT("start: released");
        request->pid = pid;
        request->pidfd = pidfd;
        request->reaped = xl_registry_start_end(&start, request->entry, pid,
                                                &request->status);
        xl_free(p.block);
        close_pipes(&pipes);
        return 0;
    }
    /* a child that still waits at the gate ends when it closes */
    close_pipes(&pipes);
    if (pid > 1)
        xl_start_bury(pid, pidfd);
    (void)xl_registry_start_end(&start, NULL, pid, &request->status);
    xl_registry_unreserve();
    xl_free(p.block);
    errno = request->failure.errnoval;
    return rc;
out:
    close_pipes(&pipes);
    xl_free(p.block);
    xl_registry_unreserve();
    errno = request->failure.errnoval;
    return rc;
}
