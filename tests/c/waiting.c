/* waiting.c - see waiting.h */
#include "waiting.h"

#include "ctx/ctx_impl.h"

int xq_waiting(libxl_ctx *ctx)
{
    struct xl_list *node;
    int n = 0;

    pthread_mutex_lock(&ctx->lock);
    for (node = ctx->pump.waiters.next; node != &ctx->pump.waiters;
         node = node->next)
        n++;
    pthread_mutex_unlock(&ctx->lock);
    return n;
}

int xq_are_waiting(void *user)
{
    struct xq_wanted *w = user;

    return xq_waiting(w->ctx) == w->n;
}
