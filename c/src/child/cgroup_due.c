/* cgroup_due.c - cgroups that have been asked for, signalled
 *
 * Called by enter.c, before the deferred calls; at once by kill.c and
 * families.c. Next: cgroup.c; and where
 * nobody in a cgroup may be signalled, send.c for the child itself. A process's
 * number is not needed for any of it.
 */
#include "child/cgroup_due.h"

#include <signal.h>

#include "child/cgroup.h"
#include "child/cgroup_own.h"
#include "child/child.h"
#include "child/send.h"
#include "kernel/stop_point.h"

/* Where nobody in it can be reached: the child can, which may be not there yet,
 * its start being in flight, or have left it. */
static void to_child(libxl_ctx *ctx, libxl_childproc_id id, int signo)
{
    struct xl_child *child = xl_child_get(ctx, id);

    if (child != NULL && !child->ended &&
        xl_send(child, signo, LIBXL_KILL_PROCESS) == ERROR_PERMISSION &&
        signo == SIGKILL && child->guardian != NULL)
        child->guardian->kill_refused(ctx, child->guardian, child);
}

int xl_cgroup_signal_due(libxl_ctx *ctx)
{
    struct xl_cgroup *cgroup;
    int asked;

    if (ctx->cgroups_busy)
        return 0;
    while ((cgroup = xl_cgroup_next(ctx, &asked)) != NULL) {
        int signo = asked;
        int rc = 0;

        ctx->cgroups_busy = 1;
        pthread_mutex_unlock(&ctx->lock);
        XL_STOP_POINT("cgroup: asked for");
        if (signo == 0)
            (void)xl_cgroup_remove(cgroup->path); /* not if used again */
        else
            rc = xl_cgroup_signal_or_kill(cgroup, &signo);
        pthread_mutex_lock(&ctx->lock);
        ctx->cgroups_busy = 0;
        if (signo != 0)
            xl_send_done(xl_child_get(ctx, cgroup->child), asked, signo, rc);
        if (rc != 0)
            to_child(ctx, cgroup->child, signo);
        xl_cgroup_drop(cgroup);
    }
    return 1;
}

int xl_cgroup_signal_now(libxl_ctx *ctx, struct xl_cgroup *cgroup,
                         struct xl_child *child, int *signo_io, int by_policy)
{
    libxl_childproc_id id = child != NULL ? child->id : 0;
    int asked = *signo_io;
    int rc;

    xl_send_asked(child, asked);
    xl_cgroup_hold(cgroup);
    pthread_mutex_unlock(&ctx->lock);
    XL_STOP_POINT("cgroup: now");
    rc = by_policy ? xl_cgroup_signal_or_kill(cgroup, signo_io)
                   : xl_cgroup_signal(cgroup, *signo_io);
    pthread_mutex_lock(&ctx->lock);
    xl_cgroup_drop(cgroup);
    xl_send_done(xl_child_get(ctx, id), asked, *signo_io, rc);
    return rc;
}
