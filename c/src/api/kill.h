/* kill.h - signals to children, never to anybody else
 *
 * operation.c (timeout, abort), ctx.c (free policies) and the host's
 * calls go through here.
 */
#ifndef XL_KILL_H
#define XL_KILL_H

#include "child/child.h"

/* Sends the first signal and arms SIGKILL. 0 or ERROR_*. The caller has armed
 * the loop. */
int xl_terminate(libxl_ctx *ctx, struct xl_child *child,
                 const libxl_kill_policy *policy);

#endif
