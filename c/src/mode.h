/* mode.h - who owns SIGCHLD, and keeping the handler in line with it
 *
 * enter.c settles it at each way out; spawn.c arms it before each start.
 */
#ifndef XL_MODE_H
#define XL_MODE_H

#include "ctx_impl.h"

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
/* Nothing but looking announces exits: no pidfds here. */
int xl_mode_without_pidfd(const libxl_ctx *ctx);

#endif
