/* starters.c - batches, and the threads that start children for a ctx
 *
 * Called by the host. Each entry of a batch goes through overlapping.c, on the
 * calling thread or on whichever starter is free; results stay in place.
 */
#define _GNU_SOURCE
#include "api/starters.h"

#include <errno.h>

#include "loop/enter.h"
#include "api/overlapping.h"

#define MAX_STARTERS 64
#define MAX_BATCH (1u << 20)

struct xl_starters {
    pthread_mutex_t lock;
    pthread_cond_t work; /* for the threads */
    pthread_cond_t done; /* for the batch */
    libxl_ctx *ctx;
    libxl_childproc_batch_entry *entries;
    size_t n, next;
    int nbusy;      /* have entries that are not answered yet */
    xl_sigset mask; /* of the thread that called */
    int stop;
    int nready; /* have come as far as waiting for work */
    int nthreads;
    pthread_t threads[MAX_STARTERS];
};

/* ---- threads ------------------------------------------------------------ */

/* A child may ask to be told when the thread that started it ends; only the
 * starters are known to last. */
static int wants_a_starter(const libxl_childproc_spec *spec)
{
    return spec != NULL && (spec->flags & LIBXL_SPAWN_SET_PDEATHSIG) != 0;
}

/* The calling thread would only wait: it takes its share. */
static libxl_childproc_batch_entry *next_for_caller(void *user)
{
    struct xl_starters *s = user;
    libxl_childproc_batch_entry *entry = NULL;

    pthread_mutex_lock(&s->lock);
    if (s->next < s->n && !wants_a_starter(s->entries[s->next].spec))
        entry = &s->entries[s->next++];
    pthread_mutex_unlock(&s->lock);
    return entry;
}

/* The next of the batch, when there is one. */
static libxl_childproc_batch_entry *next_entry(void *user)
{
    struct xl_starters *s = user;
    libxl_childproc_batch_entry *entry = NULL;

    pthread_mutex_lock(&s->lock);
    if (s->next < s->n)
        entry = &s->entries[s->next++];
    pthread_mutex_unlock(&s->lock);
    return entry;
}

static void *starter(void *arg)
{
    struct xl_starters *s = arg;

    pthread_mutex_lock(&s->lock);
    s->nready++;
    pthread_cond_signal(&s->done);
    while (!s->stop) {
        if (s->next == s->n) {
            pthread_cond_wait(&s->work, &s->lock);
            continue;
        }
        s->nbusy++;
        pthread_mutex_unlock(&s->lock);
        xl_overlapping_run(s->ctx, &s->mask, next_entry, s);
        pthread_mutex_lock(&s->lock);
        if (--s->nbusy == 0)
            pthread_cond_signal(&s->done);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void join_all(struct xl_starters *s)
{
    int i;

    pthread_mutex_lock(&s->lock);
    s->stop = 1;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (i = 0; i < s->nthreads; i++)
        (void)pthread_join(s->threads[i], NULL);
}

static void free_starters(struct xl_starters *s)
{
    (void)pthread_cond_destroy(&s->work);
    (void)pthread_cond_destroy(&s->done);
    (void)pthread_mutex_destroy(&s->lock);
    xl_free(s);
}

/* NULL and errno when not all n could be had. */
static struct xl_starters *make_starters(libxl_ctx *ctx, int n)
{
    struct xl_starters *s = xl_sys.calloc(1, sizeof *s);
    xl_sigset all, before;
    int r = 0;

    if (s == NULL)
        return NULL;
    if (pthread_mutex_init(&s->lock, NULL) != 0 ||
        pthread_cond_init(&s->work, NULL) != 0 ||
        pthread_cond_init(&s->done, NULL) != 0) {
        xl_free(s);
        errno = ENOMEM;
        return NULL;
    }
    s->ctx = ctx;
    xl_sigset_fill(&all); /* no signal of the host's is ever theirs */
    (void)xl_sys.sigprocmask(SIG_SETMASK, &all, &before);
    while (r == 0 && s->nthreads < n) {
        r = xl_sys.pthread_create(&s->threads[s->nthreads], NULL, starter, s);
        if (r == 0)
            s->nthreads++;
    }
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    /* a fork of the host's must not come upon a thread that libc is still
     * setting up */
    pthread_mutex_lock(&s->lock);
    while (s->nready < s->nthreads)
        pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
    if (r == 0)
        return s;
    join_all(s);
    free_starters(s);
    errno = r;
    return NULL;
}

void xl_starters_stop(libxl_ctx *ctx)
{
    struct xl_starters *s = ctx->starters;

    if (s == NULL)
        return;
    ctx->starters = NULL;
    pthread_mutex_unlock(&ctx->lock);
    join_all(s);
    free_starters(s);
    pthread_mutex_lock(&ctx->lock);
}

void xl_starters_forget(libxl_ctx *ctx)
{
    xl_free(ctx->starters);
    ctx->starters = NULL;
}

int libxl_childproc_set_starters(libxl_ctx *ctx, int n)
{
    struct xl_starters *after = NULL;
    int saved = 0;
    int rc;

    if (n < 0 || n > MAX_STARTERS)
        return ERROR_INVAL;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    if (ctx->batch_running) {
        rc = ERROR_BUSY;
        goto out;
    }
    if (n > 0 && ctx->mode.hooks.fork_replacement != NULL) {
        rc = ERROR_INVAL;
        goto out;
    }
    if (n > 0) {
        after = make_starters(ctx, n);
        if (after == NULL) {
            saved = errno;
            rc = ERROR_SYSTEM;
            goto out;
        }
    }
    xl_starters_stop(ctx);
    ctx->starters = after;
out:
    rc = xl_leave(ctx, rc);
    if (rc != 0)
        errno = saved;
    return rc;
}

/* ---- batches ------------------------------------------------------------ */

/* The children's parents are the starters, who block all signals, so that each
 * end would wake the thread that waits for them, with a SIGCHLD that nobody
 * handles. Blocked, one is kept, and thrown away when the batch is over. */
static void hush_sigchld(libxl_ctx *ctx)
{
    struct xl_sigchld_state state;
    xl_sigset set;

    if (ctx->mode.asked == libxl_sigchld_owner_mainloop ||
        xl_sigchld_look(&state) != 0 || state.handler != NULL)
        return;
    xl_sigset_empty(&set);
    xl_sigset_add(&set, SIGCHLD);
    (void)xl_sys.sigprocmask(SIG_BLOCK, &set, NULL);
}

static void run_on_threads(struct xl_starters *s,
                           libxl_childproc_batch_entry *entries, size_t n)
{
    pthread_mutex_lock(&s->lock);
    (void)xl_sys.sigprocmask(SIG_SETMASK, NULL, &s->mask);
    hush_sigchld(s->ctx);
    s->entries = entries;
    s->next = 0;
    s->n = n;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    xl_overlapping_run(s->ctx, &s->mask, next_for_caller, s);
    pthread_mutex_lock(&s->lock);
    while (s->next < s->n || s->nbusy > 0)
        pthread_cond_wait(&s->done, &s->lock);
    s->n = s->next = 0;
    (void)xl_sys.sigprocmask(SIG_SETMASK, &s->mask, NULL);
    pthread_mutex_unlock(&s->lock);
}

struct range {
    libxl_childproc_batch_entry *next, *end;
};

static libxl_childproc_batch_entry *next_of_range(void *user)
{
    struct range *range = user;

    return range->next < range->end ? range->next++ : NULL;
}

int libxl_childproc_spawn_many(libxl_ctx *ctx,
                               libxl_childproc_batch_entry *entries, size_t n)
{
    struct range range;
    struct xl_starters *s;
    int started = 0;
    size_t i;
    int rc;

    if ((entries == NULL && n > 0) || n > MAX_BATCH)
        return ERROR_INVAL;
    range.next = entries;
    range.end = n > 0 ? entries + n : entries;
    rc = xl_enter(ctx);
    if (rc != 0)
        return rc;
    /* a second batch meanwhile goes by its own thread */
    s = ctx->batch_running || ctx->mode.hooks.fork_replacement != NULL
            ? NULL
            : ctx->starters;
    if (s != NULL)
        ctx->batch_running = 1;
    pthread_mutex_unlock(&ctx->lock);
    if (s != NULL && n > 1)
        run_on_threads(s, entries, n);
    else
        xl_overlapping_run(ctx, NULL, next_of_range, &range);
    pthread_mutex_lock(&ctx->lock);
    if (s != NULL)
        ctx->batch_running = 0;
    for (i = 0; i < n; i++)
        started += entries[i].rc == 0;
    return xl_leave(ctx, started);
}
