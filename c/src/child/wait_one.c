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
#include "kernel/own.h"
#include "kernel/sys.h"

void xl_wait_drop_pidfd(struct xl_child *child)
{
    xl_own_disturbed();
    xl_own_forget(child->pidfd);
    child->pidfd = -1;
    xl_numbers_without_pidfd(&child->reg);
}

/* What its pidfd says of it. In a host that is known to close what is not its
 * own, a child that has ended is looked at before it is reaped: the pidfd may
 * be another's by now. */
static int wait_by_pidfd(struct xl_child *child, int options, siginfo_t *info,
                         struct rusage *rusage)
{
    int reaps = (options & WEXITED) && !(options & WNOWAIT);
    int look = reaps && xl_own_is_disturbed() ? WNOWAIT : 0;
    int r;

    for (;;) {
        info->si_pid = 0;
        r = xl_sys.waitid(XL_P_PIDFD, (id_t)child->pidfd, info,
                          options | look | WNOHANG, rusage);
        if (r != 0 && errno == EINTR)
            continue;
        if (r != 0 || info->si_pid == 0)
            return r;
        if (info->si_pid != child->pid && !child->adopted) {
            errno = EBADF;
            return -1;
        }
        if (!look)
            return 0;
        look = 0;
    }
}

int xl_wait_one(struct xl_child *child, int options, siginfo_t *info,
                struct rusage *rusage)
{
    if (child->pidfd >= 0) {
        if (wait_by_pidfd(child, options & ~XL_WAIT_PROVED, info, rusage) == 0)
            return info->si_pid != 0;
        if (errno == ECHILD)
            return -1;
        if (errno == EBADF && !child->adopted)
            xl_wait_drop_pidfd(child);
        /* else refused since it was probed: by the number all the same */
    }
    return xl_numbers_wait(&child->reg, options, info, rusage);
}
