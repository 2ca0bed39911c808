/* enter.c - entering and leaving the library; calling user code
 *
 * Called by every public function. Next: mode.c, osevent.c and pump.c bring
 * the outside in line with the inside, then the deferred calls are made, one
 * by one, without the lock.
 */
#define _GNU_SOURCE
#include "enter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mode.h"
#include "os_impl.h"
#include "process.h"
#include "pump.h"

static __thread int in_hook;

int xl_enter(libxl_ctx *ctx)
{
    if (ctx == NULL || in_hook > 0 ||
        ctx->generation != xl_process_generation())
        return ERROR_INVAL;
    pthread_mutex_lock(&ctx->lock);
    ctx->inside++;
    return 0;
}

void xl_hook_mark(int delta)
{
    in_hook += delta;
}

void xl_callback_begin(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
}

void xl_callback_end(libxl_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
}

void xl_hook_begin(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
    in_hook++;
}

void xl_hook_end(libxl_ctx *ctx)
{
    in_hook--;
    pthread_mutex_lock(&ctx->lock);
}

/* ---- deferred calls ----------------------------------------------------- */

void xl_queue_init(struct xl_deferred_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

void xl_strand_init(struct xl_strand *s)
{
    xl_queue_init(&s->waiting);
    s->busy = 0;
}

static void append(struct xl_deferred_queue *q, struct xl_deferred *d)
{
    d->next = NULL;
    *q->tail = d;
    q->tail = &d->next;
}

static struct xl_deferred *take(struct xl_deferred_queue *q)
{
    struct xl_deferred *d = q->head;

    if (d != NULL) {
        q->head = d->next;
        if (q->head == NULL)
            q->tail = &q->head;
        d->next = NULL;
    }
    return d;
}

static void make_due(libxl_ctx *ctx, struct xl_deferred *d)
{
    if (d->last)
        d->strand = NULL; /* it may not be there afterwards */
    append(&ctx->deferred, d);
}

void xl_defer(libxl_ctx *ctx, struct xl_deferred *d, struct xl_strand *strand,
              int last)
{
    d->strand = strand;
    d->last = (short)last;
    if (strand != NULL && strand->busy) {
        append(&strand->waiting, d);
        return;
    }
    if (strand != NULL)
        strand->busy = 1;
    make_due(ctx, d);
}

static void settle(libxl_ctx *ctx)
{
    xl_mode_settle(ctx);
    xl_os_settle(ctx);
    xl_pump_settle(ctx);
}

void xl_dispatch(libxl_ctx *ctx)
{
    struct xl_deferred *d;

    settle(ctx);
    while ((d = take(&ctx->deferred)) != NULL) {
        struct xl_strand *strand = d->strand;

        pthread_mutex_unlock(&ctx->lock);
        d->run(ctx, d);
        pthread_mutex_lock(&ctx->lock);
        if (strand != NULL) {
            struct xl_deferred *next = take(&strand->waiting);

            strand->busy = 0;
            if (next != NULL) {
                strand->busy = 1;
                make_due(ctx, next);
            }
        }
        if (ctx->deferred.head == NULL)
            settle(ctx); /* the call may have changed what is needed */
    }
}

int xl_leave(libxl_ctx *ctx, int rc)
{
    xl_dispatch(ctx);
    ctx->inside--;
    pthread_mutex_unlock(&ctx->lock);
    return rc;
}

/* ---- messages ----------------------------------------------------------- */

struct message {
    struct xl_deferred deferred;
    libxl_log_level level;
    int errnoval;
    char text[];
};

static void to_stderr(libxl_log_level level, int errnoval, const char *text)
{
    static const char *const names[] = {"debug", "info", "warning", "error",
                                        "critical"};
    if (errnoval != 0) {
        char buffer[128] = "?";
#ifdef __GLIBC__
        const char *reason = strerror_r(errnoval, buffer, sizeof buffer);
#else
        const char *reason = buffer;

        (void)strerror_r(errnoval, buffer, sizeof buffer);
#endif
        fprintf(stderr, "xlchild: %s: %s: %s\n", names[level], text, reason);
    } else {
        fprintf(stderr, "xlchild: %s: %s\n", names[level], text);
    }
}

static void write_message(libxl_ctx *ctx, libxl_log_level level, int errnoval,
                          const char *text)
{
    if (ctx->log.logger.log == NULL) {
        to_stderr(level, errnoval, text);
        return;
    }
    in_hook++;
    ctx->log.logger.log(ctx->log.logger.user, level, errnoval, text);
    in_hook--;
}

static void run_message(libxl_ctx *ctx, struct xl_deferred *d)
{
    struct message *m = xl_container(d, struct message, deferred);
    unsigned lost = atomic_exchange(&ctx->log.lost, 0);

    write_message(ctx, m->level, m->errnoval, m->text);
    xl_free(m);
    if (lost > 0)
        write_message(ctx, LIBXL_LOG_ERROR, 0,
                      "messages before this one were lost for want of memory");
}

void xl_log(libxl_ctx *ctx, libxl_log_level level, int errnoval,
            const char *format, ...)
{
    char text[512];
    struct message *m;
    va_list args;
    size_t length;

    if (level < ctx->log.logger.min_level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    length = strlen(text) + 1;
    m = xl_sys.malloc(sizeof *m + length);
    if (m == NULL) {
        atomic_fetch_add(&ctx->log.lost, 1);
        return;
    }
    m->level = level;
    m->errnoval = errnoval;
    memcpy(m->text, text, length);
    m->deferred.run = run_message;
    xl_defer(ctx, &m->deferred, NULL, 0);
}

void xl_disaster(libxl_ctx *ctx, libxl_event_type type, int rc, int errnoval,
                 const char *message)
{
    libxl_event_hooks hooks = ctx->events.hooks;
    void *user = ctx->events.user;

    if (hooks.disaster == NULL) {
        if (ctx->latched == 0)
            ctx->latched = rc;
        xl_log(ctx, LIBXL_LOG_CRITICAL, errnoval, "disaster: %s", message);
        return;
    }
    xl_hook_begin(ctx);
    hooks.disaster(user, type, message, errnoval);
    xl_hook_end(ctx);
}
