/* overlapping.c - starting many children one after the other, overlapping
 *
 * Called by starters.c. Between a child's first instruction and its exec its
 * starter has nothing to do for it: the next ones are begun meanwhile, so that
 * a thread does the kernel's work of cloning while another processor does
 * that of executing; and those that have ended are reaped. Next: spawn.c, in
 * halves.
 */
#define _GNU_SOURCE
#include "api/overlapping.h"

#include <string.h>

#include "loop/enter.h"
#include "child/reap.h"
#include "api/spawn.h"
#include "child/exit_watch.h"

#define MAX_FLIGHTS 8

struct flight {
    struct xl_spawn spawn;
    libxl_childproc_batch_entry *entry;
};

static void answer(struct flight *f, int rc)
{
    f->entry->rc = rc;
    f->entry->failure = f->spawn.failure;
    if (rc == 0) {
        f->entry->id = f->spawn.id;
        f->entry->pid = f->spawn.pid;
    }
}

/* 1: it is under way. */
static int begin(libxl_ctx *ctx, struct flight *f, const xl_sigset *mask,
                 libxl_childproc_batch_entry *entry)
{
    int rc;

    memset(f, 0, sizeof *f);
    f->entry = entry;
    f->spawn.spec = entry->spec;
    f->spawn.report = entry->report;
    f->spawn.due = XL_NEVER;
    f->spawn.patience_ms = -1;
    f->spawn.caller_mask = mask;
    memset(entry->reserved, 0, sizeof entry->reserved);
    entry->id = 0;
    entry->pid = -1;
    entry->rc = xl_enter(ctx);
    if (entry->rc != 0)
        return 0;
    rc = xl_spawn_begin(ctx, &f->spawn);
    if (rc != 0)
        answer(f, rc);
    (void)xl_leave(ctx, 0);
    return rc == 0;
}

static void end(libxl_ctx *ctx, struct flight *f)
{
    pthread_mutex_lock(&ctx->lock);
    ctx->inside++; /* as xl_enter, which begin() has asked */
    answer(f, xl_spawn_end(ctx, &f->spawn));
    if (xl_exit_watch_recent_full(ctx))
        (void)xl_reap_recent(ctx);
    (void)xl_leave(ctx, 0);
}

void xl_overlapping_run(libxl_ctx *ctx, const xl_sigset *mask,
                        libxl_childproc_batch_entry *(*next)(void *user),
                        void *user)
{
    struct flight flights[MAX_FLIGHTS];
    libxl_childproc_batch_entry *entry;
    unsigned begun = 0, ended = 0;

    while ((entry = next(user)) != NULL) {
        if (begun - ended == MAX_FLIGHTS)
            end(ctx, &flights[ended++ % MAX_FLIGHTS]);
        if (begin(ctx, &flights[begun % MAX_FLIGHTS], mask, entry))
            begun++;
    }
    while (ended < begun)
        end(ctx, &flights[ended++ % MAX_FLIGHTS]);
}
