/* reaper_thread.h - children that nobody waits for
 *
 * Those whose ctx is gone (ctx.c hands them over), and those that were let go
 * of while the ctx lives on and nobody may ever call it again (handle.c,
 * spawn.c). One thread of the process sees to both, so that none becomes a
 * zombie; it ends with the last of them.
 */
#ifndef XL_REAPER_THREAD_H
#define XL_REAPER_THREAD_H

#include "child/child.h"

/* Takes a child over whose ctx goes, or returns -1 and leaves it. */
int xl_reaper_thread_take(struct xl_child *child);
/* ctx, which is locked, has children that were let go of. They are its own
 * still: whoever pumps it reaps them; the thread comes by some time later. */
void xl_reaper_thread_mind(libxl_ctx *ctx);
/* A live child of ctx, which is locked, is let go of. */
void xl_reaper_thread_let_go(libxl_ctx *ctx, struct xl_child *child);
/* ctx, which is locked, goes. */
void xl_reaper_thread_forget(libxl_ctx *ctx);

void xl_reaper_thread_lock(void); /* for atfork.c */
void xl_reaper_thread_unlock(void);
void xl_reaper_thread_postfork(void);

#endif
