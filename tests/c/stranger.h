/* stranger.h - processes that somebody else started
 *
 * What the tests of adoption need: a pidfd of any process, and a process whose
 * parent is not this one. Built on hostchild.h; used by the adopt_ tests.
 * Every function here ends the case when it fails.
 */
#ifndef XT_STRANGER_H
#define XT_STRANGER_H

#include <sys/types.h>

#include "hostchild.h"

/* 1: the library can adopt here, which it does by pidfd. */
int xf_pidfds(void);
/* Leaves the case where it cannot. */
void xf_needs_pidfds(void);
/* A pidfd of the process; the caller closes it. */
int xf_pidfd(pid_t pid);
/* The highest number that a pidfd of it has here; -1: it has none. */
int xf_pidfd_number(pid_t pid);

/* A process whose parent is another one of ours: the parent waits for it when
 * reap_gate is closed, and ends then. */
struct xf_process {
    pid_t parent, child;
    int end_gate;  /* close: the child ends */
    int reap_gate; /* close: its parent reaps it */
};
struct xf_process xf_process_new(struct xh_end end);

/* In a child: until somebody writes to the pipe or nobody holds its end. */
void xf_await_byte_or_end(int fd);

#endif
