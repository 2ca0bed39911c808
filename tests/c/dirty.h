/* dirty.h - a host that has made itself odd in every way it can
 *
 * Used by witness.c in a process of its own; the hosts in Python and OCaml
 * preload the same as an object whose constructor does it.
 */
#ifndef XT_DIRTY_H
#define XT_DIRTY_H

/* Files of every kind are at these numbers: even ones stay open over an exec,
 * odd ones are close-on-exec; so are 0 and 2. */
#define XT_DIRTY_FIRST 200
#define XT_DIRTY_LAST 249
#define XT_DIRTY_PTY 230 /* a terminal, and nobody's controlling one */

/* What cannot be done here is left out. */
void xt_dirty(void);

#endif
