/* sized.h - structs that carry the size they have where the caller was compiled
 *
 * The public structs grow at their end, and a member that is added is zero by
 * default. Called wherever one of them comes in or goes out: spec.c, exec.c,
 * setmode.c, osevent.c, event_take.c, ctx.c, diagnose.c.
 */
#ifndef XL_SIZED_H
#define XL_SIZED_H

#include <stddef.h>

/* No release has a longer one: it was not set, and does not say how far one may
 * read or write. */
#define XL_SIZED_MOST 4096

/* The size up to and including a member. */
#define XL_SIZE_WITH(type, member) \
    (offsetof(type, member) + sizeof(((type *)0)->member))

/* What a caller of any release hands in, in this release's size: `to` has own
 * bytes, which hold the defaults. 0; or -1 where size is no release's (least
 * is the size of what all have), or a member is set that is unknown here. */
int xl_sized_take(void *to, size_t own, const void *from, size_t size,
                  size_t least);
/* What a caller of any release gets, in its size: the members that are unknown
 * here are zero. */
void xl_sized_give(void *to, size_t size, const void *from, size_t own);

#endif
