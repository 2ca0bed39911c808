/* ctx.c - contexts: making them and ending them
 *
 * Called by the host. Making one opens its epoll and wakeup; ending one goes
 * through every part in the order in which they depend on each other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "api/families.h"
#include "api/operation.h"
#include "child/atfork.h"
#include "api/postfork.h"
#include "child/cgroup_due.h"
#include "child/child.h"
#include "child/flights.h"
#include "ctx/ctx_fds.h"
#include "ctx/defer.h"
#include "kernel/sized.h"
#include "loop/enter.h"
#include "ctx/events.h"
#include "ctx/log.h"
#include "kernel/cancel.h"
#include "kernel/own.h"
#include "kernel/pin.h"
#include "child/mode.h"
#include "child/reaper_thread.h"
#include "ctx/process.h"
#include "child/reap.h"
#include "loop/registration.h"
#include "child/send.h"
#include "api/spawn.h"
#include "api/starters.h"

/* ---- making ------------------------------------------------------------- */

/* NULL is: warnings and worse, to stderr. */
static int take_logger(libxl_logger *own, const libxl_logger *logger)
{
    memset(own, 0, sizeof *own);
    own->min_level = LIBXL_LOG_WARNING;
    if (logger == NULL)
        return 0;
    if (xl_sized_take(own, sizeof *own, logger, logger->size,
                      XL_SIZE_WITH(libxl_logger, user)) != 0)
        return -1;
    return own->log == NULL || own->min_level < LIBXL_LOG_DEBUG ||
                   own->min_level > LIBXL_LOG_CRITICAL
               ? -1
               : 0;
}

static int init_locks(libxl_ctx *ctx)
{
    if (pthread_mutex_init(&ctx->lock, NULL) != 0)
        return -1;
    if (pthread_cond_init(&ctx->os.idle, NULL) != 0) {
        (void)pthread_mutex_destroy(&ctx->lock);
        return -1;
    }
    return 0;
}

static void init_members(libxl_ctx *ctx, const libxl_logger *logger)
{
    int i;

    ctx->generation = xl_process_generation();
    ctx->log.logger = *logger;
    ctx->tick.fire = xl_reap_tick;
    ctx->flights_look.fire = xl_flights_due;
    xl_queue_init(&ctx->deferred);
    xl_queue_init(&ctx->postponed);
    ctx->events.tail = &ctx->events.head;
    xl_list_init(&ctx->events.evgens);
    xl_list_init(&ctx->starting);
    xl_list_init(&ctx->live);
    xl_list_init(&ctx->held);
    xl_list_init(&ctx->lingering);
    xl_list_init(&ctx->aos);
    xl_list_init(&ctx->flights);
    xl_list_init(&ctx->cgroups_due);
    xl_list_init(&ctx->families);
    for (i = 0; i < XL_ACCOUNT_LISTS; i++)
        xl_list_init(&ctx->accounts[i]);
    xl_list_init(&ctx->accounts_due);
    xl_list_init(&ctx->stacks);
    xl_list_init(&ctx->all);
    xl_list_init(&ctx->minded);
    xl_list_init(&ctx->pump.waiters);
}

static int make(libxl_ctx **ret_ctx, const libxl_logger *logger)
{
    libxl_ctx *ctx;
    int saved;

    ctx = xl_sys.calloc(1, sizeof *ctx);
    if (ctx == NULL)
        return ERROR_NOMEM;
    if (init_locks(ctx) != 0) {
        xl_free(ctx);
        return ERROR_NOMEM;
    }
    init_members(ctx, logger);
    if (xl_ctx_open_fds(ctx) != 0) {
        saved = errno;
        xl_ctx_close_fds(ctx);
        (void)pthread_cond_destroy(&ctx->os.idle);
        (void)pthread_mutex_destroy(&ctx->lock);
        xl_free(ctx);
        errno = saved;
        return ERROR_SYSTEM;
    }
    xl_process_add(ctx);
    *ret_ctx = ctx;
    return 0;
}

int libxl_ctx_alloc(libxl_ctx **ret_ctx, int version, unsigned flags,
                    const libxl_logger *logger)
{
    libxl_logger own;
    int rc;

    if (ret_ctx == NULL)
        return ERROR_INVAL;
    *ret_ctx = NULL;
    if (version != LIBXL_VERSION)
        return ERROR_VERSION;
    if (flags != 0 || take_logger(&own, logger) != 0)
        return ERROR_INVAL;
    if (xl_atfork_missing())
        return ERROR_NOMEM;
    xl_cancel_hold();
    xl_pin();
    rc = make(ret_ctx, &own);
    xl_cancel_release();
    return rc;
}

/* ---- ending ------------------------------------------------------------- */

static void free_child(struct xl_child *child)
{
    xl_registry_remove(&child->reg);
    xl_list_remove(&child->link);
    xl_own_close(child->pidfd);
    xl_account_drop(child->more->account);
    xl_cgroup_drop(child->more->cgroup);
    xl_free(child);
}

static void part_with(libxl_ctx *ctx, struct xl_child *child)
{
    xl_timer_disarm(&ctx->timers, &child->timer);
    xl_notices_send(ctx, &child->notices, NULL);
    if (child->on_free == LIBXL_FREE_KILL)
        (void)xl_send(child, SIGKILL, child->kill.scope);
}

/* From here on it is somebody else's, or gone: what the ctx has still to do
 * does not find it any more. */
static void release_child(libxl_ctx *ctx, struct xl_child *child)
{
    xl_slots_remove(&ctx->children, child->id);
    (void)xl_send_goes_with(child, LIBXL_KILL_PROCESS);
    xl_account_unwanted(&child->more->account);
    /* One that is not its program yet still needs memory of ours: whoever reaps
     * it frees that. */
    if (xl_flights_settle(ctx, child))
        xl_list_remove(&child->setting_up->link); /* the ctx's list goes */
    if (child->adopted || child->on_free == LIBXL_FREE_LEAVE) {
        if (child->setting_up != NULL)
            xl_child_leave_start(child->setting_up);
        free_child(child);
        return;
    }
    if (xl_reaper_thread_take(child) == 0)
        return;
    xl_log(ctx, LIBXL_LOG_ERROR, errno,
           "child %d: no thread could be had to reap it after its ctx",
           (int)child->pid);
    if (child->setting_up != NULL)
        xl_child_leave_start(child->setting_up);
    free_child(child);
}

static void release_children(libxl_ctx *ctx)
{
    struct xl_list *node;
    struct xl_list *next;

    xl_child_linger_over(ctx, XL_NEVER);
    for (node = ctx->live.next; node != &ctx->live; node = next) {
        next = node->next;
        part_with(ctx, xl_container(node, struct xl_child, link));
    }
    /* Where a cgroup refuses, its child is killed itself: while it is here. */
    (void)xl_cgroup_signal_due(ctx);
    while (!xl_list_empty(&ctx->live))
        release_child(ctx, xl_container(ctx->live.next, struct xl_child, link));
    while (!xl_list_empty(&ctx->held))
        xl_child_forget(ctx,
                        xl_container(ctx->held.next, struct xl_child, link));
}

static void free_memory(libxl_ctx *ctx)
{
    xl_events_destroy(ctx);
    xl_account_forget_all(ctx);
    xl_slots_destroy(&ctx->children);
    xl_slots_destroy(&ctx->streams);
    xl_slots_destroy(&ctx->families_by_id);
    xl_spawn_free_stacks(ctx);
    xl_free(ctx->chunk);
    xl_free(ctx);
}

/* A ctx of the parent's, in its child: memory and fds, nobody is told. */
static void free_inherited(libxl_ctx *ctx)
{
    xl_process_remove(ctx);
    xl_postfork_drop(ctx);
    while (!xl_list_empty(&ctx->aos))
        xl_operation_free(
            ctx, xl_container(ctx->aos.next, struct xl_operation, link));
    while (!xl_list_empty(&ctx->live)) {
        struct xl_child *child =
            xl_container(ctx->live.next, struct xl_child, link);

        xl_notices_send(ctx, &child->notices, NULL);
        if (child->setting_up != NULL)
            child->setting_up->free(child->setting_up, NULL);
        free_child(child);
    }
    xl_child_linger_over(ctx, XL_NEVER);
    while (!xl_list_empty(&ctx->held))
        xl_child_forget(ctx,
                        xl_container(ctx->held.next, struct xl_child, link));
    xl_starters_forget(ctx);
    xl_families_forget(ctx);
    xl_cgroup_forget_all(ctx);
    /* the locks may be held by threads that are not here: they are left */
    free_memory(ctx);
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    struct xl_list last;
    int rc;

    if (ctx == NULL)
        return 0;
    if (ctx->generation != xl_process_generation()) {
        xl_cancel_hold();
        free_inherited(ctx);
        xl_cancel_release();
        return 0;
    }
    rc = xl_enter_to_free(ctx);
    if (rc != 0)
        return rc;
    if (ctx->inside > 1) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_ctx_free: a call on this ctx is under way");
        return xl_leave(ctx, ERROR_BUSY);
    }
    xl_starters_stop(ctx);
    xl_defer_postponed(ctx); /* operations may have completed in passing */
    xl_dispatch(ctx);
    while (!xl_list_empty(&ctx->aos))
        xl_operation_free(
            ctx, xl_container(ctx->aos.next, struct xl_operation, link));
    xl_reaper_thread_forget(ctx);
    xl_reap_limbo_left(ctx);
    xl_families_release(ctx, &last);
    release_children(ctx);
    xl_mode_release(ctx);
    xl_reap_limbo_left(ctx); /* what others have just forwarded */
    xl_registration_release(ctx);
    xl_timer_disarm(&ctx->timers, &ctx->tick);
    xl_timer_disarm(&ctx->timers, &ctx->flights_look);
    xl_defer_postponed(ctx);
    xl_dispatch(ctx); /* what has occurred is still reported */
    xl_families_remove(ctx, &last);
    xl_process_remove(ctx);
    pthread_mutex_unlock(&ctx->lock);
    xl_ctx_close_fds(ctx);
    (void)pthread_cond_destroy(&ctx->os.idle);
    (void)pthread_mutex_destroy(&ctx->lock);
    free_memory(ctx);
    xl_cancel_release(); /* what xl_leave would have done */
    return 0;
}

int libxl_ctx_log(libxl_ctx *ctx, libxl_log_level level, int errnoval,
                  const char *message)
{
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    if (level < LIBXL_LOG_DEBUG || level > LIBXL_LOG_CRITICAL ||
        message == NULL) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0, "libxl_ctx_log: bad argument");
        return xl_leave(ctx, ERROR_INVAL);
    }
    xl_log(ctx, level, errnoval, "%s", message);
    return xl_leave(ctx, 0);
}

int libxl_ctx_disaster_latched(libxl_ctx *ctx)
{
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    return xl_leave(ctx, xl_fds_gone(ctx) ? ERROR_FDS_CLOSED : ctx->latched);
}
