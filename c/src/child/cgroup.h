/* cgroup.h - everybody in a child's cgroup, signalled with no lock held
 *
 * Files of a cgroup are opened by a path that the host gave, and somebody may
 * have mounted something else there since; and a cgroup may have thousands of
 * members. So whoever holds the ctx's lock only asks. What is asked for is
 * done by xl_dispatch (enter.c), before any call that is due: a completion
 * comes after the kill that belongs to it.
 */
#ifndef XL_CGROUP_H
#define XL_CGROUP_H

#include "ctx/ctx_impl.h"

/* Of a child, which holds it; whoever uses it without the lock, too. */
struct xl_cgroup {
    struct xl_list link; /* ctx->cgroups_due, which holds it; or nowhere */
    libxl_ctx *ctx;
    libxl_childproc_id child;
    uint64_t asked; /* signals, bit 0: signal 1 */
    int removal;    /* asked for; after all signals */
    atomic_int holders;
    char path[];
};

/* Held once; NULL: no memory. */
struct xl_cgroup *xl_cgroup_new(libxl_ctx *ctx, const char *path);
void xl_cgroup_hold(struct xl_cgroup *cgroup);
/* NULL: nothing. Needs no lock. */
void xl_cgroup_drop(struct xl_cgroup *cgroup);

/* Without the lock. 0, ERROR_NOTFOUND (nobody is in it), ERROR_PERMISSION, or
 * ERROR_SYSTEM. May take its time. */
int xl_cgroup_signal(const struct xl_cgroup *cgroup, int signo);
/* Of these: it could not be done. */
int xl_cgroup_refused(int rc);
/* The same for a policy. Without pidfds nobody in it can be signalled safely;
 * it can be killed, though: *signo_io is what they were sent. */
int xl_cgroup_signal_or_kill(const struct xl_cgroup *cgroup, int *signo_io);
/* Under the lock: soon. Cannot fail. */
void xl_cgroup_ask(struct xl_cgroup *cgroup, int signo);
/* It is the library's own, and empty: it is removed soon. Cannot fail. */
void xl_cgroup_ask_removal(struct xl_cgroup *cgroup);
/* What was asked for first, taken off the list and held; NULL: nothing is.
 * *ret_signo 0: it is to be removed. */
struct xl_cgroup *xl_cgroup_next(libxl_ctx *ctx, int *ret_signo);
/* Nothing of that is done any more. */
void xl_cgroup_forget_all(libxl_ctx *ctx);

#endif
