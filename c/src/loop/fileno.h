/* fileno.h - the one fd that tells a foreign loop of work
 *
 * libxl_ctx_fileno and registration.c make it; enter.c keeps it in line.
 */
#ifndef XL_FILENO_H
#define XL_FILENO_H

#include "ctx/ctx_impl.h"

/* The fd, made at the first call; or ERROR_SYSTEM and errno. */
int xl_fileno(libxl_ctx *ctx);
/* Brings the eventfd and the timerfd in line. */
void xl_fileno_settle(libxl_ctx *ctx);

#endif
