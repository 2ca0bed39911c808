/* xlchild/libxl_compat.h - the names of Xen's released libxl for this library
 *
 * The founding text is a proposal; what Xen then released has other names for
 * a few things. A program that is written for those, and uses of libxl only
 * what this library does (children, events, event loops, operations), compiles
 * with this header in place of <libxl.h>, <libxl_event.h> and <xentoollog.h>.
 * Include it before anything else of xlchild's.
 *
 * Differences that a program may see:
 *  - the codes for "not my child" are one and the same here: both names are
 *    ERROR_NOT_READY's value, from libxl_childproc_reaped and as the answer of
 *    reaped_callback. LIBXL_ERRORS' own UNKNOWN_CHILD, -14, comes from
 *    libxl_evenable_childproc_exit only;
 *  - hook structs are copied, so that they need not outlive the call;
 *  - the register functions return a code where Xen's return nothing;
 *  - timeout_deregister is called, by libxl_ctx_free, where Xen's never is;
 *  - a disaster without a disaster hook is logged and latched, where Xen's
 *    ends the process;
 *  - events of domains and disks do not exist: ask for LIBXL_EVENTMASK_ALL,
 *    and free what is not known.
 */
#ifndef XLCHILD_LIBXL_COMPAT_H
#define XLCHILD_LIBXL_COMPAT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/osevent.h"
#include "xlchild/childproc.h"
#include "xlchild/exec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what programs ask the preprocessor ---------------------------------- */

/* A version that a program asks for (LIBXL_API_VERSION) makes no difference:
 * what is here is the same in every one. */
#define LIBXL_HAVE_AO_ABORT 1
#define LIBXL_HAVE_NONCONST_EVENT_OCCURS_EVENT_ARG 1
#define LIBXL_HAVE_SIGCHLD_OWNER_SELECTIVE_REAP 1
#define LIBXL_HAVE_SIGCHLD_SHARING 1

/* Annotates, in Xen's header, what libxl itself must not call. */
#ifndef LIBXL_EXTERNAL_CALLERS_ONLY
#define LIBXL_EXTERNAL_CALLERS_ONLY
#endif

/* ---- children ------------------------------------------------------------ */

/* libxl_childproc_reaped - Xen's name for libxl_childproc_exited */
#define libxl_childproc_reaped libxl_childproc_exited

/* Xen's name for the member of libxl_childproc_hooks. */
#define reaped_callback childproc_exited_callback

/* Xen's code for "no child of mine". */
#define ERROR_UNKNOWN_CHILD ERROR_NOT_READY

/* ---- the logger ---------------------------------------------------------- */

/* Xen's logger is opaque; here it is a struct to fill in, or to get from
 * xtl_createlogger_stdiostream. */
typedef libxl_logger xentoollog_logger;
typedef libxl_logger xentoollog_logger_stdiostream;

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

/* Accepted, and without effect: a line is one message. */
#define XTL_STDIOSTREAM_SHOW_PID 001u
#define XTL_STDIOSTREAM_SHOW_DATE 002u
#define XTL_STDIOSTREAM_HIDE_PROGRESS 004u

/* For xtl_createlogger_stdiostream alone. */
static inline void xlchild_compat_log(void *user, libxl_log_level level,
                                      int errnoval, const char *message)
{
    static const char *const names[] = {"debug", "info", "warning", "error",
                                        "critical"};

    fprintf((FILE *)user, "libxl: %s: %s%s%s\n", names[level], message,
            errnoval ? ": " : "", errnoval ? strerror(errnoval) : "");
}

/* xtl_createlogger_stdiostream - a logger that writes to a stdio stream. The
 * stream is borrowed; end the logger with xtl_logger_destroy, after the last
 * ctx that has it. NULL: out of memory. */
static inline xentoollog_logger_stdiostream *
xtl_createlogger_stdiostream(FILE *f, xentoollog_level min_level,
                             unsigned flags)
{
    libxl_logger *logger = (libxl_logger *)calloc(1, sizeof(*logger));

    (void)flags;
    if (logger == NULL)
        return NULL;
    logger->size = sizeof(*logger);
    logger->min_level = min_level <= XTL_DETAIL   ? LIBXL_LOG_DEBUG
                        : min_level <= XTL_NOTICE ? LIBXL_LOG_INFO
                        : min_level <= XTL_WARN   ? LIBXL_LOG_WARNING
                        : min_level <= XTL_ERROR  ? LIBXL_LOG_ERROR
                                                  : LIBXL_LOG_CRITICAL;
    logger->log = xlchild_compat_log;
    logger->user = f;
    return logger;
}

static inline void xtl_logger_destroy(xentoollog_logger *logger)
{
    free(logger);
}

#ifdef __cplusplus
}
#endif

#endif
