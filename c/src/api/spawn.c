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
#include "kernel/stop_point.h"
#include "loop/registration.h"
#include "api/spawn.h"
#include "start/spec.h"
#include "start/start.h"
#include "start/wiring.h"
#include "child/reap.h"
#include "child/reaper_thread.h"
#include "child/send.h"
#include "ctx/defer.h"
#include "ctx/events.h"
#include "loop/pump.h"
#include "child/exit_watch.h"
#include "child/family.h"
#include "child/flights.h"

#define LOOKS_IN_PASSING 16 /* at starts that nobody waited for */

/* ---- stacks ------------------------------------------------------------- */

#define MAX_SPARE_STACKS 16

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
        ctx->nstacks--;
        return head;
    }
    memory = xl_sys.mmap(XL_STACK_SIZE);
    return memory == (void *)-1 ? NULL : memory;
}

/* ctx NULL: it has gone. */
static void give_stack(libxl_ctx *ctx, void *memory)
{
    struct stack_head *head = memory;

    if (memory == NULL)
        return;
    if (ctx == NULL || ctx->nstacks == MAX_SPARE_STACKS) {
        xl_munmap(memory, XL_STACK_SIZE);
        return;
    }
    xl_list_init(&head->link);
    xl_list_prepend(&ctx->stacks, &head->link); /* still in the caches */
    ctx->nstacks++;
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

/* ---- starts that may outlive the call ----------------------------------- */

/* The child's half goes on when the call has returned: see struct
 * xl_setting_up. */
struct xl_pending_start {
    struct xl_setting_up setting_up; /* first */
    struct xl_start start;
    libxl_childproc_spec *spec; /* a copy, where the caller's may go; NULL */
};

static struct xl_start *start_of(struct xl_setting_up *setting_up)
{
    return &((struct xl_pending_start *)(void *)setting_up)->start;
}

static int pending_settled(struct xl_setting_up *setting_up)
{
    return xl_start_settled(start_of(setting_up));
}

static int pending_apart(struct xl_setting_up *setting_up)
{
    const struct xl_start *start = start_of(setting_up);

    return start->way == XL_START_FORKED || pending_settled(setting_up);
}

static int pending_failed(struct xl_setting_up *setting_up,
                          libxl_childproc_failure *ret_failure)
{
    struct xl_start *start = start_of(setting_up);

    if (!xl_start_came_to_nothing(start))
        return 0;
    *ret_failure = start->request.failure;
    ret_failure->argument = xl_wiring_name(start->request.failed_file);
    return 1;
}

static void free_pending(struct xl_setting_up *setting_up, libxl_ctx *ctx)
{
    struct xl_start *start = start_of(setting_up);

    xl_start_release(start);
    give_stack(ctx, start->request.stack);
    xl_free(setting_up->started);
    xl_free(((struct xl_pending_start *)(void *)setting_up)->spec);
    xl_free(setting_up);
}

static int nowait(const struct xl_spawn *spawn)
{
    return (spawn->spec->flags & LIBXL_SPAWN_NOWAIT) != 0;
}

/* Does the caller go on before the child is its program? */
static int may_outlive(const struct xl_spawn *spawn)
{
    return spawn->patience_ms >= 0 || spawn->spec->interrupted != NULL ||
           nowait(spawn);
}

/* … and may what it gave be gone then? An operation that is waited for keeps
 * it, and ends the child first if it cannot. */
static int needs_copy(const struct xl_spawn *spawn)
{
    return spawn->ao != NULL ? !spawn->ao->synchronous : nowait(spawn);
}

static int make_start(struct xl_spawn *spawn)
{
    spawn->start = &spawn->own;
    if (!may_outlive(spawn))
        return 0;
    spawn->pending = xl_sys.calloc(1, sizeof *spawn->pending);
    if (spawn->pending == NULL)
        return ERROR_NOMEM;
    spawn->pending->setting_up.settled = pending_settled;
    spawn->pending->setting_up.failed = pending_failed;
    spawn->pending->setting_up.apart = pending_apart;
    spawn->pending->setting_up.free = free_pending;
    xl_list_init(&spawn->pending->setting_up.link);
    spawn->start = &spawn->pending->start;
    if (spawn->spec->flags & LIBXL_SPAWN_REPORT_START) {
        spawn->pending->setting_up.started =
            xl_sys.calloc(1, sizeof(struct xl_box));
        if (spawn->pending->setting_up.started == NULL)
            return ERROR_NOMEM;
    }
    if (needs_copy(spawn)) {
        spawn->pending->spec = xl_spec_copy(spawn->spec);
        if (spawn->pending->spec == NULL)
            return ERROR_NOMEM;
    }
    return 0;
}

static void drop_start(struct xl_spawn *spawn)
{
    if (spawn->pending != NULL) {
        xl_free(spawn->pending->setting_up.started);
        xl_free(spawn->pending->spec);
    }
    xl_free(spawn->pending);
    spawn->pending = NULL;
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

/* A spec with a family says what that wants. */
static const char *into_family(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    struct xl_family *family = xl_family_get(ctx, spawn->spec->family);

    if (family == NULL || family->expects ||
        (family->hold == LIBXL_HOLD_KEEPER &&
         ctx->mode.hooks.fork_replacement != NULL))
        return "family";
    if (spawn->spec != &spawn->room)
        spawn->room = *spawn->spec;
    spawn->spec = &spawn->room;
    spawn->family = family;
    return xl_family_shapes(family, &spawn->room);
}

static int check(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    if (xl_spec_check(&spawn->spec, &spawn->room, &spawn->failure) != 0)
        return refuse(ctx, spawn);
    if (spawn->spec->family != 0) {
        const char *wrong = into_family(ctx, spawn);

        if (wrong != NULL) {
            set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, wrong);
            return refuse(ctx, spawn);
        }
        if (spawn->ao != NULL)
            spawn->ao->kill = spawn->spec->kill;
    }
    if (!xl_report_ok(spawn->report)) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "report");
        return refuse(ctx, spawn);
    }
    if ((spawn->spec->flags & LIBXL_SPAWN_REPORT_STOPS) &&
        ctx->mode.asked == libxl_sigchld_owner_mainloop) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "flags");
        return refuse(ctx, spawn);
    }
    if ((spawn->spec->flags & LIBXL_SPAWN_ACCOUNT) && spawn->ao == NULL &&
        spawn->report != NULL && spawn->report->kind == LIBXL_REPORT_NONE) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "flags");
        return refuse(ctx, spawn);
    }
    if ((spawn->spec->flags & LIBXL_SPAWN_REPORT_START) && spawn->ao != NULL) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "flags");
        return refuse(ctx, spawn);
    }
    if ((spawn->spec->flags & LIBXL_SPAWN_HOLD_PID) &&
        (spawn->ao != NULL ||
         (spawn->report != NULL && spawn->report->kind != LIBXL_REPORT_HOLD))) {
        set_failure(spawn, LIBXL_STAGE_ARGUMENT, 0, "flags");
        return refuse(ctx, spawn);
    }
    return spawn->map != NULL ? 0
                              : xl_spec_sources(spawn->spec, &spawn->failure);
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
static int before_start(libxl_ctx *ctx, struct xl_spawn *spawn, int apart)
{
    struct xl_start_request *request;
    int saved;
    int rc = check(ctx, spawn);

    if (rc != 0)
        return rc;
    (void)xl_flights_look(ctx, LOOKS_IN_PASSING);
    xl_pump_in_passing(ctx);
    xl_child_linger_over(ctx, XL_NEVER);
    if (spawn->spec->flags & LIBXL_SPAWN_REPORT_START)
        spawn->due = xl_flights_first_look();
    set_failure(spawn, LIBXL_STAGE_PREPARE, 0, NULL);
    count(ctx, spawn, 1);
    rc = arm(ctx, spawn);
    if (rc != 0) {
        spawn->failure.errnoval = rc == ERROR_SYSTEM ? errno : 0;
        goto out;
    }
    rc = make_start(spawn);
    if (rc == 0)
        rc = xl_child_new(ctx, spawn->spec, spawn->report, &spawn->child);
    if (rc != 0) {
        drop_start(spawn);
        spawn->failure.errnoval = ENOMEM;
        goto out;
    }
    if (spawn->family != NULL)
        xl_family_expects(spawn->family, spawn->child);
    if (spawn->ao != NULL) {
        spawn->child->guardian = &spawn->ao->guardian;
        xl_operation_starts(ctx, spawn->ao, spawn->child->id);
    }
    spawn->occurred = ctx->mode.occurred;
    spawn->looked = ctx->mode.looked;
    request = &spawn->start->request;
    request->spec = spawn->pending != NULL && spawn->pending->spec != NULL
                        ? spawn->pending->spec
                        : spawn->spec;
    request->fork_replacement = ctx->mode.hooks.fork_replacement;
    request->fork_user = ctx->mode.user;
    request->caller_mask = spawn->caller_mask;
    request->map = spawn->map;
    request->nmap = spawn->nmap;
    request->files = spawn->files;
    request->opens = spawn->opens;
    request->impatient = may_outlive(spawn);
    request->apart = apart || request->impatient;
    request->nowait = nowait(spawn);
    request->stat_fd = ctx->stat_fd;
    request->entry = &spawn->child->reg;
    if (spawn->child->adopted) {
        request->keeper = spawn->family->keeper;
        request->apart = 1;
    }
    if (request->fork_replacement == NULL)
        request->stack = take_stack(ctx);
    return 0;
out:
    saved = errno;
    count(ctx, spawn, -1);
    errno = saved;
    return rc;
}

/* It was given up while it slept in the kernel: whenever it wakes it ends, and
 * nobody is told. */
static void leave_behind(libxl_ctx *ctx, struct xl_child *child)
{
    child->guardian = NULL;
    child->report = LIBXL_REPORT_NONE;
    child->detached = 1;
    xl_account_unwanted(&child->more->account);
    xl_notices_send(ctx, &child->notices, NULL);
}

/* The start has a child. What has been heard of it meanwhile? */
static void catch_up(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    const struct xl_start_request *request = &spawn->start->request;
    struct xl_child *child = spawn->child;

    if (request->news == XL_START_REAPED) {
        xl_child_ended(ctx, child, request->status, LIBXL_LOST_NONE,
                       LIBXL_SOURCE_REAPED, &request->rusage);
    } else if (request->news == XL_START_PASSED) {
        xl_send_rest_late(child);
        xl_child_ended(ctx, child, request->status, LIBXL_LOST_NONE,
                       LIBXL_SOURCE_PASSED, NULL);
    } else if (child->early) {
        xl_child_ended_early(ctx, child);
    } else {
        if (child->pidfd < 0 && !xl_registry_has_number(&child->reg) &&
            xl_reap_look(ctx, child))
            return;
        if (child->pidfd < 0 && spawn->looked != ctx->mode.looked)
            xl_exit_watch_missed(ctx);
        if (child->early_signal != 0)
            (void)xl_send(child, child->early_signal, LIBXL_KILL_PROCESS);
        if (ctx->mode.in_force == libxl_sigchld_owner_mainloop &&
            !child->adopted && spawn->occurred != ctx->mode.occurred)
            (void)xl_reap_look(ctx, child); /* perhaps it was about this one */
    }
}

/* The child is not its program yet, for all we know. */
static void hand_over(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    spawn->child->setting_up = &spawn->pending->setting_up;
    spawn->pending = NULL;
    xl_flights_add(ctx, spawn->child);
}

/* It has left our memory; but one that is killed on its way does that, too, and
 * whoever is to be told of a start is told the truth. */
static int wants_proof(const struct xl_spawn *spawn)
{
    return spawn->pending != NULL && spawn->pending->setting_up.started != NULL;
}

/* Only what cannot fail. rc: what the start has come to. */
static void after_start(libxl_ctx *ctx, struct xl_spawn *spawn, int rc)
{
    struct xl_start *start = spawn->start;
    const struct xl_start_request *request = &start->request;
    struct xl_child *child = spawn->child;
    int saved = errno;

    if (rc == 0 && wants_proof(spawn))
        start->unsettled = 1;
    if (!start->unsettled)
        give_stack(ctx, request->stack);
    count(ctx, spawn, -1);
    if (rc != 0) {
        spawn->failure = request->failure;
        spawn->failure.argument = xl_wiring_name(request->failed_file);
    }
    if (rc != 0 && !start->unsettled) {
        if (spawn->family != NULL)
            xl_family_expects_none(spawn->family);
        xl_child_discard(ctx, child);
        drop_start(spawn);
        errno = saved;
        return;
    }
    if (rc != 0)
        leave_behind(ctx, child);
    spawn->id = child->id;
    spawn->pid = request->pid;
    if (rc == 0)
        set_failure(spawn, LIBXL_STAGE_NONE, 0, NULL);
    if (rc == 0 && !start->unsettled)
        xl_account_exec(child->more->account);
    xl_child_started(ctx, child, request->pid, request->pidfd);
    if (spawn->family != NULL)
        xl_family_started(ctx, child);
    if (child->adopted)
        xl_exit_watch(ctx, child, 0);
    else
        xl_exit_watch_new(ctx, child);
    if (start->unsettled)
        hand_over(ctx, spawn);
    if (child->let_go)
        xl_reaper_thread_mind(ctx);
    if (child->guardian != NULL)
        xl_operation_child_started(ctx, spawn->ao, spawn->pid);
    catch_up(ctx, spawn);
    drop_start(spawn);
    errno = saved;
}

static int end_start(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    struct xl_start_limits limits = {
        .patience_ms = spawn->patience_ms,
        .give_up = nowait(spawn) ? NULL : spawn->spec->interrupted,
        .user = spawn->spec->interrupted_user,
    };
    int rc;

    if (limits.give_up != NULL)
        xl_hook_mark(1);
    rc = xl_start_end(spawn->start, may_outlive(spawn) ? &limits : NULL);
    if (limits.give_up != NULL)
        xl_hook_mark(-1);
    XL_STOP_POINT("start: registered");
    pthread_mutex_lock(&ctx->lock);
    after_start(ctx, spawn, rc);
    return rc;
}

int xl_spawn(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    int rc = before_start(ctx, spawn, 0);

    if (rc != 0)
        return rc;
    pthread_mutex_unlock(&ctx->lock);
    xl_account_base(spawn->child->more->account);
    xl_start_begin(spawn->start);
    return end_start(ctx, spawn);
}

int xl_spawn_begin(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    int rc = before_start(ctx, spawn, 1);

    if (rc != 0)
        return rc;
    pthread_mutex_unlock(&ctx->lock);
    xl_account_base(spawn->child->more->account);
    xl_start_begin(spawn->start);
    pthread_mutex_lock(&ctx->lock);
    return 0;
}

int xl_spawn_end(libxl_ctx *ctx, struct xl_spawn *spawn)
{
    pthread_mutex_unlock(&ctx->lock);
    return end_start(ctx, spawn);
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
    spawn.patience_ms = -1;
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
