/* reap.c - learning how children ended, by the policy of each mode
 *
 * Called by pump.c (a pidfd, the self-pipe, a tick) and host_reaps.c (the host
 * says that there is something). Next: child.c reports. A
 * status is the kernel's or it is LOST: nothing here makes one up.
 */
#include "child/reap.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "child/wait_one.h"
#include "child/child.h"
#include "ctx/defer.h"
#include "kernel/facility.h"
#include "ctx/log.h"
#include "child/mode.h"
#include "ctx/process.h"
#include "kernel/numbers.h"
#include "kernel/stop_point.h"
#include "child/send.h"
#include "child/exit_watch.h"

#define STRANGERS_PER_WAKE 256
#define STATUS_RETRIES 100
#define AUDIT_NS INT64_C(4000000000)
#define AUDIT_MANY 1000
#define MAX_LOOKS 2 /* at a recent one, before it is put under watch */

/* ---- a status that somebody else took ----------------------------------- */

static libxl_childproc_lost why_lost(const struct xl_child *child)
{
    struct xl_sigchld_state state;

    if (child->adopted)
        return LIBXL_LOST_NOT_OURS;
    if (child->pidfd < 0 && xl_registry_number_reused(&child->reg))
        return LIBXL_LOST_NUMBER_REUSED;
    if (xl_sigchld_look(&state) == 0 && state.ignored)
        return LIBXL_LOST_IGNORED;
    return LIBXL_LOST_STOLEN;
}

/* As the pidfd tells; there is none any more where the host has closed it. */
static void ask_pidfd(struct xl_child *child, struct xl_exit_info *ret_info)
{
    if (child->pidfd < 0 || xl_sys.pidfd_exit_info(child->pidfd, ret_info) == 0)
        return;
    ret_info->known = 0;
    if (errno == EBADF)
        xl_wait_drop_pidfd(child);
}

/* The child is no longer there to be waited for. 1: it has been reported. */
static int recover(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_exit_info info = {0, 0, 0};
    int status;

    xl_send_rest_late(child);
    if (xl_registry_handed_over(&child->reg, &status)) {
        xl_child_ended(ctx, child, status, LIBXL_LOST_NONE, LIBXL_SOURCE_REAPED,
                       NULL);
        return 1;
    }
    ask_pidfd(child, &info);
    if (info.known) {
        xl_child_ended(ctx, child, info.status, LIBXL_LOST_NONE,
                       LIBXL_SOURCE_PIDFD, NULL);
        return 1;
    }
    /* Between a thief's wait and the kernel's record of it there is a moment;
     * where there will be a record, wait for it. */
    if (child->pidfd >= 0 && (xl_facilities() & LIBXL_FACILITY_EXIT_INFO) &&
        child->retries < STATUS_RETRIES) {
        child->retries++;
        xl_exit_watch(ctx, child, !child->recent);
        ctx->nrecent -= child->recent;
        child->recent = 0;
        xl_exit_watch_unannounced(ctx, child);
        xl_timer_arm(&ctx->timers, &ctx->tick, xl_after_ms(XL_TICK_RETRY_MS));
        return 0;
    }
    xl_child_ended(ctx, child, 0, why_lost(child), LIBXL_SOURCE_NONE, NULL);
    return 1;
}

static void grace_over(libxl_ctx *ctx, struct xl_timer *timer);

static void give_grace(libxl_ctx *ctx, struct xl_child *child)
{
    child->timer.fire = grace_over;
    xl_timer_arm(&ctx->timers, &child->timer,
                 xl_after_ms(child->exited_grace_ms));
}

/* Mainloop mode: whoever reaped it, rightfully, may be about to pass it on. */
static void leave_to_host(libxl_ctx *ctx, struct xl_child *child)
{
    if (!child->reaped || child->timer.fire != grace_over)
        give_grace(ctx, child);
    child->reaped = 1;
}

int xl_reap_look(libxl_ctx *ctx, struct xl_child *child)
{
    struct rusage rusage;
    siginfo_t info;
    int keeps = xl_child_keeps_number(ctx, child);
    int r;

    if (!xl_send_rest(child))
        return 0;
    r = xl_wait_one(child,
                    WEXITED | (keeps ? WNOWAIT : 0) |
                        (ctx->thorough ? XL_WAIT_PROVED : 0),
                    &info, &rusage);
    if (r == 0)
        return 0;
    if (r < 0 && ctx->mode.in_force == libxl_sigchld_owner_mainloop) {
        leave_to_host(ctx, child);
        return 0;
    }
    if (r < 0)
        return recover(ctx, child);
    XL_STOP_POINT("reap: taken by its pid");
    if (keeps) {
        xl_child_ended_unreaped(ctx, child, xl_wait_status(&info), &rusage);
        return 1;
    }
    xl_child_ended(ctx, child, xl_wait_status(&info), LIBXL_LOST_NONE,
                   LIBXL_SOURCE_REAPED, &rusage);
    return 1;
}

int xl_reap_recent(libxl_ctx *ctx)
{
    struct xl_list *node;
    int ended = 0;

    if (ctx->nrecent == 0)
        return 0;
    for (node = xl_exit_watch_first_recent(ctx); node != &ctx->live;) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        node = node->next;
        if (!child->recent)
            continue;
        child->looks++;
        if (xl_reap_look(ctx, child))
            ended++;
        else if (child->looks == MAX_LOOKS)
            xl_exit_watch_no_longer_recent(ctx, child);
    }
    return ended;
}

/* ---- processes that others reap ----------------------------------------- */

static void adopted_ended(libxl_ctx *ctx, struct xl_child *child, int status,
                          libxl_childproc_lost lost,
                          libxl_childproc_source source,
                          const struct rusage *rusage)
{
    (void)xl_send_rest(child);
    xl_child_ended(ctx, child, status, lost, source, rusage);
}

/* A keeper's child, which the kernel tells only its parent of (before Linux
 * 6.15). 1: it has been reported, or is about to be. */
static int look_at_kept(libxl_ctx *ctx, struct xl_child *child)
{
    struct pollfd pollfd = {.fd = child->pidfd, .events = POLLIN};
    struct rusage rusage;
    siginfo_t si;
    int status;

    if (child->more->kin == NULL)
        return 0;
    switch (
        child->more->kin->child_status(child->more->kin, &status, &rusage)) {
    case 1:
        break;
    case 0:
        if (xl_sys.poll(&pollfd, 1, 0) > 0) /* else a tick has come by */
            child->more->kin->child_is_due(ctx, child->more->kin);
        return 1;
    default: /* the keeper has just gone: it may be ours by now */
        if (xl_wait_one(child, WEXITED, &si, &rusage) <= 0)
            return xl_sys.poll(&pollfd, 1, 0) == 0;
        status = xl_wait_status(&si);
    }
    adopted_ended(ctx, child, status, LIBXL_LOST_NONE, LIBXL_SOURCE_REAPED,
                  &rusage);
    return 1;
}

/* Its resources, as the kernel told a keeper, where one is its parent. */
static const struct rusage *rusage_of(const struct xl_child *child,
                                      struct rusage *room)
{
    int status;

    return child->more->kin != NULL && child->more->kin->child_status(
                                           child->more->kin, &status, room) == 1
               ? room
               : NULL;
}

/* The host has closed its pidfd. Without a new one nobody tells of its end. */
static void renew(libxl_ctx *ctx, struct xl_child *child)
{
    struct rusage rusage;
    int status;

    if (xl_wait_renew_pidfd(child) == 0 &&
        xl_exit_watch_adopted(ctx, child, child->pidfd) == 0)
        return;
    if (child->pidfd >= 0 || errno != ESRCH) { /* for want of fds or memory */
        xl_exit_watch_lost(ctx, child);
        return;
    }
    if (child->more->kin != NULL &&
        child->more->kin->child_status(child->more->kin, &status, &rusage) == 1)
        adopted_ended(ctx, child, status, LIBXL_LOST_NONE, LIBXL_SOURCE_REAPED,
                      &rusage);
    else
        adopted_ended(ctx, child, 0, LIBXL_LOST_NOT_OURS, LIBXL_SOURCE_NONE,
                      NULL);
}

/* An adopted process: its status is there once its parent has reaped it. */
static void look_at_adopted(libxl_ctx *ctx, struct xl_child *child,
                            unsigned events)
{
    struct xl_exit_info info = {0, 0, 0};
    siginfo_t si;
    struct rusage rusage;
    int r = xl_wait_one(child, WEXITED, &si, &rusage);

    if (r > 0) { /* it is our child after all */
        adopted_ended(ctx, child, xl_wait_status(&si), LIBXL_LOST_NONE,
                      LIBXL_SOURCE_REAPED, &rusage);
        return;
    }
    if (r == 0) {
        xl_exit_watch(ctx, child, 1);
        return;
    }
    XL_STOP_POINT("adopted: not our child");
    if (child->pidfd < 0) {
        renew(ctx, child);
        return;
    }
    if (xl_sys.pidfd_exit_info(child->pidfd, &info) == 0 && info.known) {
        adopted_ended(ctx, child, info.status, LIBXL_LOST_NONE,
                      LIBXL_SOURCE_PIDFD, rusage_of(child, &rusage));
        return;
    }
    if (!(xl_facilities() & LIBXL_FACILITY_EXIT_INFO) &&
        look_at_kept(ctx, child))
        return;
    if ((xl_facilities() & LIBXL_FACILITY_EXIT_INFO) && !(events & EPOLLHUP)) {
        xl_exit_watch_for_its_parent(ctx, child);
        if (child->more->kin != NULL)
            child->more->kin->child_is_due(ctx, child->more->kin);
        return;
    }
    adopted_ended(ctx, child, 0, LIBXL_LOST_NOT_OURS, LIBXL_SOURCE_NONE, NULL);
}

/* Mainloop mode: the grace that the host has for passing a status on. */
static void grace_over(libxl_ctx *ctx, struct xl_timer *timer)
{
    struct xl_child *child = xl_container(timer, struct xl_child, timer);
    struct xl_exit_info info = {0, 0, 0};
    struct xl_late *late;
    siginfo_t si;

    if (!child->reaped) {
        child->reaped = xl_wait_one(child, WEXITED | WNOWAIT, &si, NULL) < 0 &&
                        errno == ECHILD;
        if (!child->reaped && !child->host_warned) {
            child->host_warned = 1;
            xl_log(ctx, LIBXL_LOG_WARNING, 0,
                   "child %d has ended, and the application has neither reaped "
                   "it nor called libxl_childproc_sigchld_occurred",
                   (int)child->pid);
        }
        give_grace(ctx, child);
        return;
    }
    xl_log(ctx, LIBXL_LOG_WARNING, 0,
           "child %d: the application reaped it and did not call "
           "libxl_childproc_exited in time",
           (int)child->pid);
    ask_pidfd(child, &info);
    late = &ctx->mode.late[ctx->mode.late_at++ %
                           (sizeof ctx->mode.late / sizeof ctx->mode.late[0])];
    late->pid = child->pid;
    late->status = info.status;
    late->known = info.known;
    if (info.known)
        xl_child_ended(ctx, child, info.status, LIBXL_LOST_NONE,
                       LIBXL_SOURCE_PIDFD, NULL);
    else
        xl_child_ended(ctx, child, 0, LIBXL_LOST_NOT_PASSED, LIBXL_SOURCE_NONE,
                       NULL);
}

static void watch_host(libxl_ctx *ctx, struct xl_child *child, unsigned events)
{
    if (!child->zombie) {
        child->zombie = 1;
        ctx->mode.nzombies++;
    }
    if (ctx->mode.host_reaps_through_us) {
        (void)xl_reap_look(ctx, child);
        return;
    }
    if (events & EPOLLHUP)
        child->reaped = 1;
    xl_exit_watch_for_reaping(ctx, child);
    (void)xl_send_rest(child);
    give_grace(ctx, child);
}

void xl_reap_announced(libxl_ctx *ctx, struct xl_child *child, unsigned events)
{
    if (child->adopted) {
        look_at_adopted(ctx, child, events);
    } else if (ctx->mode.in_force == libxl_sigchld_owner_mainloop) {
        watch_host(ctx, child, events);
    } else if (!xl_reap_look(ctx, child) && child->retries == 0) {
        xl_exit_watch_later(ctx, child);
    }
}

/* ---- strangers ---------------------------------------------------------- */

/* Nobody here started pid. origin is who reaped it. */
static void stranger(libxl_ctx *ctx, pid_t pid, int status,
                     struct xl_wakeup *origin)
{
    int (*callback)(pid_t, int, void *) =
        ctx->mode.hooks.childproc_exited_callback;
    void *user = ctx->mode.user;
    int rc = ERROR_NOT_READY;

    if (callback != NULL) {
        xl_callback_begin(ctx);
        rc = callback(pid, status, user);
        xl_callback_end(ctx);
    }
    if (rc == 0)
        return;
    if (rc != ERROR_NOT_READY && rc != ERROR_UNKNOWN_CHILD) {
        xl_disaster(ctx, 0, rc, 0,
                    "childproc_exited_callback failed: the status of a child "
                    "of the application is lost");
        return;
    }
    if (xl_process_forward(ctx, pid, status, origin) == 0)
        return;
    if (WIFSIGNALED(status))
        xl_log(ctx, LIBXL_LOG_WARNING, 0,
               "reaped unknown child %d, killed by signal %d", (int)pid,
               WTERMSIG(status));
    else
        xl_log(ctx, LIBXL_LOG_WARNING, 0,
               "reaped unknown child %d, exit status %d", (int)pid,
               WEXITSTATUS(status));
}

/* A wake that finds nobody to reap: what it was about has been seen already,
 * or somebody else's wait was quicker. Where that may be one of ours, and no
 * pidfd would tell, look at each before long. */
static void found_nobody(libxl_ctx *ctx)
{
    if (ctx->nunwatched > 0)
        xl_exit_watch_missed(ctx);
}

/* Every child of the process, ours or not, until there is none. */
static void reap_all(libxl_ctx *ctx, int sigchld_came)
{
    int n;

    for (n = 0; n < STRANGERS_PER_WAKE; n++) {
        struct xl_registry_entry *entry;
        struct xl_child *child;
        struct rusage rusage;
        siginfo_t info;
        int status;
        int blind;

        if (xl_registry_limbo_full())
            break;
        switch (xl_numbers_reap_anybody(&ctx->wakeup, &entry, &info, &rusage)) {
        case XL_NUMBER_NONE:
            if (n == 0 && sigchld_came)
                found_nobody(ctx);
            return;
        case XL_NUMBER_OURS:
            XL_STOP_POINT("reap: taken by wait(-1)");
            child = xl_container(entry, struct xl_child, reg);
            blind = child->unwatched || child->pidfd < 0;
            xl_send_rest_late(child);
            xl_child_ended(ctx, child, xl_wait_status(&info), LIBXL_LOST_NONE,
                           LIBXL_SOURCE_REAPED, &rusage);
            if (ctx->nunwatched == 0 && ctx->nlive > 0 && !blind)
                goto later; /* the epoll knows of the others, at less cost */
            break;
        case XL_NUMBER_HANDED:
        case XL_NUMBER_KEPT:
        case XL_NUMBER_LIMBO:
            break;
        case XL_NUMBER_STRANGER:
            XL_STOP_POINT("reap: taken by wait(-1)");
            status = xl_wait_status(&info);
            stranger(ctx, info.si_pid, status, &ctx->wakeup);
            break;
        }
    }
later:
    /* for the sake of the others on this loop, the rest comes later */
    ctx->mode.sigchld_due = XL_SIGCHLD_CAME;
    ctx->pump.more = 1;
}

static void look_for_stops(libxl_ctx *ctx)
{
    struct xl_list *node;

    for (node = ctx->live.next; node != &ctx->live; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);
        siginfo_t info;

        if (!child->wants_stops)
            continue;
        while (xl_wait_one(child, WSTOPPED | WCONTINUED, &info, NULL) > 0) {
            if (info.si_code == CLD_CONTINUED)
                xl_child_stopped(ctx, child,
                                 LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED, SIGCONT);
            else
                xl_child_stopped(ctx, child, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED,
                                 info.si_status);
        }
    }
}

/* Children that no pidfd announces, or all. One pass, however many have
 * ended: the list is not started again at each. */
void xl_reap_unannounced(libxl_ctx *ctx, int all)
{
    struct xl_list *node = ctx->live.next;

    while (node != &ctx->live) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        node = node->next; /* the child may go */
        if (all || child->unwatched) {
            if (child->adopted)
                look_at_adopted(ctx, child, 0);
            else
                (void)xl_reap_look(ctx, child);
        }
    }
}

void xl_reap_sigchld(libxl_ctx *ctx)
{
    int came = ctx->mode.sigchld_due == XL_SIGCHLD_CAME;

    ctx->mode.sigchld_due = XL_SIGCHLD_SEEN;
    ctx->mode.looked++;
    if (ctx->mode.in_force == libxl_sigchld_owner_mainloop)
        return; /* it came in an earlier mode; the host reaps now */
    if (ctx->nstops > 0)
        look_for_stops(ctx);
    /* also when our last child has just ended: the host's may have, too */
    if (xl_owner_reaps_all(ctx->mode.in_force) &&
        xl_sigchld_subscribed(&ctx->selfpipe))
        reap_all(ctx, came);
    else if (ctx->nunwatched > 0)
        xl_reap_unannounced(ctx, 0);
}

void xl_reap_handed(libxl_ctx *ctx)
{
    struct xl_registry_entry *entry;

    while ((entry = xl_registry_take_handed(&ctx->wakeup)) != NULL) {
        struct xl_child *child = xl_container(entry, struct xl_child, reg);
        int status;

        if (child->ended)
            continue; /* seen here before it was taken, to be kept: told */
        if (xl_registry_handed_over(entry, &status)) {
            xl_send_rest_late(child);
            xl_child_ended(ctx, child, status, LIBXL_LOST_NONE,
                           LIBXL_SOURCE_REAPED, NULL);
        } else if (child->pid > 0 && child->pidfd < 0) {
            /* else its pidfd tells; and one that has just come out of its
             * start is whoever's starts it to look at */
            (void)xl_reap_look(ctx, child);
        }
    }
}

void xl_reap_limbo(libxl_ctx *ctx)
{
    struct xl_wakeup *origin;
    pid_t pid;
    int status;

    while (xl_registry_limbo_take(&ctx->wakeup, &pid, &status, &origin))
        stranger(ctx, pid, status, origin);
}

void xl_reap_limbo_left(libxl_ctx *ctx)
{
    xl_registry_limbo_leave(&ctx->wakeup);
    xl_reap_limbo(ctx);
}

/* ---- hosts that close what is not theirs -------------------------------- */

static void look_at_pidfd(libxl_ctx *ctx, struct xl_child *child)
{
    siginfo_t info;

    if (child->adopted) {
        xl_wait_prove_pidfd(child);
        if (child->pidfd < 0)
            look_at_adopted(ctx, child, 0);
        else /* a new one is not watched yet */
            (void)xl_exit_watch_adopted(ctx, child, child->pidfd);
        return;
    }
    if (child->pidfd >= 0)
        (void)xl_wait_one(child, WEXITED | WNOWAIT, &info, NULL);
    if (child->pidfd < 0 && !child->unwatched)
        xl_exit_watch_lost(ctx, child);
}

void xl_reap_pidfds(libxl_ctx *ctx)
{
    struct xl_list *node = ctx->live.next;

    while (node != &ctx->live) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        node = node->next; /* an adopted one may go */
        look_at_pidfd(ctx, child);
    }
}

/* A child whose pidfd the host has closed is announced by nothing. In a program
 * of one thread a number that is closed twice does no harm; bash does that to
 * each pipeline. So whoever pumps looks at all, now and then. */
void xl_reap_audit(libxl_ctx *ctx)
{
    int64_t now;
    int due;

    if (ctx->nlive == 0) {
        ctx->audit_at = 0; /* the time begins with the next child */
        return;
    }
    now = xl_now();
    if (now < ctx->audit_at)
        return;
    due = ctx->audit_at != 0;
    ctx->audit_at = now + AUDIT_NS * (1 + ctx->nlive / AUDIT_MANY);
    if (due)
        xl_reap_pidfds(ctx);
}

/* ---- the tick ----------------------------------------------------------- */

void xl_reap_tick(libxl_ctx *ctx, struct xl_timer *timer)
{
    (void)timer;
    xl_mode_check_displaced(ctx);
    ctx->thorough = 1;
    if (ctx->mode.in_force != libxl_sigchld_owner_mainloop)
        xl_reap_unannounced(ctx, 0);
    ctx->thorough = 0;
    if (xl_sigchld_subscribed(&ctx->selfpipe) &&
        ctx->mode.sigchld_due == XL_SIGCHLD_SEEN)
        ctx->mode.sigchld_due = XL_SIGCHLD_TICK;
    if (ctx->nunwatched > 0)
        xl_exit_watch_tick_soon(ctx);
}
