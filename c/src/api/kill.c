/* kill.c - ending children: a signal, a grace, SIGKILL
 *
 * Called by the host, operation.c and ctx.c. Next: send.c.
 */
#define _GNU_SOURCE
#include "api/kill.h"

#include <errno.h>
#include <signal.h>

#include "child/flights.h"
#include "loop/enter.h"
#include "loop/registration.h"
#include "child/send.h"

static void kill_now(libxl_ctx *ctx, struct xl_timer *timer)
{
    struct xl_child *child = xl_container(timer, struct xl_child, timer);

    if (xl_send(child, SIGKILL, child->end_scope) == ERROR_PERMISSION &&
        child->guardian != NULL)
        child->guardian->kill_refused(ctx, child->guardian, child);
}

int xl_terminate(libxl_ctx *ctx, struct xl_child *child,
                 const libxl_kill_policy *policy)
{
    int first = policy->first_signal != 0 ? policy->first_signal : SIGKILL;
    libxl_kill_scope before = child->end_scope;
    int64_t due;
    int rc;

    if (child->pid < 0 ||
        (xl_flights_settle(ctx, child) && child->guardian != NULL)) {
        /* it is not its program yet: nobody could make use of a grace */
        return xl_send(child, SIGKILL, LIBXL_KILL_PROCESS);
    }

    /* Of two scopes that were asked for the wider one counts. It is set before
     * the signal, which may be the end of the child. */
    if (first != SIGKILL && !child->zombie && policy->scope > before)
        (void)xl_send_goes_with(child, policy->scope);
    rc = xl_send(child, first, policy->scope);
    if (rc != 0)
        (void)xl_send_goes_with(child, before);
    if (policy->scope == LIBXL_KILL_CGROUP &&
        (rc == ERROR_SYSTEM || rc == ERROR_PERMISSION)) {
        /* Without pidfds nobody in it can be signalled safely. It can be
         * killed, though; and if not that, the child can. */
        rc = xl_send(child, SIGKILL, LIBXL_KILL_CGROUP);
        if (rc != 0)
            rc = xl_send(child, SIGKILL, LIBXL_KILL_PROCESS);
        return rc;
    }
    if (rc != 0 || first == SIGKILL)
        return rc;
    if (child->zombie)
        return 0; /* the timer is the host's grace now */
    due = xl_after_ms(policy->grace_ms);
    if (xl_timer_armed(&child->timer) && child->timer.due <= due)
        return 0;
    child->timer.fire = kill_now;
    xl_timer_arm(&ctx->timers, &child->timer, due);
    return 0;
}

/* ---- the host's calls --------------------------------------------------- */

static int bad_signal(int signo)
{
    return signo < 0 || signo >= _NSIG;
}

static int bad_scope(libxl_kill_scope scope)
{
    return scope < LIBXL_KILL_PROCESS || scope > LIBXL_KILL_CGROUP;
}

/* Who is left of a group or cgroup can be reached after the child's end, as
 * long as there is a handle. */
static struct xl_child *reachable(libxl_ctx *ctx, libxl_childproc_id id,
                                  libxl_kill_scope scope)
{
    struct xl_child *child = xl_child_get(ctx, id);

    return child != NULL && (!child->ended || scope != LIBXL_KILL_PROCESS)
               ? child
               : NULL;
}

int libxl_childproc_kill(libxl_ctx *ctx, libxl_childproc_id id, int signo,
                         libxl_kill_scope scope)
{
    struct xl_child *child;
    int saved;
    int rc;

    if (bad_signal(signo) || bad_scope(scope))
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    child = reachable(ctx, id, scope);
    rc = child != NULL ? xl_send(child, signo, scope) : ERROR_NOTFOUND;
    saved = errno;
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}

static struct xl_child *to_terminate(libxl_ctx *ctx, libxl_childproc_id id,
                                     const libxl_kill_policy *policy)
{
    struct xl_child *child = xl_child_get(ctx, id);

    return child == NULL
               ? NULL
               : reachable(ctx, id,
                           policy != NULL ? policy->scope : child->kill.scope);
}

int libxl_childproc_terminate(libxl_ctx *ctx, libxl_childproc_id id,
                              const libxl_kill_policy *policy)
{
    struct xl_child *child;
    int saved;
    int rc;

    if (policy != NULL && (bad_signal(policy->first_signal) ||
                           bad_scope(policy->scope) || policy->grace_ms < 0))
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    child = to_terminate(ctx, id, policy);
    if (child == NULL) {
        rc = ERROR_NOTFOUND;
        goto out;
    }
    rc = xl_registration_arm(
        ctx,
        xl_after_ms(policy != NULL ? policy->grace_ms : child->kill.grace_ms));
    /* the hooks ran without the lock */
    child = to_terminate(ctx, id, policy);
    if (rc == 0)
        rc = child != NULL
                 ? xl_terminate(ctx, child,
                                policy != NULL ? policy : &child->kill)
                 : ERROR_NOTFOUND;
out:
    saved = errno;
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}
