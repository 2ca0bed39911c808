/* kill.c - ending children: a signal, a grace, SIGKILL
 *
 * Called by the host, operation.c and ctx.c. Next: send.c, or cgroup.c.
 */
#define _GNU_SOURCE
#include "api/kill.h"

#include <errno.h>
#include <signal.h>

#include "child/cgroup_due.h"
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

static int first_of(const libxl_kill_policy *policy)
{
    return policy->first_signal != 0 ? policy->first_signal : SIGKILL;
}

/* Of two scopes that were asked for the wider one counts. It is set before the
 * signal, which may be the end of the child. */
static void widen(struct xl_child *child, const libxl_kill_policy *policy)
{
    if (first_of(policy) != SIGKILL && !child->zombie &&
        policy->scope > child->end_scope)
        (void)xl_send_goes_with(child, policy->scope);
}

static void kill_after_grace(libxl_ctx *ctx, struct xl_child *child,
                             const libxl_kill_policy *policy)
{
    int64_t due = xl_after_ms(policy->grace_ms);

    if (child->zombie)
        return; /* the timer is the host's grace now */
    if (xl_timer_armed(&child->timer) && child->timer.due <= due)
        return;
    child->timer.fire = kill_now;
    xl_timer_arm(&ctx->timers, &child->timer, due);
}

int xl_terminate(libxl_ctx *ctx, struct xl_child *child,
                 const libxl_kill_policy *policy)
{
    libxl_kill_scope before = child->end_scope;
    int first = first_of(policy);
    int rc;

    if (child->pid < 0 ||
        (xl_flights_settle(ctx, child) && child->guardian != NULL)) {
        /* it is not its program yet: nobody could make use of a grace */
        return xl_send(child, SIGKILL, LIBXL_KILL_PROCESS);
    }
    widen(child, policy);
    rc = xl_send(child, first, policy->scope);
    if (rc == 0 && child->more->kin != NULL)
        child->more->kin->policy_ends(child->more->kin, policy->scope);
    if (rc == ERROR_NOTFOUND && policy->scope >= LIBXL_KILL_CGROUP)
        return rc; /* who is left in it still goes with the child */
    if (rc != 0)
        (void)xl_send_goes_with(child, before);
    else if (first != SIGKILL)
        kill_after_grace(ctx, child, policy);
    return rc;
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

/* It is in its cgroup, as far as we know. */
static int by_cgroup(const struct xl_child *child, libxl_kill_scope scope)
{
    return scope == LIBXL_KILL_CGROUP && child->more->cgroup != NULL &&
           child->pid > 0 && child->setting_up == NULL;
}

int libxl_childproc_kill(libxl_ctx *ctx, libxl_childproc_id id, int signo,
                         libxl_kill_scope scope)
{
    libxl_ended_by before = LIBXL_ENDED_UNKNOWN;
    struct xl_child *child;
    int saved;
    int rc;

    if (bad_signal(signo) || bad_scope(scope))
        return ERROR_INVAL;
    rc = xl_enter_surely(ctx);
    if (rc != 0)
        return rc;
    child = reachable(ctx, id, scope);
    if (child != NULL)
        before = xl_account_reason(child->more->account, LIBXL_ENDED_KILL);
    if (child == NULL)
        rc = ERROR_NOTFOUND;
    else if (by_cgroup(child, scope))
        rc = xl_cgroup_signal_now(ctx, child->more->cgroup, child, &signo, 0);
    else
        rc = xl_send(child, signo, scope);
    saved = errno;
    child = xl_child_get(ctx, id);
    if (child != NULL) /* a grace that began before has its own */
        (void)xl_account_reason(child->more->account, before);
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

/* As xl_terminate, but the caller is told how it went. */
static int terminate_cgroup(libxl_ctx *ctx, struct xl_child *child,
                            const libxl_kill_policy *policy)
{
    libxl_kill_scope before = child->end_scope;
    libxl_childproc_id id = child->id;
    int signo = first_of(policy);
    int rc;

    widen(child, policy);
    rc = xl_cgroup_signal_now(ctx, child->more->cgroup, child, &signo, 1);
    child = xl_child_get(ctx, id);
    if (child == NULL || child->ended)
        return rc;
    if (rc == 0 && child->more->kin != NULL)
        child->more->kin->policy_ends(child->more->kin, policy->scope);
    if (rc != 0)
        (void)xl_send_goes_with(child, before);
    if (xl_cgroup_refused(rc))
        rc = xl_send(child, SIGKILL, LIBXL_KILL_PROCESS);
    else if (rc == 0 && signo != SIGKILL)
        kill_after_grace(ctx, child, policy);
    return rc;
}

int libxl_childproc_terminate(libxl_ctx *ctx, libxl_childproc_id id,
                              const libxl_kill_policy *policy)
{
    libxl_kill_policy own;
    struct xl_child *child;
    int saved;
    int rc;

    if (policy != NULL && (bad_signal(policy->first_signal) ||
                           bad_scope(policy->scope) || policy->grace_ms < 0))
        return ERROR_INVAL;
    rc = xl_enter_surely(ctx);
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
    if (rc != 0)
        goto out;
    /* the hooks ran without the lock */
    child = to_terminate(ctx, id, policy);
    if (child == NULL) {
        rc = ERROR_NOTFOUND;
        goto out;
    }
    own = policy != NULL ? *policy : child->kill;
    (void)xl_account_reason(child->more->account, LIBXL_ENDED_KILL);
    (void)xl_flights_settle(ctx, child);
    rc = by_cgroup(child, own.scope) ? terminate_cgroup(ctx, child, &own)
                                     : xl_terminate(ctx, child, &own);
out:
    saved = errno;
    rc = xl_leave(ctx, rc);
    errno = saved;
    return rc;
}
