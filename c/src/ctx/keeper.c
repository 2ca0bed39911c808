/* keeper.c - a process that keeps a family, as its parent sees it
 *
 * Called by families.c, start_shared.c and family.c, in the order that is in
 * keeper.h. Next: keeper_child.c, in the keeper.
 */
#define _GNU_SOURCE
#include "ctx/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctx/process.h"
#include "kernel/facility.h"
#include "kernel/own.h"
#include "kernel/rawcall.h"
#include "kernel/stop_point.h"
#include "kernel/sys.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

#define MAPPING (64 * 1024)
#define BELOW_STACK 8192 /* the note */
#define LOOK_MS 20       /* at a keeper that does not tell */
#define GOING_MS 1000    /* for one that has been killed */

#define NEEDED                                                                 \
    (LIBXL_FACILITY_PIDFD | LIBXL_FACILITY_VFORK |                             \
     LIBXL_FACILITY_SHARED_FILES | XL_FACILITY_CLONE3 |                        \
     XL_FACILITY_PIDFD_OPEN)

/* A filter may refuse what the kernel has; no fd is -1. */
static int refuses_signals(void)
{
    return xl_sys.pidfd_send_signal(-1, 0, 0) != 0 &&
           (errno == ENOSYS || errno == EPERM);
}

static int has_proc(int stat_fd)
{
    char text[XL_KEEPER_STATUS];
    ssize_t n = xl_sys.pread(stat_fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return xl_keeper_reads_proc(text, getpid());
}

const char *xl_keeper_missing(int stat_fd)
{
    if ((xl_facilities() & NEEDED) != NEEDED || !XL_RAWCALL_APART)
        return "a keeper needs clone3, shared memory, and pidfds in full";
    if (refuses_signals())
        return "signals by pidfd are refused, as a keeper needs";
    if (!has_proc(stat_fd))
        return "a keeper needs /proc, of its own pid namespace";
    return NULL;
}

struct xl_keeper *xl_keeper_new(void)
{
    struct xl_keeper *keeper = xl_sys.malloc(sizeof *keeper);
    void *memory;

    if (keeper == NULL)
        return NULL;
    memory = xl_sys.mmap(MAPPING);
    if (memory == (void *)-1) {
        xl_free(keeper);
        return NULL;
    }
    xl_forkfd_init(&keeper->leash);
    keeper->note = memory;
    keeper->pid = 0;
    keeper->pidfd = -1;
    keeper->runs = 0;
    return keeper;
}

/* ---- making ------------------------------------------------------------- */

static ino_t inode_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Both ends; the other one is closed here once the keeper has its own. */
static int make_leash(struct xl_keeper *keeper, struct xl_forkfd *other)
{
    int fds[2];
    int r;

    xl_forkfd_init(other);
    xl_process_lock();
    r = xl_sys.pipe2(fds, O_CLOEXEC);
    if (r == 0) {
        xl_forkfd_note(other, xl_own_avoid(fds[0]), 0);
        xl_forkfd_note(&keeper->leash, xl_own_avoid(fds[1]), 0);
    }
    xl_process_unlock();
    if (r == 0)
        keeper->leash_ino = inode_of(keeper->leash.fd);
    return r;
}

/* The host may have closed it, and have a file of that number by now. */
static void drop_leash(struct xl_keeper *keeper)
{
    if (keeper->leash.fd >= 0 &&
        inode_of(keeper->leash.fd) != keeper->leash_ino)
        xl_forkfd_forget(&keeper->leash);
    xl_forkfd_close(&keeper->leash);
}

/* The same of this one, which may be another process's. (Before Linux 6.9 all
 * pidfds have one inode.) */
static int has_pidfd(struct xl_keeper *keeper)
{
    if (keeper->pidfd >= 0 && inode_of(keeper->pidfd) != keeper->pidfd_ino) {
        xl_own_disturbed();
        xl_own_forget(keeper->pidfd);
        keeper->pidfd = -1;
    }
    return keeper->pidfd >= 0;
}

static void tell_note(struct xl_keeper_note *note, int leash)
{
    note->leash = leash;
    atomic_init(&note->asked, 0);
    atomic_init(&note->made, 0);
    atomic_init(&note->told, 0);
    atomic_init(&note->empty, 0);
}

static void tell_child(struct xl_clone3_args *args, void *stack,
                       size_t stack_size, uint64_t flags, int *ret_pidfd,
                       int *ret_pid, atomic_int *until_exec)
{
    memset(args, 0, sizeof *args);
    args->flags = flags | XL_CLONE_CLEAR_SIGHAND;
    args->pidfd = (uint64_t)(uintptr_t)ret_pidfd;
    args->exit_signal = SIGCHLD;
    args->stack = (uint64_t)(uintptr_t)stack;
    args->stack_size = stack_size;
    args->parent_tid = (uint64_t)(uintptr_t)ret_pid;
    args->child_tid = (uint64_t)(uintptr_t)until_exec;
    args->tls = (uint64_t)(uintptr_t)xl_child_tls(stack);
}

static int has_ended(const struct xl_keeper *keeper)
{
    struct pollfd pollfd = {.fd = keeper->pidfd, .events = POLLIN};

    return keeper->pidfd < 0 || xl_sys.poll(&pollfd, 1, 0) > 0;
}

/* Whoever kills it, or stops it, may do so before it has made the child. */
static void await_child(struct xl_keeper *keeper)
{
    struct xl_keeper_note *note = keeper->note;

    while (atomic_load(&note->made) == 0 && !has_ended(keeper))
        if (xl_sys.futex_wait(&note->made, 0, LOOK_MS) != 0)
            xl_keeper_wake(keeper);
}

pid_t xl_keeper_clone(struct xl_keeper *keeper, int (*fn)(void *), void *stack,
                      size_t stack_size, uint64_t flags, void *arg,
                      int *ret_pidfd, int *ret_pid, atomic_int *until_exec,
                      pid_t *parent)
{
    const uint64_t as = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_SETTLS |
                        CLONE_PARENT_SETTID | XL_CLONE_UNSEEN;
    struct xl_keeper_note *note = keeper->note;
    struct xl_forkfd other;
    pid_t pid = -1;
    int saved;
    int made;

    xl_keeper_bury(keeper);
    if (keeper->runs) {
        errno = EAGAIN;
        return -1;
    }
    if (make_leash(keeper, &other) != 0)
        return -1;
    memset(note, 0, sizeof *note);
    tell_note(note, other.fd);
    tell_child(&note->child, stack, stack_size, flags, ret_pidfd, ret_pid,
               until_exec);
    note->fn = fn;
    note->arg = arg;
    note->parent = parent;
    note->self = &keeper->pid;
    *ret_pid = 0;
    *ret_pidfd = -1;
    if (xl_sys.clone3(xl_keeper_run, (char *)note + BELOW_STACK,
                      MAPPING - BELOW_STACK, as, note, &keeper->pidfd,
                      &keeper->pid, NULL, -1) < 0) {
        saved = errno;
        keeper->pid = 0;
        keeper->pidfd = -1;
        drop_leash(keeper);
        goto out;
    }
    xl_own_mark(keeper->pidfd);
    keeper->pidfd_ino = inode_of(keeper->pidfd);
    XL_STOP_POINT("keeper: made");
    await_child(keeper);
    made = atomic_load(&note->made);
    saved = made < 0 ? -made : EAGAIN; /* it was killed, or could not */
    if (made >= 0)
        pid = *ret_pid > 0 ? *ret_pid : -1;
    if (pid < 0)
        xl_keeper_bury(keeper);
out:
    xl_forkfd_close(&other);
    errno = saved;
    return pid;
}

/* ---- its life ----------------------------------------------------------- */

int xl_keeper_over(struct xl_keeper *keeper)
{
    if (keeper->pid > 0 && has_pidfd(keeper) && !has_ended(keeper))
        return 0;
    return atomic_load(&keeper->note->empty) ? 1 : -1;
}

void xl_keeper_wake(struct xl_keeper *keeper)
{
    if (has_pidfd(keeper))
        (void)xl_sys.pidfd_send_signal(keeper->pidfd, SIGCONT, 0);
}

int xl_keeper_ask(struct xl_keeper *keeper, int signo)
{
    if (!has_pidfd(keeper))
        return -1;
    if (signo > 0)
        (void)atomic_fetch_or(&keeper->note->asked, 1UL << (signo - 1));
    xl_keeper_wake(keeper);
    /* it waits for such a signal, and does not mind one more */
    return xl_sys.pidfd_send_signal(keeper->pidfd, SIGCHLD, 0) == 0 ? 0 : -1;
}

int xl_keeper_told(const struct xl_keeper *keeper, int *ret_status,
                   struct rusage *ret_rusage)
{
    if (!atomic_load(&keeper->note->told))
        return 0;
    *ret_status = keeper->note->status;
    *ret_rusage = keeper->note->rusage;
    return 1;
}

/* ---- its end ------------------------------------------------------------ */

/* Its zombie, if the pidfd is that of our keeper still. */
static void reap(const struct xl_keeper *keeper)
{
    siginfo_t info;

    info.si_pid = 0;
    if (xl_sys.waitid(XL_P_PIDFD, (id_t)keeper->pidfd, &info,
                      WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) == 0 &&
        info.si_pid == keeper->pid)
        (void)xl_sys.waitid(XL_P_PIDFD, (id_t)keeper->pidfd, &info,
                            WEXITED | WNOHANG | __WALL, NULL);
}

/* The host has closed the pidfd, and so the leash, which ends it. By number,
 * among those alone who end without a signal: no child of the host's does.
 * 1: it has ended. */
static int reap_by_number(const struct xl_keeper *keeper)
{
    siginfo_t info;
    int ms = GOING_MS;
    int r;

    do {
        info.si_pid = 0;
        r = xl_sys.waitid(P_PID, (id_t)keeper->pid, &info,
                          WEXITED | WNOHANG | __WCLONE, NULL);
    } while (r == 0 && info.si_pid == 0 && ms-- > 0 &&
             xl_sys.poll(NULL, 0, 1) == 0);
    return r != 0 || info.si_pid == keeper->pid;
}

static int await_end(const struct xl_keeper *keeper, int ms)
{
    struct pollfd pollfd = {.fd = keeper->pidfd, .events = POLLIN};

    return xl_sys.poll(&pollfd, 1, ms) > 0;
}

/* 1: it is gone; 0: it may run yet, when it is thawed, in what it has. */
static int go(struct xl_keeper *keeper)
{
    int gone;

    if (keeper->pid <= 0)
        return 1;
    drop_leash(keeper);
    if (has_pidfd(keeper)) {
        (void)xl_sys.pidfd_send_signal(keeper->pidfd, SIGKILL, 0);
        gone = await_end(keeper, GOING_MS);
        reap(keeper);
    } else {
        gone = reap_by_number(keeper);
    }
    xl_own_close(keeper->pidfd);
    keeper->pidfd = -1;
    keeper->pid = 0;
    return gone;
}

void xl_keeper_bury(struct xl_keeper *keeper)
{
    keeper->runs |= !go(keeper);
}

void xl_keeper_free(struct xl_keeper *keeper, int patience_ms)
{
    if (keeper == NULL)
        return;
    if (keeper->pid > 0 && patience_ms > 0 && has_pidfd(keeper))
        (void)await_end(keeper, patience_ms);
    xl_keeper_bury(keeper);
    if (!keeper->runs)
        xl_munmap(keeper->note, MAPPING);
    xl_free(keeper);
}

void xl_keeper_forget(struct xl_keeper *keeper)
{
    if (keeper == NULL)
        return;
    xl_munmap(keeper->note, MAPPING);
    xl_free(keeper);
}
