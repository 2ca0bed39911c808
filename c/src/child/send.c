/* send.c - a signal to a child, its group or its cgroup, and to nobody else
 *
 * Called by kill.c, and by reap.c for the rest of a group, under the ctx's
 * lock, so that a child that we have not reaped cannot be reaped by us
 * meanwhile. By pidfd where there is one; otherwise by number, after seeing
 * that the child is still there to be waited for.
 */
#define _GNU_SOURCE
#include "child/send.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "child/wait_one.h"
#include "kernel/numbers.h"
#include "kernel/stop_point.h"

static int answer(int r)
{
    if (r == 0)
        return 0;
    if (errno == ESRCH)
        return ERROR_NOTFOUND;
    return errno == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM;
}

enum { LIVES, ENDED, GONE };

/* Whether the pid is that of our child still (not reaped by anybody), and
 * whether that has ended: the kernel takes signals for zombies. */
static int state(struct xl_child *child)
{
    siginfo_t info;

    switch (xl_wait_one(child, WEXITED | WNOWAIT, &info, NULL)) {
    case 0:
        return LIVES;
    case 1:
        return ENDED;
    default:
        return GONE;
    }
}

/* An adopted process cannot be waited for, but its pidfd tells. */
static int has_ended(struct xl_child *child)
{
    struct pollfd pollfd = {.fd = child->pidfd, .events = POLLIN};

    if (child->adopted)
        return xl_sys.poll(&pollfd, 1, 0) > 0;
    return state(child) != LIVES;
}

static int kill_by_number(struct xl_child *child, int signo, int group)
{
    return answer(xl_numbers_kill(&child->reg, signo, group));
}

/* The child was not started for this scope. */
static int out_of_scope(const struct xl_child *child, libxl_kill_scope scope)
{
    return (scope == LIBXL_KILL_CGROUP && child->more->cgroup == NULL) ||
           (scope == LIBXL_KILL_GROUP && !child->leads_group);
}

/* Its start is in flight: whatever the scope, there is nobody but itself. */
static int send_early(struct xl_child *child, int signo)
{
    xl_account_sent(child->more->account, signo, 0);
    if (xl_numbers_kill_starting(&child->reg, signo) == 0)
        return 0;
    /* It is not there yet, or has just come out of its start: whoever starts
     * it will see to it. */
    if (child->early_signal != SIGKILL)
        child->early_signal = (unsigned char)signo;
    return 0;
}

static int in_flight(const struct xl_child *child)
{
    struct xl_setting_up *flight = child->setting_up;

    return flight != NULL && !child->ended && !flight->settled(flight);
}

static int send_to(struct xl_child *child, int signo, libxl_kill_scope scope)
{
    int group = scope == LIBXL_KILL_GROUP;
    int r;

    if (scope == XL_KILL_KEPT) {
        int ended = child->ended || has_ended(child);

        r = child->more->kin->send(child->more->kin, signo);
        return r == 0 && ended ? ERROR_NOTFOUND : r;
    }
    if (scope == LIBXL_KILL_CGROUP) {
        /* no need of its number; whoever is left is there after its end */
        xl_cgroup_ask(child->more->cgroup, signo);
        return child->ended || has_ended(child) ? ERROR_NOTFOUND : 0;
    }
    /* a group may outlive its leader, whose number it keeps */
    if (!group && (child->ended || has_ended(child)))
        return ERROR_NOTFOUND;
    if (child->pidfd < 0)
        return kill_by_number(child, signo, group);
    XL_STOP_POINT("send: seen alive");
    r = xl_sys.pidfd_send_signal(child->pidfd, signo,
                                 group ? XL_PIDFD_SIGNAL_PROCESS_GROUP : 0);
    if (r != 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM)) {
        int refused = errno;

        /* groups by pidfd came with Linux 6.9; a filter may refuse all. An
         * adopted process has no number to rely on, unless it is our child. */
        if (!child->adopted || state(child) != GONE)
            return kill_by_number(child, signo, group);
        errno = refused;
    }
    if (r != 0 && (errno == EINVAL || errno == ENOSYS))
        return ERROR_NI;
    return answer(r);
}

/* It may not be in its group, or cgroup, yet. Whoever is there is reached once
 * it is killed; another signal reaches it once. */
static int send_wide_in_flight(struct xl_child *child, int signo,
                               libxl_kill_scope scope)
{
    int itself;
    int all;

    if (signo == SIGKILL) {
        itself = send_to(child, SIGKILL, LIBXL_KILL_PROCESS);
        all = send_to(child, SIGKILL, scope);
        return itself == 0 ? 0 : all;
    }
    all = send_to(child, signo, scope);
    return all == ERROR_NOTFOUND ? send_to(child, signo, LIBXL_KILL_PROCESS)
                                 : all;
}

static int send_now(struct xl_child *child, int signo, libxl_kill_scope scope)
{
    if (scope != LIBXL_KILL_PROCESS && in_flight(child))
        return send_wide_in_flight(child, signo, scope);
    return send_to(child, signo, scope);
}

/* It has not ended. */
static int reaches(struct xl_child *child)
{
    int saved = errno;
    int lives = child->pid > 0 && !child->ended && !has_ended(child);

    errno = saved;
    return lives;
}

/* Its account says what it was sent, and whether it was alive then: before and
 * after, for the kernel takes signals for zombies, too. */
static int send_noted(struct xl_child *child, int signo, libxl_kill_scope scope)
{
    int lived = reaches(child);
    int rc = send_now(child, signo, scope);

    if (rc == 0 && lived) /* a cgroup, or a keeper, has only been asked */
        xl_account_sent(child->more->account, signo,
                        scope < LIBXL_KILL_CGROUP && reaches(child));
    return rc;
}

void xl_send_asked(struct xl_child *child, int signo)
{
    xl_account_wide();
    if (child != NULL && child->more->account != NULL && reaches(child))
        xl_account_sent(child->more->account, signo, 0);
}

void xl_send_done(struct xl_child *child, int asked, int signo, int rc)
{
    if (child == NULL || child->more->account == NULL)
        return;
    if (rc != 0 || signo != asked)
        xl_account_not_sent(child->more->account, asked);
    if (rc == 0)
        xl_account_sent(child->more->account, signo, reaches(child));
}

/* Not to whoever has its pidfd's number by now. */
static int is_to_be_reached(struct xl_child *child)
{
    xl_wait_prove_pidfd(child);
    if (child->pidfd >= 0 || !child->adopted || child->ended)
        return 0;
    if (xl_wait_renew_pidfd(child) == 0)
        return 0;
    return errno == ESRCH ? ERROR_NOTFOUND : ERROR_SYSTEM;
}

int xl_send(struct xl_child *child, int signo, libxl_kill_scope scope)
{
    int rc;

    if (scope == XL_KILL_KEPT && child->more->kin == NULL)
        scope = LIBXL_KILL_GROUP; /* its family was let go of */
    if (out_of_scope(child, scope))
        return ERROR_INVAL;
    if (child->pid < 0)
        return send_early(child, signo);
    rc = is_to_be_reached(child);
    if (rc != 0)
        return rc;
    if (scope != LIBXL_KILL_PROCESS)
        xl_account_wide();
    return child->more->account != NULL ? send_noted(child, signo, scope)
                                        : send_now(child, signo, scope);
}

libxl_kill_scope xl_send_goes_with(struct xl_child *child,
                                   libxl_kill_scope scope)
{
    libxl_kill_scope before = child->end_scope;

    child->end_scope = scope;
    if (scope == LIBXL_KILL_GROUP)
        xl_account_wide(); /* whoever reaps it kills its group */
    if ((before == LIBXL_KILL_GROUP) != (scope == LIBXL_KILL_GROUP) &&
        !child->adopted && !child->ended)
        xl_registry_group_goes(&child->reg, scope == LIBXL_KILL_GROUP);
    return before;
}

int xl_send_rest(struct xl_child *child)
{
    int now = ENDED;

    if (child->end_scope == LIBXL_KILL_PROCESS)
        return 1;
    if (!child->adopted)
        now = state(child);
    if (now == LIVES)
        return 0;
    /* neither a pidfd nor a cgroup's name needs the number, and where it is
     * needed it is proved */
    (void)xl_send(child, SIGKILL, child->end_scope);
    (void)xl_send_goes_with(child, LIBXL_KILL_PROCESS);
    return 1;
}

void xl_send_rest_late(struct xl_child *child)
{
    if (child->end_scope != LIBXL_KILL_PROCESS)
        (void)xl_send(child, SIGKILL, child->end_scope);
}
