/* handle.c - held results, detaching, and looking children up
 *
 * Called by the host. A child that was started with LIBXL_REPORT_HOLD stays
 * on ctx->held after its end, until libxl_childproc_wait takes its result or
 * libxl_childproc_detach or libxl_childproc_linger forgoes it. The end of one
 * that is reported otherwise is handed to those who are waiting for it when it
 * comes (waiters.c).
 */
#include "child/child.h"
#include "child/reaper_thread.h"
#include "loop/enter.h"
#include "loop/pump.h"
#include "ctx/waiters.h"

struct request {
    const struct xl_waiter *waiter;
    libxl_childproc_id id;
    int keep; /* the result stays for others, and for another time */
    int rc;
    libxl_childproc_result *ret_result;
};

static int ended(libxl_ctx *ctx, void *user)
{
    struct request *r = user;
    struct xl_child *child = xl_child_get(ctx, r->id);

    if (r->waiter->answered) {
        *r->ret_result = r->waiter->result;
        r->rc = 0;
        return 1;
    }
    if (child == NULL || child->detached) {
        r->rc = ERROR_NOTFOUND; /* somebody else took it, or detached it */
        return 1;
    }
    if (!child->ended)
        return 0;
    *r->ret_result = child->box.event.u.childproc_exit;
    xl_child_asked(ctx, child);
    if (!r->keep)
        xl_child_forget(ctx, child);
    r->rc = 0;
    return 1;
}

int libxl_childproc_wait(libxl_ctx *ctx, libxl_childproc_id id, int timeout_ms,
                         unsigned flags, libxl_childproc_result *ret_result)
{
    struct xl_waiter waiter;
    struct request r = {&waiter, id, (flags & LIBXL_WAIT_KEEP) != 0, 0,
                        ret_result};
    struct xl_child *child;
    int rc;

    if (ret_result == NULL || timeout_ms < LIBXL_WAIT_FOREVER ||
        (flags & ~(LIBXL_WAIT_INTERRUPTIBLE | LIBXL_WAIT_KEEP)) != 0)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    child = xl_child_get(ctx, id);
    if (child == NULL || child->guardian != NULL || child->detached) {
        rc = ERROR_NOTFOUND;
    } else if (child->report == LIBXL_REPORT_NONE) {
        rc = ERROR_INVAL;
    } else {
        xl_waiter_init(&waiter);
        waiter.child = id;
        rc = xl_pump_wait(ctx, &waiter, ended, &r, timeout_ms, flags);
        if (rc == 0)
            rc = r.rc;
    }
    return xl_leave(ctx, rc);
}

static void let_go_of_ended(libxl_ctx *ctx, struct xl_child *child, int lingers)
{
    if (!lingers || !child->kept) {
        xl_child_forget(ctx, child);
        return;
    }
    xl_child_linger(ctx, child);
    xl_reaper_thread_mind(ctx);
}

static int detach(libxl_ctx *ctx, libxl_childproc_id id, int lingers)
{
    struct xl_child *child;
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    child = xl_child_get(ctx, id);
    if (child == NULL || child->ended)
        xl_account_forget(ctx, id);
    if (child == NULL || child->guardian != NULL || child->detached) {
        rc = ERROR_NOTFOUND;
    } else if (child->ended) {
        let_go_of_ended(ctx, child, lingers);
    } else {
        xl_account_unwanted(&child->more->account);
        child->lingers = lingers;
        child->report = LIBXL_REPORT_NONE;
        child->detached = 1;
        if (child->pid > 0)
            xl_reaper_thread_let_go(ctx, child);
        ctx->nstops -= child->wants_stops; /* those are reports, too */
        child->wants_stops = 0;
        xl_waiters_wake_child(ctx, id);
    }
    return xl_leave(ctx, rc);
}

int libxl_childproc_detach(libxl_ctx *ctx, libxl_childproc_id id)
{
    return detach(ctx, id, 0);
}

int libxl_childproc_linger(libxl_ctx *ctx, libxl_childproc_id id)
{
    return detach(ctx, id, 1);
}

int libxl_childproc_lookup(libxl_ctx *ctx, pid_t pid,
                           libxl_childproc_id *ret_id)
{
    struct xl_child *child;
    int rc;

    if (pid <= 1 || ret_id == NULL)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    child = xl_child_by_pid(ctx, pid);
    if (child != NULL)
        *ret_id = child->id;
    else
        rc = ERROR_NOTFOUND;
    return xl_leave(ctx, rc);
}

int libxl_childproc_count(libxl_ctx *ctx)
{
    struct xl_list *node;
    int n;
    int rc = xl_enter(ctx);

    if (rc != 0)
        return rc;
    n = ctx->nlive;
    for (node = ctx->held.next; node != &ctx->held; node = node->next)
        n += xl_container(node, struct xl_child, link)->guardian == NULL;
    return xl_leave(ctx, n);
}
