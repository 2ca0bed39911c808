/* families.c - the host's calls about a family
 *
 * Called by the host, and by ctx.c when a ctx goes. Next: child/family.c under
 * the ctx's lock; child/cgroup_own.c without it. See xlchild/family.h.
 */
#define _GNU_SOURCE
#include "api/families.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "child/cgroup_due.h"
#include "child/cgroup_own.h"
#include "child/exit_watch.h"
#include "child/family.h"
#include "child/send.h"
#include "ctx/defer.h"
#include "ctx/log.h"
#include "ctx/process.h"
#include "ctx/waiters.h"
#include "kernel/facility.h"
#include "kernel/own.h"
#include "kernel/sized.h"
#include "kernel/stop_point.h"
#include "loop/enter.h"
#include "loop/pump.h"
#include "loop/registration.h"
#include "start/start_shared.h"

#define BIT(hold) (1u << (hold))
#define OUR_CHILDS (BIT(LIBXL_HOLD_GROUP) | BIT(LIBXL_HOLD_CGROUP))
#define ALL_HOLDS (OUR_CHILDS | BIT(LIBXL_HOLD_KEEPER))

#define END_MS 1000 /* for a keeper to do what it was asked for */

static void defaults(libxl_family_opts *opts)
{
    memset(opts, 0, sizeof *opts);
    opts->size = sizeof *opts;
}

void libxl_family_opts_init_sized(libxl_family_opts *opts, size_t size)
{
    libxl_family_opts own;

    defaults(&own);
    own.size = size;
    xl_sized_give(opts, size, &own, sizeof own);
}

const char *libxl_family_hold_name(libxl_family_hold hold)
{
    switch (hold) {
    case LIBXL_HOLD_NONE:
        return "none";
    case LIBXL_HOLD_GROUP:
        return "group";
    case LIBXL_HOLD_KEEPER:
        return "keeper";
    case LIBXL_HOLD_CGROUP:
        return "cgroup";
    }
    return "unknown";
}

static int bad_signal(int signo)
{
    return signo < 0 || signo >= _NSIG;
}

/* ---- making ------------------------------------------------------------- */

/* NULL, or the member that is wrong. */
static const char *bad_member(const libxl_family_opts *opts)
{
    if (opts->end_when < LIBXL_FAMILY_NEVER ||
        opts->end_when > LIBXL_FAMILY_ALWAYS)
        return "end_when";
    if (bad_signal(opts->first_signal))
        return "first_signal";
    if (opts->grace_ms < 0)
        return "grace_ms";
    if ((opts->holds & ~ALL_HOLDS) != 0)
        return "holds";
    if (opts->cgroup_parent != NULL && opts->cgroup_parent[0] != '/')
        return "cgroup_parent";
    return NULL;
}

static const char *take_opts(libxl_family_opts *own,
                             const libxl_family_opts *opts)
{
    defaults(own);
    if (opts != NULL &&
        xl_sized_take(own, sizeof *own, opts, opts->size,
                      XL_SIZE_WITH(libxl_family_opts, cgroup_parent)) != 0)
        return "size";
    return bad_member(own);
}

/* Without the lock. 1: it has a cgroup; or 0, and family->why; or
 * ERROR_NOMEM, ERROR_SYSTEM. */
static int hold_by_cgroup(libxl_ctx *ctx, struct xl_family *family,
                          const libxl_family_opts *opts)
{
    char *path =
        xl_cgroup_make(opts->cgroup_parent, &family->events_fd, &family->why);

    if (path == NULL && family->why == NULL)
        return errno == ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
    if (path == NULL)
        return 0;
    family->cgroup = xl_cgroup_new(ctx, path);
    if (family->cgroup == NULL) {
        (void)xl_cgroup_remove(path);
        xl_own_close(family->events_fd);
        family->events_fd = -1;
        xl_free(path);
        return ERROR_NOMEM;
    }
    xl_free(path);
    family->hold = LIBXL_HOLD_CGROUP;
    family->why = NULL;
    return 1;
}

/* Its process comes with the child. */
static int hold_by_keeper(libxl_ctx *ctx, struct xl_family *family,
                          int replaced)
{
    struct xl_start_request request = {.stat_fd = ctx->stat_fd};
    const char *why;

    if (xl_facility_ask() != 0)
        return errno == ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
    why = xl_keeper_missing(ctx->stat_fd);
    if (why == NULL && replaced)
        why = "the host's fork_replacement makes all children";
    if (why == NULL && !xl_start_shared_apart(&request))
        why = "a debugger, or a sanitizer, would lose its way in a keeper";
    if (why != NULL) {
        family->why = why;
        return 0;
    }
    family->keeper = xl_keeper_new();
    if (family->keeper == NULL)
        return ERROR_NOMEM;
    family->hold = LIBXL_HOLD_KEEPER;
    return 1;
}

/* The best of the holds that are allowed. Without the lock. */
static int choose(libxl_ctx *ctx, struct xl_family *family,
                  const libxl_family_opts *opts, int replaced)
{
    unsigned holds = opts->holds != 0 ? opts->holds : OUR_CHILDS;
    int r = 0;

    family->why = "the opts allow no better one";
    if (holds & BIT(LIBXL_HOLD_CGROUP))
        r = hold_by_cgroup(ctx, family, opts);
    if (r == 0 && (holds & BIT(LIBXL_HOLD_KEEPER)))
        r = hold_by_keeper(ctx, family, replaced);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!(holds & BIT(LIBXL_HOLD_GROUP)))
        return ERROR_NI;
    family->hold = LIBXL_HOLD_GROUP;
    return 0;
}

/* Under the lock. */
static int enrol(libxl_ctx *ctx, struct xl_family *family)
{
    family->id = xl_slots_add(&ctx->families_by_id, family);
    if (family->id == 0)
        return ctx->families_by_id.n == XL_SLOTS_MAX ? ERROR_LIMIT
                                                     : ERROR_NOMEM;
    if (family->events_fd >= 0 && xl_family_watch(ctx, family) != 0) {
        xl_slots_remove(&ctx->families_by_id, family->id);
        return errno == ENOMEM || errno == ENOSPC ? ERROR_NOMEM : ERROR_SYSTEM;
    }
    xl_list_append(&ctx->families, &family->link);
    return 0;
}

/* It has not been enrolled, or is no more; nobody holds the lock, or it is the
 * only thread. */
static void free_family(struct xl_family *family)
{
    xl_keeper_free(family->keeper, family->ending ? END_MS : 0);
    xl_cgroup_drop(family->cgroup);
    xl_free(family);
}

int libxl_family_new(libxl_ctx *ctx, const libxl_family_opts *opts,
                     libxl_family_id *ret_id)
{
    struct xl_family *family;
    libxl_family_opts own;
    const char *wrong = ret_id == NULL ? "ret_id" : take_opts(&own, opts);
    int rc = xl_enter(ctx);
    int replaced;

    if (rc != 0)
        return rc;
    if (wrong != NULL) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0, "libxl_family_new: bad argument: %s",
               wrong);
        return xl_leave(ctx, ERROR_INVAL);
    }
    family = xl_sys.malloc(sizeof *family);
    if (family == NULL)
        return xl_leave(ctx, ERROR_NOMEM);
    xl_family_init(family);
    family->end_when = own.end_when;
    family->first_signal = own.first_signal;
    family->grace_ms = own.grace_ms;
    replaced = ctx->mode.hooks.fork_replacement != NULL;
    pthread_mutex_unlock(&ctx->lock);
    XL_STOP_POINT("family: about to be held");
    rc = choose(ctx, family, &own, replaced);
    pthread_mutex_lock(&ctx->lock);
    if (rc == ERROR_NI)
        xl_log(ctx, LIBXL_LOG_ERROR, 0, "libxl_family_new: %s", family->why);
    if (rc == 0)
        rc = enrol(ctx, family);
    if (rc == 0) {
        *ret_id = family->id;
        return xl_leave(ctx, 0);
    }
    pthread_mutex_unlock(&ctx->lock);
    if (family->cgroup != NULL)
        (void)xl_cgroup_remove(family->cgroup->path);
    xl_own_close(family->events_fd);
    free_family(family);
    pthread_mutex_lock(&ctx->lock);
    return xl_leave(ctx, rc);
}

/* ---- asking ------------------------------------------------------------- */

int libxl_family_look(libxl_ctx *ctx, libxl_family_id id,
                      libxl_family_state *ret_state)
{
    libxl_family_state state;
    struct xl_family *family;
    int rc;

    if (ret_state == NULL)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    family = xl_family_get(ctx, id);
    if (family == NULL)
        return xl_leave(ctx, ERROR_NOTFOUND);
    memset(&state, 0, sizeof state);
    state.size = ret_state->size;
    /* a group may have nobody but zombies in it */
    family->nwaiting++;
    if (xl_family_look(ctx, family) == 0)
        xl_family_scan_due(ctx);
    family = xl_family_get(ctx, id);
    if (family == NULL)
        return xl_leave(ctx, ERROR_NOTFOUND);
    family->nwaiting--;
    state.empty = xl_family_look(ctx, family) == 1;
    state.hold = family->hold;
    state.why = family->why;
    state.started = family->started;
    state.ending = family->ending;
    state.pid = family->pid;
    state.cgroup = family->cgroup != NULL ? family->cgroup->path : NULL;
    xl_sized_give(ret_state, ret_state->size, &state, sizeof state);
    return xl_leave(ctx, 0);
}

struct request {
    libxl_family_id id;
    int rc;
};

static int empty_or_gone(libxl_ctx *ctx, void *user)
{
    struct request *r = user;
    struct xl_family *family = xl_family_get(ctx, r->id);
    int found = family != NULL ? xl_family_look(ctx, family) : ERROR_NOTFOUND;

    r->rc = found == 1 ? 0 : found;
    return found != 0;
}

static void no_longer(libxl_ctx *ctx, libxl_family_id id)
{
    struct xl_family *family = xl_family_get(ctx, id);

    ctx->nfamily_waits--;
    if (family != NULL)
        family->nwaiting--;
}

static void cancelled(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    no_longer(ctx, waiter->family);
}

int libxl_family_wait(libxl_ctx *ctx, libxl_family_id id, int timeout_ms,
                      unsigned flags)
{
    struct request r = {id, 0};
    struct xl_family *family;
    struct xl_waiter waiter;
    int rc;

    if (timeout_ms < LIBXL_WAIT_FOREVER ||
        (flags & ~LIBXL_WAIT_INTERRUPTIBLE) != 0)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    family = xl_family_get(ctx, id);
    if (family == NULL)
        return xl_leave(ctx, ERROR_NOTFOUND);
    xl_waiter_init(&waiter);
    waiter.family = id;
    waiter.cancelled = cancelled;
    ctx->nfamily_waits++;
    family->nwaiting++;
    xl_family_wanted(ctx, family);
    rc = xl_pump_wait(ctx, &waiter, empty_or_gone, &r, timeout_ms, flags);
    no_longer(ctx, id);
    return xl_leave(ctx, rc == 0 ? r.rc : rc);
}

static struct xl_family_ask *new_ask(const libxl_asyncop_how *how)
{
    struct xl_family_ask *ask = xl_sys.calloc(1, sizeof *ask);

    if (ask == NULL)
        return NULL;
    ask->how = *how;
    if (how->callback == NULL) {
        ask->event = xl_sys.calloc(1, sizeof *ask->event);
        if (ask->event == NULL) {
            xl_free(ask);
            return NULL;
        }
    }
    return ask;
}

int libxl_family_when_empty(libxl_ctx *ctx, libxl_family_id id,
                            const libxl_asyncop_how *how)
{
    struct xl_family_ask *ask;
    struct xl_family *family;
    int rc;

    if (how == NULL)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    if (xl_family_get(ctx, id) == NULL)
        return xl_leave(ctx, ERROR_NOTFOUND);
    rc = xl_registration_arm(ctx, xl_after_ms(1));
    if (rc != 0)
        return xl_leave(ctx, rc);
    family = xl_family_get(ctx, id); /* the hooks ran without the lock */
    if (family == NULL)
        return xl_leave(ctx, ERROR_NOTFOUND);
    ask = new_ask(how);
    if (ask == NULL)
        return xl_leave(ctx, ERROR_NOMEM);
    ctx->nfamily_waits++;
    xl_list_append(&family->asks, &ask->link);
    if (!family->expects || family->empty)
        xl_family_answer(ctx, family, 0);
    else
        xl_family_wanted(ctx, family);
    return xl_leave(ctx, 0);
}

/* ---- signals ------------------------------------------------------------ */

/* As it is to be told, at once: a cgroup without the lock. */
static int send_now(libxl_ctx *ctx, libxl_family_id id, int *signo_io,
                    int by_policy)
{
    struct xl_family *family = xl_family_get(ctx, id);
    struct xl_cgroup *cgroup;

    if (family == NULL)
        return ERROR_NOTFOUND;
    if (xl_family_look(ctx, family) == 1)
        return ERROR_NOTFOUND;
    cgroup = family->cgroup;
    if (cgroup != NULL && *signo_io == 0)
        return 0; /* somebody is there */
    if (cgroup == NULL ||
        (family->child != NULL && (family->child->pid < 0 ||
                                   family->child->setting_up != NULL)))
        return xl_family_send(family, *signo_io);
    xl_family_accounts_for(family);
    return xl_cgroup_signal_now(ctx, cgroup, family->child, signo_io,
                                by_policy);
}

int libxl_family_signal(libxl_ctx *ctx, libxl_family_id id, int signo)
{
    int saved;
    int rc;

    if (bad_signal(signo))
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    rc = send_now(ctx, id, &signo, 0);
    saved = errno;
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}

int libxl_family_end(libxl_ctx *ctx, libxl_family_id id, int first_signal,
                     int grace_ms)
{
    int signo = first_signal != 0 ? first_signal : SIGKILL;
    struct xl_family *family;
    int saved;
    int rc;

    if (bad_signal(first_signal) || grace_ms < 0)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    rc = xl_registration_arm(ctx, xl_after_ms(grace_ms));
    if (rc == 0)
        rc = send_now(ctx, id, &signo, 1);
    saved = errno;
    family = xl_family_get(ctx, id);
    if (rc == 0 && family != NULL) {
        family->ending = 1;
        if (signo != SIGKILL)
            xl_family_kill_later(ctx, family, grace_ms);
    }
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}

/* ---- letting go --------------------------------------------------------- */

static int in_flight(const struct xl_family *family)
{
    return family->expects &&
           (!family->started ||
            (family->child != NULL && family->child->setting_up != NULL));
}

int libxl_family_free(libxl_ctx *ctx, libxl_family_id id)
{
    struct xl_family *family;
    struct xl_child *child;
    libxl_childproc_id orphan = 0;
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    family = xl_family_get(ctx, id);
    if (family == NULL)
        return xl_leave(ctx, ERROR_NOTFOUND);
    if (in_flight(family))
        return xl_leave(ctx, ERROR_BUSY);
    if (family->keeper != NULL && family->child != NULL)
        orphan = family->child->id;
    xl_family_let_go(ctx, family, ERROR_NOTFOUND);
    pthread_mutex_unlock(&ctx->lock); /* nobody finds it any more */
    free_family(family);
    pthread_mutex_lock(&ctx->lock);
    child = orphan != 0 ? xl_child_get(ctx, orphan) : NULL;
    if (child != NULL && !child->ended)
        xl_exit_watch_anew(ctx, child);
    return xl_leave(ctx, 0);
}

void xl_families_release(libxl_ctx *ctx, struct xl_list *ret_last)
{
    xl_list_init(ret_last);
    while (!xl_list_empty(&ctx->families)) {
        struct xl_family *family =
            xl_container(ctx->families.next, struct xl_family, link);

        if (family->child != NULL && !family->over &&
            family->child->on_free == LIBXL_FREE_KILL)
            family->ending = family->end_when != LIBXL_FAMILY_NEVER;
        xl_family_let_go(ctx, family, ERROR_NOTFOUND);
        xl_list_append(ret_last, &family->link);
    }
}

#define LAST_LOOKS 100 /* a millisecond each */

/* Whoever has been sent SIGKILL is about to leave it. */
static int remove_last(const struct xl_family *family)
{
    int looks = family->ending ? LAST_LOOKS : 1;

    while (looks-- > 0) {
        if (xl_cgroup_remove(family->cgroup->path) == 0)
            return 0;
        if (looks > 0)
            (void)xl_sys.poll(NULL, 0, 1);
    }
    return -1;
}

void xl_families_remove(libxl_ctx *ctx, struct xl_list *last)
{
    while (!xl_list_empty(last)) {
        struct xl_family *family =
            xl_container(last->next, struct xl_family, link);
        int left = 0;

        xl_list_remove(&family->link);
        if (family->cgroup != NULL && !family->empty) {
            pthread_mutex_unlock(&ctx->lock);
            left = remove_last(family) != 0;
            pthread_mutex_lock(&ctx->lock);
        }
        if (left)
            xl_log(ctx, LIBXL_LOG_INFO, 0,
                   "somebody lives in %s, which stays",
                   family->cgroup->path);
        pthread_mutex_unlock(&ctx->lock);
        free_family(family);
        pthread_mutex_lock(&ctx->lock);
    }
    xl_dispatch(ctx);
}

void xl_families_forget(libxl_ctx *ctx)
{
    while (!xl_list_empty(&ctx->families)) {
        struct xl_family *family =
            xl_container(ctx->families.next, struct xl_family, link);

        xl_list_remove(&family->link);
        while (!xl_list_empty(&family->asks)) {
            struct xl_family_ask *ask = xl_container(
                family->asks.next, struct xl_family_ask, link);

            xl_list_remove(&ask->link);
            xl_free(ask->event);
            xl_free(ask);
        }
        xl_keeper_forget(family->keeper);
        family->keeper = NULL;
        free_family(family);
    }
}
