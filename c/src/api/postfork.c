/* postfork.c - in a child that forked and will not exec
 *
 * Called by the host. process.c knows the parent's ctxs; SIGCHLD is the host's
 * again. What they had open was closed in the fork itself (own.c, forkfd.c):
 * by now their numbers may be files of the host's own, or of a ctx that was
 * made here.
 */
#include "api/postfork.h"

#include "child/child.h"
#include "ctx/ctx_fds.h"
#include "ctx/process.h"
#include "kernel/cancel.h"
#include "kernel/sigchld.h"

static void drop_children(struct xl_list *children)
{
    struct xl_list *node;

    for (node = children->next; node != children; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        child->pidfd = -1;
        child->reg.pid = 0; /* the registry is this process's own by now */
    }
}

void xl_postfork_drop(libxl_ctx *ctx)
{
    drop_children(&ctx->live);
    drop_children(&ctx->held);
    drop_children(&ctx->lingering);
    xl_ctx_drop_fds(ctx);
}

void libxl_postfork_child_noexec(libxl_ctx *ctx)
{
    (void)ctx; /* the host's hint: all ctxs of the parent are treated */
    xl_cancel_hold();
    xl_sigchld_postfork();
    xl_process_each_inherited(xl_postfork_drop);
    xl_cancel_release();
}
