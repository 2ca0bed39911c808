/* start_shared.c - starting a child that shares memory with the parent
 *
 * Called by start.c. The child shares memory and, where that can be undone in
 * the child, the fd table; the parent sleeps until the child has executed its
 * program or failed, and finds a failure in its own memory. Next: image.c in
 * the child.
 */
#define _GNU_SOURCE
#include "start_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "facility.h"
#include "forkfd.h"
#include "prepare.h"
#include "process.h"
#include "sigplan.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

/* The child leaves its stack by execve: what AddressSanitizer noted about its
 * frames there does not hold for the next child. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORGET_FRAMES(stack) ASAN_UNPOISON_MEMORY_REGION(stack, XL_STACK_SIZE)
#else
#define FORGET_FRAMES(stack) ((void)(stack))
#endif

static int high_fds_needed(const struct xl_fd_plan *plan)
{
    /* sharing pays where the unneeded fds are most of the table */
    return plan->highest_needed > 4096;
}

/* No handler of the host's may run in the child, on our memory, and nothing
 * may stop it, or have it dump core, before its time. */
static int block_signals(int but_sigchld, xl_sigset *ret_before)
{
    xl_sigset set;

    xl_sigset_fill(&set);
    if (but_sigchld)
        xl_sigset_remove(&set, SIGCHLD);
    return xl_sys.sigprocmask(SIG_BLOCK, &set, ret_before);
}

/* For starting in the cgroup, rather than moving there. Where it cannot be
 * opened the child says why when it tries to move. */
static void open_cgroup(const libxl_childproc_spec *spec, struct xl_forkfd *dir)
{
    int fd;

    xl_forkfd_init(dir);
    if (spec->cgroup == NULL)
        return;
    xl_process_lock();
    fd = xl_sys.open(spec->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0)
        xl_forkfd_note(dir, fd, 0);
    xl_process_unlock();
}

/* Returns the pid, or -1 and errno. Falls back on what is refused. */
static pid_t clone_child(struct xl_start_request *request,
                         struct xl_prepared *p, const xl_sigset *before,
                         int cgroup, int *ret_pidfd)
{
    struct xl_image *im = &p->image;
    const char *procs = im->cgroup_procs;

    for (;;) {
        unsigned have = xl_facilities();
        int flags = CLONE_VM | CLONE_VFORK;
        int cleared = (have & XL_FACILITY_CLONE3) != 0;
        pid_t pid;

        im->shared_files = (have & LIBXL_FACILITY_SHARED_FILES) &&
                           !(request->spec->flags & LIBXL_SPAWN_KEEP_FDS) &&
                           !high_fds_needed(&im->fds);
        if (im->shared_files)
            flags |= CLONE_FILES;
        if (have & LIBXL_FACILITY_PIDFD)
            flags |= CLONE_PIDFD;
        if (!cleared && block_signals(0, NULL) != 0)
            return -1;
        im->ran = 0;
        im->unshare_refused = 0;
        xl_sigplan_make(request, im, cleared, before);
        *ret_pidfd = -1;
        FORGET_FRAMES(request->stack);
        im->cgroup_procs = cleared && cgroup >= 0 ? NULL : procs;
        if (cleared)
            pid =
                xl_sys.clone3(xl_image_run, request->stack, XL_STACK_SIZE,
                              (uint64_t)(unsigned)flags, im, ret_pidfd, cgroup);
        else
            pid = xl_sys.clone(xl_image_run,
                               (char *)request->stack + XL_STACK_SIZE,
                               flags | SIGCHLD, im, ret_pidfd);
        if (pid > 0 && im->unshare_refused) {
            xl_facility_refused(LIBXL_FACILITY_SHARED_FILES);
            xl_start_bury(pid, *ret_pidfd);
            continue;
        }
        if (pid > 0 && cleared && cgroup >= 0 && !im->ran) {
            /* Some kernels kill whoever is started in a group whose
             * cgroup.kill was ever written to: it moves there instead. */
            xl_start_bury(pid, *ret_pidfd);
            cgroup = -1;
            continue;
        }
        if (pid < 0 && cleared && cgroup >= 0 && errno != EAGAIN &&
            errno != ENOMEM) {
            cgroup = -1; /* the child tries, and says what is wrong */
            continue;
        }
        if (pid < 0 && cleared &&
            (errno == ENOSYS || errno == EPERM || errno == EINVAL)) {
            xl_facility_refused(XL_FACILITY_CLONE3);
            continue;
        }
        if (pid < 0 && (flags & CLONE_FILES) &&
            (errno == EPERM || errno == EINVAL)) {
            xl_facility_refused(LIBXL_FACILITY_SHARED_FILES);
            continue;
        }
        return pid;
    }
}

int xl_start_shared(struct xl_start_request *request)
{
    struct xl_registry_start start;
    struct xl_prepared p;
    struct xl_image *im = &p.image;
    struct xl_forkfd cgroup;
    xl_sigset before;
    pid_t pid;
    int pidfd = -1;
    int saved;

    memset(&p, 0, sizeof p);
    im->gate_fd = -1;
    im->error_fd = -1;
    if (xl_prepare(request, &p) != 0) {
        xl_registry_unreserve();
        return xl_start_failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
    }
    open_cgroup(request->spec, &cgroup);
    xl_registry_start_begin(&start);
    /* Where the kernel clears the handlers, SIGCHLD can do no harm in the
     * child. Blocked, one would be queued, and thrown away, for each child
     * that ends meanwhile. */
    if (block_signals(1, &before) != 0) {
        saved = errno;
        pid = -1;
        goto restored;
    }
    pid = clone_child(request, &p,
                      request->caller_mask != NULL ? request->caller_mask
                                                   : &before,
                      cgroup.fd, &pidfd);
    saved = errno;
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
restored:
    xl_forkfd_close(&cgroup);
    xl_free(p.block);
    if (pid > 0 && im->stage == LIBXL_STAGE_NONE) {
        request->pid = pid;
        request->pidfd = pidfd;
        request->reaped = xl_registry_start_end(&start, request->entry, pid,
                                                &request->status);
        return 0;
    }
    if (pid > 0)
        xl_start_bury(pid, pidfd);
    (void)xl_registry_start_end(&start, NULL, pid, &request->status);
    xl_registry_unreserve();
    if (pid > 0)
        return xl_start_failed(request, (libxl_childproc_stage)im->stage,
                               im->errnoval);
    return xl_start_failed(request, LIBXL_STAGE_FORK, saved);
}
