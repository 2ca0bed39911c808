/* cgroupdir.h - a control group of one's own, for a case
 *
 * In the cgroup v2 hierarchy that is mounted, or in one that is mounted in a
 * namespace of the case's own. Used by cgroup.c, start_killed.c and
 * fault_cgroup.c.
 */
#ifndef XT_CGROUPDIR_H
#define XT_CGROUPDIR_H

struct xg_group {
    char *own_mount; /* a directory to be removed; or NULL */
    char path[300];  /* its directory */
    char name[64];   /* as /proc/PID/cgroup ends */
};

/* 0; or -1 and errno: none can be made here. */
int xg_try_new(struct xg_group *g);
/* The same; the case is skipped where none can be made. */
void xg_new(struct xg_group *g);
/* Nobody is left in it, or will be soon. */
void xg_end(struct xg_group *g);

/* Writes text to a file of the group's; 0, or -1 and errno (ENOENT: there is
 * no such controller here). */
int xg_set(const struct xg_group *g, const char *file, const char *text);

#endif
