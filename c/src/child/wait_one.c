/* wait_one.c - what the kernel says of one child
 *
 * See wait_one.h. The only waits for a single child of ours; those for
 * everybody are in reap.c.
 */
#define _GNU_SOURCE
#include "child/wait_one.h"

#include <errno.h>
#include <sys/wait.h>

#include "kernel/numbers.h"
#include "kernel/sys.h"

int xl_wait_one(struct xl_child *child, int options, siginfo_t *info,
                struct rusage *rusage)
{
    int by_pidfd = child->pidfd >= 0;
    int r;

    for (;;) {
        info->si_pid = 0;
        if (!by_pidfd)
            return xl_numbers_wait(&child->reg, options, info, rusage);
        r = xl_sys.waitid(XL_P_PIDFD, (id_t)child->pidfd, info,
                          (options & ~XL_WAIT_PROVED) | WNOHANG, rusage);
        if (r == 0)
            return info->si_pid != 0;
        if (errno == EINTR)
            continue;
        if (by_pidfd && errno != ECHILD) {
            by_pidfd = 0; /* refused since it was probed: go by the number */
            continue;
        }
        return -1;
    }
}
