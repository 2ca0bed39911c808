/* postfork.c - in a child that forked and will not exec
 *
 * Called by the host. process.c knows the parent's ctxs; SIGCHLD is the host's
 * again. What they had open was closed in the fork itself (own.c, forkfd.c):
 * here their numbers may be the host's own files, and are only forgotten.
 */
#include "child/child.h"
#include "ctx/ctx_fds.h"
#include "ctx/process.h"
#include "kernel/cancel.h"
#include "kernel/sigchld.h"

static void forget_pidfds(struct xl_list *children)
{
    struct xl_list *node;

    for (node = children->next; node != children; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        child->pidfd = -1;
    }
}

static void forget_fds(libxl_ctx *ctx)
{
    forget_pidfds(&ctx->live);
    xl_ctx_close_fds(ctx); /* of those that are no longer ours it closes none */
}

void libxl_postfork_child_noexec(libxl_ctx *ctx)
{
    (void)ctx; /* the host's hint: all ctxs of the parent are treated */
    xl_cancel_hold();
    xl_sigchld_postfork();
    xl_process_each_inherited(forget_fds);
    xl_cancel_release();
}
