/* wait_one.c - what the kernel says of one child
 *
 * See wait_one.h. The only waits for a single child of ours; those for
 * everybody are in reap.c.
 */
#define _GNU_SOURCE
#include "child/wait_one.h"

#include <errno.h>
#include <sys/wait.h>

#include "ctx/ctx_fds.h"
#include "ctx/process.h"
#include "kernel/identity.h"
#include "kernel/numbers.h"
#include "kernel/own.h"
#include "kernel/sys.h"

/* Unless all is closed: then a wakeup would be written to a file of the host's,
 * and nobody is told anything by this ctx any more. */
static void have_it_seen_to(const struct xl_child *child)
{
    libxl_ctx *ctx;

    if (child->reg.owner == NULL || child->ended)
        return;
    ctx = xl_container(child->reg.owner, libxl_ctx, wakeup);
    if (!ctx->fds_gone && xl_ctx_fds_ours(ctx))
        xl_wakeup_post(&ctx->wakeup, XL_WAKE_PIDFD);
}

void xl_wait_drop_pidfd(struct xl_child *child)
{
    int saved = errno;

    xl_own_disturbed();
    xl_own_forget(child->pidfd);
    child->pidfd = -1;
    xl_numbers_pidfd_is(&child->reg, -1);
    have_it_seen_to(child);
    errno = saved;
}

void xl_wait_prove_pidfd(struct xl_child *child)
{
    if (child->pidfd >= 0 &&
        !xl_identity_pidfd_is(child->pidfd, child->pid, child->reg.mark))
        xl_wait_drop_pidfd(child);
}

int xl_wait_renew_pidfd(struct xl_child *child)
{
    int pidfd;

    xl_process_lock();
    pidfd = xl_own(xl_identity_open(child->pid, child->reg.mark));
    xl_process_unlock();
    if (pidfd < 0)
        return -1;
    child->pidfd = pidfd;
    xl_numbers_pidfd_is(&child->reg, pidfd);
    return 0;
}

/* What its pidfd says of it. In a host that is known to close what is not its
 * own, a child that has ended is looked at before it is reaped: the pidfd may
 * be another's by now. Where that was not known, the other's end is handed
 * on. */
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
            if (reaps && !look)
                xl_numbers_hand_on(child->reg.owner, info, rusage);
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
        if (errno == ECHILD) {
            xl_wait_prove_pidfd(child); /* no child of ours, or not its own */
            if (child->pidfd >= 0)
                return -1;
        } else if (errno == EBADF && !child->adopted)
            xl_wait_drop_pidfd(child);
        /* else refused since it was probed: by the number all the same */
    }
    return xl_numbers_wait(&child->reg, options, info, rusage);
}
