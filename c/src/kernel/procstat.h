/* procstat.h - what /proc/PID/stat and the kernel's refusals tell of a process
 *
 * Used by identity.c (when was it made?) and by flights.c (is it its program
 * yet?).
 */
#ifndef XL_PROCSTAT_H
#define XL_PROCSTAT_H

#include <stdint.h>
#include <sys/types.h>

/* The field of that number, from 3, as proc(5) counts: one that is a number and
 * not negative. 0; or -1 and errno (ESRCH: there is no such process). */
int xl_procstat_field(pid_t pid, int field, uint64_t *ret_value);

/* Has this child executed a program since it was made? 1, 0; -1: that cannot be
 * known here. Having left our memory does not prove it: one that is killed on
 * its way leaves that, too, a moment before it is a zombie. */
int xl_procstat_executed(pid_t pid);

#endif
