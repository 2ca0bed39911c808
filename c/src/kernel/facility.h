/* facility.h - what this kernel, and its seccomp filter, let us use
 *
 * Found out once a process, with children that nobody can see (they have no
 * exit signal), and taken back for good when a facility is refused later on.
 * What a passing shortage kept from being found out is asked again (C25). Both
 * ways of starting, mode.c, reap.c, exit_watch.c and diagnose.c ask.
 */
#ifndef XL_FACILITY_H
#define XL_FACILITY_H

/* Bits are the public LIBXL_FACILITY_*, and these. */
#define XL_FACILITY_CLONE3 (1u << 16)
#define XL_FACILITY_PIDFD_OPEN (1u << 17) /* for children of fork */

/* Finds out what is not known yet. 0; or -1 and errno: something is still not
 * known, for want of an fd, memory or a process. */
int xl_facility_ask(void);
/* Those that are there, as far as that is known now. */
unsigned xl_facilities(void);
/* Those of which it is known whether they are there. */
unsigned xl_facility_known(void);
/* Children get pidfds; a child of fork has its from pidfd_open. */
int xl_facility_pidfds(int forked);
/* It is known that they get none. */
int xl_facility_no_pidfds(int forked);
void xl_facility_refused(unsigned bits);
/* For tests and ablation: only these from now on (~0: as probed). */
void xl_facility_limit(unsigned bits);

#endif
