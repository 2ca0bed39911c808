/* mode.h - who owns SIGCHLD, and keeping the handler in line with it
 *
 * setmode.c chooses; spawn.c arms it before each start; enter.c settles it at
 * each way out.
 */
#ifndef XL_MODE_H
#define XL_MODE_H

#include "ctx/ctx_impl.h"

/* The ctx wants the SIGCHLD handler now. */
int xl_mode_wants_handler(const libxl_ctx *ctx);
/* Claims the mode if that has not happened and installs the handler if it is
 * wanted. 0, ERROR_SIGCHLD_CONFLICT, ERROR_NOMEM or ERROR_SYSTEM (errno). */
int xl_mode_arm(libxl_ctx *ctx);
/* Gives the handler up if it is not wanted. */
void xl_mode_settle(libxl_ctx *ctx);
/* Gives everything up: the ctx goes. */
void xl_mode_release(libxl_ctx *ctx);
/* Warns, once, if our handler has been displaced. */
void xl_mode_check_displaced(libxl_ctx *ctx);
/* What owner amounts to on this kernel, and why if it differs (or NULL).
 * forks: there is a fork_replacement. */
libxl_sigchld_owner xl_mode_effective(libxl_sigchld_owner owner, int forks,
                                      const char **ret_reason);
/* Opens what a handler needs. 0, ERROR_NOMEM or ERROR_SYSTEM (errno). */
int xl_mode_open_selfpipe(libxl_ctx *ctx);

#endif
