/* nowait.h - children on their way: started by a call that waits for nobody
 *
 * What the start_nowait, start_told and start_on_its_way tests share: a start
 * that is held at its execve, by slowexec.h, and what comes of it.
 */
#ifndef XT_NOWAIT_H
#define XT_NOWAIT_H

#include "fixture.h"

/* The modes that reap by themselves. */
#define XW_REAPING 4
extern const libxl_sigchld_owner xw_reaping[XW_REAPING];

/* A program that is not there. */
extern const char *const xw_nothing[];

libxl_childproc_spec xw_spec(const char *const *argv);
/* Every execve, from now on; see slowexec.h. The case is skipped where that
 * cannot be. */
void xw_hold(void);
/* Started, and as far as its execve. */
libxl_childproc_id xw_held_at_exec(libxl_ctx *ctx,
                                   const libxl_childproc_spec *spec,
                                   const libxl_childproc_report *report,
                                   pid_t *ret_pid);
/* It never ran, for this reason. */
void xw_not_started(const libxl_childproc_result *r,
                    libxl_childproc_stage stage, int errnoval);
libxl_event *xw_next_event(libxl_ctx *ctx);

#endif
