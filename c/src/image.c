/* image.c - the child's half of a start: from fork to exec
 *
 * Called by start.c's child (and facility.c's probe); the next step is the
 * program. Nothing is called but the kernel, raw: libc's wrappers may be
 * somebody's interceptors, which would keep books in the parent's memory, and
 * some (setuid and friends) broadcast to the other threads, which are the
 * parent's. The undefined symbols of this file are held against image.allow.
 */
#define _GNU_SOURCE
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* The kernel's struct sigaction for a disposition without a handler. */
struct plain_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    xl_sigset mask;
};

struct dirent64_head {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

/* ---- system calls, without libc's wrappers ------------------------------ */

static long call(long number, long a, long b, long c)
{
    return syscall(number, a, b, c);
}

static _Noreturn void leave(int status)
{
    for (;;)
        (void)call(SYS_exit_group, status, 0, 0);
}

static int open_file(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

static void close_fd(int fd)
{
    (void)call(SYS_close, fd, 0, 0);
}

/* As dup2, but a fd may not be copied onto itself. */
static int copy_fd(int from, int to, int flags)
{
    return (int)call(SYS_dup3, from, to, flags);
}

static int set_disposition(int signo, void (*handler)(int))
{
    struct plain_sigaction action;
    size_t i;

    action.handler = handler;
    action.flags = 0;
    action.restorer = NULL;
    for (i = 0; i < sizeof action.mask.bits / sizeof action.mask.bits[0]; i++)
        action.mask.bits[i] = 0;
    return (int)syscall(SYS_rt_sigaction, signo, &action, NULL,
                        sizeof action.mask);
}

static int in_set(const xl_sigset *set, int signo)
{
    const unsigned width = 8 * sizeof set->bits[0];
    unsigned bit = (unsigned)signo - 1;

    return (int)((set->bits[bit / width] >> (bit % width)) & 1);
}

static int signals(const struct xl_image *im)
{
    int signo;

    for (signo = 1; signo < _NSIG; signo++) {
        if (signo == SIGKILL || signo == SIGSTOP)
            continue;
        if (in_set(&im->ignore, signo)) {
            if (set_disposition(signo, SIG_IGN) != 0)
                return -1;
        } else if (in_set(&im->reset, signo)) {
            if (set_disposition(signo, SIG_DFL) != 0)
                return -1;
        }
    }
    return 0;
}

/* ---- fds ---------------------------------------------------------------- */

static int parse_fd(const char *name)
{
    int fd = 0;

    if (*name == '\0')
        return -1;
    for (; *name != '\0'; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        fd = fd * 10 + (*name - '0');
    }
    return fd;
}

/* Closes low .. high without close_range: by what /proc says is open, and by
 * trying every number where /proc is not there. */
static void close_each(int low, int high, int spare_fd)
{
    _Alignas(uint64_t) char buffer[1024];
    struct rlimit limit;
    int dir = open_file("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd;
    long n;

    if (dir >= 0) {
        int closed;

        do { /* closing while reading may skip entries: until none is left */
            closed = 0;
            (void)call(SYS_lseek, dir, 0, SEEK_SET);
            while ((n = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) >
                   0) {
                long at = 0;

                while (at < n) {
                    const struct dirent64_head *entry =
                        (const void *)(buffer + at);

                    at += entry->reclen;
                    fd = parse_fd(entry->name);
                    if (fd < low || fd > high || fd == dir || fd == spare_fd)
                        continue;
                    close_fd(fd);
                    closed = 1;
                }
            }
        } while (closed);
        close_fd(dir);
        return;
    }
    if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) != 0 ||
        limit.rlim_cur > 1048576)
        limit.rlim_cur = 1048576;
    for (fd = low; fd <= high && (rlim_t)fd < limit.rlim_cur; fd++)
        if (fd != spare_fd)
            close_fd(fd);
}

static int make_null(int target)
{
    int fd = open_file("/dev/null", O_RDWR);
    int r = 0;

    if (fd < 0)
        return -1;
    if (fd != target) {
        r = copy_fd(fd, target, 0);
        close_fd(fd);
    }
    return r < 0 ? -1 : 0;
}

static int move_fds(struct xl_image *im)
{
    size_t i;

    for (i = 0; i < im->fds.nops; i++) {
        const struct xl_fd_op *op = &im->fds.ops[i];
        unsigned last;

        switch (op->kind) {
        case XL_FD_DUP:
            if (copy_fd(op->a, op->b, 0) < 0)
                return -1;
            break;
        case XL_FD_DUP_HIDDEN:
            if (copy_fd(op->a, op->b, O_CLOEXEC) < 0)
                return -1;
            if (op->a == im->tell_fd && op->b == im->fds.hidden)
                im->tell_fd = op->b; /* its old number becomes a target */
            break;
        case XL_FD_KEEP:
            if (call(SYS_fcntl, op->a, F_SETFD, 0) < 0)
                return -1;
            break;
        case XL_FD_NULL:
            if (make_null(op->b) < 0)
                return -1;
            break;
        case XL_FD_CLOSE:
            if (op->b < 0 && im->shared_files && op->a > im->fds.highest_needed)
                break; /* unsharing the table has dropped them */
            last = op->b < 0 ? ~0U : (unsigned)op->b;
            if (im->no_close_range ||
                syscall(SYS_close_range, (unsigned)op->a, last, 0) != 0)
                close_each(op->a, op->b < 0 ? 0x7fffffff : op->b, -1);
            break;
        }
    }
    return 0;
}

/* ---- steps -------------------------------------------------------------- */

static int session(const libxl_childproc_spec *spec)
{
    if (spec->flags & (LIBXL_SPAWN_NEW_SESSION | LIBXL_SPAWN_SET_CTTY))
        return call(SYS_setsid, 0, 0, 0) < 0 ? -1 : 0;
    if (spec->flags & LIBXL_SPAWN_NEW_GROUP)
        return (int)call(SYS_setpgid, 0, 0, 0);
    if (spec->flags & LIBXL_SPAWN_JOIN_GROUP)
        return (int)call(SYS_setpgid, 0, spec->group, 0);
    return 0;
}

static int join_cgroup(const char *procs)
{
    int fd = open_file(procs, O_WRONLY | O_CLOEXEC);
    ssize_t n;
    int saved;

    if (fd < 0)
        return -1;
    n = syscall(SYS_write, fd, "0", 1);
    saved = errno;
    close_fd(fd);
    errno = saved;
    return n == 1 ? 0 : -1;
}

static int rlimits(const libxl_childproc_spec *spec)
{
    size_t i;

    for (i = 0; i < spec->nrlimits; i++)
        if (syscall(SYS_prlimit64, 0, spec->rlimits[i].resource,
                    &spec->rlimits[i].limit, NULL) != 0)
            return -1;
    return 0;
}

static int death_signal(const struct xl_image *im)
{
    if (call(SYS_prctl, PR_SET_PDEATHSIG, im->spec->pdeathsig, 0) != 0)
        return -1;
    /* the parent may have died before: then the signal never comes */
    if (call(SYS_getppid, 0, 0, 0) != im->parent) {
        errno = ESRCH;
        return -1;
    }
    return 0;
}

/* Tries each directory; the error is that of the last file which was there,
 * as execvp's. */
static void execute(const struct xl_image *im)
{
    char candidate[XL_PATH_MAX];
    const char *dir = im->search_path;
    size_t program = 0;
    int denied = 0;

    if (dir == NULL) {
        (void)syscall(SYS_execve, im->path, im->argv, im->envp);
        return;
    }
    while (im->path[program] != '\0')
        program++;
    for (;;) {
        const char *end = dir;
        size_t length;
        size_t i;

        while (*end != '\0' && *end != ':')
            end++;
        length = (size_t)(end - dir);
        if (length + 1 + program + 1 > sizeof candidate) {
            errno = ENAMETOOLONG;
        } else {
            size_t at = 0;

            for (i = 0; i < length; i++)
                candidate[at++] = dir[i];
            if (length > 0)
                candidate[at++] = '/';
            for (i = 0; i <= program; i++)
                candidate[at++] = im->path[i];
            (void)syscall(SYS_execve, candidate, im->argv, im->envp);
        }
        if (errno == EACCES)
            denied = 1;
        else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
            return;
        if (*end == '\0')
            break;
        dir = end + 1;
    }
    if (denied)
        errno = EACCES;
}

static void wait_at_gate(const struct xl_image *im)
{
    char byte;
    ssize_t n;

    do
        n = syscall(SYS_read, im->gate_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        leave(127); /* the parent gave up on us */
}

static void fail(struct xl_image *im, libxl_childproc_stage stage)
{
    struct xl_image_failure failure;

    failure.errnoval = errno;
    failure.stage = (int)stage;
    im->errnoval = failure.errnoval;
    im->stage = failure.stage;
    if (im->tell_fd >= 0)
        (void)!syscall(SYS_write, im->tell_fd, &failure, sizeof failure);
    leave(127);
}

int xl_image_run(void *arg)
{
    struct xl_image *im = arg;
    const libxl_childproc_spec *spec = im->spec;

    im->ran = 1;
    im->tell_fd = im->error_fd;
    if (im->shared_files &&
        syscall(SYS_close_range, (unsigned)im->fds.highest_needed + 1, ~0U,
                CLOSE_RANGE_UNSHARE) != 0) {
        /* the table is still the parent's: touch nothing */
        im->unshare_refused = 1;
        leave(127);
    }
    if (im->gate_fd >= 0)
        wait_at_gate(im);
    if (session(spec) != 0)
        fail(im, LIBXL_STAGE_SESSION);
    if ((spec->flags & LIBXL_SPAWN_SET_CTTY) &&
        call(SYS_ioctl, spec->ctty_fd, TIOCSCTTY, 0) != 0)
        fail(im, LIBXL_STAGE_CTTY);
    if (im->cgroup_procs != NULL && join_cgroup(im->cgroup_procs) != 0)
        fail(im, LIBXL_STAGE_CGROUP);
    if (move_fds(im) != 0)
        fail(im, LIBXL_STAGE_FDS);
    if (rlimits(spec) != 0)
        fail(im, LIBXL_STAGE_RLIMIT);
    if ((spec->flags & LIBXL_SPAWN_SET_NICE) &&
        call(SYS_setpriority, PRIO_PROCESS, 0, spec->nice) != 0)
        fail(im, LIBXL_STAGE_NICE);
    if (spec->flags & LIBXL_SPAWN_SET_UMASK)
        (void)call(SYS_umask, (long)spec->umask, 0, 0);
    if ((spec->flags & LIBXL_SPAWN_SET_GROUPS) &&
        syscall(SYS_setgroups, spec->ngroups, spec->groups) != 0)
        fail(im, LIBXL_STAGE_GROUPS);
    if ((spec->flags & LIBXL_SPAWN_SET_GID) &&
        syscall(SYS_setresgid, spec->gid, spec->gid, spec->gid) != 0)
        fail(im, LIBXL_STAGE_GID);
    if ((spec->flags & LIBXL_SPAWN_SET_UID) &&
        syscall(SYS_setresuid, spec->uid, spec->uid, spec->uid) != 0)
        fail(im, LIBXL_STAGE_UID);
    if (im->cwd != NULL && syscall(SYS_chdir, im->cwd) != 0)
        fail(im, LIBXL_STAGE_CHDIR);
    if ((spec->flags & LIBXL_SPAWN_SET_PDEATHSIG) && death_signal(im) != 0)
        fail(im, LIBXL_STAGE_PDEATHSIG);
    if (signals(im) != 0 ||
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &im->final_mask, NULL,
                sizeof im->final_mask) != 0)
        fail(im, LIBXL_STAGE_SIGNALS);
    execute(im);
    fail(im, LIBXL_STAGE_EXEC);
    return 127;
}

int xl_image_probe(void *arg)
{
    (void)arg; /* the fd table may be the parent's: nothing is touched */
    leave(0);
}

int xl_image_probe_unshare(void *arg)
{
    (void)arg;
    /* no fd is that high: this only unshares */
    leave(syscall(SYS_close_range, 0x7ffffff0U, ~0U, CLOSE_RANGE_UNSHARE) != 0);
}
