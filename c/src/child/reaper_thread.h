/* reaper_thread.h - children whose ctx is gone
 *
 * ctx.c hands them over; one thread of the process waits for them, so that
 * none becomes a zombie, and ends with the last of them.
 */
#ifndef XL_REAPER_THREAD_H
#define XL_REAPER_THREAD_H

#include "child/child.h"

/* Takes the child over, or returns -1 and leaves it. */
int xl_reaper_thread_take(struct xl_child *child);
void xl_reaper_thread_lock(void); /* for atfork.c */
void xl_reaper_thread_unlock(void);
void xl_reaper_thread_postfork(void);

#endif
