/* probe_child.h - the children by which facility.c finds out what works
 *
 * They run in the parent's memory, and touch nothing of it but the note: what
 * they write there is known even if somebody else's wait takes their status.
 */
#ifndef XL_PROBE_CHILD_H
#define XL_PROBE_CHILD_H

struct xl_probe_note {
    volatile int ran;  /* it ran, and in our memory */
    volatile int done; /* it did what it was to do … */
    volatile int r;    /* … and this is what the kernel said: 0, or -errno */
};

/* Run in the child; do not return. Exit 0. arg is a struct xl_probe_note. The
 * second has close_range unshare the fd table. */
int xl_probe_child(void *arg);
int xl_probe_child_unshare(void *arg);

#endif
