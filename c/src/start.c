/* start.c - the parent's half of a start
 *
 * Called by spawn.c. Two ways: a child that shares memory (and, where that
 * can be undone in the child, the fd table) with the parent, which sleeps
 * until the child has executed its program or failed; and fork, for
 * fork_replacement and for kernels that refuse, where the child waits at a
 * gate until its pidfd is open and tells failures through a pipe. Next:
 * image.c in the child, child.c in the parent.
 */
#define _GNU_SOURCE
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "enter.h"
#include "facility.h"
#include "fdplan.h"
#include "image.h"
#include "process.h"
#include "timers.h"

#define LOOK_LASTS_NS 10000000 /* at which signals are ignored */

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

extern char **environ;

/* ---- checking ----------------------------------------------------------- */

static int known_flags(unsigned flags)
{
    return (flags & ~((LIBXL_SPAWN_REPORT_STOPS << 1) - 1)) == 0;
}

static const char *bad_fds(const libxl_childproc_spec *spec)
{
    size_t i, j;

    if (spec->nfds > 65536 || (spec->nfds > 0 && spec->fds == NULL))
        return "fds";
    for (i = 0; i < spec->nfds; i++) {
        if (spec->fds[i].target < 0 || spec->fds[i].target >= 1 << 20 ||
            spec->fds[i].source < LIBXL_FD_CLOSED || spec->fds[i].source == -1)
            return "fds";
        for (j = 0; j < i; j++)
            if (spec->fds[j].target == spec->fds[i].target)
                return "fds";
    }
    return NULL;
}

static int bad_signal(int signo)
{
    return signo < 0 || signo >= _NSIG;
}

static const char *bad_member(const libxl_childproc_spec *spec)
{
    unsigned flags = spec->flags;
    size_t i;

    if (spec->size != sizeof *spec)
        return "size";
    if (spec->argv == NULL || spec->argv[0] == NULL)
        return "argv";
    if (spec->path != NULL ? spec->path[0] == '\0' : spec->argv[0][0] == '\0')
        return spec->path != NULL ? "path" : "argv";
    if (!known_flags(flags))
        return "flags";
    if ((flags & LIBXL_SPAWN_JOIN_GROUP) &&
        (flags & (LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                  LIBXL_SPAWN_SET_CTTY)))
        return "flags";
    if ((flags & LIBXL_SPAWN_JOIN_GROUP) && spec->group <= 1)
        return "group";
    if ((flags & LIBXL_SPAWN_SET_GROUPS) && spec->ngroups > 0 &&
        spec->groups == NULL)
        return "groups";
    if ((flags & LIBXL_SPAWN_SET_UID) && spec->uid == (uid_t)-1)
        return "uid";
    if ((flags & LIBXL_SPAWN_SET_GID) && spec->gid == (gid_t)-1)
        return "gid";
    if ((flags & LIBXL_SPAWN_SET_UMASK) && (spec->umask & ~(mode_t)0777) != 0)
        return "umask";
    if ((flags & LIBXL_SPAWN_SET_NICE) && (spec->nice < -20 || spec->nice > 19))
        return "nice";
    if ((flags & LIBXL_SPAWN_SET_PDEATHSIG) && bad_signal(spec->pdeathsig))
        return "pdeathsig";
    if ((flags & LIBXL_SPAWN_SET_CTTY) && fcntl(spec->ctty_fd, F_GETFD) < 0)
        return "ctty_fd";
    if (spec->nrlimits > 0 && spec->rlimits == NULL)
        return "rlimits";
    for (i = 0; i < spec->nrlimits; i++)
        if (spec->rlimits[i].resource < 0 ||
            spec->rlimits[i].resource >= (int)RLIM_NLIMITS)
            return "rlimits";
    if (spec->cwd != NULL && spec->cwd[0] == '\0')
        return "cwd";
    if (spec->cgroup != NULL &&
        (spec->cgroup[0] != '/' || strlen(spec->cgroup) > XL_PATH_MAX - 32))
        return "cgroup";
    if (spec->on_free < LIBXL_FREE_DETACH || spec->on_free > LIBXL_FREE_LEAVE)
        return "on_free";
    if (bad_signal(spec->kill.first_signal) || spec->kill.grace_ms < 0 ||
        spec->kill.scope < LIBXL_KILL_PROCESS ||
        spec->kill.scope > LIBXL_KILL_CGROUP)
        return "kill";
    if (spec->kill.scope == LIBXL_KILL_GROUP &&
        !(flags & (LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                   LIBXL_SPAWN_SET_CTTY)))
        return "kill";
    if (spec->kill.scope == LIBXL_KILL_CGROUP && spec->cgroup == NULL)
        return "kill";
    if (spec->exited_grace_ms < 0)
        return "exited_grace_ms";
    return bad_fds(spec);
}

int xl_start_check(const libxl_childproc_spec *spec,
                   libxl_childproc_failure *failure)
{
    const char *member = spec == NULL ? "spec" : bad_member(spec);

    if (member == NULL)
        return 0;
    failure->stage = LIBXL_STAGE_ARGUMENT;
    failure->errnoval = 0;
    failure->argument = member;
    return ERROR_INVAL;
}

/* ---- preparing ---------------------------------------------------------- */

/* Everything in one block: the plan's arrays and the cgroup's path. */
struct prepared {
    struct xl_image image;
    void *block;
    int gate[2];  /* fork only: the parent writes */
    int error[2]; /* fork only: the child writes */
};

/* ---- which signals are ignored ------------------------------------------ */

static void set_from_bits(xl_sigset *set, uint64_t bits)
{
    xl_sigset_empty(set);
    memcpy(set->bits, &bits,
           sizeof bits < sizeof set->bits ? sizeof bits : sizeof set->bits);
}

/* All of them, at the price of a tenth of a start. */
static int read_ignored(int stat_fd, uint64_t *ret_bits)
{
    char buffer[4096];
    const char *at;
    ssize_t n = stat_fd < 0 ? -1 : pread(stat_fd, buffer, sizeof buffer - 1, 0);

    if (n <= 0)
        return -1;
    buffer[n] = '\0';
    at = strstr(buffer, "\nSigIgn:");
    if (at == NULL)
        return -1;
    *ret_bits = strtoull(at + 8, NULL, 16);
    return 0;
}

static void ask_ignored(xl_sigset *set, int signo)
{
    struct sigaction action;

    if (sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        xl_sigset_add(set, signo);
}

static void all_ignored(int stat_fd, xl_sigset *ret_set)
{
    uint64_t bits;
    int signo;

    if (read_ignored(stat_fd, &bits) == 0) {
        set_from_bits(ret_set, bits);
        return;
    }
    xl_sigset_empty(ret_set);
    for (signo = 1; signo < _NSIG; signo++)
        ask_ignored(ret_set, signo);
}

/* Those that a child may have to reset. The signals that programs do ignore
 * are asked about each time; for the others a recent look is good enough. One
 * that is no longer ignored is reset all the same, which changes nothing.
 * Where SIGCHLD is the host's alone, it is not asked about either. */
static void ignored_to_reset(int stat_fd, int sigchld_untouched,
                             xl_sigset *ret_set)
{
    static const unsigned char usual[] = { /* SIGCHLD first */
        SIGCHLD, SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1,
        SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU, SIGXCPU, SIGXFSZ, SIGWINCH};
    static _Atomic uint64_t seen;
    static _Atomic int64_t seen_at; /* 0: never */
    int64_t at = atomic_load(&seen_at);
    int64_t now = xl_now();
    uint64_t bits;
    size_t i;

    if (at == 0 || now - at > LOOK_LASTS_NS) {
        if (read_ignored(stat_fd, &bits) != 0) {
            all_ignored(-1, ret_set);
            return;
        }
        atomic_store(&seen, bits);
        atomic_store(&seen_at, now);
        set_from_bits(ret_set, bits);
        return;
    }
    set_from_bits(ret_set, atomic_load(&seen));
    for (i = sigchld_untouched ? 1 : 0; i < sizeof usual / sizeof usual[0]; i++)
        if (!xl_sigset_has(ret_set, usual[i]))
            ask_ignored(ret_set, usual[i]);
}

/* Which dispositions the child has to reset: with CLONE_CLEAR_SIGHAND only
 * those that are ignored. */
static void plan_signals(const struct xl_start_request *request,
                         struct xl_image *im, int cleared,
                         const xl_sigset *caller_mask)
{
    const libxl_childproc_spec *spec = request->spec;
    int keep = (spec->flags & LIBXL_SPAWN_KEEP_SIGIGN) != 0;

    xl_sigset_empty(&im->reset);
    xl_sigset_empty(&im->ignore);
    if (keep)
        all_ignored(request->stat_fd, &im->ignore);
    else if (cleared)
        ignored_to_reset(request->stat_fd, request->sigchld_untouched,
                         &im->reset);
    if (!cleared)
        xl_sigset_fill(&im->reset);
    if (spec->sigignore != NULL) {
        xl_sigset more;
        size_t i;

        xl_sigset_from(&more, spec->sigignore);
        for (i = 0; i < sizeof more.bits / sizeof more.bits[0]; i++)
            im->ignore.bits[i] |= more.bits[i];
    }
    if (spec->flags & LIBXL_SPAWN_IGNORE_SIGPIPE)
        xl_sigset_add(&im->ignore, SIGPIPE);
    if (spec->sigmask != NULL)
        xl_sigset_from(&im->final_mask, spec->sigmask);
    else if (spec->flags & LIBXL_SPAWN_KEEP_SIGMASK)
        im->final_mask = *caller_mask;
    else
        xl_sigset_empty(&im->final_mask);
}

static const char *search_path(const libxl_childproc_spec *spec)
{
    const char *path = spec->path != NULL ? spec->path : spec->argv[0];
    const char *found = spec->search_path;
    size_t i;

    if (!(spec->flags & LIBXL_SPAWN_SEARCH_PATH) || strchr(path, '/') != NULL)
        return NULL;
    for (i = 0; found == NULL && spec->envp != NULL && spec->envp[i] != NULL;
         i++)
        if (strncmp(spec->envp[i], "PATH=", 5) == 0)
            found = spec->envp[i] + 5;
    if (found == NULL)
        found = getenv("PATH");
    return found != NULL ? found : "/usr/bin:/bin";
}

/* The lowest fd number that the table cannot have reached, for passing use
 * where every fd that is open stays so. */
static int above_all_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1 << 20)
        return 1 << 20;
    return (int)limit.rlim_cur;
}

static int prepare(const struct xl_start_request *request, struct prepared *p)
{
    static const char procs[] = "/cgroup.procs";
    const libxl_childproc_spec *spec = request->spec;
    struct xl_image *im = &p->image;
    size_t nops = xl_fdplan_max_ops(spec->nfds);
    size_t ops_size = nops * sizeof(struct xl_fd_op);
    size_t scratch_size = (spec->nfds + 3) * sizeof(libxl_childproc_fd);
    size_t cgroup_size =
        spec->cgroup != NULL ? strlen(spec->cgroup) + sizeof procs : 0;
    char *block = xl_sys.malloc(ops_size + scratch_size + cgroup_size);

    if (block == NULL)
        return -1;
    p->block = block;
    im->spec = spec;
    im->path = spec->path != NULL ? spec->path : spec->argv[0];
    im->argv = (char *const *)(uintptr_t)spec->argv;
    im->envp = spec->envp != NULL ? (char *const *)(uintptr_t)spec->envp
                                  : environ;
    im->search_path = search_path(spec);
    im->cwd = spec->cwd;
    if (spec->flags & LIBXL_SPAWN_SET_PDEATHSIG)
        im->parent = getpid();
    if (spec->cgroup != NULL) {
        char *path = block + ops_size + scratch_size;

        memcpy(path, spec->cgroup, cgroup_size - sizeof procs);
        memcpy(path + cgroup_size - sizeof procs, procs, sizeof procs);
        im->cgroup_procs = path;
    }
    xl_fdplan_make(spec->fds, spec->nfds, im->error_fd,
                   (spec->flags & LIBXL_SPAWN_KEEP_FDS) ? above_all_fds() : -1,
                   (libxl_childproc_fd *)(void *)(block + ops_size),
                   (struct xl_fd_op *)(void *)block, &im->fds);
    im->no_close_range = !(xl_facilities() & LIBXL_FACILITY_CLOSE_RANGE);
    return 0;
}

/* ---- what both ways share ----------------------------------------------- */

/* A child that never became what it should: it has ended, or is about to. */
static void bury(pid_t pid, int pidfd)
{
    siginfo_t info;
    int r;

    do
        r = pidfd >= 0 ? xl_sys.waitid(XL_P_PIDFD, (id_t)pidfd, &info, WEXITED,
                                       NULL)
                       : xl_sys.waitid(P_PID, (id_t)pid, &info, WEXITED, NULL);
    while (r != 0 && errno == EINTR);
    if (r != 0 && errno != ECHILD) /* waiting by pidfd is refused */
        r = xl_sys.waitid(P_PID, (id_t)pid, &info, WEXITED, NULL);
    if (r != 0)
        xl_registry_settle(); /* somebody else's wait has it; let it look */
    xl_close(pidfd);
}

static int failed(struct xl_start_request *request, libxl_childproc_stage stage,
                  int errnoval)
{
    request->failure.stage = stage;
    request->failure.errnoval = errnoval;
    request->failure.argument = NULL;
    errno = errnoval;
    if (stage == LIBXL_STAGE_PREPARE || stage == LIBXL_STAGE_FORK)
        return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
    return ERROR_SPAWN;
}

/* ---- shared memory ------------------------------------------------------ */

static int high_fds_needed(const struct xl_fd_plan *plan)
{
    /* sharing pays where the unneeded fds are most of the table */
    return plan->highest_needed > 4096;
}

/* Returns the pid, or -1 and errno. Falls back on what is refused. */
static pid_t clone_child(struct xl_start_request *request, struct prepared *p,
                         const xl_sigset *before, int *ret_pidfd)
{
    struct xl_image *im = &p->image;

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
        im->unshare_refused = 0;
        plan_signals(request, im, cleared, before);
        *ret_pidfd = -1;
        FORGET_FRAMES(request->stack);
        if (cleared)
            pid = xl_sys.clone3(xl_image_run, request->stack, XL_STACK_SIZE,
                                (uint64_t)(unsigned)flags, im, ret_pidfd, -1);
        else
            pid = xl_sys.clone(xl_image_run,
                               (char *)request->stack + XL_STACK_SIZE,
                               flags | SIGCHLD, im, ret_pidfd);
        if (pid > 0 && im->unshare_refused) {
            xl_facility_refused(LIBXL_FACILITY_SHARED_FILES);
            bury(pid, *ret_pidfd);
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

static int start_shared(struct xl_start_request *request)
{
    struct xl_registry_start start;
    struct prepared p;
    struct xl_image *im = &p.image;
    xl_sigset all, before;
    pid_t pid;
    int pidfd = -1;
    int saved;

    memset(&p, 0, sizeof p);
    im->gate_fd = -1;
    im->error_fd = -1;
    if (prepare(request, &p) != 0) {
        xl_registry_unreserve();
        return failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
    }
    xl_registry_start_begin(&start);
    /* no handler of the host's may run in the child, on our memory */
    xl_sigset_fill(&all);
    if (xl_sys.sigprocmask(SIG_SETMASK, &all, &before) != 0) {
        saved = errno;
        pid = -1;
        goto restored;
    }
    pid = clone_child(request, &p,
                      request->caller_mask != NULL ? request->caller_mask
                                                   : &before,
                      &pidfd);
    saved = errno;
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
restored:
    xl_free(p.block);
    if (pid > 0 && im->stage == LIBXL_STAGE_NONE) {
        request->pid = pid;
        request->pidfd = pidfd;
        request->reaped =
            xl_registry_start_end(&start, request->entry, pid,
                                  &request->status);
        return 0;
    }
    if (pid > 0)
        bury(pid, pidfd);
    (void)xl_registry_start_end(&start, NULL, pid, &request->status);
    xl_registry_unreserve();
    if (pid > 0)
        return failed(request, (libxl_childproc_stage)im->stage, im->errnoval);
    return failed(request, LIBXL_STAGE_FORK, saved);
}

/* ---- fork --------------------------------------------------------------- */

static void close_pipes(struct prepared *p)
{
    xl_close(p->gate[0]);
    xl_close(p->gate[1]);
    xl_close(p->error[0]);
    xl_close(p->error[1]);
}

static int make_pipes(struct prepared *p)
{
    int r;

    xl_process_lock();
    r = xl_sys.pipe2(p->gate, O_CLOEXEC);
    if (r == 0)
        r = xl_sys.pipe2(p->error, O_CLOEXEC);
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
static int release(struct prepared *p, struct xl_image_failure *failure)
{
    struct pollfd unread = {.fd = p->gate[0], .events = POLLIN};
    ssize_t n;
    int r;

    xl_close(p->error[1]);
    p->error[1] = -1;
    do
        n = xl_sys.write(p->gate[1], "", 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) {
        failure->stage = LIBXL_STAGE_GATE;
        failure->errnoval = errno;
        return -1;
    }
    do
        n = xl_sys.read(p->error[0], failure, sizeof *failure);
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

static int start_forked(struct xl_start_request *request)
{
    struct xl_registry_start start;
    struct xl_image_failure failure = {0, 0};
    struct prepared p;
    xl_sigset all, before;
    pid_t parent = getpid();
    pid_t pid = -1;
    int pidfd = -1;
    int rc;

    memset(&p, 0, sizeof p);
    p.gate[0] = p.gate[1] = p.error[0] = p.error[1] = -1;
    if (make_pipes(&p) != 0) {
        rc = failed(request, LIBXL_STAGE_PREPARE, errno);
        goto out;
    }
    p.image.gate_fd = p.gate[0];
    p.image.error_fd = p.error[1];
    if (prepare(request, &p) != 0) {
        rc = failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
        goto out;
    }
    /* the host's own fork sees its own mask; the child blocks at once */
    if (xl_sys.sigprocmask(SIG_SETMASK, NULL, &before) != 0) {
        rc = failed(request, LIBXL_STAGE_PREPARE, errno);
        goto out;
    }
    plan_signals(request, &p.image, 0,
                 request->caller_mask != NULL ? request->caller_mask : &before);
    xl_sigset_fill(&all);
    if (request->fork_replacement == NULL)
        (void)xl_sys.sigprocmask(SIG_SETMASK, &all, NULL);
    xl_registry_start_begin(&start);
    pid = fork_child(request);
    if (pid == 0 && getpid() != parent) {
        xl_close(p.gate[1]); /* or we would hold our own gate open */
        (void)xl_sys.sigprocmask(SIG_SETMASK, &all, NULL);
        (void)xl_image_run(&p.image);
        _exit(127);
    }
    rc = pid < 0 ? failed(request, LIBXL_STAGE_FORK, errno) : 0;
    if (request->fork_replacement == NULL)
        (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid == 0 || pid == 1) /* a replacement that cannot be right */
        rc = failed(request, LIBXL_STAGE_FORK, EINVAL);
    if (rc == 0 && (xl_facilities() & LIBXL_FACILITY_PIDFD) &&
        (xl_facilities() & XL_FACILITY_PIDFD_OPEN)) {
        pidfd = xl_sys.pidfd_open(pid, 0);
        if (pidfd < 0 && (errno == ENOSYS || errno == EPERM))
            xl_facility_refused(XL_FACILITY_PIDFD_OPEN);
        else if (pidfd < 0)
            rc = failed(request, LIBXL_STAGE_GATE, errno);
    }
    if (rc == 0 && release(&p, &failure) != 0)
        rc = failed(request, (libxl_childproc_stage)failure.stage,
                    failure.errnoval);
    if (rc == 0) {
        request->pid = pid;
        request->pidfd = pidfd;
        request->reaped = xl_registry_start_end(&start, request->entry, pid,
                                                &request->status);
        xl_free(p.block);
        close_pipes(&p);
        return 0;
    }
    /* a child that still waits at the gate ends when it closes */
    close_pipes(&p);
    if (pid > 1)
        bury(pid, pidfd);
    (void)xl_registry_start_end(&start, NULL, pid, &request->status);
    xl_registry_unreserve();
    xl_free(p.block);
    errno = request->failure.errnoval;
    return rc;
out:
    close_pipes(&p);
    xl_free(p.block);
    xl_registry_unreserve();
    errno = request->failure.errnoval;
    return rc;
}

/* A source that is not open must not come to be: our own fds take free
 * numbers while the child is made. */
static int sources_open(const libxl_childproc_spec *spec)
{
    size_t i;

    for (i = 0; i < spec->nfds; i++)
        if (spec->fds[i].source >= 0 &&
            fcntl(spec->fds[i].source, F_GETFD) < 0)
            return 0;
    return 1;
}

int xl_start(struct xl_start_request *request)
{
    int rc;

    if (!sources_open(request->spec)) {
        xl_registry_unreserve();
        return failed(request, LIBXL_STAGE_FDS, EBADF);
    }
    if (request->stack == NULL || request->fork_replacement != NULL)
        return start_forked(request);
    rc = start_shared(request);
    if (rc == ERROR_SYSTEM && request->failure.stage == LIBXL_STAGE_FORK &&
        (request->failure.errnoval == ENOSYS ||
         request->failure.errnoval == EPERM)) {
        /* this kind of clone is refused; fork may not be */
        if (xl_registry_reserve() != 0)
            return failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
        xl_facility_refused(LIBXL_FACILITY_VFORK);
        rc = start_forked(request);
    }
    return rc;
}
