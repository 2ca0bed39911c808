/* postfork.c - in a child that forked and will not exec
 *
 * Called by the host. process.c knows the parent's ctxs; what they have open
 * is closed here, and SIGCHLD is the host's again. The pipes of operations are
 * closed by then (forkfd.c).
 */
#include "child/child.h"
#include "ctx/ctx_fds.h"
#include "ctx/process.h"
#include "kernel/cancel.h"
#include "kernel/sigchld.h"

static void close_children(struct xl_list *children)
{
    struct xl_list *node;

    for (node = children->next; node != children; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        xl_close(child->pidfd);
        child->pidfd = -1;
    }
}

static void close_inherited(libxl_ctx *ctx)
{
    close_children(&ctx->live);
    xl_ctx_close_fds(ctx);
}

void libxl_postfork_child_noexec(libxl_ctx *ctx)
{
    (void)ctx; /* the host's hint: all ctxs of the parent are treated */
    xl_cancel_hold();
    xl_sigchld_postfork();
    xl_process_each_inherited(close_inherited);
    xl_cancel_release();
}
