/* orphan.h - children whose ctx is gone
 *
 * ctx.c hands them over; one thread of the process waits for them, so that
 * none becomes a zombie, and ends with the last of them.
 */
#ifndef XL_ORPHAN_H
#define XL_ORPHAN_H

#include "child.h"

/* Takes the child over, or returns -1 and leaves it. */
int xl_orphan_take(struct xl_child *child);
void xl_orphan_lock(void); /* for atfork.c */
void xl_orphan_unlock(void);
void xl_orphan_postfork(void);

#endif
