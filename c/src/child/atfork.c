/* atfork.c - what a fork of the host's must find in order
 *
 * Called by every fork in the process, by way of pthread_atfork, in whichever
 * thread. All process-wide locks are taken before it, so that the child finds
 * what they guard consistent (C14). Next, if the child does not exec:
 * postfork.c.
 */
#include "child/atfork.h"

#include <pthread.h>

#include "ctx/ctx_fds.h"
#include "ctx/forkfd.h"
#include "child/reaper_thread.h"
#include "ctx/process.h"
#include "kernel/cancel.h"
#include "kernel/own.h"
#include "kernel/registry.h"
#include "kernel/sigchld.h"

static int missing;
static int sure; /* the fds that are marked are ours; under the locks */

/* What is marked of its fds is its: it has lost none, or has noticed. */
static int knows_its_fds(libxl_ctx *ctx)
{
    return ctx->pump.epfd < 0 || xl_ctx_fds_ours(ctx);
}

/* All locks of the process that are not a ctx's, in their order. */
static void before_fork(void)
{
    xl_cancel_hold(); /* the child closes fds with the locks held */
    xl_process_lock();
    xl_reaper_thread_lock();
    xl_sigchld_lock();
    xl_registry_lock();
    xl_forkfd_lock();
    /* where the host has closed ours, what has their numbers is the host's */
    sure = xl_process_all(knows_its_fds);
}

static void after_fork_parent(void)
{
    xl_forkfd_unlock();
    xl_registry_unlock();
    xl_sigchld_unlock();
    xl_reaper_thread_unlock();
    xl_process_unlock();
    xl_cancel_release();
}

static void after_fork_child(void)
{
    xl_own_postfork(sure);
    xl_forkfd_atfork_child(sure);
    xl_process_atfork_child();
    xl_sigchld_atfork_child();
    xl_registry_postfork();
    xl_reaper_thread_postfork();
    after_fork_parent();
}

/* At load, before any of our locks can be held: a fork in another thread
 * during the first ctx's making would find them so, and no handler yet. */
__attribute__((constructor)) static void register_handlers(void)
{
    missing = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int xl_atfork_missing(void)
{
    return missing;
}
