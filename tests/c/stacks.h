/* stacks.h - where the threads of a process stand that does not go on
 *
 * Used by tests that give up waiting (tests/gaps, tests/chaos).
 */
#ifndef XT_STACKS_H
#define XT_STACKS_H

#include <sys/types.h>

/* Prints to stderr: by gdb, where it is installed and may look; besides, what
 * /proc says each thread is sleeping in. pid may be this process, in which
 * locks may be held for ever. */
void xt_stacks(pid_t pid);

#endif
