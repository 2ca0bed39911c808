/* process.c - what the ctxs of one process have to know of each other
 *
 * Called by ctx.c (list), mode.c (claims), atfork.c (generation) and whoever
 * makes fds. See process.h.
 */
#include "ctx/process.h"

#include "ctx/ctx_impl.h"
#include "kernel/registry.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xl_list ctxs = {&ctxs, &ctxs};
static atomic_uint generation = 1;

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

void xl_process_atfork_child(void)
{
    atomic_fetch_add(&generation, 1);
}

void xl_process_add(libxl_ctx *ctx)
{
    xl_process_lock();
    xl_list_append(&ctxs, &ctx->all);
    xl_process_unlock();
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

int xl_process_all(int (*holds)(libxl_ctx *ctx))
{
    struct xl_list *node;

    for (node = ctxs.next; node != &ctxs; node = node->next) {
        libxl_ctx *ctx = xl_container(node, libxl_ctx, all);

        if (ctx->generation == xl_process_generation() && !holds(ctx))
            return 0;
    }
    return 1;
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
