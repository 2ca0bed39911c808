/* spawn.c - starting a child for a ctx
 *
 * Called by the host, by exec.c and by starters.c. The order is the promise
 * (C12): check, allocate, register with the host's loop, install the handler;
 * then start.c, without the lock; then only what cannot fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "loop/enter.h"
#include "kernel/facility.h"
#include "ctx/log.h"
#include "child/mode.h"
#include "loop/registration.h"
#include "api/spawn.h"
#include "start/spec.h"
#include "start/start.h"
#include "child/exit_watch.h"

/* ---- stacks ------------------------------------------------------------- */

struct stack_head {
    struct xl_list link; /* at the lowest address: the child never gets there */
};

static void *take_stack(libxl_ctx *ctx)
{
    struct stack_head *head;
    void *memory;

    if (!(xl_facilities() & LIBXL_FACILITY_VFORK))
        return NULL;
    if (!xl_list_empty(&ctx->stacks)) {
        head = xl_container(ctx->stacks.next, struct stack_head, link);
        xl_list_remove(&head->link);
        return head;
    }
    memory = xl_sys.mmap(XL_STACK_SIZE);
    return memory == (void *)-1 ? NULL : memory;
}

static void give_stack(libxl_ctx *ctx, void *memory)
{
    struct stack_head *head = memory;

    if (memory == NULL)
        return;
    xl_list_init(&head->link);
    xl_list_prepend(&ctx->stacks, &head->link); /* still in the caches */
}

void xl_spawn_free_stacks(libxl_ctx *ctx)
{
    while (!xl_list_empty(&ctx->stacks)) {
        struct stack_head *head =
            xl_container(ctx->stacks.next, struct stack_head, link);

        xl_list_remove(&head->link);
        xl_munmap(head, XL_STACK_SIZE);
    }
}

/* ---- starting ----------------------------------------------------------- */

/* A starter thread blocks all signals: then the caller's mask counts. */
static int nobody_hears(const xl_sigset *caller_mask)
{
    return (caller_mask == NULL || xl_sigset_has(caller_mask, SIGCHLD)) &&
           xl_sigchld_blocked_everywhere();
}

/* Will we learn of the exit, and of its status? (C9) */
static int exits_arrive(libxl_ctx *ctx, const xl_sigset *caller_mask,
                        const char **ret_why)
{
    unsigned have = xl_facilities();
    struct xl_sigchld_state state;

    if (ctx->mode.in_force == libxl_sigchld_owner_mainloop)
        return 1; /* the host's promise */
    if (xl_exit_watch_without_pidfd(ctx) && nobody_hears(caller_mask)) {
        *ret_why = "SIGCHLD is blocked in every thread, and pidfds are refused";
        return 0;
    }
    if (!(have & LIBXL_FACILITY_EXIT_INFO) && !xl_mode_wants_handler(ctx) &&
        xl_sigchld_look(&state) == 0 && state.ignored) {
        *ret_why = "SIGCHLD is ignored: the kernel would throw the status away";
        return 0;
    }
    return 1;
}

static void set_failure(struct xl_spawn *spawn, libxl_childproc_stage stage,
                        int errnoval, const char *argument)
{
    spawn->failure.stage = stage;
    spawn->failure.errnoval = errnoval;
    spawn->failure.argument = argument;
}

static int refuse(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    xl_log(ctx, LIBXL_LOG_ERROR, 0, "libxl_childproc_spawn: bad argument: %s",
           spawn->failure.argument);
    return ERROR_INVAL;
}

static int check(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    if (xl_spec_check(&spawn->spec, &spawn->room, &spawn->failure) != 0)
        return refuse(ctx, spawn);
    if (!xl_report_ok(spawn->report)) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "report");
        return refuse(ctx, spawn);
    }
    if ((spawn->spec->flags & LIBXL_SPAWN_REPORT_STOPS) &&
        ctx->mode.asked == libxl_sigchld_owner_mainloop) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "flags");
        return refuse(ctx, spawn);
    }
    return xl_spec_sources(spawn->spec, &spawn->failure);
}

/* The spawn is under way (delta 1), or over (-1). */
static void count(libxl_ctx *ctx, const struct xl_spawn *spawn, int delta)
{
    ctx->nstarting += delta;
    if (spawn->spec->flags & LIBXL_SPAWN_REPORT_STOPS)
        ctx->nstops += delta;
}

static int arm(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    const char *why = NULL;
    int rc = xl_mode_arm(ctx);

    if (rc == 0 && !exits_arrive(ctx, spawn->caller_mask, &why)) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0, "libxl_childproc_spawn: %s", why);
        rc = ERROR_SIGCHLD_UNAVAILABLE;
    }
    if (rc == 0)
        rc = xl_registration_arm(ctx, spawn->due);
    return rc;
}

/* All that can fail in the parent. */
static int before_start(libxl_ctx *ctx, struct xl_spawn *spawn, int overlap)
{
    struct xl_start_request *request = &spawn->start.request;
    int saved;
    int rc = check(ctx, spawn);

    if (rc != 0)
        return rc;
    set_failure(spawn, LIBXL_STAGE_PREPARE, 0, NULL);
    count(ctx, spawn, 1);
    rc = arm(ctx, spawn);
    if (rc != 0) {
        spawn->failure.errnoval = rc == ERROR_SYSTEM ? errno : 0;
        goto out;
    }
    rc = xl_child_new(ctx, spawn->spec, spawn->report, &spawn->child);
    if (rc != 0) {
        spawn->failure.errnoval = ENOMEM;
        goto out;
    }
    if (spawn->ao != NULL)
        spawn->child->guardian = &spawn->ao->guardian;
    request->spec = spawn->spec;
    request->fork_replacement = ctx->mode.hooks.fork_replacement;
    request->fork_user = ctx->mode.user;
    request->caller_mask = spawn->caller_mask;
    request->overlap = overlap;
    request->stat_fd = ctx->stat_fd;
    request->entry = &spawn->child->reg;
    if (request->fork_replacement == NULL)
        request->stack = take_stack(ctx);
    return 0;
out:
    saved = errno;
    count(ctx, spawn, -1);
    errno = saved;
    return rc;
}

/* Only what cannot fail. rc: what the start has come to. */
static void after_start(libxl_ctx *ctx, struct xl_spawn *spawn, int rc)
{
    const struct xl_start_request *request = &spawn->start.request;
    struct xl_child *child = spawn->child;
    int saved = errno;

    give_stack(ctx, request->stack);
    count(ctx, spawn, -1);
    if (rc != 0) {
        spawn->failure = request->failure;
        xl_child_discard(ctx, child);
        errno = saved;
        return;
    }
    spawn->id = child->id;
    spawn->pid = request->pid;
    set_failure(spawn, LIBXL_STAGE_NONE, 0, NULL);
    xl_child_started(ctx, child, request->pid, request->pidfd);
    xl_exit_watch_new(ctx, child);
    if (spawn->ao != NULL)
        xl_operation_child_started(ctx, spawn->ao, spawn->id, spawn->pid);
    if (request->reaped)
        xl_child_ended(ctx, child, request->status, LIBXL_LOST_NONE,
                       LIBXL_SOURCE_REAPED, NULL);
    else
        xl_child_ended_early(ctx, child);
}

int xl_spawn(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    int rc = before_start(ctx, spawn, 0);

    if (rc != 0)
        return rc;
    pthread_mutex_unlock(&ctx->lock);
    xl_start_begin(&spawn->start);
    rc = xl_start_end(&spawn->start);
    pthread_mutex_lock(&ctx->lock);
    after_start(ctx, spawn, rc);
    return rc;
}

int xl_spawn_begin(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    int rc = before_start(ctx, spawn, 1);

    if (rc != 0)
        return rc;
    pthread_mutex_unlock(&ctx->lock);
    xl_start_begin(&spawn->start);
    pthread_mutex_lock(&ctx->lock);
    return 0;
}

int xl_spawn_end(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    int rc;

    pthread_mutex_unlock(&ctx->lock);
    rc = xl_start_end(&spawn->start);
    pthread_mutex_lock(&ctx->lock);
    after_start(ctx, spawn, rc);
    return rc;
}

int libxl_childproc_spawn(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                          const libxl_childproc_report *report,
                          libxl_childproc_id *ret_id, pid_t *ret_pid,
                          libxl_childproc_failure *ret_failure)
{
    struct xl_spawn spawn;
    int rc;

    memset(&spawn, 0, sizeof spawn);
    spawn.spec = spec;
    spawn.report = report;
    spawn.due = XL_NEVER;
    rc = xl_enter(ctx);
    if (rc != 0) {
        if (ret_failure != NULL) {
            set_failure(&spawn, LIBXL_STAGE_ARGUMENT, 0, "ctx");
            *ret_failure = spawn.failure;
        }
        return rc;
    }
    rc = xl_spawn(ctx, &spawn);
    if (rc == 0) {
        if (ret_id != NULL)
            *ret_id = spawn.id;
        if (ret_pid != NULL)
            *ret_pid = spawn.pid;
    }
    if (ret_failure != NULL)
        *ret_failure = spawn.failure;
    rc = xl_leave(ctx, rc);
    if (rc != 0)
        errno = spawn.failure.errnoval;
    return rc;
}
