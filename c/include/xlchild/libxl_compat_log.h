/* xlchild/libxl_compat_log.h - Xen's loggers, and the one that writes to stdio
 *
 * What programs have of <xentoollog.h>. Included by xlchild/libxl_compat.h,
 * which passes a ctx's messages on to such a logger.
 */
#ifndef XLCHILD_LIBXL_COMPAT_LOG_H
#define XLCHILD_LIBXL_COMPAT_LOG_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the logger --------------------------------------------------------- */

typedef enum xentoollog_level {
    XTL_NONE,
    XTL_DEBUG,
    XTL_VERBOSE,
    XTL_DETAIL,
    XTL_PROGRESS,
    XTL_INFO,
    XTL_NOTICE,
    XTL_WARN,
    XTL_ERROR,
    XTL_CRITICAL,
    XTL_NUM_LEVELS
} xentoollog_level;

/* A logger of the program's begins with this, and is made by XTL_NEW_LOGGER.
 * errnoval is -1 where no system error belongs to the message; context may be
 * NULL. */
typedef struct xentoollog_logger xentoollog_logger;
struct xentoollog_logger {
    void (*vmessage)(struct xentoollog_logger *logger, xentoollog_level level,
                     int errnoval, const char *context, const char *format,
                     va_list al);
    void (*progress)(struct xentoollog_logger *logger, const char *context,
                     const char *doing_what, int percent, unsigned long done,
                     unsigned long total);
    void (*destroy)(struct xentoollog_logger *logger);
};

/* xtl_level_to_string - a level's name, never NULL */
static inline const char *xtl_level_to_string(xentoollog_level level)
{
    static const char *const names[XTL_NUM_LEVELS] = {
        "none", "debug",  "verbose", "detail", "progress",
        "info", "notice", "warning", "error",  "critical"};

    return (unsigned)level < XTL_NUM_LEVELS ? names[(unsigned)level]
                                            : "unknown";
}

static inline void xtl_logv(struct xentoollog_logger *logger,
                            xentoollog_level level, int errnoval,
                            const char *context, const char *format, va_list al)
    __attribute__((format(printf, 5, 0)));
static inline void xtl_logv(struct xentoollog_logger *logger,
                            xentoollog_level level, int errnoval,
                            const char *context, const char *format, va_list al)
{
    int saved = errno;

    logger->vmessage(logger, level, errnoval, context, format, al);
    errno = saved;
}

static inline void xtl_log(struct xentoollog_logger *logger,
                           xentoollog_level level, int errnoval,
                           const char *context, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static inline void xtl_log(struct xentoollog_logger *logger,
                           xentoollog_level level, int errnoval,
                           const char *context, const char *format, ...)
{
    va_list al;

    va_start(al, format);
    xtl_logv(logger, level, errnoval, context, format, al);
    va_end(al);
}

/* xtl_progress - how far it has come, for loggers that show it */
static inline void xtl_progress(struct xentoollog_logger *logger,
                                const char *context, const char *doing_what,
                                unsigned long done, unsigned long total)
{
    int percent = total == 0 ? 0 : (int)((double)done * 100.0 / (double)total);

    if (logger->progress != NULL)
        logger->progress(logger, context, doing_what, percent, done, total);
}

/* xtl_logger_destroy - ends a logger, after the last ctx that has it. NULL is
 * a no-op */
static inline void xtl_logger_destroy(struct xentoollog_logger *logger)
{
    if (logger != NULL)
        logger->destroy(logger);
}

/* XTL_NEW_LOGGER - a logger of the program's, malloc'ed: a copy of buffer,
 * a struct xentoollog_logger_NAME that begins with `vtable`, with the
 * functions NAME_vmessage, NAME_progress and NAME_destroy (which frees it).
 * NULL: out of memory, which the logger in the buffer was told. */
#define XTL_NEW_LOGGER(NAME, buffer)                                           \
    __extension__({                                                            \
        xentoollog_logger_##NAME *xtl_made_;                                   \
                                                                               \
        (buffer).vtable.vmessage = NAME##_vmessage;                            \
        (buffer).vtable.progress = NAME##_progress;                            \
        (buffer).vtable.destroy = NAME##_destroy;                              \
        xtl_made_ = (xentoollog_logger_##NAME *)malloc(sizeof *xtl_made_);     \
        if (xtl_made_ != NULL)                                                 \
            *xtl_made_ = (buffer);                                             \
        else                                                                   \
            xtl_log((xentoollog_logger *)&(buffer), XTL_CRITICAL, errno,       \
                    "xtl", "out of memory for a logger");                      \
        xtl_made_;                                                             \
    })

/* ---- the logger that writes to a stdio stream --------------------------- */

#define XTL_STDIOSTREAM_SHOW_PID 001u
#define XTL_STDIOSTREAM_SHOW_DATE 002u
#define XTL_STDIOSTREAM_HIDE_PROGRESS 004u
/* Each progress overwrites the one before; with neither, on a terminal. */
#define XTL_STDIOSTREAM_PROGRESS_USE_CR 010u
#define XTL_STDIOSTREAM_PROGRESS_NO_CR 020u

typedef struct xentoollog_logger_stdiostream {
    xentoollog_logger vtable;
    FILE *file;
    xentoollog_level min_level;
    unsigned flags;
    int column; /* how long the progress is that stands on the line */
} xentoollog_logger_stdiostream;

static inline void xlchild_compat_begin_line(xentoollog_logger_stdiostream *lg)
{
    if (lg->flags & XTL_STDIOSTREAM_SHOW_DATE) {
        time_t now = time(NULL);
        const struct tm *t = localtime(&now);

        if (t != NULL)
            fprintf(lg->file, "%04d-%02d-%02d %02d:%02d:%02d ",
                    t->tm_year + 1900, t->tm_mon + 1, t->tm_mday, t->tm_hour,
                    t->tm_min, t->tm_sec);
    }
    if (lg->flags & XTL_STDIOSTREAM_SHOW_PID)
        fprintf(lg->file, "[%ld] ", (long)getpid());
}

static inline void stdiostream_vmessage(struct xentoollog_logger *logger,
                                        xentoollog_level level, int errnoval,
                                        const char *context, const char *format,
                                        va_list al)
    __attribute__((format(printf, 5, 0)));
static inline void stdiostream_vmessage(struct xentoollog_logger *logger,
                                        xentoollog_level level, int errnoval,
                                        const char *context, const char *format,
                                        va_list al)
{
    xentoollog_logger_stdiostream *lg = (xentoollog_logger_stdiostream *)logger;

    if (level < lg->min_level)
        return;
    if (lg->column > 0)
        fputc('\n', lg->file);
    lg->column = 0;
    xlchild_compat_begin_line(lg);
    if (context != NULL)
        fprintf(lg->file, "%s: ", context);
    fprintf(lg->file, "%s: ", xtl_level_to_string(level));
    vfprintf(lg->file, format, al);
    if (errnoval >= 0)
        fprintf(lg->file, ": %s", strerror(errnoval));
    fputc('\n', lg->file);
    fflush(lg->file);
}

static inline void stdiostream_progress(struct xentoollog_logger *logger,
                                        const char *context,
                                        const char *doing_what, int percent,
                                        unsigned long done, unsigned long total)
{
    xentoollog_logger_stdiostream *lg = (xentoollog_logger_stdiostream *)logger;
    int n;

    if ((lg->flags & XTL_STDIOSTREAM_HIDE_PROGRESS) ||
        lg->min_level > XTL_PROGRESS)
        return;
    if (lg->flags & XTL_STDIOSTREAM_PROGRESS_USE_CR)
        fputc('\r', lg->file);
    else
        xlchild_compat_begin_line(lg);
    n = fprintf(lg->file, "%s%s%s: %lu/%lu %3d%%",
                context != NULL ? context : "", context != NULL ? ": " : "",
                doing_what, done, total, percent);
    if (lg->flags & XTL_STDIOSTREAM_PROGRESS_USE_CR) {
        for (; n < lg->column; n++)
            fputc(' ', lg->file); /* what the one before leaves */
        lg->column = n;
    }
    if (!(lg->flags & XTL_STDIOSTREAM_PROGRESS_USE_CR) || done == total) {
        fputc('\n', lg->file);
        lg->column = 0;
    }
    fflush(lg->file);
}

static inline void stdiostream_destroy(struct xentoollog_logger *logger)
{
    xentoollog_logger_stdiostream *lg = (xentoollog_logger_stdiostream *)logger;

    if (lg->column > 0)
        fputc('\n', lg->file);
    free(lg);
}

/* xtl_createlogger_stdiostream - a logger that writes to a stdio stream, which
 * is borrowed. NULL: out of memory. */
static inline xentoollog_logger_stdiostream *
xtl_createlogger_stdiostream(FILE *f, xentoollog_level min_level,
                             unsigned flags)
{
    xentoollog_logger_stdiostream made;

    memset(&made, 0, sizeof made);
    made.file = f;
    made.min_level = min_level;
    made.flags = flags;
#if defined _POSIX_C_SOURCE || defined _GNU_SOURCE || defined _BSD_SOURCE
    if (!(flags & (XTL_STDIOSTREAM_PROGRESS_USE_CR |
                   XTL_STDIOSTREAM_PROGRESS_NO_CR)) &&
        isatty(fileno(f)) == 1)
        made.flags |= XTL_STDIOSTREAM_PROGRESS_USE_CR;
#endif
    return XTL_NEW_LOGGER(stdiostream, made);
}

static inline void
xtl_stdiostream_set_minlevel(xentoollog_logger_stdiostream *logger,
                             xentoollog_level min_level)
{
    logger->min_level = min_level;
}

static inline void
xtl_stdiostream_adjust_flags(xentoollog_logger_stdiostream *logger,
                             unsigned set_flags, unsigned clear_flags)
{
    logger->flags = (logger->flags & ~clear_flags) | set_flags;
}

#ifdef __cplusplus
}
#endif

#endif
