/* probe_child.h - the children by which facility.c finds out what works
 *
 * They run in the parent's memory, and neither touch nor need anything of it.
 */
#ifndef XL_PROBE_CHILD_H
#define XL_PROBE_CHILD_H

/* Run in the child; do not return. Exit 0, or 1 where close_range refuses to
 * unshare. arg is not used. */
int xl_probe_child(void *arg);
int xl_probe_child_unshare(void *arg);

#endif
