/* cgroup_due.h - cgroups that have been asked for, signalled */
#ifndef XL_CGROUP_DUE_H
#define XL_CGROUP_DUE_H

#include "ctx/ctx_impl.h"

/* Signals each that was asked for (cgroup.h). The lock is held, and given up
 * meanwhile. 0: another thread is at it; it makes the calls that are due. */
int xl_cgroup_signal_due(libxl_ctx *ctx);

#endif
