/* numbers.c - pids, which are believed only with proof
 *
 * Called by reap.c (everybody), wait_one.c and send.c (one child without a
 * pidfd), child.c (kept ones) and both ways of starting (what came to
 * nothing). Next: the kernel. See numbers.h.
 */
#define _GNU_SOURCE
#include "kernel/numbers.h"

#include <errno.h>
#include <sys/wait.h>

#include "kernel/identity.h"
#include "kernel/own.h"
#include "kernel/stop_point.h"
#include "kernel/sys.h"

#define MAX_TRIES 64 /* while others are quicker */

static int wait_by(int idtype, int id, int options, siginfo_t *info,
                   struct rusage *rusage)
{
    int r;

    do {
        info->si_pid = 0;
        r = xl_sys.waitid(idtype, (id_t)id, info, options, rusage);
    } while (r != 0 && errno == EINTR);
    return r;
}

enum proof {
    IT_IS,      /* it has ended, is unreaped, and the number is its own */
    IT_LIVES,   /* it has not ended */
    IT_IS_GONE, /* it has been reaped by somebody */
    IT_IS_ANOTHER, /* the same, and the number is somebody else's by now */
};

/* pid is the number of a process that has ended, or not. */
static enum proof prove(pid_t pid, int pidfd, uint64_t mark)
{
    siginfo_t info;

    if (pidfd >= 0) {
        int r = wait_by(XL_P_PIDFD, pidfd, WEXITED | WNOHANG | WNOWAIT, &info,
                        NULL);

        if (r == 0 && info.si_pid == 0)
            return IT_LIVES;
        if (r == 0 && info.si_pid == pid)
            return IT_IS;
        /* r == 0: closed by the host, and its number is another pidfd's now */
        if (r != 0 && errno == ECHILD)
            return IT_IS_GONE;
        /* to wait by pidfd is refused */
        if (r != 0 && mark == 0)
            mark = xl_identity_of_pidfd(pidfd);
    }
    if (wait_by(P_PID, pid, WEXITED | WNOHANG | WNOWAIT, &info, NULL) != 0)
        return IT_IS_GONE;
    if (!xl_identity_is(pid, mark))
        return errno == ESRCH ? IT_IS_GONE : IT_IS_ANOTHER;
    return info.si_pid != 0 ? IT_IS : IT_LIVES;
}

/* The host has not closed it: nobody else has its number. */
static int is_of(int pidfd, pid_t pid)
{
    siginfo_t info;

    return !xl_own_is_disturbed() ||
           wait_by(XL_P_PIDFD, pidfd, WEXITED | WNOHANG | WNOWAIT, &info,
                   NULL) != 0 ||
           info.si_pid == 0 || info.si_pid == pid;
}

/* Reaps what is to be reaped by pidfd, which is its own proof, or has been
 * proved. -1: somebody who is not of this library was quicker. */
static int reap_proved(pid_t pid, int pidfd, siginfo_t *info,
                       struct rusage *rusage)
{
    const int options = WEXITED | WNOHANG;

    int r = -1;

    errno = ENOSYS;
    if (pidfd >= 0 && is_of(pidfd, pid))
        r = wait_by(XL_P_PIDFD, pidfd, options, info, rusage);
    if (r == 0 && info->si_pid != 0 && info->si_pid != pid) {
        xl_own_disturbed();
        errno = EBADF;
        r = -1;
    }
    if (r != 0 && errno != ECHILD) /* by pidfd is refused */
        r = wait_by(P_PID, pid, options, info, rusage);
    if (r == 0 && info->si_pid == 0) {
        errno = EAGAIN; /* it lives */
        r = -1;
    }
    return r;
}

int xl_wait_status(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (info->si_status & 0xff) << 8;
    case CLD_DUMPED:
        return (info->si_status & 0x7f) | 0x80;
    case CLD_KILLED:
        return info->si_status & 0x7f;
    case CLD_STOPPED:
    case CLD_TRAPPED:
        return (info->si_status & 0xff) << 8 | 0x7f;
    default:
        return 0xffff; /* continued */
    }
}

/* Whoever is left of a group that goes with its leader, who is unreaped. */
static void end_group(const struct xl_registry_entry *entry)
{
    if (!entry->group_goes || entry->pid <= 1)
        return;
    (void)xl_sys.kill(-entry->pid, SIGKILL);
}

/* ---- everybody ---------------------------------------------------------- */

/* Its pid was seen to have ended: 1, and it has been reaped. 0: it lives, or it
 * is not the one that was seen, and has been retired. */
static int reap_known(struct xl_registry_entry *entry, siginfo_t *info,
                      struct rusage *rusage)
{
    /* a wait by pidfd is its own proof; but the group goes before */
    if (entry->pidfd < 0 || entry->group_goes) {
        enum proof proof = prove(entry->pid, entry->pidfd, entry->mark);

        switch (proof) {
        case IT_LIVES:
            return 0;
        case IT_IS_GONE:
        case IT_IS_ANOTHER:
            entry->number_reused = proof == IT_IS_ANOTHER;
            xl_registry_retire(entry);
            return 0;
        case IT_IS:
            end_group(entry);
            break;
        }
    }
    if (reap_proved(entry->pid, entry->pidfd, info, rusage) == 0)
        return 1;
    if (errno == ECHILD)
        xl_registry_retire(entry);
    return 0;
}

/* NONE: another try is due. */
static enum xl_number_answer reap_entry(struct xl_wakeup *owner,
                                        struct xl_registry_entry *entry,
                                        siginfo_t *info, struct rusage *rusage)
{
    if (!reap_known(entry, info, rusage))
        return XL_NUMBER_NONE;
    if (entry->kept) {
        xl_registry_retire(entry);
        return XL_NUMBER_KEPT;
    }
    if (entry->owner == owner)
        return XL_NUMBER_OURS;
    xl_registry_hand_over(entry, xl_wait_status(info));
    return XL_NUMBER_HANDED;
}

static enum xl_number_answer reap_start(struct xl_registry_start *start,
                                        siginfo_t *info, struct rusage *rusage)
{
    pid_t pid = atomic_load(&start->pid);
    int pidfd = atomic_load(&start->pidfd);

    if (prove(pid, pidfd, 0) != IT_IS ||
        reap_proved(pid, pidfd, info, rusage) != 0)
        return XL_NUMBER_NONE;
    start->reaped = 1;
    start->status = xl_wait_status(info);
    start->rusage = *rusage;
    return XL_NUMBER_HANDED;
}

/* pid was seen to have ended. NONE: look again. */
static enum xl_number_answer reap_seen(struct xl_wakeup *owner, pid_t pid,
                                       struct xl_registry_entry **ret_entry,
                                       siginfo_t *info, struct rusage *rusage)
{
    struct xl_registry_entry *entry = xl_registry_entry_of(pid);
    struct xl_registry_start *start;
    enum xl_number_answer answer;

    if (entry != NULL && !entry->handed_over) {
        *ret_entry = entry;
        answer = reap_entry(owner, entry, info, rusage);
        if (answer != XL_NUMBER_NONE || xl_registry_entry_of(pid) == entry)
            return answer;
        /* the number is another process's by now */
    }
    start = xl_registry_start_of(pid);
    if (start != NULL && !start->reaped) {
        answer = reap_start(start, info, rusage);
        if (answer != XL_NUMBER_NONE)
            return answer;
    }
    if (wait_by(P_PID, pid, WEXITED | WNOHANG, info, rusage) != 0 ||
        info->si_pid == 0)
        return XL_NUMBER_NONE;
    return xl_registry_limbo_add(owner, pid, xl_wait_status(info))
               ? XL_NUMBER_LIMBO
               : XL_NUMBER_STRANGER;
}

enum xl_number_answer xl_numbers_reap_anybody(
    struct xl_wakeup *owner, struct xl_registry_entry **ret_entry,
    siginfo_t *info, struct rusage *rusage)
{
    enum xl_number_answer answer = XL_NUMBER_NONE;
    int tries;

    for (tries = 0; tries < MAX_TRIES && answer == XL_NUMBER_NONE; tries++) {
        /* The look walks all children: without the lock. What it finds is
         * looked at again. */
        if (wait_by(P_ALL, 0, WEXITED | WNOHANG | WNOWAIT, info, NULL) != 0 ||
            info->si_pid == 0)
            return XL_NUMBER_NONE;
        XL_STOP_POINT("reap: looked");
        xl_registry_lock();
        answer = reap_seen(owner, info->si_pid, ret_entry, info, rusage);
        xl_registry_unlock();
    }
    return answer;
}

void xl_numbers_hand_on(struct xl_wakeup *owner, const siginfo_t *info,
                        const struct rusage *rusage)
{
    int status = xl_wait_status(info);
    struct xl_registry_entry *entry;
    struct xl_registry_start *start;

    xl_registry_lock();
    entry = xl_registry_entry_of(info->si_pid);
    start = xl_registry_start_of(info->si_pid);
    if (entry != NULL && !entry->handed_over) {
        if (entry->kept)
            xl_registry_retire(entry);
        else
            xl_registry_hand_over(entry, status);
        owner = NULL;
    } else if (start != NULL && !start->reaped) {
        start->reaped = 1;
        start->status = status;
        if (rusage != NULL)
            start->rusage = *rusage;
        owner = NULL;
    }
    xl_registry_unlock();
    if (owner != NULL)
        (void)xl_registry_forward(owner, info->si_pid, status, owner);
}

/* ---- one child, by number ----------------------------------------------- */

int xl_numbers_wait(struct xl_registry_entry *entry, int options,
                    siginfo_t *info, struct rusage *rusage)
{
    int prove_living = (options & XL_WAIT_PROVED) != 0;
    uint64_t mark =
        entry->mark != 0 ? entry->mark : xl_identity_of_pidfd(entry->pidfd);
    int r = -1;

    options &= ~XL_WAIT_PROVED;
    info->si_pid = 0;
    xl_registry_lock();
    errno = ECHILD;
    if (entry->pid <= 1 || entry->handed_over)
        goto out;
    if (options & WEXITED) {
        r = wait_by(P_PID, entry->pid, WEXITED | WNOHANG | WNOWAIT, info, NULL);
        if (r != 0)
            goto out;
        if ((info->si_pid != 0 || prove_living) &&
            !xl_identity_is(entry->pid, mark)) {
            entry->number_reused = errno != ESRCH;
            xl_registry_retire(entry);
            info->si_pid = 0;
            errno = ECHILD;
            r = -1;
            goto out;
        }
        if (info->si_pid == 0)
            goto out;
        if (!(options & WNOWAIT))
            end_group(entry);
    }
    r = wait_by(P_PID, entry->pid, options | WNOHANG, info, rusage);
out:
    xl_registry_unlock();
    return r == 0 ? info->si_pid != 0 : r;
}

int xl_numbers_kill(const struct xl_registry_entry *entry, int signo, int group)
{
    int r = -1;

    xl_registry_lock();
    if (entry->pid <= 1 || entry->handed_over ||
        prove(entry->pid, entry->pidfd, entry->mark) >= IT_IS_GONE) {
        errno = ESRCH;
    } else {
        XL_STOP_POINT("send: looked");
        r = xl_sys.kill(group ? -entry->pid : entry->pid, signo);
    }
    xl_registry_unlock();
    return r;
}

int xl_numbers_kill_starting(const struct xl_registry_entry *entry, int signo)
{
    struct xl_registry_start *start;
    int r = -1;

    xl_registry_lock();
    start = xl_registry_start_by_entry(entry);
    if (start != NULL && !start->reaped && !start->passed) {
        pid_t pid = atomic_load(&start->pid);
        int pidfd = atomic_load(&start->pidfd);

        if (pidfd >= 0)
            r = xl_sys.pidfd_send_signal(pidfd, signo, 0);
        /* whoever started it has not reaped it */
        if (r != 0 && pid > 1 && !start->foreign)
            r = xl_sys.kill(pid, signo);
    }
    xl_registry_unlock();
    return r;
}

/* ---- kept ones ---------------------------------------------------------- */

void xl_numbers_keep(struct xl_registry_entry *entry, int without_pidfd)
{
    uint64_t mark = 0;

    if (without_pidfd)
        mark = xl_identity_mark(entry->pid, entry->pidfd);
    xl_registry_lock();
    entry->kept = 1;
    if (without_pidfd) {
        entry->mark = mark;
        entry->pidfd = -1;
    }
    xl_registry_unlock();
}

void xl_numbers_pidfd_is(struct xl_registry_entry *entry, int pidfd)
{
    xl_registry_lock();
    entry->pidfd = pidfd;
    xl_registry_unlock();
}

void xl_numbers_mark(struct xl_registry_entry *entry, uint64_t mark)
{
    xl_registry_lock();
    entry->mark = mark;
    xl_registry_unlock();
}

void xl_numbers_reap_kept(struct xl_registry_entry *entry)
{
    struct rusage rusage;
    siginfo_t info;

    xl_registry_lock();
    if (entry->pid > 1 && entry->kept) {
        if (prove(entry->pid, entry->pidfd, entry->mark) == IT_IS) {
            end_group(entry);
            (void)reap_proved(entry->pid, entry->pidfd, &info, &rusage);
        }
        xl_registry_retire(entry);
    }
    xl_registry_unlock();
}

/* ---- what came to nothing ----------------------------------------------- */

/* Sleeps until it has ended, which it is about to. -1: somebody reaped it. */
static int await_end(pid_t pid, int pidfd, siginfo_t *info)
{
    int r = -1;

    if (pidfd >= 0)
        r = wait_by(XL_P_PIDFD, pidfd, WEXITED | WNOWAIT, info, NULL);
    if (r != 0 && (pidfd < 0 || errno != ECHILD))
        r = wait_by(P_PID, pid, WEXITED | WNOWAIT, info, NULL);
    return r;
}

int xl_numbers_start_ended(const struct xl_registry_start *start)
{
    int ended;

    xl_registry_lock();
    ended = start->reaped || start->passed;
    xl_registry_unlock();
    return ended;
}

int xl_numbers_start_killed(const struct xl_registry_start *start, pid_t pid,
                            int pidfd)
{
    siginfo_t info;
    int killed = 0;

    if (!xl_numbers_start_ended(start) && await_end(pid, pidfd, &info) == 0)
        return info.si_code != CLD_EXITED;
    xl_registry_lock();
    if (start->reaped || start->passed)
        killed = WIFSIGNALED(start->status);
    xl_registry_unlock();
    return killed;
}

void xl_numbers_bury(struct xl_registry_start *start, pid_t pid, int pidfd)
{
    struct rusage rusage;
    siginfo_t info;
    int r = -1;

    if (!xl_numbers_start_ended(start)) /* else the number is not its own */
        r = await_end(pid, pidfd, &info);
    xl_registry_lock();
    if (r == 0)
        (void)reap_proved(pid, pidfd, &info, &rusage);
    atomic_store(&start->pid, 0);
    atomic_store(&start->pidfd, -1);
    xl_registry_unlock();
    xl_close(pidfd);
}
