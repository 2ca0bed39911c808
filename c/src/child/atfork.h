/* atfork.h - what a fork of the host's must find in order
 *
 * The handlers register themselves when the library is loaded; ctx.c asks.
 */
#ifndef XL_ATFORK_H
#define XL_ATFORK_H

/* The fork handlers could not be registered: no ctx may be made. */
int xl_atfork_missing(void);

#endif
