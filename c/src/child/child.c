/* child.c - one child, from its start to its report
 *
 * Called by spawn.c and adopt.c (start; exit_watch.c is next) and by reap.c
 * (end). Then events.c has notices and event reports, the deferred calls
 * callbacks, and its guardian the end of a child that belongs to an operation.
 * See child.h.
 */
#include "child/child.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#include "kernel/identity.h"
#include "kernel/own.h"
#include "ctx/defer.h"
#include "ctx/events.h"
#include "ctx/log.h"
#include "kernel/numbers.h"
#include "ctx/waiters.h"

static struct xl_child_more no_more;

/* A child, and behind it what not all have. */
struct whole_child {
    struct xl_child child;
    struct xl_strand strand;
};

struct xl_strand *xl_child_strand(struct xl_child *child)
{
    return child->has_strand ? &((struct whole_child *)(void *)child)->strand
                             : NULL;
}

static struct xl_child *allocate(const libxl_childproc_spec *spec, int strand)
{
    size_t size = strand ? sizeof(struct whole_child) : sizeof(struct xl_child);
    int more = spec->cgroup != NULL || spec->family != 0 ||
               (spec->flags & LIBXL_SPAWN_ACCOUNT);
    struct xl_child *child =
        xl_sys.calloc(1, size + (more ? sizeof *child->more : 0));

    if (child != NULL)
        child->more = more ? (void *)((char *)child + size) : &no_more;
    return child;
}

int xl_child_new(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                 const libxl_childproc_report *report,
                 struct xl_child **ret_child)
{
    int stops = (spec->flags & LIBXL_SPAWN_REPORT_STOPS) != 0;
    int several = stops || (spec->flags & LIBXL_SPAWN_REPORT_START);
    /* several events need a strand, which goes when the child goes */
    struct xl_child *child = allocate(spec, several);
    int reserved = 0;
    int rc = ERROR_NOMEM;

    if (child == NULL)
        return ERROR_NOMEM;
    child->pid = -1;
    child->pidfd = -1;
    child->reg.owner = &ctx->wakeup;
    child->reg.pidfd = -1;
    child->hold_pid = (spec->flags & LIBXL_SPAWN_HOLD_PID) != 0;
    xl_list_init(&child->link);
    xl_list_init(&child->notices);
    child->on_free = spec->on_free;
    child->kill = spec->kill;
    child->exited_grace_ms = spec->exited_grace_ms;
    child->leads_group =
        (spec->flags & (LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                        LIBXL_SPAWN_SET_CTTY)) != 0;
    child->wants_stops = stops != 0;
    if (several) {
        child->has_strand = 1;
        xl_strand_init(xl_child_strand(child));
    }
    if (report != NULL) {
        child->report = report->kind;
        child->box.event.for_user = report->u.for_event;
        if (report->kind == LIBXL_REPORT_CALLBACK) {
            child->box.call.child = report->callback;
            child->box.user = report->u.for_callback;
        }
    }
    if (spec->cgroup != NULL) {
        child->more->cgroup = xl_cgroup_new(ctx, spec->cgroup);
        if (child->more->cgroup == NULL)
            goto out;
    }
    if (spec->flags & LIBXL_SPAWN_ACCOUNT) {
        child->more->account = xl_account_new(child->more->cgroup);
        if (child->more->account == NULL)
            goto out;
    }
    if (xl_registry_reserve() != 0)
        goto out;
    reserved = 1;
    rc = xl_notices_prepare(ctx, &child->notices);
    if (rc != 0)
        goto out;
    child->id = xl_slots_add(&ctx->children, child);
    if (child->id == 0) {
        rc = ctx->children.n == XL_SLOTS_MAX ? ERROR_LIMIT : ERROR_NOMEM;
        goto out;
    }
    if (child->more->cgroup != NULL)
        child->more->cgroup->child = child->id;
    xl_list_append(&ctx->starting, &child->link);
    *ret_child = child;
    return 0;
out:
    xl_notices_send(ctx, &child->notices, NULL);
    if (reserved)
        xl_registry_unreserve();
    xl_account_drop(child->more->account);
    xl_cgroup_drop(child->more->cgroup);
    xl_free(child);
    return rc;
}

/* Its family outlives it, and may want its pidfd. */
static void leave_kin(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_kin *kin = child->more->kin;

    if (kin == NULL)
        return;
    child->more->kin = NULL;
    if (!kin->child_goes(kin, child->pidfd))
        return;
    (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_DEL, child->pidfd, NULL);
    child->pidfd = -1;
}

/* The registry's reservation has been used or given back by the start. */
void xl_child_discard(libxl_ctx *ctx, struct xl_child *child)
{
    xl_list_remove(&child->link);
    leave_kin(ctx, child);
    xl_notices_send(ctx, &child->notices, NULL);
    xl_slots_remove(&ctx->children, child->id);
    xl_account_drop(child->more->account);
    xl_cgroup_drop(child->more->cgroup);
    xl_free(child);
}

void xl_child_started(libxl_ctx *ctx, struct xl_child *child, pid_t pid,
                      int pidfd)
{
    unsigned i;

    child->pid = pid;
    child->number_taken = pidfd >= 0 && xl_own_is(pidfd);
    if (child->number_taken)
        xl_own_disturbed();
    child->pidfd = pidfd;
    xl_own_mark(pidfd);
    xl_list_remove(&child->link);
    xl_list_append(&ctx->live, &child->link);
    ctx->nlive++;
    ctx->nstops += child->wants_stops;
    if (child->report == LIBXL_REPORT_NONE && child->guardian == NULL)
        xl_child_let_go(ctx, child);
    for (i = 0; i < sizeof ctx->mode.late / sizeof ctx->mode.late[0]; i++)
        if (ctx->mode.late[i].pid == pid)
            ctx->mode.late[i].pid = 0; /* the number has a new bearer */
}

static void run_report(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct xl_box *box = xl_container(d, struct xl_box, deferred);

    box->call.child(ctx, &box->event.u.childproc_exit, box->user);
    xl_free(box);
}

void xl_child_ended_early(libxl_ctx *ctx, struct xl_child *child)
{
    libxl_childproc_result early = child->box.event.u.childproc_exit;

    if (child->early)
        xl_child_ended(ctx, child, early.status, early.lost, early.source,
                       early.has_rusage ? &early.rusage : NULL);
}

static void run_free(libxl_ctx *ctx, struct xl_deferred *d)
{
    (void)ctx;
    xl_free(xl_container(d, struct xl_child, box.deferred));
}

/* Frees a child that makes no report; after the stops of its that are still
 * being told, for their strand is a part of it. */
static void let_go(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_strand *strand = xl_child_strand(child);

    if (strand == NULL || !strand->busy) {
        xl_free(child);
        return;
    }
    child->box.deferred.run = run_free;
    xl_defer(ctx, &child->box.deferred, strand, 1);
}

/* The epoll would go on watching what the host's own pidfd, or a child on its
 * way, keeps open. */
static void close_pidfd(libxl_ctx *ctx, struct xl_child *child)
{
    if (child->pidfd < 0)
        return;
    if (child->pidfd_shared || (xl_own_may_be_copied() && !child->recent))
        (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_DEL, child->pidfd,
                               NULL);
    xl_own_close(child->pidfd);
    child->pidfd = -1;
}

/* ---- numbers that stay -------------------------------------------------- */

#define MAX_KEPT_FDS 64

/* Does a kept pidfd name the group of a leader that has been reaped (Linux
 * 6.9)? */
static int pidfd_names_group(const struct xl_child *child)
{
    static atomic_int known; /* 1: yes, 2: no */
    int r;

    if (child->pidfd < 0)
        return 0;
    if (atomic_load(&known) == 0) {
        r = xl_sys.pidfd_send_signal(child->pidfd, 0,
                                     XL_PIDFD_SIGNAL_PROCESS_GROUP);
        if (r != 0 && errno != ESRCH && errno != EINVAL && errno != ENOSYS)
            return 0; /* this does not tell */
        atomic_store(&known, r != 0 && errno != ESRCH ? 2 : 1);
    }
    return atomic_load(&known) == 1;
}

/* Ended ones have so many descriptors by now that the next gets none; but where
 * pidfd_open is refused nothing else would prove whose the number is. */
static int is_dear(const libxl_ctx *ctx, const struct xl_child *child)
{
    int saved = errno;
    int fd;

    if (child->pidfd < 0 || child->kept_fd || ctx->nkept_fds < MAX_KEPT_FDS)
        return 0;
    fd = xl_sys.pidfd_open(child->pid, 0);
    xl_close(fd);
    errno = saved;
    return fd >= 0;
}

static void keep_fd(libxl_ctx *ctx, struct xl_child *child)
{
    ctx->nkept_fds += !child->kept_fd;
    child->kept_fd = 1;
}

/* Who is left of its group can only be reached by its number. */
static int group_needs_number(const libxl_ctx *ctx,
                              const struct xl_child *child)
{
    if (!child->leads_group)
        return 0;
    if (pidfd_names_group(child))
        return is_dear(ctx, child);
    return child->kill.scope == LIBXL_KILL_GROUP;
}

int xl_child_keeps_number(const libxl_ctx *ctx, const struct xl_child *child)
{
    int wanted;

    if (child->adopted || (child->let_go && !child->lingers) ||
        !(child->hold_pid || child->lingers || child->leads_group) ||
        ctx->mode.in_force == libxl_sigchld_owner_mainloop)
        return 0;
    if (child->lingers)
        wanted = 1;
    else if (child->guardian != NULL)
        wanted = group_needs_number(ctx, child);
    else
        wanted = child->report == LIBXL_REPORT_HOLD &&
                 ((child->hold_pid && !child->asked) ||
                  group_needs_number(ctx, child));
    return wanted && xl_registry_is_unreaped(&child->reg);
}

/* It has ended, and stays a zombie. A few keep their pidfds: most are asked for
 * soon. */
static void keep_number(libxl_ctx *ctx, struct xl_child *child)
{
    int close_it = is_dear(ctx, child);

    child->kept = 1;
    xl_numbers_keep(&child->reg, close_it);
    if (close_it)
        close_pidfd(ctx, child);
    else if (child->pidfd >= 0)
        keep_fd(ctx, child);
}

void xl_child_asked(libxl_ctx *ctx, struct xl_child *child)
{
    child->asked = 1;
    if (child->ended && child->kept && !group_needs_number(ctx, child)) {
        child->kept = 0;
        xl_numbers_reap_kept(&child->reg);
    }
}

/* What an ended child may still have: its number, its pidfd for the sake of
 * its group, its cgroup's name. */
static void release_remains(libxl_ctx *ctx, struct xl_child *child)
{
    xl_timer_disarm(&ctx->timers, &child->timer);
    if (child->kept)
        xl_numbers_reap_kept(&child->reg);
    child->kept = 0;
    xl_registry_remove(&child->reg);
    ctx->nkept_fds -= child->kept_fd;
    child->kept_fd = 0;
    leave_kin(ctx, child);
    close_pidfd(ctx, child);
    if (child->more->cgroup != NULL) {
        xl_cgroup_drop(child->more->cgroup);
        child->more->cgroup = NULL;
    }
}

void xl_child_forget(libxl_ctx *ctx, struct xl_child *child)
{
    xl_list_remove(&child->link);
    xl_slots_remove(&ctx->children, child->id);
    release_remains(ctx, child);
    let_go(ctx, child);
}

/* ---- dropped, and its number left to the program for a while ------------ */

#define LINGER_MS 500

void xl_child_linger(libxl_ctx *ctx, struct xl_child *child)
{
    xl_slots_remove(&ctx->children, child->id);
    child->timer.due = xl_after_ms(LINGER_MS); /* not armed: no pump's */
    xl_list_remove(&child->link);
    xl_list_append(&ctx->lingering, &child->link);
}

int64_t xl_child_linger_due(const libxl_ctx *ctx)
{
    if (xl_list_empty(&ctx->lingering))
        return XL_NEVER;
    return xl_container(ctx->lingering.next, struct xl_child, link)->timer.due;
}

void xl_child_linger_over(libxl_ctx *ctx, int64_t now)
{
    while (!xl_list_empty(&ctx->lingering) && xl_child_linger_due(ctx) <= now)
        xl_child_forget(
            ctx, xl_container(ctx->lingering.next, struct xl_child, link));
}

void xl_child_let_go(libxl_ctx *ctx, struct xl_child *child)
{
    child->let_go = 1;
    ctx->nletgo++;
}

/* ---- the end ------------------------------------------------------------ */

/* 1, and why, if it never became its program. */
static int never_became(libxl_ctx *ctx, struct xl_child *child,
                        libxl_childproc_source source,
                        libxl_childproc_failure *ret_failure)
{
    struct xl_setting_up *setting_up = child->setting_up;
    int failed;

    if (setting_up == NULL)
        return 0;
    xl_list_remove(&setting_up->link);
    child->setting_up = NULL;
    /* The host may say so of one that lives, and still needs that memory. */
    if (source == LIBXL_SOURCE_PASSED && !setting_up->settled(setting_up)) {
        xl_child_leave_start(setting_up);
        return 0;
    }
    failed = setting_up->failed(setting_up, ret_failure);
    setting_up->free(setting_up, ctx);
    return failed;
}

/* What the kernel says of its process is that of our own code in it. */
static void not_started(libxl_ctx *ctx, const struct xl_child *child,
                        const libxl_childproc_failure *failure,
                        libxl_childproc_result *result)
{
    result->status = 0;
    result->lost = LIBXL_LOST_NEVER_RAN;
    result->stage = failure->stage;
    result->errnoval = failure->errnoval;
    if (child->report == LIBXL_REPORT_NONE && child->guardian == NULL)
        xl_log(ctx, LIBXL_LOG_WARNING, failure->errnoval,
               "child %d, of whose end nobody is told, never became its "
               "program (stage %s)",
               (int)child->pid, libxl_childproc_stage_name(failure->stage));
}

/* After the end of one that has a handle, or whose operation goes on: its group
 * may be wanted. */
static void keep_remains(libxl_ctx *ctx, struct xl_child *child)
{
    if (!child->kept && !(child->leads_group && pidfd_names_group(child))) {
        close_pidfd(ctx, child);
    } else if (child->pidfd >= 0) {
        keep_fd(ctx, child);
        if (child->leads_group) /* reaped, it has no number to compare */
            xl_numbers_mark(&child->reg, xl_identity_of_pidfd(child->pidfd));
        /* it would go on telling what we know */
        (void)xl_sys.epoll_ctl(ctx->pump.epfd, EPOLL_CTL_DEL, child->pidfd,
                               NULL);
    }
    xl_list_append(&ctx->held, &child->link);
}

static void ended(libxl_ctx *ctx, struct xl_child *child, int status,
                  libxl_childproc_lost lost, libxl_childproc_source source,
                  const struct rusage *rusage, int unreaped)
{
    libxl_childproc_result *result = &child->box.event.u.childproc_exit;
    libxl_childproc_failure failure;
    int failed;

    result->status = lost == LIBXL_LOST_NONE ? status : 0;
    result->lost = lost;
    result->source = source;
    result->has_rusage = rusage != NULL;
    if (rusage != NULL)
        result->rusage = *rusage;
    if (child->pid < 0) {
        /* Reaped by another thread between its start and xl_child_started:
         * the starter ends it, who would otherwise meet a child that is
         * gone. */
        child->early = 1;
        xl_registry_remove(&child->reg);
        return;
    }
    child->ended = 1;
    if (unreaped)
        keep_number(ctx, child);
    else
        xl_registry_remove(&child->reg);
    failed = never_became(ctx, child, source, &failure);
    /* Reaped by now, it cannot be asked any more why it left the gate. One that
     * was killed there has been started, and its status is the kernel's. */
    if (failed && failure.stage == LIBXL_STAGE_GATE &&
        lost == LIBXL_LOST_NONE && WIFSIGNALED(status))
        failed = 0;
    xl_list_remove(&child->link);
    xl_timer_disarm(&ctx->timers, &child->timer);
    ctx->nlive--;
    ctx->nstops -= child->wants_stops;
    ctx->nrecent -= child->recent;
    ctx->nunwatched -= child->unwatched;
    ctx->nletgo -= child->let_go;
    ctx->nbackground -= child->background;
    ctx->mode.nzombies -= child->zombie;

    child->box.event.type = LIBXL_EVENT_TYPE_CHILDPROC_EXIT;
    result->id = child->id;
    result->pid = child->pid;
    if (failed)
        not_started(ctx, child, &failure, result);
    if (child->more->account != NULL) {
        xl_account_ended(ctx, child->more->account, result);
        child->more->account = NULL;
    }
    xl_notices_send(ctx, &child->notices, result);
    if (child->more->kin != NULL)
        child->more->kin->child_ended(ctx, child->more->kin, result);

    if (child->guardian != NULL) {
        if (child->guardian->child_ended(ctx, child->guardian, result,
                                         failed ? &failure : NULL)) {
            keep_remains(ctx, child);
            return;
        }
        xl_slots_remove(&ctx->children, child->id);
        release_remains(ctx, child);
        let_go(ctx, child);
        return;
    }
    switch (child->report) {
    case LIBXL_REPORT_HOLD:
        keep_remains(ctx, child);
        xl_waiters_wake_child(ctx, child->id);
        break;
    case LIBXL_REPORT_EVENT:
        xl_waiters_answer_child(ctx, result);
        release_remains(ctx, child);
        xl_slots_remove(&ctx->children, child->id);
        xl_event_occurred(ctx, &child->box, xl_child_strand(child), 1);
        break;
    case LIBXL_REPORT_CALLBACK:
        xl_waiters_answer_child(ctx, result);
        release_remains(ctx, child);
        xl_slots_remove(&ctx->children, child->id);
        child->box.deferred.run = run_report;
        xl_defer(ctx, &child->box.deferred, xl_child_strand(child), 1);
        break;
    case LIBXL_REPORT_NONE:
        if (child->kept) {
            xl_child_linger(ctx, child);
            break;
        }
        release_remains(ctx, child);
        xl_slots_remove(&ctx->children, child->id);
        let_go(ctx, child);
        break;
    }
}

void xl_child_ended(libxl_ctx *ctx, struct xl_child *child, int status,
                    libxl_childproc_lost lost, libxl_childproc_source source,
                    const struct rusage *rusage)
{
    ended(ctx, child, status, lost, source, rusage, 0);
}

void xl_child_ended_unreaped(libxl_ctx *ctx, struct xl_child *child, int status,
                             const struct rusage *rusage)
{
    ended(ctx, child, status, LIBXL_LOST_NONE, LIBXL_SOURCE_REAPED, rusage, 1);
}

void xl_child_stopped(libxl_ctx *ctx, struct xl_child *child,
                      libxl_event_type type, int signo)
{
    struct xl_box *box = xl_sys.calloc(1, sizeof *box);

    if (box == NULL) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "child %d: a stop or continue was not reported for want of "
               "memory",
               (int)child->pid);
        return;
    }
    box->event.type = type;
    box->event.for_user = child->box.event.for_user;
    box->event.u.childproc_stopped.id = child->id;
    box->event.u.childproc_stopped.pid = child->pid;
    box->event.u.childproc_stopped.signo = signo;
    xl_event_occurred(ctx, box, xl_child_strand(child), 0);
}

struct xl_child *xl_child_get(libxl_ctx *ctx, libxl_childproc_id id)
{
    return xl_slots_get(&ctx->children, id);
}

struct xl_child *xl_child_by_pid(libxl_ctx *ctx, pid_t pid)
{
    struct xl_registry_entry *entry = xl_registry_find(&ctx->wakeup, pid);
    struct xl_child *child =
        entry != NULL ? xl_container(entry, struct xl_child, reg) : NULL;

    /* one that lingers has no handle any more */
    return child != NULL && xl_child_get(ctx, child->id) == child ? child
                                                                  : NULL;
}
