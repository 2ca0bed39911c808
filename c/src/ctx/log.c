/* log.c - messages for the host's logger, and disasters
 *
 * Called under the ctx's lock by every file that has something to say. Next:
 * the logger, by way of the deferred calls (defer.h), or stderr.
 */
#define _GNU_SOURCE
#include "ctx/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctx/defer.h"

#define TEXT_MAX 512

struct message {
    struct xl_deferred deferred;
    libxl_log_level level;
    int errnoval;
    char text[];
};

/* In one piece, and not by fprintf: to a stream without a buffer it makes one
 * of 8 KiB on the stack. */
static void to_stderr(libxl_log_level level, int errnoval, const char *text)
{
    char line[TEXT_MAX + 200];
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
        snprintf(line, sizeof line, "xlchild: %s: %s: %s\n", names[level], text,
                 reason);
    } else {
        snprintf(line, sizeof line, "xlchild: %s: %s\n", names[level], text);
    }
    (void)fputs(line, stderr);
}

static void write_message(libxl_ctx *ctx, libxl_log_level level, int errnoval,
                          const char *text)
{
    if (ctx->log.logger.log == NULL) {
        to_stderr(level, errnoval, text);
        return;
    }
    xl_hook_mark(1);
    ctx->log.logger.log(ctx->log.logger.user, level, errnoval, text);
    xl_hook_mark(-1);
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
    char text[TEXT_MAX];
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
