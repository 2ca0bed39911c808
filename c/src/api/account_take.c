/* account_take.c - why a child died, and what it cost, for the host
 *
 * Called by the host. Next: account.c.
 */
#include "child/account.h"
#include "child/child.h"
#include "ctx/log.h"
#include "kernel/sized.h"
#include "loop/enter.h"

int libxl_childproc_account_take(libxl_ctx *ctx, libxl_childproc_id id,
                                 libxl_childproc_account *ret_account)
{
    const size_t least = XL_SIZE_WITH(libxl_childproc_account, end_ns);
    libxl_childproc_account account;
    const struct xl_child *child;
    int rc;

    if (ret_account == NULL)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    if (ret_account->size < least || ret_account->size > XL_SIZED_MOST) {
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_childproc_account_take: bad argument: size");
        return xl_leave(ctx, ERROR_INVAL);
    }
    child = xl_child_get(ctx, id);
    if (child != NULL && child->more->account != NULL)
        rc = ERROR_NOT_READY;
    else
        rc = xl_account_take(ctx, id, &account);
    rc = xl_leave(ctx, rc);
    if (rc == 0) {
        account.size = ret_account->size; /* what is longer stays zero */
        xl_sized_give(ret_account, account.size, &account, sizeof account);
    }
    return rc;
}
