/* facility.c - what this kernel, and its seccomp filter, let us use
 *
 * Called by mode.c and spawn.c before the first start. Each question has three
 * answers: yes, no, and not now. The last is that of a process which is out of
 * fds, memory or processes, or whose other threads wait for every child; such
 * a question stays open and is asked again (C25). See facility.h.
 */
#define _GNU_SOURCE
#include "kernel/facility.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/probe_child.h"
#include "kernel/stop_point.h"
#include "kernel/sys.h"
#include "xlchild/childproc.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

#define PROBE_STACK (128 * 1024)
#define TRIES 8 /* with a child each, while another thread's wait takes them */
#define LOOKS 1000 /* at what another thread's wait is about to leave behind */
#define PLAIN (CLONE_VM | CLONE_VFORK)
#define EVERYTHING                                                            \
    (LIBXL_FACILITY_PIDFD | LIBXL_FACILITY_EXIT_INFO | LIBXL_FACILITY_VFORK | \
     LIBXL_FACILITY_SHARED_FILES | LIBXL_FACILITY_CLOSE_RANGE |               \
     XL_FACILITY_CLONE3 | XL_FACILITY_PIDFD_OPEN)

static atomic_uint there;
static atomic_uint known; /* set after what it says of `there` */
static atomic_uint refused;

enum answer { NO, YES, NOT_NOW }; /* the last with errno */

struct probe {
    unsigned there, known;
    int errnoval; /* of the first question that stays open */
};

static void note(struct probe *p, unsigned bits, enum answer answer)
{
    if (answer == NOT_NOW) {
        if (p->errnoval == 0)
            p->errnoval = errno;
        return;
    }
    p->known |= bits;
    if (answer == YES)
        p->there |= bits;
}

static enum answer not_now(int errnoval)
{
    errno = errnoval;
    return NOT_NOW;
}

/* What a call that failed says of what it asks for. */
static enum answer refusal(void)
{
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EINTR:
        return NOT_NOW;
    }
    return NO;
}

/* ---- children ----------------------------------------------------------- */

struct trial {
    struct xl_probe_note note; /* the child writes there */
    pid_t pid;
    int pidfd;    /* -1: none */
    int reaped;   /* by us, and by nobody else's wait */
    int exited;   /* … with status 0 */
    int errnoval; /* why there is no pidfd that was to be opened */
};

/* Only a child without an exit signal can be meant: if this one is stolen,
 * and its number is another's, that one is left alone. */
static void reap(struct trial *t)
{
    siginfo_t info;
    int looks = 0;
    int r;

    do {
        memset(&info, 0, sizeof info);
        r = xl_sys.waitid(P_PID, (id_t)t->pid, &info, WEXITED | __WCLONE, NULL);
    } while (r != 0 && refusal() == NOT_NOW && looks++ < LOOKS);
    t->reaped = r == 0;
    t->exited = r == 0 && info.si_code == CLD_EXITED && info.si_status == 0;
}

/* Starts a child that ends at once. The exit signal is none, so that neither
 * SIGCHLD nor an ordinary wait sees it. With opens its pidfd is opened, which
 * is proven to be its own if it was still there to be reaped. 0, or -1 and
 * errno. */
static int try_child(int (*fn)(void *), void *stack, int flags, int opens,
                     struct trial *t)
{
    xl_sigset all, before;
    int saved;

    memset(t, 0, sizeof *t);
    t->pidfd = -1;
    xl_sigset_fill(&all);
    if (xl_sys.sigprocmask(SIG_SETMASK, &all, &before) != 0)
        return -1;
    t->pid = xl_sys.clone(fn, (char *)stack + PROBE_STACK, flags, &t->note,
                          &t->pidfd, NULL, NULL);
    saved = errno;
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    errno = t->pid < 0 ? saved : EINVAL;
    if (t->pid <= 1)
        return -1;
    if (opens) {
        t->pidfd = xl_sys.pidfd_open(t->pid, 0);
        t->errnoval = errno;
    }
    reap(t);
    return 0;
}

/* Does a child run in our memory? Its status need not be ours to say so. */
static enum answer shares_memory(void *stack)
{
    struct trial t;

    if (try_child(xl_probe_child, stack, PLAIN, 0, &t) != 0)
        return refusal();
    if (t.note.ran)
        return YES;
    /* it ran, but elsewhere: an emulator's fork */
    return t.exited ? NO : not_now(EAGAIN);
}

/* Arguments of no size are wrong, where anybody looks at them. */
static enum answer has_clone3(void)
{
    if (syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL)
        return YES;
    return refusal();
}

static enum answer shares_files(void *stack)
{
    struct trial t;

    if (try_child(xl_probe_child_unshare, stack, PLAIN | CLONE_FILES, 0, &t) !=
        0)
        return refusal();
    if (t.note.done) {
        errno = -t.note.r;
        return t.note.r == 0 ? YES : refusal();
    }
    /* killed in the call, by a filter; or by somebody, before it came there */
    return t.note.ran && t.reaped ? NO : not_now(EAGAIN);
}

/* Does the pidfd of a child that was reaped say how it ended? */
static enum answer tells_exit(const struct trial *t)
{
    struct xl_exit_info info;
    int looks;

    for (looks = 0; looks < LOOKS; looks++) {
        if (xl_sys.pidfd_exit_info(t->pidfd, &info) == 0) {
            if (info.known)
                return YES;
        } else if (errno != ESRCH) {
            return refusal();
        }
        if (t->reaped)
            return NO;
        sched_yield(); /* whoever took it may still be at it */
    }
    return not_now(EAGAIN);
}

/* Asks with a child whether a pidfd tells the exit status. *ret_pidfd: its
 * pidfd, or -1. */
static enum answer ask_exit(void *stack, int flags, int opens, int *ret_pidfd)
{
    enum answer answer = NO;
    struct trial t;
    int tries;

    *ret_pidfd = -1;
    for (tries = 0; tries < TRIES; tries++) {
        if (try_child(xl_probe_child, stack, flags, opens, &t) != 0)
            return refusal();
        if (t.pidfd < 0) {
            if (!opens)
                return NO; /* an old kernel does not know the flag */
            errno = t.errnoval;
            answer = errno == ESRCH ? not_now(EAGAIN) : refusal();
        } else if (opens && !t.reaped) {
            xl_close(t.pidfd); /* whose is it? */
            answer = not_now(EAGAIN);
        } else {
            answer = tells_exit(&t);
            if (answer != NOT_NOW) {
                *ret_pidfd = t.pidfd;
                return answer;
            }
            xl_close(t.pidfd);
        }
        if (answer == NO || (answer == NOT_NOW && errno != EAGAIN))
            break;
    }
    return answer;
}

/* ---- the questions ------------------------------------------------------ */

/* It is not our child: ECHILD means that it was looked up. */
static enum answer waits_by(int pidfd)
{
    siginfo_t info;

    if (xl_sys.waitid(XL_P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG,
                      NULL) == 0)
        return NO;
    return errno == ECHILD ? YES : refusal();
}

static void ask_pidfds(struct probe *p, void *stack)
{
    const unsigned both = LIBXL_FACILITY_PIDFD | LIBXL_FACILITY_EXIT_INFO;
    const unsigned vfork_and_open =
        LIBXL_FACILITY_VFORK | XL_FACILITY_PIDFD_OPEN;
    enum answer answer = NO;
    int pidfd = -1;

    if (xl_on_valgrind()) {
        /* it turns a shared-memory clone into a fork: ask for one */
        answer = ask_exit(stack, 0, 1, &pidfd);
    } else if (p->there & LIBXL_FACILITY_VFORK) {
        answer = ask_exit(stack, PLAIN | CLONE_PIDFD, 0, &pidfd);
        if (answer == NO && pidfd < 0)
            answer = ask_exit(stack, PLAIN, 1, &pidfd);
    } else if ((p->known & vfork_and_open) != vfork_and_open) {
        return; /* without an answer to these there is none here */
    }
    note(p, LIBXL_FACILITY_EXIT_INFO, answer);
    if (pidfd < 0)
        pidfd = xl_sys.pidfd_open(getpid(), 0);
    if (pidfd >= 0) {
        note(p, LIBXL_FACILITY_PIDFD, waits_by(pidfd));
        xl_close(pidfd);
    } else if (answer != NOT_NOW) {
        note(p, both, refusal());
    }
}

static void probe(struct probe *p)
{
    const unsigned close_range = LIBXL_FACILITY_CLOSE_RANGE;
    const unsigned vfork = LIBXL_FACILITY_VFORK;
    int pidfd = xl_sys.pidfd_open(getpid(), 0);
    void *stack;

    note(p, XL_FACILITY_PIDFD_OPEN, pidfd >= 0 ? YES : refusal());
    xl_close(pidfd);
    note(p, close_range,
         syscall(SYS_close_range, 0x7ffffff0U, ~0U, 0) == 0 ? YES : refusal());
    stack = xl_sys.mmap(PROBE_STACK);
    if (stack == (void *)-1) {
        note(p, 0, not_now(errno));
        return;
    }
    note(p, XL_FACILITY_CLONE3, has_clone3());
    note(p, vfork, xl_on_valgrind() ? NO : shares_memory(stack));
    if (((p->known & vfork) && !(p->there & vfork)) ||
        ((p->known & close_range) && !(p->there & close_range)))
        note(p, LIBXL_FACILITY_SHARED_FILES, NO);
    else if ((p->there & vfork) && (p->there & close_range))
        note(p, LIBXL_FACILITY_SHARED_FILES, shares_files(stack));
    ask_pidfds(p, stack);
    xl_munmap(stack, PROBE_STACK);
}

int xl_facility_ask(void)
{
    struct probe p = {0, 0, 0};

    /* two threads may ask at once: no lock that a fork could leave held */
    if (atomic_load(&known) == EVERYTHING)
        return 0;
    probe(&p);
    XL_STOP_POINT("facility: probed");
    atomic_fetch_or(&there, p.there);
    if ((atomic_fetch_or(&known, p.known) | p.known) == EVERYTHING)
        return 0;
    errno = p.errnoval != 0 ? p.errnoval : EAGAIN;
    return -1;
}

unsigned xl_facilities(void)
{
    (void)xl_facility_ask();
    return atomic_load(&there) & ~atomic_load(&refused);
}

unsigned xl_facility_known(void)
{
    (void)xl_facility_ask();
    return atomic_load(&known) | atomic_load(&refused);
}

void xl_facility_refused(unsigned bits)
{
    atomic_fetch_or(&refused, bits);
}

void xl_facility_limit(unsigned bits)
{
    atomic_store(&refused, ~bits);
}

static unsigned wanted(int forked)
{
    return LIBXL_FACILITY_PIDFD | (forked ? XL_FACILITY_PIDFD_OPEN : 0);
}

int xl_facility_pidfds(int forked)
{
    return (xl_facilities() & wanted(forked)) == wanted(forked);
}

int xl_facility_no_pidfds(int forked)
{
    return (xl_facility_known() & ~xl_facilities() & wanted(forked)) != 0;
}
