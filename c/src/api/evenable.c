/* evenable.c - asking for an event at the end of a child, or of every child
 *
 * Called by the host. Next: events.c, which makes a notice occur when its
 * child ends.
 */
#include "child/child.h"
#include "loop/enter.h"
#include "ctx/events.h"

static int notices_of_all(struct xl_list *children,
                          libxl_evgen_childproc_exit *evgen)
{
    struct xl_list *node;

    for (node = children->next; node != children; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        if (xl_notice_add(&child->notices, evgen) != 0)
            return ERROR_NOMEM;
    }
    return 0;
}

/* The live child with that pid; or one that has ended, and whose result nobody
 * has taken yet. */
static struct xl_child *child_of(libxl_ctx *ctx, pid_t pid)
{
    struct xl_child *child = xl_child_by_pid(ctx, pid);
    struct xl_list *node;

    if (child != NULL && !child->ended)
        return child;
    for (node = ctx->held.next; node != &ctx->held; node = node->next) {
        child = xl_container(node, struct xl_child, link);
        if (child->pid == pid && child->guardian == NULL)
            return child;
    }
    return NULL;
}

int libxl_evenable_childproc_exit(libxl_ctx *ctx, pid_t pid, libxl_ev_user user,
                                  libxl_evgen_childproc_exit **ret_evgen)
{
    libxl_evgen_childproc_exit *evgen = NULL;
    int rc;

    if (ret_evgen == NULL || pid < 0)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    evgen = xl_sys.calloc(1, sizeof *evgen);
    if (evgen == NULL) {
        rc = ERROR_NOMEM;
        goto out;
    }
    xl_list_init(&evgen->link);
    xl_list_init(&evgen->notices);
    evgen->user = user;
    if (pid > 0) {
        evgen->child = child_of(ctx, pid);
        if (evgen->child == NULL) {
            rc = ERROR_UNKNOWN_CHILD;
            goto out;
        }
        rc = xl_notice_add(&evgen->child->notices, evgen);
    } else {
        rc = notices_of_all(&ctx->live, evgen);
        if (rc == 0)
            rc = notices_of_all(&ctx->starting, evgen);
    }
    if (rc != 0)
        goto out;
    xl_list_append(&ctx->events.evgens, &evgen->link);
    if (evgen->child != NULL && evgen->child->ended)
        xl_notices_send(ctx, &evgen->child->notices,
                        &evgen->child->box.event.u.childproc_exit);
    *ret_evgen = evgen;
out:
    if (rc != 0 && evgen != NULL)
        xl_evgen_free(evgen);
    return xl_leave(ctx, rc);
}

void libxl_evdisable_childproc_exit(libxl_ctx *ctx,
                                    libxl_evgen_childproc_exit *evgen)
{
    if (evgen == NULL || xl_enter(ctx) != 0)
        return;
    xl_evgen_free(evgen);
    (void)xl_leave(ctx, 0);
}
