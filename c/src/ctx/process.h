/* process.h - what the ctxs of one process have to know of each other
 *
 * The list of ctxs, which modes they claim, and the fork generation. Its lock
 * is taken by the fork handlers too (atfork.c), so that a child inherits no fd
 * that is made but not yet recorded (C14). Called by ctx.c and mode.c.
 */
#ifndef XL_PROCESS_H
#define XL_PROCESS_H

#include "kernel/wakeup.h"
#include "xlchild/childproc.h"

/* Held while an fd is made and recorded. A fork of the host waits for it;
 * nothing that can block is called under it. */
void xl_process_lock(void);
void xl_process_unlock(void);

unsigned xl_process_generation(void);

void xl_process_atfork_child(void); /* a new generation */

void xl_process_add(libxl_ctx *ctx);
void xl_process_remove(libxl_ctx *ctx);

/* ctx's mode is in force from now on; ERROR_SIGCHLD_CONFLICT, or 0. */
int xl_process_claim(libxl_ctx *ctx, libxl_sigchld_owner owner);
void xl_process_unclaim(libxl_ctx *ctx);

/* Asks the next ctx that knows strangers about pid. origin is the one that
 * reaped it. 0, or -1: there is none left to ask. */
int xl_process_forward(libxl_ctx *ctx, pid_t pid, int status,
                       struct xl_wakeup *origin);
/* Does it hold for every ctx of this process? Under the process lock. */
int xl_process_all(int (*holds)(libxl_ctx *ctx));
/* In a forked child: fn for each ctx of the parent. */
void xl_process_each_inherited(void (*fn)(libxl_ctx *ctx));

int xl_owner_reaps_all(libxl_sigchld_owner owner);

#endif
