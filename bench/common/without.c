/* bench/common/without.c - the same run with a kernel facility refused
 *
 * Called by main.c before the peer opens. A real seccomp filter refuses what
 * --without names, so that a library falls back by itself; "nothing" loads a
 * filter that refuses nothing, the baseline to compare with, since a filter
 * costs a little on every call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/wait.h>

#include "bench.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif

static int add(scmp_filter_ctx filter, int error, int call, unsigned argument,
               uint64_t bits)
{
    if (!bits)
        return seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), call,
                                0);
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), call, 1,
                            SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, bits, bits));
}

/* clone3's flags are in memory, where a filter cannot look: it is refused
 * whole, as container managers do. */
static int shared_files(scmp_filter_ctx filter)
{
    return add(filter, ENOSYS, SCMP_SYS(clone3), 0, 0) ||
           add(filter, EPERM, SCMP_SYS(close_range), 2, CLOSE_RANGE_UNSHARE);
}

static int close_range_(scmp_filter_ctx filter)
{
    return add(filter, ENOSYS, SCMP_SYS(close_range), 0, 0);
}

static int pidfd(scmp_filter_ctx filter)
{
    return add(filter, ENOSYS, SCMP_SYS(clone3), 0, 0) ||
           add(filter, ENOSYS, SCMP_SYS(pidfd_open), 0, 0) ||
           add(filter, EINVAL, SCMP_SYS(clone), 0, CLONE_PIDFD) ||
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(waitid),
                            1, SCMP_CMP(0, SCMP_CMP_EQ, P_PIDFD));
}

/* Both forms that share memory; a plain fork passes. */
static int vfork_(scmp_filter_ctx filter)
{
    return add(filter, ENOSYS, SCMP_SYS(clone3), 0, 0) ||
           add(filter, ENOSYS, SCMP_SYS(vfork), 0, 0) ||
           add(filter, EPERM, SCMP_SYS(clone), 0, CLONE_VFORK);
}

static int nothing(scmp_filter_ctx filter)
{
    /* one rule that never matches, so that there is a filter to run */
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
                            SCMP_SYS(close_range),
                            1, SCMP_CMP(2, SCMP_CMP_EQ, UINT64_C(1) << 40));
}

void bench_refuse_facility(const char *facility)
{
    static const struct {
        const char *name;
        int (*rules)(scmp_filter_ctx);
    } table[] = {
        {"nothing", nothing},
        {"shared-files", shared_files},
        {"close-range", close_range_},
        {"pidfd", pidfd},
        {"vfork", vfork_},
    };
    scmp_filter_ctx filter;
    size_t i;

    if (!*facility)
        return;
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(facility, table[i].name))
            break;
    if (i == sizeof(table) / sizeof(table[0]))
        bench_refuse("--without is nothing, shared-files, close-range, pidfd "
                     "or vfork");
    filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        bench_die("seccomp");
    if (table[i].rules(filter) || seccomp_load(filter))
        bench_refuse("the seccomp filter could not be loaded");
    seccomp_release(filter);
}
