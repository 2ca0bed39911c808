/* child_setup.c - the child's half of a start: from fork to exec
 *
 * Called by start.c's child; the next step is the program. Nothing is called
 * but the kernel, raw: libc's wrappers may be somebody's interceptors, which
 * would keep books in the parent's memory, and some (setuid and friends)
 * broadcast to the other threads, which are the parent's. Functions return
 * -errno, as the kernel does: errno itself is the parent's. The undefined
 * symbols of this file are held against child_setup.allow.
 */
#define _GNU_SOURCE
#include "start/child_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernel/rawcall.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#define FUTEX_WAKE 1 /* <linux/futex.h> does not come with musl */
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
    return xl_rawcall(number, a, b, c, 0);
}

static long address(const void *at)
{
    return (long)(uintptr_t)at;
}

static _Noreturn void leave(int status)
{
    for (;;)
        (void)call(SYS_exit_group, status, 0, 0);
}

static int open_file(const char *path, int flags)
{
    return (int)xl_rawcall(SYS_openat, AT_FDCWD, address(path), flags, 0666);
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
    return (int)xl_rawcall(SYS_rt_sigaction, signo, address(&action), 0,
                           sizeof action.mask);
}

static int in_set(const xl_sigset *set, int signo)
{
    const unsigned width = 8 * sizeof set->bits[0];
    unsigned bit = (unsigned)signo - 1;

    return (int)((set->bits[bit / width] >> (bit % width)) & 1);
}

static int signals(const struct xl_child_setup *im)
{
    int signo;
    int r = 0;

    for (signo = 1; signo < _NSIG && r == 0; signo++) {
        if (signo == SIGKILL || signo == SIGSTOP)
            continue;
        if (in_set(&im->ignore, signo))
            r = set_disposition(signo, SIG_IGN);
        else if (in_set(&im->reset, signo))
            r = set_disposition(signo, SIG_DFL);
    }
    if (r != 0)
        return r;
    return (int)xl_rawcall(SYS_rt_sigprocmask, SIG_SETMASK,
                           address(&im->final_mask), 0, sizeof im->final_mask);
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
            while ((n = call(SYS_getdents64, dir, address(buffer),
                             sizeof buffer)) > 0) {
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
    if (xl_rawcall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, address(&limit)) != 0 ||
        limit.rlim_cur > 1048576)
        limit.rlim_cur = 1048576;
    for (fd = low; fd <= high && (rlim_t)fd < limit.rlim_cur; fd++)
        if (fd != spare_fd)
            close_fd(fd);
}

static int open_as(const char *path, int flags, int target)
{
    int fd = open_file(path, flags);
    int r = 0;

    if (fd < 0)
        return fd;
    if (fd != target) {
        r = copy_fd(fd, target, 0);
        close_fd(fd);
    }
    return r;
}

static void close_range_of(const struct xl_child_setup *im,
                           const struct xl_fd_op *op)
{
    unsigned last = op->b < 0 ? ~0U : (unsigned)op->b;

    if (op->b < 0 && im->shared_files && op->a > im->fds.highest_needed)
        return; /* unsharing the table has dropped them */
    if (im->no_close_range || call(SYS_close_range, op->a, last, 0) != 0)
        close_each(op->a, op->b < 0 ? 0x7fffffff : op->b, -1);
}

static int move_fds(struct xl_child_setup *im)
{
    size_t i;
    int r = 0;

    for (i = 0; i < im->fds.nops && r >= 0; i++) {
        const struct xl_fd_op *op = &im->fds.ops[i];

        switch (op->kind) {
        case XL_FD_DUP:
            r = copy_fd(op->a, op->b, 0);
            break;
        case XL_FD_DUP_HIDDEN:
            r = copy_fd(op->a, op->b, O_CLOEXEC);
            if (r >= 0 && op->a == im->tell_fd && op->b == im->fds.hidden)
                im->tell_fd = op->b; /* its old number becomes a target */
            break;
        case XL_FD_KEEP:
            r = (int)call(SYS_fcntl, op->a, F_SETFD, 0);
            break;
        case XL_FD_NULL:
            r = open_as("/dev/null", O_RDWR, op->b);
            break;
        case XL_FD_OPEN:
            im->file = op->a;
            r = open_as(im->files[op->a].path, im->files[op->a].flags, op->b);
            if (r >= 0)
                im->file = -1;
            break;
        case XL_FD_CLOSE:
            close_range_of(im, op);
            break;
        }
    }
    return r < 0 ? r : 0;
}

/* ---- steps -------------------------------------------------------------- */

static int session(const libxl_childproc_spec *spec)
{
    if (spec->flags & (LIBXL_SPAWN_NEW_SESSION | LIBXL_SPAWN_SET_CTTY))
        return (int)call(SYS_setsid, 0, 0, 0);
    if (spec->flags & LIBXL_SPAWN_NEW_GROUP)
        return (int)call(SYS_setpgid, 0, 0, 0);
    if (spec->flags & LIBXL_SPAWN_JOIN_GROUP)
        return (int)call(SYS_setpgid, 0, spec->group, 0);
    return 0;
}

static int join_cgroup(const char *procs)
{
    int fd = open_file(procs, O_WRONLY | O_CLOEXEC);
    int n;

    if (fd < 0)
        return fd;
    n = (int)call(SYS_write, fd, address("0"), 1);
    close_fd(fd);
    return n;
}

static int rlimits(const libxl_childproc_spec *spec)
{
    size_t i;
    int r = 0;

    for (i = 0; i < spec->nrlimits && r == 0; i++)
        r = (int)xl_rawcall(SYS_prlimit64, 0, spec->rlimits[i].resource,
                            address(&spec->rlimits[i].limit), 0);
    return r;
}

/* The caller's groups go with its ids. Where they may not be dropped, it is
 * well if there is none, or but the group that the child is to have anyway. */
static int supplementary(const libxl_childproc_spec *spec)
{
    uint32_t group;
    int r;

    if (spec->flags & LIBXL_SPAWN_SET_GROUPS)
        return (int)call(SYS_setgroups, (long)spec->ngroups,
                         address(spec->groups), 0);
    if (!(spec->flags & (LIBXL_SPAWN_SET_UID | LIBXL_SPAWN_SET_GID)) ||
        (spec->flags & LIBXL_SPAWN_KEEP_GROUPS))
        return 0;
    r = (int)call(SYS_setgroups, 0, 0, 0);
    if (r != -EPERM)
        return r;
    switch (call(SYS_getgroups, 1, address(&group), 0)) {
    case 0:
        return 0;
    case 1:
        if (group == ((spec->flags & LIBXL_SPAWN_SET_GID)
                          ? spec->gid
                          : (uint32_t)call(SYS_getegid, 0, 0, 0)))
            return 0;
    }
    return r;
}

static int death_signal(const struct xl_child_setup *im)
{
    int r = (int)call(SYS_prctl, PR_SET_PDEATHSIG, im->spec->pdeathsig, 0);

    /* the parent may have died before: then the signal never comes */
    if (r == 0 && call(SYS_getppid, 0, 0, 0) != im->parent)
        r = -ESRCH;
    return r;
}

/* A program that this process has just written may still be open for writing
 * in a child that another thread made meanwhile, by whatever library: until
 * that child executes its own program. It is given a moment. */
#define BUSY_ROUNDS 14 /* 1, 2, 4, 8, then 16 ms each: 0.2 s */

static int run_file(const struct xl_child_setup *im, const char *path)
{
    struct timespec ms = {0, 1000000};
    int round;
    int r = 0;

    for (round = 0; round < BUSY_ROUNDS; round++) {
        r = (int)call(SYS_execve, address(path), address(im->argv),
                      address(im->envp));
        if (r != -ETXTBSY)
            break;
        (void)call(SYS_nanosleep, address(&ms), 0, 0);
        if (ms.tv_nsec < 16000000)
            ms.tv_nsec *= 2;
    }
    return r;
}

/* Tries each directory; the error is that of the last file which was there,
 * as execvp's. */
static int execute(const struct xl_child_setup *im)
{
    char candidate[XL_PATH_MAX];
    const char *dir = im->search_path;
    size_t program = 0;
    int denied = 0;
    int r;

    if (dir == NULL)
        return run_file(im, im->path);
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
            r = -ENAMETOOLONG;
        } else {
            size_t at = 0;

            for (i = 0; i < length; i++)
                candidate[at++] = dir[i];
            if (length > 0)
                candidate[at++] = '/';
            for (i = 0; i <= program; i++)
                candidate[at++] = im->path[i];
            r = run_file(im, candidate);
        }
        if (r == -EACCES)
            denied = 1;
        else if (r != -ENOENT && r != -ENOTDIR && r != -ENAMETOOLONG)
            return r;
        if (*end == '\0')
            break;
        dir = end + 1;
    }
    return denied ? -EACCES : r;
}

static void wait_at_gate(const struct xl_child_setup *im)
{
    char byte;
    long n;

    do
        n = call(SYS_read, im->gate_fd, address(&byte), 1);
    while (n == -EINTR);
    if (n != 1)
        leave(127); /* the parent gave up on us */
}

/* Goes on after a step that went well; ends the child after one that did
 * not. */
static void check(struct xl_child_setup *im, libxl_childproc_stage stage,
                  long r)
{
    struct xl_child_setup_failure failure;

    if (r >= 0)
        return;
    failure.errnoval = (int)-r;
    failure.stage = (int)stage;
    failure.file = im->file;
    im->errnoval = failure.errnoval;
    im->stage = failure.stage;
    if (im->tell_fd >= 0)
        (void)call(SYS_write, im->tell_fd, address(&failure), sizeof failure);
    leave(127);
}

int xl_child_setup_run(void *arg)
{
    struct xl_child_setup *im = arg;
    const libxl_childproc_spec *spec = im->spec;

    if (im->own_number != NULL)
        *im->own_number = (int)call(SYS_getpid, 0, 0, 0);
    im->ran = 1;
    im->file = -1;
    im->tell_fd = im->error_fd;
    if (im->shared_files) {
        long r = call(SYS_close_range, im->fds.highest_needed + 1, ~0U,
                      CLOSE_RANGE_UNSHARE);

        if (r != 0) {
            /* the table is still the parent's: touch nothing */
            im->unshare_refused = (int)-r;
            leave(127);
        }
    }
    atomic_store(&im->under_way, 1);
    if (im->shared_files && im->wake)
        (void)call(SYS_futex, address(&im->under_way), FUTEX_WAKE, 1);
    if (im->gate_fd >= 0)
        wait_at_gate(im);
    check(im, LIBXL_STAGE_SESSION, session(spec));
    if (spec->flags & LIBXL_SPAWN_SET_CTTY)
        check(im, LIBXL_STAGE_CTTY,
              call(SYS_ioctl, spec->ctty_fd, TIOCSCTTY, 0));
    if (im->cgroup_procs != NULL)
        check(im, LIBXL_STAGE_CGROUP, join_cgroup(im->cgroup_procs));
    check(im, LIBXL_STAGE_FDS, move_fds(im));
    check(im, LIBXL_STAGE_RLIMIT, rlimits(spec));
    if (spec->flags & LIBXL_SPAWN_SET_NICE)
        check(im, LIBXL_STAGE_NICE,
              call(SYS_setpriority, PRIO_PROCESS, 0, spec->nice));
    if (spec->flags & LIBXL_SPAWN_SET_UMASK)
        (void)call(SYS_umask, (long)spec->umask, 0, 0);
    check(im, LIBXL_STAGE_GROUPS, supplementary(spec));
    if (spec->flags & LIBXL_SPAWN_SET_GID)
        check(im, LIBXL_STAGE_GID,
              call(SYS_setresgid, spec->gid, spec->gid, spec->gid));
    if (spec->flags & LIBXL_SPAWN_SET_UID)
        check(im, LIBXL_STAGE_UID,
              call(SYS_setresuid, spec->uid, spec->uid, spec->uid));
    if (im->cwd != NULL)
        check(im, LIBXL_STAGE_CHDIR, call(SYS_chdir, address(im->cwd), 0, 0));
    if (spec->flags & LIBXL_SPAWN_SET_PDEATHSIG)
        check(im, LIBXL_STAGE_PDEATHSIG, death_signal(im));
    check(im, LIBXL_STAGE_SIGNALS, signals(im));
    check(im, LIBXL_STAGE_EXEC, execute(im));
    return 127;
}
