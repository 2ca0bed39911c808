/* group_scan.h - does anybody live in a process group, or are they zombies? */
#ifndef XL_GROUP_SCAN_H
#define XL_GROUP_SCAN_H

#include <sys/types.h>

/* Without a lock: /proc is read. The number must be known to be that group's
 * before and after. 1: somebody lives; 0: only zombies; -1: it cannot be
 * seen. */
int xl_group_lives(pid_t group);

#endif
