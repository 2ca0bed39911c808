/* cancel.h - where a thread of the host's may be cancelled in here
 *
 * Almost nowhere: with a lock held, or an fd that is not noted yet, read,
 * write, open and close would be the thread's end (C26). enter.c holds from
 * beginning to end of a call, and so do the calls that need no ctx; pump.c
 * lets go while it blocks.
 */
#ifndef XL_CANCEL_H
#define XL_CANCEL_H

/* In pairs, and nested: inside, the calling thread is not cancelled. */
void xl_cancel_hold(void);
void xl_cancel_release(void);

/* In pairs, inside one hold, around a call that may block: there the thread is
 * cancelled, if the host allows that. In a nested hold (a call from a callback)
 * it is not: the frames of the outer call would be lost. */
void xl_cancel_open(void);
void xl_cancel_shut(void);

#endif
