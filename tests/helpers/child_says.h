/* child_says.h - what a child says: by write() alone, whole or not at all
 *
 * Used by child.c and child_given.c.
 */
#ifndef CHILD_SAYS_H
#define CHILD_SAYS_H

#include <stddef.h>

#define EXIT_USAGE 120  /* a verb is unknown or lacks its argument */
#define EXIT_SYSTEM 121 /* a system call failed */

void write_all(int fd, const void *data, size_t length);
__attribute__((format(printf, 2, 3))) void print(int fd, const char *format,
                                                 ...);
/* With errno; and ends. */
__attribute__((noreturn)) void fail(const char *what);

#endif
