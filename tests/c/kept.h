/* kept.h - a keeper's child, as a test looks at it
 *
 * For family_keeper.c and keeper_ends.c. Families are made by strays.h.
 */
#ifndef XT_KEPT_H
#define XT_KEPT_H

#include "strays.h"

/* By a keeper; the case is skipped where it is not to be had. */
libxl_family_id xk_kept_or_skip(libxl_ctx *ctx, libxl_family_when when);
/* Starts one that lives until *ret_hold is closed; its id. */
libxl_childproc_id xk_start_held(libxl_ctx *ctx, libxl_family_id family,
                                 const char *status, int *ret_hold,
                                 pid_t *ret_pid);

/* Of any process; -1: it is not there. */
pid_t xk_parent_of(pid_t pid);
/* Nobody has the number *(pid_t *)pid, or a zombie; for XT_EVENTUALLY. */
int xk_is_gone(void *pid);
/* It is stopped by a signal. */
int xk_is_stopped(void *pid);
/* The child's keeper, which is ours. */
void xk_kill_keeper(pid_t child);

/* Runs the body as a process of its own, below an init that reaps at once: the
 * tests' own does so at the end of a case. */
void xk_below_an_init(void (*body)(void));

#endif
