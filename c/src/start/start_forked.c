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
#include "ctx/process.h"
#include "kernel/facility.h"
#include "kernel/numbers.h"
#include "kernel/own.h"
#include "kernel/stop_point.h"
#include "start/sigplan.h"

/* ---- pipes -------------------------------------------------------------- */

static void init_pipes(struct xl_forked_pipes *p)
{
    int i;

    for (i = 0; i < 2; i++) {
        xl_forkfd_init(&p->gate[i]);
        xl_forkfd_init(&p->error[i]);
    }
}

static void close_pipes(struct xl_forked_pipes *p)
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
        xl_forkfd_note(&pipe[i], xl_own_avoid(fds[i]), i == childs);
    return 0;
}

static int make_pipes(struct xl_forked_pipes *p)
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

/* ---- the fork ----------------------------------------------------------- */

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

/* In the child. */
static _Noreturn void become(struct xl_forked_start *forked)
{
    xl_sigset all;

    /* the fork handlers have; but a replacement may go round them, and then we
     * would hold our own gate open */
    xl_close(forked->pipes.gate[1].fd);
    xl_sigset_fill(&all);
    (void)xl_sys.sigprocmask(SIG_SETMASK, &all, NULL);
    (void)xl_child_setup_run(&forked->prepared.image);
    _exit(127);
}

static int fork_it(struct xl_start_request *request,
                   struct xl_forked_start *forked, const xl_sigset *before)
{
    pid_t parent = getpid();
    xl_sigset all;
    int rc = 0;

    xl_sigset_fill(&all);
    if (request->fork_replacement == NULL)
        (void)xl_sys.sigprocmask(SIG_SETMASK, &all, NULL);
    xl_registry_start_begin(&forked->registered, request->entry);
    xl_registry_start_blind(&forked->registered);
    forked->pid = fork_child(request);
    if (forked->pid == 0 && getpid() != parent)
        become(forked);
    if (forked->pid < 0)
        rc = xl_start_failed(request, LIBXL_STAGE_FORK, errno);
    XL_STOP_POINT("start: forked");
    xl_registry_start_sees(&forked->registered, forked->pid);
    if (request->fork_replacement == NULL)
        (void)xl_sys.sigprocmask(SIG_SETMASK, before, NULL);
    if (forked->pid == 0 || forked->pid == 1) /* it cannot be right */
        rc = xl_start_failed(request, LIBXL_STAGE_FORK, EINVAL);
    return rc;
}

static int open_pidfd(struct xl_start_request *request,
                      struct xl_forked_start *forked)
{
    if (!(xl_facilities() & LIBXL_FACILITY_PIDFD) ||
        !(xl_facilities() & XL_FACILITY_PIDFD_OPEN))
        return 0;
    forked->pidfd = xl_sys.pidfd_open(forked->pid, 0);
    if (forked->pidfd >= 0)
        atomic_store(&forked->registered.pidfd, forked->pidfd);
    else if (errno == ENOSYS || errno == EPERM)
        xl_facility_refused(XL_FACILITY_PIDFD_OPEN);
    else if (errno != ESRCH || !xl_numbers_start_ended(&forked->registered))
        return xl_start_failed(request, LIBXL_STAGE_GATE, errno);
    /* else it was killed, and is reaped already: its status is here */
    return 0;
}

/* Lets the child go. */
static int open_gate(struct xl_start_request *request,
                     struct xl_forked_start *forked)
{
    ssize_t n;

    xl_forkfd_close(&forked->pipes.error[1]);
    do
        n = xl_sys.write(forked->pipes.gate[1].fd, "", 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        return xl_start_failed(request, LIBXL_STAGE_GATE, errno);
    XL_STOP_POINT("start: released");
    return 0;
}

/* The child is there, and nothing will come of it. */
static int give_up(struct xl_start_request *request,
                   struct xl_forked_start *forked, int rc)
{
    int saved = request->failure.errnoval;

    /* a child that still waits at the gate ends when it closes */
    close_pipes(&forked->pipes);
    if (forked->pid > 1)
        xl_numbers_bury(&forked->registered, forked->pid, forked->pidfd);
    xl_registry_start_failed(&forked->registered);
    xl_start_forked_release(forked);
    errno = saved;
    return rc;
}

int xl_start_forked_begin(struct xl_start_request *request,
                          struct xl_forked_start *forked)
{
    struct xl_prepared *p = &forked->prepared;
    xl_sigset before;
    int rc;

    memset(forked, 0, sizeof *forked);
    forked->pid = -1;
    forked->pidfd = -1;
    forked->failure.file = -1;
    if (make_pipes(&forked->pipes) != 0) {
        rc = xl_start_failed(request, LIBXL_STAGE_PREPARE, errno);
        goto out;
    }
    p->image.gate_fd = forked->pipes.gate[0].fd;
    p->image.error_fd = forked->pipes.error[1].fd;
    if (xl_prepare(request, p) != 0) {
        rc = xl_start_failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
        goto out;
    }
    /* the host's own fork sees its own mask; the child blocks at once */
    if (xl_sys.sigprocmask(SIG_SETMASK, NULL, &before) != 0) {
        rc = xl_start_failed(request, LIBXL_STAGE_PREPARE, errno);
        goto out;
    }
    xl_sigplan_make(request, &p->image, 0,
                    request->caller_mask != NULL ? request->caller_mask
                                                 : &before);
    rc = fork_it(request, forked, &before);
    if (rc == 0)
        rc = open_pidfd(request, forked);
    if (rc == 0)
        rc = open_gate(request, forked);
    return rc == 0 ? 0 : give_up(request, forked, rc);
out:
    close_pipes(&forked->pipes);
    xl_start_forked_release(forked);
    xl_registry_unreserve();
    errno = request->failure.errnoval;
    return rc;
}

/* ---- what becomes of it ------------------------------------------------- */

/* Our own end of the gate has stayed open: a child that ended before its time
 * must not become a SIGPIPE here, and what it left unread tells of it. One
 * that was killed there has been started, and its status is the kernel's. */
static void died_at_the_gate(struct xl_forked_start *forked)
{
    struct pollfd unread = {.fd = forked->pipes.gate[0].fd, .events = POLLIN};
    int r;

    do
        r = xl_sys.poll(&unread, 1, 0);
    while (r < 0 && errno == EINTR);
    if (r == 1 && !xl_numbers_start_killed(&forked->registered, forked->pid,
                                           forked->pidfd)) {
        forked->failure.stage = LIBXL_STAGE_GATE;
        forked->failure.errnoval = EPIPE;
    }
}

int xl_start_forked_await(struct xl_forked_start *forked, int ms)
{
    struct pollfd told = {.fd = forked->pipes.error[0].fd, .events = POLLIN};
    ssize_t n;

    if (forked->heard)
        return 1;
    if (xl_sys.poll(&told, 1, ms) <= 0)
        return 0;
    do
        n = xl_sys.read(told.fd, &forked->failure, sizeof forked->failure);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof forked->failure)
        died_at_the_gate(forked);
    forked->heard = 1;
    return 1;
}

int xl_start_forked_end(struct xl_start_request *request,
                        struct xl_forked_start *forked)
{
    if (forked->failure.stage != LIBXL_STAGE_NONE) {
        request->failed_file = forked->failure.file;
        return give_up(
            request, forked,
            xl_start_failed(request,
                            (libxl_childproc_stage)forked->failure.stage,
                            forked->failure.errnoval));
    }
    xl_start_runs(request, &forked->registered, forked->pid, forked->pidfd);
    if (forked->heard)
        xl_start_forked_release(forked);
    return 0;
}

void xl_start_forked_release(struct xl_forked_start *forked)
{
    close_pipes(&forked->pipes);
    xl_free(forked->prepared.block);
    forked->prepared.block = NULL;
}
