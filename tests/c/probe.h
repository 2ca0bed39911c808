/* probe.h - what this kernel, or this world, offers: asked without the library
 *
 * Tests compare the library's own findings (libxl_childproc_diagnose) and its
 * behaviour with these. Used by the treaty_, child_, race_ and world_ tests.
 */
#ifndef XT_PROBE_H
#define XT_PROBE_H

int xp_pidfd_open(void);   /* pidfd_open */
int xp_clone_pidfd(void);  /* clone(CLONE_PIDFD) */
int xp_waitid_pidfd(void); /* waitid(P_PIDFD) */
int xp_clone3(void);
int xp_pidfd_send_signal(void);
int xp_pidfd_group(void); /* … to the group that a pidfd names */
int xp_close_range(void);
int xp_close_range_unshare(void);
int xp_exit_info(void); /* PIDFD_GET_INFO tells how a reaped child ended */

/* All that the library needs to do without SIGCHLD. */
int xp_pidfds(void);

/* All that it needs to learn a status that somebody else's wait took. */
int xp_recovers(void);

#endif
