/* waiting.h - threads that wait in a ctx
 *
 * Used by the tests that let several wait before something happens.
 */
#ifndef XT_WAITING_H
#define XT_WAITING_H

#include "xlchild/childproc.h"

/* How many wait in the ctx. */
int xq_waiting(libxl_ctx *ctx);
/* For XT_EVENTUALLY: so many wait in the ctx. user: a struct xq_wanted. */
struct xq_wanted {
    libxl_ctx *ctx;
    int n;
};
int xq_are_waiting(void *user);

#endif
