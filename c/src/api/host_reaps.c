/* host_reaps.c - exits that the host tells us of
 *
 * Called by the host: in mainloop mode it owns SIGCHLD and reaps. Next:
 * child.c reports what was passed on; reap.c looks for the rest.
 */
#include <sys/wait.h>

#include "child/child.h"
#include "loop/enter.h"
#include "ctx/log.h"
#include "loop/pump.h"
#include "child/reap.h"
#include "child/send.h"

/* Its grace was over before the host passed it on (reap.c). What ended
 * otherwise is another process of that number. */
static int is_late(libxl_ctx *ctx, pid_t pid, int status)
{
    unsigned i;

    for (i = 0; i < sizeof ctx->mode.late / sizeof ctx->mode.late[0]; i++) {
        struct xl_late *late = &ctx->mode.late[i];

        if (late->pid == pid && (!late->known || late->status == status)) {
            late->pid = 0;
            return 1;
        }
    }
    return 0;
}

/* The number is another process's by now, which has ended so: the kernel has it
 * that ours, which nobody has told us of, ended otherwise. */
static int is_anothers(const struct xl_child *child, int status)
{
    struct xl_exit_info info = {0, 0, 0};

    return (WIFEXITED(status) || WIFSIGNALED(status)) && child->pidfd >= 0 &&
           xl_sys.pidfd_exit_info(child->pidfd, &info) == 0 && info.known &&
           info.status != status;
}

int libxl_childproc_exited(libxl_ctx *ctx, pid_t pid, int status)
{
    struct xl_child *child;
    int rc = ERROR_NOT_READY;

    if (pid <= 0 || xl_enter(ctx) != 0)
        return ERROR_NOT_READY;
    if (ctx->mode.asked != libxl_sigchld_owner_mainloop) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_childproc_exited called in mode %s",
               libxl_childproc_owner_name(ctx->mode.asked));
        goto out;
    }
    if ((WIFEXITED(status) || WIFSIGNALED(status)) &&
        xl_registry_start_passed(&ctx->wakeup, pid, status)) {
        rc = 0; /* its start is in flight, and will tell */
        goto out;
    }
    child = xl_child_by_pid(ctx, pid);
    if (child == NULL) {
        if (is_late(ctx, pid, status))
            rc = 0;
        goto out;
    }
    if (is_anothers(child, status))
        goto out;
    rc = 0;
    if (child->ended) {
        /* kept unreaped, in an earlier mode: its number is free now */
        xl_child_asked(ctx, child);
    } else if (WIFEXITED(status) || WIFSIGNALED(status)) {
        xl_send_rest_late(child);
        xl_child_ended(ctx, child, status, LIBXL_LOST_NONE, LIBXL_SOURCE_PASSED,
                       NULL);
    }
out:
    return xl_leave(ctx, rc);
}

void libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
{
    struct xl_list *node;

    if (xl_enter(ctx) != 0)
        return;
    if (ctx->mode.in_force != libxl_sigchld_owner_mainloop) {
        ctx->mode.sigchld_due = XL_SIGCHLD_CAME;
        xl_pump_once(ctx);
        goto out;
    }
    ctx->mode.occurred++; /* for starts in flight: spawn.c */
    if (ctx->nunwatched > 0) {
        xl_reap_unannounced(ctx, 1);
        goto out;
    }
    ctx->mode.host_reaps_through_us = 1;
    do /* one word of the host's may stand for any number of ends */
        xl_pump_once(ctx);
    while (ctx->pump.more);
    ctx->mode.host_reaps_through_us = 0;
    for (node = ctx->live.next; ctx->mode.nzombies > 0 && node != &ctx->live;) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        node = node->next;
        if (child->zombie)
            (void)xl_reap_look(ctx, child);
    }
out:
    (void)xl_leave(ctx, 0);
}
