/* keeper_child.c - the process that keeps a family, from its birth to its end
 *
 * Called by the clone of ctx/keeper.c, in the keeper; the next step is the
 * child that it makes (child_setup.c), then the loop below. It runs in the
 * parent's memory beside the parent's threads, so that the rules are those of
 * child_setup.c: raw calls alone, and nothing is written but its note.
 *
 * Whom it signals: its own children, whose numbers stay theirs until it reaps
 * them itself, and others by pidfd, after their descent has been proved.
 */
#define _GNU_SOURCE
#include "kernel/keeper_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/rawcall.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#define FUTEX_WAKE 1 /* <linux/futex.h> does not come with musl */

#define DEEPEST 64       /* generations, for a signal that can be caught */
#define QUICK_ROUNDS 200 /* of killing, a millisecond each at most … */
#define QUICK_MS 1
#define SLOW_MS 20 /* … and then this */
#define BLIND_MS 20

struct dirent64_head {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

struct keeper {
    struct xl_keeper_note *note;
    pid_t self;
    pid_t child;
    int signals; /* a signalfd; < 0: there is none */
    int killing;
    int rounds;
};

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

/* ---- /proc -------------------------------------------------------------- */

static char *put_text(char *at, const char *text)
{
    while (*text != '\0')
        *at++ = *text++;
    *at = '\0';
    return at;
}

static char *put_number(char *at, pid_t number)
{
    char digits[16];
    int n = 0;

    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (n > 0)
        *at++ = digits[--n];
    *at = '\0';
    return at;
}

/* The number that text begins with; 0: none. */
static pid_t number_of(const char *text)
{
    pid_t number = 0;

    for (; *text >= '0' && *text <= '9' && number < 100000000; text++)
        number = number * 10 + (*text - '0');
    return number;
}

static int open_file(const char *path, int flags)
{
    return (int)xl_rawcall(SYS_openat, AT_FDCWD, address(path),
                           flags | O_CLOEXEC, 0);
}

/* Where that of the number has ended, and there is only one. */
static int one_number(const char *text, pid_t wanted)
{
    if (*text++ != '\t' || number_of(text) != wanted)
        return 0;
    while (*text >= '0' && *text <= '9')
        text++;
    return *text == '\n';
}

int xl_keeper_reads_proc(const char *status, pid_t self)
{
    static const char key[] = "\nNSpid:";
    size_t i;

    for (; *status != '\0'; status++) {
        for (i = 0; key[i] != '\0' && status[i] == key[i];)
            i++;
        if (key[i] == '\0')
            return one_number(status + i, self);
    }
    return 0;
}

/* It may be that of another pid namespace, whose numbers are others'. */
static int has_proc(pid_t self)
{
    char text[XL_KEEPER_STATUS];
    int fd = open_file("/proc/self/status", O_RDONLY);
    long n;

    if (fd < 0)
        return 0;
    n = call(SYS_read, fd, address(text), sizeof text - 1);
    (void)call(SYS_close, fd, 0, 0);
    text[n > 0 ? n : 0] = '\0';
    return xl_keeper_reads_proc(text, self);
}

/* The parent's number, as /proc/PID/stat has it; 0: no such process. */
static pid_t parent_of(pid_t pid)
{
    char text[256];
    char path[40];
    long n, i;
    int fd;

    (void)put_text(put_number(put_text(path, "/proc/"), pid), "/stat");
    fd = open_file(path, O_RDONLY);
    if (fd < 0)
        return 0;
    n = call(SYS_read, fd, address(text), sizeof text - 1);
    (void)call(SYS_close, fd, 0, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    for (i = n; i > 0 && text[i] != ')';) /* a name may have one, too */
        i--;
    /* ") S 123" */
    return i > 0 && i + 4 < n ? number_of(text + i + 4) : 0;
}

/* ---- whose descendant? -------------------------------------------------- */

/* Most processes of a machine are not: without a pidfd. */
static int seems_ours(pid_t self, pid_t pid)
{
    int depth;

    for (depth = 0; depth < DEEPEST && pid > 1; depth++) {
        pid = parent_of(pid);
        if (pid == self)
            return 1;
    }
    return 0;
}

static int is_there(int pidfd)
{
    long r = xl_rawcall(SYS_pidfd_send_signal, pidfd, 0, 0, 0);

    return r == 0 || r == -EPERM;
}

/* Of a process with a pidfd open: the pidfd of its parent, and who that is. The
 * child is asked again, for the number may have changed hands meanwhile. */
static int open_parent(pid_t pid, pid_t *ret_parent)
{
    pid_t parent = parent_of(pid);
    int fd;

    if (parent <= 1)
        return -1;
    fd = (int)call(SYS_pidfd_open, parent, 0, 0);
    if (fd >= 0 && parent_of(pid) != parent) {
        (void)call(SYS_close, fd, 0, 0);
        return -1;
    }
    *ret_parent = parent;
    return fd;
}

/* Signals pid if it descends from us. What is there still at the end has had
 * its number since its pidfd was opened, which was before it was asked whose
 * child it is: so that the whole line has been true. */
static void send_proved(pid_t self, pid_t pid, int signo)
{
    int fds[DEEPEST];
    int ours = 0;
    int n = 0;
    int i;

    fds[0] = (int)call(SYS_pidfd_open, pid, 0, 0);
    while (fds[n] >= 0 && n < DEEPEST - 1 && !ours) {
        ours = parent_of(pid) == self;
        n++;
        fds[n] = ours ? -1 : open_parent(pid, &pid);
    }
    if (fds[n] >= 0)
        n++;
    for (i = 0; i < n; i++)
        ours = ours && is_there(fds[i]);
    if (ours)
        (void)xl_rawcall(SYS_pidfd_send_signal, fds[0], signo, 0, 0);
    for (i = 0; i < n; i++)
        (void)call(SYS_close, fds[i], 0, 0);
}

/* ---- reaping ------------------------------------------------------------ */

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Ends when there is nobody left. The child's end is told before it is reaped,
 * which the parent may be waiting for. */
static void reap(const struct keeper *k)
{
    struct xl_keeper_note *note = k->note;
    struct rusage rusage;
    siginfo_t info;
    long r;

    for (;;) {
        info.si_pid = 0;
        r = xl_rawcall5(SYS_waitid, P_ALL, 0, address(&info),
                        WEXITED | WNOHANG | WNOWAIT | __WALL, address(&rusage));
        if (r == -ECHILD) {
            atomic_store(&note->empty, 1);
            leave(0);
        }
        if (r != 0 || info.si_pid == 0)
            return;
        if (info.si_pid == k->child && !atomic_load(&note->told)) {
            note->status = status_of(&info);
            note->rusage = rusage;
            atomic_store(&note->told, 1);
        }
        (void)xl_rawcall5(SYS_waitid, P_PID, info.si_pid, address(&info),
                          WEXITED | WNOHANG | __WALL, 0);
    }
}

/* ---- everybody, and our own children ------------------------------------ */

/* Our own children's numbers are theirs. With SIGKILL that is all: the others
 * come to us then. */
static void visit(const struct keeper *k, pid_t pid, int signo)
{
    if (parent_of(pid) == k->self)
        (void)call(SYS_kill, pid, signo, 0);
    else if (signo != SIGKILL && seems_ours(k->self, pid))
        send_proved(k->self, pid, signo);
}

/* Who forks and flees leaves zombies faster than all of /proc is read, and may
 * be killed meanwhile. */
static int has_better_to_do(const struct keeper *k, int signo)
{
    reap(k);
    return signo != SIGKILL &&
           (atomic_load(&k->note->asked) >> (SIGKILL - 1) & 1) != 0;
}

static void visit_all(const struct keeper *k, int signo)
{
    _Alignas(uint64_t) char buffer[2048];
    int dir = open_file("/proc", O_RDONLY | O_DIRECTORY);
    long n, at;

    if (dir < 0)
        return;
    while (!has_better_to_do(k, signo) &&
           (n = call(SYS_getdents64, dir, address(buffer), sizeof buffer)) > 0)
        for (at = 0; at < n;) {
            const struct dirent64_head *entry = (const void *)(buffer + at);
            pid_t pid = number_of(entry->name);

            at += entry->reclen;
            if (pid > 1)
                visit(k, pid, signo);
        }
    (void)call(SYS_close, dir, 0, 0);
}

/* By the kernel's own list of them: it is quicker than who forks and flees. */
static int kill_listed(void)
{
    char text[1024];
    int fd = open_file("/proc/thread-self/children", O_RDONLY);
    long n, i, start = 0;

    if (fd < 0)
        return -1;
    n = call(SYS_read, fd, address(text), sizeof text - 1);
    (void)call(SYS_close, fd, 0, 0);
    for (i = 0; i < n; i++) {
        pid_t pid;

        if (text[i] != ' ')
            continue;
        text[i] = '\0';
        pid = number_of(text + start);
        start = i + 1;
        if (pid > 1)
            (void)call(SYS_kill, pid, SIGKILL, 0);
    }
    return 0;
}

/* Without /proc: the child, whose number is its own until we reap it. */
static void signal_blindly(const struct keeper *k, int signo)
{
    if (!atomic_load(&k->note->told))
        (void)call(SYS_kill, k->child, signo, 0);
}

static void kill_round(struct keeper *k)
{
    if (!has_proc(k->self))
        signal_blindly(k, SIGKILL);
    else if (kill_listed() != 0)
        visit_all(k, SIGKILL);
    if (k->rounds < QUICK_ROUNDS)
        k->rounds++;
}

/* ---- its life ----------------------------------------------------------- */

static void tell(struct xl_keeper_note *note, int made)
{
    atomic_store(&note->made, made);
    (void)call(SYS_futex, address(&note->made), FUTEX_WAKE, 1);
}

/* Until here the table of fds is the parent's. -1: it stays that. */
static int leave_table(int leash)
{
    long r = call(SYS_close_range, (unsigned)leash + 1, ~0U,
                  CLOSE_RANGE_UNSHARE);

    if (r == 0 && leash > 0)
        r = call(SYS_close_range, 0, leash - 1, 0);
    return r == 0 ? 0 : -1;
}

static void do_asked(struct keeper *k)
{
    unsigned long asked = atomic_exchange(&k->note->asked, 0);
    int signo;

    for (signo = 1; signo < _NSIG && asked != 0; signo++, asked >>= 1) {
        if (!(asked & 1))
            continue;
        if (signo == SIGKILL)
            k->killing = 1;
        else if (has_proc(k->self))
            visit_all(k, signo);
        else
            signal_blindly(k, signo);
    }
    if (k->killing)
        kill_round(k);
}

/* Until something has happened. */
static void pause_for(const struct keeper *k)
{
    struct pollfd fds[2] = {{k->note->leash, 0, 0}, {k->signals, POLLIN, 0}};
    struct timespec time = {0, 0};
    char drop[128];
    int ms = -1;

    if (k->killing)
        ms = k->rounds < QUICK_ROUNDS ? QUICK_MS : SLOW_MS;
    else if (k->signals < 0)
        ms = BLIND_MS;
    time.tv_nsec = ms * 1000000L;
    (void)xl_rawcall5(SYS_ppoll, address(fds), 2,
                      ms < 0 ? 0 : address(&time), 0, 0);
    if (fds[0].revents != 0)
        leave(0);
    if (fds[1].revents & POLLIN)
        (void)call(SYS_read, k->signals, address(drop), sizeof drop);
}

int xl_keeper_run(void *arg)
{
    struct xl_keeper_note *note = arg;
    struct keeper k = {note, 0, 0, -1, 0, 0};
    unsigned long all[_NSIG / 8 / sizeof(unsigned long)];
    unsigned long mine[_NSIG / 8 / sizeof(unsigned long)];
    /* handler, flags, and whatever else the kernel's has: all zero */
    unsigned long by_default[4 + _NSIG / 8 / sizeof(unsigned long)];
    size_t i;

    for (i = 0; i < sizeof by_default / sizeof by_default[0]; i++)
        by_default[i] = 0;
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        all[i] = ~0UL;
        mine[i] = 0;
    }
    mine[0] = 1UL << (SIGCHLD - 1);
    (void)xl_rawcall(SYS_rt_sigprocmask, SIG_SETMASK, address(all), 0,
                     sizeof all);
    /* where the parent ignores it the kernel would reap all, untold */
    (void)xl_rawcall(SYS_rt_sigaction, SIGCHLD, address(by_default), 0,
                     sizeof all);
    (void)call(SYS_prctl, PR_SET_NAME, address("xlchild-keeper"), 0);
    (void)call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0);
    k.self = (pid_t)call(SYS_getpid, 0, 0, 0);
    if (k.self != *note->self) { /* a pid namespace of its children's */
        tell(note, -EOPNOTSUPP);
        leave(1);
    }
    if (note->parent != NULL)
        *note->parent = k.self;
    k.child = (pid_t)xl_clone3_call(&note->child, sizeof note->child, note->fn,
                                    note->arg);
    if (k.child < 0) {
        tell(note, k.child);
        leave(1);
    }
    if (leave_table(note->leash) != 0) {
        tell(note, 1);
        leave(1); /* the child's family has no keeper, and the parent sees it */
    }
    /* what is typed at a terminal, and who kills the parent's group, does not
     * mean this process */
    (void)call(SYS_setpgid, 0, 0, 0);
    tell(note, 1);
    k.signals = (int)xl_rawcall(SYS_signalfd4, -1, address(mine), sizeof mine,
                                O_NONBLOCK | O_CLOEXEC);
    for (;;) {
        reap(&k);
        do_asked(&k);
        pause_for(&k);
    }
}
