/* family.c - a family: a child's, and what is left when that has ended
 *
 * Called by api/families.c (the host), spawn.c (its child), child.c by the kin
 * (the child's end), pump.c (a cgroup's events) and timers. Next: cgroup.c,
 * send.c; and for those who wait, waiters.c and the deferred calls.
 */
#define _GNU_SOURCE
#include "child/family.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "child/cgroup_own.h"
#include "child/exit_watch.h"
#include "child/group_scan.h"
#include "child/send.h"
#include "child/wait_one.h"
#include "ctx/defer.h"
#include "ctx/events.h"
#include "ctx/waiters.h"
#include "kernel/facility.h"
#include "kernel/identity.h"
#include "kernel/own.h"
#include "kernel/stop_point.h"

#define LONGEST_PAUSE_MS 50
#define AWAKE_MS 250 /* a keeper that may have been stopped once more */

/* ---- watching ----------------------------------------------------------- */

static int watch(libxl_ctx *ctx, struct xl_family *family, int op,
                 unsigned events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT,
                                .data.u64 = family->slot | XL_TAG_STREAM};

    return xl_sys.epoll_ctl(ctx->pump.epfd, op,
                            family->events_fd >= 0 ? family->events_fd
                                                   : family->keeper->pidfd,
                            &event);
}

int xl_family_watch(libxl_ctx *ctx, struct xl_family *family)
{
    family->slot = xl_slots_add(&ctx->streams, family);
    if (family->slot == 0) {
        errno = ENOMEM;
        return -1;
    }
    if (watch(ctx, family, EPOLL_CTL_ADD, family->keeper ? EPOLLIN : 0) == 0)
        return 0;
    xl_slots_remove(&ctx->streams, family->slot);
    family->slot = 0;
    return -1;
}

static void unwatch(libxl_ctx *ctx, struct xl_family *family)
{
    if (family->slot != 0) { /* a keeper's fd is still open */
        (void)watch(ctx, family, EPOLL_CTL_DEL, 0);
        xl_slots_remove(&ctx->streams, family->slot);
        family->slot = 0;
    }
    xl_own_close(family->events_fd);
    family->events_fd = -1;
}

/* ---- those who wait ----------------------------------------------------- */

static void run_callback(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_family_ask *ask = xl_container(d, struct xl_family_ask, deferred);

    ask->how.callback(ctx, ask->rc, ask->how.u.for_callback);
    xl_free(ask);
}

static void answer_ask(libxl_ctx *ctx, struct xl_family_ask *ask, int rc)
{
    struct xl_box *box = ask->event;

    xl_list_remove(&ask->link);
    ctx->nfamily_waits--;
    if (box == NULL) {
        ask->rc = rc;
        ask->deferred.run = run_callback;
        xl_defer(ctx, &ask->deferred, NULL, 0);
        return;
    }
    box->event.type = LIBXL_EVENT_TYPE_OPERATION_COMPLETE;
    box->event.for_user = ask->how.u.for_event;
    box->event.u.operation_complete.rc = rc;
    xl_free(ask);
    xl_event_occurred(ctx, box, NULL, 0);
}

void xl_family_answer(libxl_ctx *ctx, struct xl_family *family, int rc)
{
    while (!xl_list_empty(&family->asks))
        answer_ask(ctx,
                   xl_container(family->asks.next, struct xl_family_ask, link),
                   rc);
    xl_waiters_wake_family(ctx, family->id);
}

/* ---- emptiness ---------------------------------------------------------- */

/* -1 also where the host has closed it: a group of another's may be named by
 * that number now. */
static int group_fd(struct xl_family *family)
{
    if (family->child != NULL) {
        xl_wait_prove_pidfd(family->child);
        return family->child->pidfd;
    }
    if (family->pidfd >= 0 && !xl_identity_pidfd_is(family->pidfd, family->pid,
                                                    family->pidfd_mark)) {
        xl_own_disturbed();
        xl_own_forget(family->pidfd);
        family->pidfd = -1;
    }
    return family->pidfd;
}

/* Is there such a group, of whoever? 1, 0 or ERROR_NI. While there is, its
 * number is nobody else's: zombies count, and so does an unreaped leader. */
static int group_exists(struct xl_family *family)
{
    int fd = group_fd(family);

    if (family->child != NULL && family->child->kept)
        return 1;
    if (fd < 0)
        return ERROR_NI;
    if (xl_sys.pidfd_send_signal(fd, 0, XL_PIDFD_SIGNAL_PROCESS_GROUP) == 0)
        return 1;
    if (errno == ESRCH)
        return 0;
    return errno == EINVAL || errno == ENOSYS ? ERROR_NI : 1;
}

static int group_is_empty(struct xl_family *family)
{
    int exists = group_exists(family);

    return exists == 1 ? family->dead : exists == 0 ? 1 : exists;
}

/* Its keeper was killed. Whoever is in the group can still be reached. */
static void keeper_is_gone(libxl_ctx *ctx, struct xl_family *family)
{
    int ending = family->ending && family->keeper->pidfd >= 0;

    unwatch(ctx, family);
    xl_keeper_bury(family->keeper);
    family->hold = LIBXL_HOLD_GROUP;
    family->why = "its keeper was killed: who had left the group is not in it";
    if (family->child != NULL && !family->over)
        xl_exit_watch_anew(ctx, family->child);
    if (ending) /* else the host has closed our pidfds, the group's, too */
        (void)xl_family_send(family, SIGKILL);
}

static int look(struct xl_family *family)
{
    if (!family->expects || family->empty)
        return 1;
    if (!family->over)
        return 0;
    switch (family->hold) {
    case LIBXL_HOLD_KEEPER:
        return xl_keeper_over(family->keeper) == 1;
    case LIBXL_HOLD_CGROUP:
        return family->events_fd < 0 ? ERROR_NI
                                     : xl_cgroup_is_empty(family->events_fd);
    case LIBXL_HOLD_GROUP:
        return group_is_empty(family);
    default:
        return ERROR_NI;
    }
}

static void is_empty(libxl_ctx *ctx, struct xl_family *family)
{
    family->empty = 1;
    xl_timer_disarm(&ctx->timers, &family->look);
    xl_timer_disarm(&ctx->timers, &family->kill);
    unwatch(ctx, family);
    if (family->keeper != NULL)
        xl_keeper_bury(family->keeper);
    xl_own_close(family->pidfd);
    family->pidfd = -1;
    if (family->cgroup != NULL)
        xl_cgroup_ask_removal(family->cgroup);
    xl_family_answer(ctx, family, 0);
}

static int wanted(const struct xl_family *family)
{
    return family->nwaiting > 0 || !xl_list_empty(&family->asks);
}

/* Somebody waits for what it is to do, and it tells nobody if it is stopped. */
static void keep_awake(libxl_ctx *ctx, struct xl_family *family, int ms)
{
    int64_t due = xl_after_ms(ms);

    xl_keeper_wake(family->keeper);
    if (!xl_timer_armed(&family->look) || family->look.due > due)
        xl_timer_arm(&ctx->timers, &family->look, due);
}

static void child_is_due(libxl_ctx *ctx, struct xl_kin *kin)
{
    struct xl_family *family = xl_container(kin, struct xl_family, kin);

    family->due = 1; /* before Linux 6.15 no pidfd tells of the reaping */
    if (family->hold == LIBXL_HOLD_KEEPER)
        keep_awake(ctx, family,
                   xl_facilities() & LIBXL_FACILITY_EXIT_INFO
                       ? AWAKE_MS
                       : XL_TICK_RETRY_MS);
}

/* A cgroup tells, and so does a keeper; a group is looked at, while somebody
 * wants to know. */
static void look_again(libxl_ctx *ctx, struct xl_family *family)
{
    if (family->slot != 0)
        (void)watch(ctx, family, EPOLL_CTL_MOD,
                    family->keeper != NULL ? EPOLLIN : EPOLLPRI);
    if (family->hold == LIBXL_HOLD_KEEPER && wanted(family))
        keep_awake(ctx, family, AWAKE_MS);
    if (family->slot != 0 || !wanted(family))
        return;
    if (!family->scan_due && family->hold == LIBXL_HOLD_GROUP) {
        family->scan_due = 1;
        ctx->nfamily_scans++;
    }
    if (xl_timer_armed(&family->look))
        return;
    xl_timer_arm(&ctx->timers, &family->look,
                 xl_after_ms(family->pause_ms) + 8 * family->scan_took);
    family->pause_ms = family->pause_ms * 2 < LONGEST_PAUSE_MS
                           ? family->pause_ms * 2
                           : LONGEST_PAUSE_MS;
}

int xl_family_look(libxl_ctx *ctx, struct xl_family *family)
{
    int r;

    if (family->hold == LIBXL_HOLD_KEEPER && family->started &&
        !family->empty && xl_keeper_over(family->keeper) < 0)
        keeper_is_gone(ctx, family);
    r = look(family);
    if (!family->expects || family->empty)
        return r;
    if (r == 1)
        is_empty(ctx, family);
    else if (r < 0)
        xl_family_answer(ctx, family, r);
    else if (family->over)
        look_again(ctx, family);
    return r;
}

/* Nobody is asked for by a number that may have gone meanwhile: the group has
 * been there before the scan, and is after it. */
static void scan(libxl_ctx *ctx, libxl_family_id id, pid_t group)
{
    struct xl_family *family;
    int64_t began = xl_now();
    int lives;

    pthread_mutex_unlock(&ctx->lock);
    XL_STOP_POINT("family: about to be scanned");
    lives = xl_group_lives(group);
    pthread_mutex_lock(&ctx->lock);
    family = xl_family_get(ctx, id);
    if (family == NULL || family->empty)
        return;
    family->scan_took = xl_now() - began;
    if (lives != 0 || group_exists(family) != 1)
        return;
    family->dead = 1;
    (void)xl_family_look(ctx, family);
}

void xl_family_scan_due(libxl_ctx *ctx)
{
    struct xl_list *node = ctx->families.next;

    while (ctx->nfamily_scans > 0 && node != &ctx->families) {
        struct xl_family *family = xl_container(node, struct xl_family, link);

        node = node->next;
        if (!family->scan_due)
            continue;
        family->scan_due = 0;
        ctx->nfamily_scans--;
        scan(ctx, family->id, family->pid);
        node = ctx->families.next; /* it may have changed */
    }
}

void xl_family_wanted(libxl_ctx *ctx, struct xl_family *family)
{
    family->pause_ms = 1;
    (void)xl_family_look(ctx, family);
}

static void look_due(libxl_ctx *ctx, struct xl_timer *timer)
{
    struct xl_family *family = xl_container(timer, struct xl_family, look);

    if (family->hold == LIBXL_HOLD_KEEPER && family->due && !family->over)
        xl_exit_watch_anew(ctx, family->child);
    (void)xl_family_look(ctx, family);
}

static void events_ready(libxl_ctx *ctx, struct xl_watched *watched,
                         unsigned events)
{
    (void)events;
    (void)xl_family_look(ctx, (struct xl_family *)(void *)watched);
}

/* ---- signals, and the end ----------------------------------------------- */

void xl_family_accounts_for(struct xl_family *family)
{
    libxl_ended_by before;

    if (family->child == NULL)
        return;
    before = xl_account_reason(family->child->more->account, LIBXL_ENDED_KILL);
    if (before != LIBXL_ENDED_UNKNOWN) /* it is being ended for another one */
        (void)xl_account_reason(family->child->more->account, before);
}

static int group_send(struct xl_family *family, int signo)
{
    int fd;

    if (family->child != NULL)
        return xl_send(family->child, signo, LIBXL_KILL_GROUP);
    fd = group_fd(family);
    if (fd < 0)
        return ERROR_NI;
    xl_account_wide();
    if (xl_sys.pidfd_send_signal(fd, signo,
                                 XL_PIDFD_SIGNAL_PROCESS_GROUP) == 0)
        return 0;
    if (errno == ESRCH)
        return ERROR_NOTFOUND;
    return errno == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM;
}

/* A keeper is asked for by the word, and has it done at once. */
static int kept_send(struct xl_family *family, int signo)
{
    if (signo != 0)
        xl_send_asked(family->over ? NULL : family->child, signo);
    if (xl_keeper_ask(family->keeper, signo) == 0)
        return 0;
    return xl_keeper_over(family->keeper) == 1 ? ERROR_NOTFOUND
                                               : group_send(family, signo);
}

static int send_to_all(struct xl_kin *kin, int signo)
{
    return xl_family_send(xl_container(kin, struct xl_family, kin), signo);
}

int xl_family_send(struct xl_family *family, int signo)
{
    if (!family->expects || family->empty)
        return ERROR_NOTFOUND;
    xl_family_accounts_for(family);
    switch (family->hold) {
    case LIBXL_HOLD_CGROUP:
        if (family->child != NULL && !family->over)
            return xl_send(family->child, signo, LIBXL_KILL_CGROUP);
        xl_account_wide();
        xl_cgroup_ask(family->cgroup, signo);
        return 0;
    case LIBXL_HOLD_KEEPER:
        if (family->child != NULL && family->child->pid < 0)
            return xl_send(family->child, signo, LIBXL_KILL_PROCESS);
        return kept_send(family, signo);
    case LIBXL_HOLD_GROUP:
        return group_send(family, signo);
    default:
        return ERROR_NI;
    }
}

static void kill_due(libxl_ctx *ctx, struct xl_timer *timer)
{
    (void)ctx;
    (void)xl_family_send(xl_container(timer, struct xl_family, kill), SIGKILL);
}

void xl_family_kill_later(libxl_ctx *ctx, struct xl_family *family,
                          int grace_ms)
{
    int64_t due = xl_after_ms(grace_ms);

    family->ending = 1;
    if (!family->empty &&
        !(xl_timer_armed(&family->kill) && family->kill.due <= due))
        xl_timer_arm(&ctx->timers, &family->kill, due);
}

static int ended_badly(const libxl_childproc_result *result)
{
    return result->lost != LIBXL_LOST_NONE || result->status != 0;
}

static void child_ended(libxl_ctx *ctx, struct xl_kin *kin,
                        const libxl_childproc_result *result)
{
    struct xl_family *family = xl_container(kin, struct xl_family, kin);
    int first = family->first_signal != 0 ? family->first_signal : SIGKILL;

    family->over = 1;
    if (family->end_when == LIBXL_FAMILY_ALWAYS ||
        (family->end_when == LIBXL_FAMILY_FAILURE && ended_badly(result))) {
        family->ending = 1;
        if (look(family) == 1)
            first = SIGKILL; /* to nobody */
        else
            (void)xl_family_send(family, first);
        if (first != SIGKILL)
            xl_family_kill_later(ctx, family, family->grace_ms);
    }
    xl_family_wanted(ctx, family);
}

libxl_kill_scope xl_family_scope(const struct xl_family *family)
{
    switch (family->hold) {
    case LIBXL_HOLD_CGROUP:
        return LIBXL_KILL_CGROUP;
    case LIBXL_HOLD_KEEPER:
        return XL_KILL_KEPT;
    default:
        return LIBXL_KILL_GROUP;
    }
}

static void policy_ends(struct xl_kin *kin, libxl_kill_scope scope)
{
    struct xl_family *family = xl_container(kin, struct xl_family, kin);

    if (family->end_when != LIBXL_FAMILY_NEVER &&
        scope == xl_family_scope(family))
        family->ending = 1;
}

static int child_status(struct xl_kin *kin, int *ret_status,
                        struct rusage *ret_rusage)
{
    struct xl_family *family = xl_container(kin, struct xl_family, kin);

    if (family->keeper == NULL)
        return -1;
    if (xl_keeper_told(family->keeper, ret_status, ret_rusage))
        return 1;
    return xl_keeper_over(family->keeper) == 0 ? 0 : -1;
}

static int child_goes(struct xl_kin *kin, int pidfd)
{
    struct xl_family *family = xl_container(kin, struct xl_family, kin);

    family->child = NULL;
    if (family->hold == LIBXL_HOLD_CGROUP || family->empty || pidfd < 0)
        return 0;
    family->pidfd = pidfd;
    family->pidfd_mark = xl_identity_of_pidfd(pidfd);
    return 1;
}

/* ---- its child ---------------------------------------------------------- */

void xl_family_init(struct xl_family *family)
{
    memset(family, 0, sizeof *family);
    family->watched.ready = events_ready;
    family->kin.child_ended = child_ended;
    family->kin.child_goes = child_goes;
    family->kin.child_status = child_status;
    family->kin.child_is_due = child_is_due;
    family->kin.send = send_to_all;
    family->kin.policy_ends = policy_ends;
    family->look.fire = look_due;
    family->kill.fire = kill_due;
    family->events_fd = family->pidfd = -1;
    family->pause_ms = 1;
    xl_list_init(&family->link);
    xl_list_init(&family->asks);
}

struct xl_family *xl_family_get(libxl_ctx *ctx, libxl_family_id id)
{
    return xl_slots_get(&ctx->families_by_id, id);
}

/* ---- letting go --------------------------------------------------------- */

void xl_family_let_go(libxl_ctx *ctx, struct xl_family *family, int rc)
{
    if (family->ending && !family->empty)
        (void)xl_family_send(family, SIGKILL);
    xl_timer_disarm(&ctx->timers, &family->look);
    xl_timer_disarm(&ctx->timers, &family->kill);
    unwatch(ctx, family);
    xl_own_close(family->pidfd);
    family->pidfd = -1;
    if (family->child != NULL)
        family->child->more->kin = NULL;
    family->child = NULL;
    if (family->cgroup != NULL && !family->empty)
        xl_cgroup_ask_removal(family->cgroup);
    xl_family_answer(ctx, family, rc);
    ctx->nfamily_scans -= family->scan_due;
    family->scan_due = 0;
    xl_list_remove(&family->link);
    xl_slots_remove(&ctx->families_by_id, family->id);
}

void xl_family_forget_fds(libxl_ctx *ctx)
{
    struct xl_list *node;

    for (node = ctx->families.next; node != &ctx->families; node = node->next) {
        struct xl_family *family = xl_container(node, struct xl_family, link);

        xl_own_forget(family->pidfd);
        xl_own_forget(family->events_fd);
        if (family->keeper != NULL) {
            xl_own_forget(family->keeper->pidfd);
            family->keeper->pidfd = -1;
        }
        if (family->slot != 0)
            xl_slots_remove(&ctx->streams, family->slot);
        family->slot = 0;
        family->pidfd = family->events_fd = -1;
    }
}
