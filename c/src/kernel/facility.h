/* facility.h - what this kernel, and its seccomp filter, let us use
 *
 * Probed once a process with a child that nobody can see (it has no exit
 * signal), and taken back for good when a facility is refused later on.
 * Both ways of starting, reap.c, exit_watch.c and diagnose.c ask.
 */
#ifndef XL_FACILITY_H
#define XL_FACILITY_H

/* Bits are the public LIBXL_FACILITY_*, and these. */
#define XL_FACILITY_CLONE3 (1u << 16)
#define XL_FACILITY_PIDFD_OPEN (1u << 17) /* for children of fork */

unsigned xl_facilities(void);
/* Children get pidfds; a child of fork has its from pidfd_open. */
int xl_facility_pidfds(int forked);
void xl_facility_refused(unsigned bits);
/* For tests and ablation: only these from now on (~0: as probed). */
void xl_facility_limit(unsigned bits);

#endif
