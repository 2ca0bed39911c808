/* cgroup_own.h - a cgroup of the library's own: made, and removed */
#ifndef XL_CGROUP_OWN_H
#define XL_CGROUP_OWN_H

/* All of these without the ctx's lock: a file system may take its time. */

/* Makes a cgroup below parent (NULL: this process's own). Returns its path,
 * to be freed, and its cgroup.events as a file of ours; or NULL, and in words
 * why not; without words it is short of something, and errno says of what. */
char *xl_cgroup_make(const char *parent, int *ret_events_fd,
                     const char **ret_why);
/* With whatever empty ones are in it. Where somebody lives there: nothing. 0,
 * or -1. */
int xl_cgroup_remove(const char *path);
/* By its cgroup.events: 1: nobody is in it; 0: somebody is. Does not wait. */
int xl_cgroup_is_empty(int events_fd);

#endif
