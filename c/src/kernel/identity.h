/* identity.h - telling two processes apart that have had the same number
 *
 * A pidfd is the best proof there is. Where there is none, or none is to be
 * kept open, a mark stands for the process: the inode of its pidfd where those
 * are unique (pidfs, Linux 6.9), else its start time. numbers.c asks.
 */
#ifndef XL_IDENTITY_H
#define XL_IDENTITY_H

#include <stdint.h>
#include <sys/types.h>

/* The mark of an unreaped process; pidfd -1: there is none. 0: not to be
 * had. */
uint64_t xl_identity_mark(pid_t pid, int pidfd);
/* The same of a pidfd alone, whose process may have been reaped. */
uint64_t xl_identity_of_pidfd(int pidfd);
/* Is pid the process that the mark was made of? Also where nothing can be
 * known: then 1. 0 and errno ESRCH: nobody has the number. */
int xl_identity_is(pid_t pid, uint64_t mark);
/* Is that a pidfd of the process pid, whose mark this is (0: there is none)?
 * 1, also where nothing can be known, or it has been reaped; 0: the host has
 * closed it, and the number may be that of another process's by now. */
int xl_identity_pidfd_is(int pidfd, pid_t pid, uint64_t mark);
/* A new pidfd of the process that the mark was made of. -1 and errno; ESRCH: it
 * is gone, or cannot be told from another. */
int xl_identity_open(pid_t pid, uint64_t mark);
/* The pid of a pidfd's process, as /proc tells; -1: it has been reaped; 0: it
 * has none here. 0, or -1 and errno (EINVAL: no pidfd). */
int xl_identity_fdinfo_pid(int pidfd, pid_t *ret_pid);
/* The start time of a process, in clock ticks after boot. 0, or -1 and errno
 * (ESRCH: there is no such process). */
int xl_identity_start_time(pid_t pid, uint64_t *ret_ticks);

#endif
