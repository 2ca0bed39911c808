/* child_given.h - what a child was given, a line or more each
 *
 * Used by child.c, a verb each.
 */
#ifndef CHILD_GIVEN_H
#define CHILD_GIVEN_H

void print_fds(void);
void print_fd_target(int fd);
void print_fd_same(int a, int b);
void print_link(const char *path);
void print_cwd(void);
void print_env(void);
void print_ids(void);
void print_session(void);
void print_tty(void);
void print_limit(const char *name);
void print_umask(void);
void print_cgroup(void);

#endif
