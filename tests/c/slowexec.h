/* slowexec.h - a file system that takes its time: execve is answered late
 *
 * A seccomp filter with a supervisor (Linux 5.5), a thread of the case's own,
 * holds every execve that the process and its children make, and lets it go on
 * when the case says so. A child that is held so is where one is whose program
 * lies on a mount that does not answer. Once for a case; it ends with it.
 */
#ifndef XT_SLOWEXEC_H
#define XT_SLOWEXEC_H

#include <sys/types.h>

/* From now on. 0: this kernel, or whoever runs the tests, does not allow it. */
int xe_hold(void);
/* Blocks until n more have come as far as their execve. */
void xe_await(int n);
/* Those that are held go on, and whoever comes does. */
void xe_let_go(void);
/* Before the case is over. Nothing can be executed any more. */
void xe_end(void);
/* Each goes on by itself after so many milliseconds. */
void xe_let_go_after(int ms);

#endif
