/* start_shared.c - starting a child that shares memory with the parent
 *
 * Called by start.c. The child shares memory and, where that can be undone in
 * the child, the fd table; the parent sleeps until the child has executed its
 * program or failed, and finds a failure in its own memory. A child made apart
 * does not put its parent to sleep: the parent waits in the second half, so
 * that one thread keeps several children busy, and need not wait for ever.
 * Next: child_setup.c in the child.
 */
#define _GNU_SOURCE
#include "start/start_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include "ctx/forkfd.h"
#include "ctx/process.h"
#include "kernel/facility.h"
#include "kernel/numbers.h"
#include "kernel/own.h"
#include "kernel/rawcall.h"
#include "kernel/stop_point.h"
#include "start/sigplan.h"

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

/* The child's half must not need anything of the thread whose memory it runs
 * on, as what a sanitizer adds to it does (XL_PLAIN_CHILD_SETUP: nothing was
 * added to that file). */
#if XL_RAWCALL_APART && \
    (!defined(__SANITIZE_ADDRESS__) || defined(XL_PLAIN_CHILD_SETUP))
#define CAN_BE_APART 1
#else
#define CAN_BE_APART 0
#endif

#define LOOK_MS 100    /* at a child that ends without telling */
#define BIRTH_MS 1     /* between looks at one that is to run … */
#define BIRTH_LOOKS 20 /* … and no more of them: it may be frozen */

/* The child takes its own table only when it comes to run, and what the caller
 * gave must be in it however soon that is closed. So a parent that goes on at
 * once has a small table copied by the clone; where it is large, waiting for
 * the child to take it costs less. pidfds get the lowest free number. */
#define SMALL_TABLE 512

static atomic_int fds_open; /* at least so many, when a child was last made */

static int better_copied(const struct xl_start_request *request)
{
    return request->nowait && atomic_load(&fds_open) < SMALL_TABLE;
}

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
 * opened the child says why when it tries to move. The open may block: no lock
 * is held meanwhile. */
static void open_cgroup(const libxl_childproc_spec *spec, struct xl_forkfd *dir)
{
    int fd;

    xl_forkfd_init(dir);
    if (spec->cgroup == NULL)
        return;
    fd = xl_sys.open(spec->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    xl_process_lock();
    xl_forkfd_note(dir, fd, 0);
    xl_process_unlock();
}

/* A debugger follows a vfork, but would take a clone apart for a fork. */
int xl_start_shared_apart(const struct xl_start_request *request)
{
    return CAN_BE_APART && (xl_facilities() & LIBXL_FACILITY_PIDFD) &&
           !xl_sigplan_traced(request->stat_fd);
}

/* The flags of the clone, by what the kernel allows now. */
static int clone_flags(const struct xl_start_request *request,
                       struct xl_child_setup *im, unsigned have, int unshared)
{
    int apart = request->apart && xl_start_shared_apart(request);
    int flags = CLONE_VM;

    im->shared_files = !unshared && (have & LIBXL_FACILITY_SHARED_FILES) &&
                       !(request->spec->flags & LIBXL_SPAWN_KEEP_FDS) &&
                       !high_fds_needed(&im->fds) && !better_copied(request);
    if (im->shared_files)
        flags |= CLONE_FILES;
    if (have & LIBXL_FACILITY_PIDFD)
        flags |= CLONE_PIDFD;
    /* The plain clone has one word for the child's number and for its leaving:
     * where the latter is wanted the child writes its number by itself. */
    if (have & XL_FACILITY_CLONE3)
        flags |= CLONE_PARENT_SETTID;
    else if (!apart)
        flags |= CLONE_CHILD_SETTID;
    flags |= apart ? CLONE_CHILD_CLEARTID | CLONE_SETTLS : CLONE_VFORK;
    if (!(flags & (CLONE_FILES | CLONE_VFORK)))
        xl_own_copied();
    return flags;
}

/* The kernel writes into the announcement: see registry.h. */
static int *as_word(atomic_int *announced)
{
    return (int *)(void *)announced;
}

static int has_ended(const struct xl_start_request *request,
                     const struct xl_shared_start *shared)
{
    siginfo_t info;

    if (request->keeper != NULL) { /* it is no child of ours */
        struct pollfd told = {.fd = atomic_load(&shared->registered.pidfd),
                              .events = POLLIN};

        return xl_sys.poll(&told, 1, 0) > 0;
    }
    info.si_pid = 0;
    return xl_sys.waitid(XL_P_PIDFD,
                         (id_t)atomic_load(&shared->registered.pidfd), &info,
                         WEXITED | WNOWAIT | WNOHANG, NULL) != 0
               ? errno == ECHILD
               : info.si_pid != 0;
}

/* Some filters look at what clone3 is asked for; but a refusal may also have
 * another cause, and then the plain clone is refused for it, too: that it is
 * asked for from then on costs no more than a little time. What is short
 * passes. */
static int refuses_clone3(int errnoval)
{
    return errnoval == ENOSYS || errnoval == EPERM || errnoval == EINVAL;
}

/* Was it killed at its birth? A child that is made apart may take a moment to
 * come to its first instruction. */
static int never_ran(struct xl_shared_start *shared)
{
    const struct xl_child_setup *im = &shared->prepared.image;
    int looks;

    for (looks = 0; looks < BIRTH_LOOKS && !im->ran; looks++) {
        if (atomic_load(&shared->until_exec) == 0)
            return !im->ran;
        (void)xl_sys.futex_wait(&shared->until_exec, 1, BIRTH_MS);
    }
    return 0;
}

/* Returns the pid, or -1 and errno. Falls back on what is refused. */
static pid_t clone_child(struct xl_start_request *request,
                         struct xl_shared_start *shared,
                         const xl_sigset *before, int cgroup)
{
    struct xl_registry_start *registered = &shared->registered;
    struct xl_child_setup *im = &shared->prepared.image;
    const char *procs = im->cgroup_procs;

    for (;;) {
        unsigned have = xl_facilities();
        int cleared = (have & XL_FACILITY_CLONE3) != 0;
        int flags;
        pid_t pid;

        if (request->keeper != NULL && !cleared) {
            errno = EOPNOTSUPP;
            return -1;
        }
        if (!cleared) {
            if (block_signals(0, NULL) != 0)
                return -1;
            /* the child writes its number, as its own pid namespace has it */
            xl_registry_start_blind(registered);
        }
        xl_sigplan_make(request, im, cleared, before);
        flags = clone_flags(request, im, have, shared->unshared_only);
        atomic_init(&shared->until_exec, (flags & CLONE_CHILD_CLEARTID) != 0);
        im->own_number = !cleared && (flags & CLONE_CHILD_CLEARTID)
                             ? as_word(&registered->pid)
                             : NULL;
        im->ran = 0;
        im->wake = request->nowait;
        atomic_init(&im->under_way, 0);
        im->unshare_refused = 0;
        im->cgroup_procs = cleared && cgroup >= 0 ? NULL : procs;
        FORGET_FRAMES(request->stack);
        if (request->keeper != NULL)
            pid = xl_keeper_clone(
                request->keeper, xl_child_setup_run, request->stack,
                XL_STACK_SIZE, (uint64_t)(unsigned)flags, im,
                as_word(&registered->pidfd), as_word(&registered->pid),
                &shared->until_exec, &im->parent);
        else if (cleared)
            pid = xl_sys.clone3(
                xl_child_setup_run, request->stack, XL_STACK_SIZE,
                (uint64_t)(unsigned)flags, im, as_word(&registered->pidfd),
                as_word(&registered->pid), &shared->until_exec, cgroup);
        else
            pid = xl_sys.clone(
                xl_child_setup_run, (char *)request->stack + XL_STACK_SIZE,
                flags | SIGCHLD, im, as_word(&registered->pidfd),
                xl_child_tls(request->stack),
                as_word(flags & CLONE_CHILD_CLEARTID ? &shared->until_exec
                                                     : &registered->pid));
        if (!cleared)
            xl_registry_start_sees(registered, pid);
        if (request->keeper != NULL)
            return pid; /* what is refused is refused */
        if (pid > 0 && cleared && cgroup >= 0 && never_ran(shared)) {
            /* Some kernels kill whoever is started in a group whose
             * cgroup.kill was ever written to: it moves there instead. */
            xl_numbers_bury(registered, pid, atomic_load(&registered->pidfd));
            cgroup = -1;
            continue;
        }
        if (pid < 0 && cleared && cgroup >= 0 && errno != EAGAIN &&
            errno != ENOMEM) {
            cgroup = -1; /* the child tries, and says what is wrong */
            continue;
        }
        if (pid < 0 && cleared && refuses_clone3(errno)) {
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

static void make_child(struct xl_start_request *request,
                       struct xl_shared_start *shared)
{
    struct xl_forkfd cgroup;
    xl_sigset before;

    if (request->keeper == NULL) /* else the child moves there */
        open_cgroup(request->spec, &cgroup);
    else
        xl_forkfd_init(&cgroup);
    shared->pid = -1;
    /* Where the kernel clears the handlers, SIGCHLD can do no harm in the
     * child. Blocked, one would be queued, and thrown away, for each child
     * that ends meanwhile. */
    if (block_signals(1, &before) != 0) {
        shared->errnoval = errno;
        goto out;
    }
    shared->pid = clone_child(
        request, shared,
        request->caller_mask != NULL ? request->caller_mask : &before,
        cgroup.fd);
    shared->errnoval = errno;
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    if (shared->pid > 0)
        atomic_store(&fds_open, atomic_load(&shared->registered.pidfd));
    XL_STOP_POINT("start: cloned");
out:
    xl_forkfd_close(&cgroup);
}

int xl_start_shared_begin(struct xl_start_request *request,
                          struct xl_shared_start *shared)
{
    struct xl_child_setup *im = &shared->prepared.image;

    im->gate_fd = -1;
    im->error_fd = -1;
    if (xl_prepare(request, &shared->prepared) != 0) {
        xl_registry_unreserve();
        return xl_start_failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
    }
    xl_registry_start_begin(&shared->registered, request->entry);
    shared->registered.foreign = request->keeper != NULL;
    make_child(request, shared);
    return 0;
}

static int has_left(struct xl_shared_start *shared)
{
    return shared->pid <= 0 || atomic_load(&shared->until_exec) == 0;
}

int xl_start_shared_await(struct xl_start_request *request,
                          struct xl_shared_start *shared, int ms)
{
    struct xl_child_setup *im = &shared->prepared.image;

    /* Older kernels do not tell of one that ends by dumping core. */
    if (!has_left(shared) && ms != 0 &&
        xl_sys.futex_wait(&shared->until_exec, 1, ms) != 0 &&
        errno == ETIMEDOUT && ms >= LOOK_MS && has_ended(request, shared))
        atomic_store(&shared->until_exec, 0);
    if (!has_left(shared))
        return 0;
    if (shared->pid > 0 && im->unshare_refused) {
        if (im->unshare_refused == ENOMEM || im->unshare_refused == EMFILE)
            shared->unshared_only = 1; /* it is short, and may not be soon */
        else
            xl_facility_refused(LIBXL_FACILITY_SHARED_FILES);
        xl_numbers_bury(&shared->registered, shared->pid,
                        atomic_load(&shared->registered.pidfd));
        make_child(request, shared);
        return has_left(shared);
    }
    return 1;
}

int xl_start_shared_has_its_fds(const struct xl_shared_start *shared)
{
    const struct xl_child_setup *im = &shared->prepared.image;

    return !im->shared_files || atomic_load(&im->under_way);
}

void xl_start_shared_await_fds(struct xl_shared_start *shared)
{
    (void)xl_sys.futex_wait(&shared->prepared.image.under_way, 0, BIRTH_MS);
}

int xl_start_shared_end(struct xl_start_request *request,
                        struct xl_shared_start *shared)
{
    struct xl_registry_start *registered = &shared->registered;
    const struct xl_child_setup *im = &shared->prepared.image;
    int pidfd = atomic_load(&registered->pidfd);
    int left = has_left(shared);

    if (shared->pid > 0 && (!left || im->stage == LIBXL_STAGE_NONE)) {
        xl_start_runs(request, registered, shared->pid, pidfd);
        if (left)
            xl_start_shared_release(shared);
        return 0;
    }
    if (shared->pid > 0)
        xl_numbers_bury(registered, shared->pid, pidfd);
    if (request->keeper != NULL)
        xl_keeper_bury(request->keeper);
    xl_registry_start_failed(registered);
    request->failed_file = im->file;
    xl_start_shared_release(shared);
    if (shared->pid > 0)
        return xl_start_failed(request, (libxl_childproc_stage)im->stage,
                               im->errnoval);
    return xl_start_failed(request, LIBXL_STAGE_FORK, shared->errnoval);
}

void xl_start_shared_release(struct xl_shared_start *shared)
{
    xl_free(shared->prepared.block);
    shared->prepared.block = NULL;
}
