/* cgroup_due.h - cgroups that have been asked for, signalled */
#ifndef XL_CGROUP_DUE_H
#define XL_CGROUP_DUE_H

#include "ctx/ctx_impl.h"

struct xl_cgroup;
struct xl_child;

/* Signals each that was asked for (cgroup.h). The lock is held, and given up
 * meanwhile. 0: another thread is at it; it makes the calls that are due. */
int xl_cgroup_signal_due(libxl_ctx *ctx);
/* Signals this one now, for whoever is told how that went; the same of the
 * lock: the child (NULL: it has ended) may be gone afterwards. With a policy,
 * *signo_io is what they were sent in the end. */
int xl_cgroup_signal_now(libxl_ctx *ctx, struct xl_cgroup *cgroup,
                         struct xl_child *child, int *signo_io, int by_policy);

#endif
