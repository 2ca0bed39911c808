/* process.c - what the ctxs of one process have to know of each other
 *
 * Called by ctx.c (list), mode.c (claims) and, by way of pthread_atfork, by
 * every fork of the host. See process.h.
 */
#define _GNU_SOURCE
#include "process.h"

#include "ctx_impl.h"
#include "orphan.h"
#include "registry.h"
#include "sigchld.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xl_list ctxs = {&ctxs, &ctxs};
static atomic_uint generation = 1;
static int handlers_missing;

void xl_process_lock(void)
{
    pthread_mutex_lock(&lock);
}

void xl_process_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

unsigned xl_process_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

/* All locks of the process that are not a ctx's, in their order. */
static void before_fork(void)
{
    xl_process_lock();
    xl_orphan_lock();
    xl_sigchld_lock();
    xl_registry_lock();
}

static void after_fork_parent(void)
{
    xl_registry_unlock();
    xl_sigchld_unlock();
    xl_orphan_unlock();
    xl_process_unlock();
}

static void after_fork_child(void)
{
    atomic_fetch_add(&generation, 1);
    xl_sigchld_atfork_child();
    xl_registry_postfork();
    xl_orphan_postfork();
    after_fork_parent();
}

/* At load, before any of our locks can be held: a fork in another thread
 * during the first ctx's making would find them so, and no handler yet. */
__attribute__((constructor)) static void register_handlers(void)
{
    handlers_missing =
        pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int xl_process_add(libxl_ctx *ctx)
{
    if (handlers_missing)
        return -1;
    xl_process_lock();
    xl_list_append(&ctxs, &ctx->all);
    xl_process_unlock();
    return 0;
}

void xl_process_remove(libxl_ctx *ctx)
{
    xl_process_lock();
    xl_list_remove(&ctx->all);
    xl_process_unlock();
}

int xl_owner_reaps_all(libxl_sigchld_owner owner)
{
    return owner == libxl_sigchld_owner_libxl ||
           owner == libxl_sigchld_owner_libxl_always;
}

int xl_process_claim(libxl_ctx *ctx, libxl_sigchld_owner owner)
{
    struct xl_list *node;
    int rc = 0;

    xl_process_lock();
    for (node = ctxs.next; node != &ctxs; node = node->next) {
        libxl_ctx *other = xl_container(node, libxl_ctx, all);

        if (other == ctx || !other->mode.claimed ||
            other->generation != xl_process_generation())
            continue;
        if ((owner == libxl_sigchld_owner_mainloop &&
             xl_owner_reaps_all(other->mode.in_force)) ||
            (xl_owner_reaps_all(owner) &&
             other->mode.in_force == libxl_sigchld_owner_mainloop)) {
            rc = ERROR_SIGCHLD_CONFLICT;
            goto out;
        }
    }
    ctx->mode.claimed = 1;
    ctx->mode.in_force = owner;
out:
    xl_process_unlock();
    return rc;
}

void xl_process_unclaim(libxl_ctx *ctx)
{
    xl_process_lock();
    ctx->mode.claimed = 0;
    xl_process_unlock();
}

void xl_process_each_inherited(void (*fn)(libxl_ctx *ctx))
{
    struct xl_list *node;

    xl_process_lock();
    for (node = ctxs.next; node != &ctxs; node = node->next) {
        libxl_ctx *ctx = xl_container(node, libxl_ctx, all);

        if (ctx->generation != xl_process_generation())
            fn(ctx);
    }
    xl_process_unlock();
}

int xl_process_forward(libxl_ctx *ctx, pid_t pid, int status,
                       struct xl_wakeup *origin)
{
    struct xl_list *node;
    int r = -1;

    xl_process_lock();
    for (node = ctx->all.next; node != &ctx->all; node = node->next) {
        libxl_ctx *other;

        if (node == &ctxs)
            continue;
        other = xl_container(node, libxl_ctx, all);
        if (&other->wakeup == origin)
            break; /* all have been asked */
        if (other->mode.claimed && xl_owner_reaps_all(other->mode.in_force) &&
            other->mode.hooks.childproc_exited_callback != NULL &&
            other->generation == xl_process_generation()) {
            r = xl_registry_forward(&other->wakeup, pid, status, origin);
            break;
        }
    }
    xl_process_unlock();
    return r;
}
