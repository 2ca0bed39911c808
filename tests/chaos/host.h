/* host.h - what the host does in chaos.c, beside the calls of the library
 *
 * Each function is a thread's; arg is a struct xc_chance of its own. They
 * return when xc_stop is set, the reaper when xc_host_reaper_stop is.
 */
#ifndef XC_HOST_H
#define XC_HOST_H

#include "model.h"

void xc_host_set_up(void); /* before the contexts are made */
void xc_host_tear_down(void);

void *xc_host_forks(void *arg);   /* children of its own, of every kind */
void *xc_host_steals(void *arg);  /* wait, waitpid, waitid, all flags */
void *xc_host_signals(void *arg); /* plays with SIGCHLD */
void *xc_host_reaps(void *arg);   /* its own children, and by the treaty */
extern atomic_int xc_host_reaper_stop;
/* Its own that have ended and nobody has told it of, and what ctx_free left to
 * it. */
void xc_host_reap_own(void);

/* While the reaper may be speaking to them. */
void xc_host_free_contexts(void);

/* A child that ends when the host says so; NULL: there are enough. */
struct xc_host *xc_host_fork(struct xc_chance *chance, int pauses);
void xc_host_let_end(struct xc_host *host);
/* All of them, for the end. */
void xc_host_end_all(void);

/* childproc_exited_callback */
int xc_host_exited(pid_t pid, int status, void *user);

#endif
