/* numberspace.h - a pid namespace with few numbers
 *
 * Used by reuse.c, once a mode.
 */
#ifndef XC_NUMBERSPACE_H
#define XC_NUMBERSPACE_H

/* Has run(children) run in a child of its own, in a pid namespace whose pid_max
 * is most: its exit status, 128 + a signal, or 77 and a line that says why this
 * cannot be had. */
int xc_numberspace(int most, int (*run)(int), int children);

#endif
