/* operation.h - operations under way: their options, and their completion
 *
 * Built on fixture.h; used by the exec_ tests. Every function here ends the
 * case when it fails.
 */
#ifndef XT_OPERATION_H
#define XT_OPERATION_H

#include "fixture.h"

/* The defaults, with stdout and stderr captured. */
libxl_childproc_exec_opts xo_capturing(void);

/* What a completion callback was told; the result's place. */
struct xo_completion {
    int calls, rc;
    libxl_childproc_exec_result result;
};

/* Completes by callback into *c, which is cleared. */
libxl_asyncop_how xo_to(struct xo_completion *c);

/* Pumps the ctx until a callback has set the flag; no event may occur. */
void xo_pump_until(libxl_ctx *ctx, const int *flag);

#endif
