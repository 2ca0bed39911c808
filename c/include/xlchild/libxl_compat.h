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
 *    ERROR_NOT_READY's value, from libxl_childproc_reaped. As the answer of
 *    reaped_callback Xen's -14 will do as well;
 *  - hook structs are copied, so that they need not outlive the call;
 *  - the register functions return a code where Xen's return nothing;
 *  - timeout_deregister is called, by libxl_ctx_free, where Xen's never is;
 *  - a disaster without a disaster hook is logged and latched, where Xen's
 *    ends the process;
 *  - events of domains and disks have names, and never occur; domid is 0. Ask
 *    for LIBXL_EVENTMASK_ALL, and free what is not known;
 *  - a message of libxl's own is cut off at 511 bytes.
 */
#ifndef XLCHILD_LIBXL_COMPAT_H
#define XLCHILD_LIBXL_COMPAT_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/osevent.h"
#include "xlchild/childproc.h"
#include "xlchild/exec.h"
#include "xlchild/libxl_compat_log.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what programs ask the preprocessor --------------------------------- */

/* A version that a program asks for makes no difference: what is here is the
 * same in every one. */
#ifndef LIBXL_API_VERSION
#define LIBXL_API_VERSION 0x041700
#endif
#define LIBXL_HAVE_AO_ABORT 1
#define LIBXL_HAVE_NONCONST_EVENT_OCCURS_EVENT_ARG 1
#define LIBXL_HAVE_SIGCHLD_OWNER_SELECTIVE_REAP 1
#define LIBXL_HAVE_SIGCHLD_SHARING 1

/* Annotates, in Xen's header, what libxl itself must not call. */
#ifndef LIBXL_EXTERNAL_CALLERS_ONLY
#define LIBXL_EXTERNAL_CALLERS_ONLY
#endif

/* ---- children ----------------------------------------------------------- */

/* libxl_childproc_reaped - Xen's name for libxl_childproc_exited */
#define libxl_childproc_reaped libxl_childproc_exited

/* Xen's name for the member of libxl_childproc_hooks. */
#define reaped_callback childproc_exited_callback

/* ---- errors and events -------------------------------------------------- */

typedef enum libxl_error libxl_error;

/* Codes that nothing here returns. */
enum {
    ERROR_GUEST_TIMEDOUT = -8,
    ERROR_NOPARAVIRT = -10,
    ERROR_JSON_CONFIG_EMPTY = -16,
    ERROR_DEVICE_EXISTS = -17,
    ERROR_DOMAIN_NOTFOUND = -21,
    ERROR_DOMAIN_DESTROYED = -24,
    ERROR_FEATURE_REMOVED = -25
};

/* libxl_error_to_string - a code's name; NULL: none of ours */
static inline const char *libxl_error_to_string(libxl_error code)
{
    switch ((int)code) {
    case ERROR_NONSPECIFIC:
        return "error_nonspecific";
    case ERROR_VERSION:
        return "error_version";
    case ERROR_FAIL:
        return "error_fail";
    case ERROR_NI:
        return "error_ni";
    case ERROR_NOMEM:
        return "error_nomem";
    case ERROR_INVAL:
        return "error_inval";
    case ERROR_BADFAIL:
        return "error_badfail";
    case ERROR_TIMEDOUT:
        return "error_timedout";
    case ERROR_NOT_READY:
        return "error_not_ready";
    case ERROR_OSEVENT_REG_FAIL:
        return "error_osevent_reg_fail";
    case ERROR_BUFFERFULL:
        return "error_bufferfull";
    case ERROR_UNKNOWN_CHILD:
        return "error_unknown_child";
    case ERROR_LOCK_FAIL:
        return "error_lock_fail";
    case ERROR_ABORTED:
        return "error_aborted";
    case ERROR_NOTFOUND:
        return "error_notfound";
    case ERROR_SPAWN:
        return "error_spawn";
    case ERROR_SIGCHLD_CONFLICT:
        return "error_sigchld_conflict";
    case ERROR_SIGCHLD_UNAVAILABLE:
        return "error_sigchld_unavailable";
    case ERROR_BUSY:
        return "error_busy";
    case ERROR_INTERRUPTED:
        return "error_interrupted";
    case ERROR_SYSTEM:
        return "error_system";
    case ERROR_PERMISSION:
        return "error_permission";
    case ERROR_LIMIT:
        return "error_limit";
    case ERROR_FDS_CLOSED:
        return "error_fds_closed";
    case ERROR_GUEST_TIMEDOUT:
        return "error_guest_timedout";
    case ERROR_NOPARAVIRT:
        return "error_noparavirt";
    case ERROR_JSON_CONFIG_EMPTY:
        return "error_json_config_empty";
    case ERROR_DEVICE_EXISTS:
        return "error_device_exists";
    case ERROR_DOMAIN_NOTFOUND:
        return "error_domain_notfound";
    case ERROR_DOMAIN_DESTROYED:
        return "error_domain_destroyed";
    case ERROR_FEATURE_REMOVED:
        return "error_feature_removed";
    default:
        return NULL;
    }
}

/* Xen's code for "no child of mine". */
#define ERROR_UNKNOWN_CHILD ERROR_NOT_READY

#ifndef XLCHILD_EVENT_TYPES_OF_XEN /* event.h was there before */
enum {
    LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN = 1,
    LIBXL_EVENT_TYPE_DOMAIN_DEATH = 2,
    LIBXL_EVENT_TYPE_DISK_EJECT = 3,
    LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE = 5
};
#endif

/* libxl_event_type_to_string - a type's name; NULL: none of ours */
static inline const char *libxl_event_type_to_string(libxl_event_type type)
{
    switch ((int)type) {
    case LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN:
        return "domain_shutdown";
    case LIBXL_EVENT_TYPE_DOMAIN_DEATH:
        return "domain_death";
    case LIBXL_EVENT_TYPE_DISK_EJECT:
        return "disk_eject";
    case LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE:
        return "domain_create_console_available";
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE:
        return "operation_complete";
    case LIBXL_EVENT_TYPE_CHILDPROC_EXIT:
        return "childproc_exit";
    case LIBXL_EVENT_TYPE_CHILDPROC_STARTED:
        return "childproc_started";
    case LIBXL_EVENT_TYPE_CHILDPROC_STOPPED:
        return "childproc_stopped";
    case LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED:
        return "childproc_continued";
    default:
        return NULL;
    }
}

/* libxl_event_to_json - an event as a JSON object; free() it. NULL: out of
 * memory */
static inline char *libxl_event_to_json(libxl_ctx *ctx, libxl_event *event)
{
    const size_t room = 512;
    const char *type = libxl_event_type_to_string(event->type);
    char *json = (char *)malloc(room);
    int n;

    (void)ctx;
    if (json == NULL)
        return NULL;
    n = snprintf(json, room,
                 "{\n    \"link\": null,\n    \"type\": \"%s\",\n"
                 "    \"domid\": %lu,\n    \"for_user\": %llu",
                 type != NULL ? type : "unknown", (unsigned long)event->domid,
                 (unsigned long long)event->for_user);
    switch ((int)event->type) {
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE:
        snprintf(json + n, room - (size_t)n, ",\n    \"rc\": %d\n}",
                 event->u.operation_complete.rc);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_EXIT:
        snprintf(json + n, room - (size_t)n,
                 ",\n    \"pid\": %ld,\n    \"status\": %d,\n"
                 "    \"lost\": %d\n}",
                 (long)event->u.childproc_exit.pid,
                 event->u.childproc_exit.status,
                 (int)event->u.childproc_exit.lost);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STARTED:
        snprintf(json + n, room - (size_t)n, ",\n    \"pid\": %ld\n}",
                 (long)event->u.childproc_started.pid);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STOPPED:
    case LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED:
        snprintf(json + n, room - (size_t)n,
                 ",\n    \"pid\": %ld,\n    \"signal\": %d\n}",
                 (long)event->u.childproc_stopped.pid,
                 event->u.childproc_stopped.signo);
        break;
    default:
        snprintf(json + n, room - (size_t)n, "\n}");
        break;
    }
    return json;
}

/* ---- contexts ----------------------------------------------------------- */

static inline void xlchild_compat_log(void *user, libxl_log_level level,
                                      int errnoval, const char *message)
{
    static const xentoollog_level levels[] = {XTL_DEBUG, XTL_INFO, XTL_WARN,
                                              XTL_ERROR, XTL_CRITICAL};

    xtl_log((struct xentoollog_logger *)user, levels[level],
            errnoval != 0 ? errnoval : -1, "libxl", "%s", message);
}

/* libxl_ctx_alloc - with Xen's logger, which must outlive the ctx (NULL: as
 * without this header) */
static inline int xlchild_compat_ctx_alloc(libxl_ctx **ret_ctx, int version,
                                           unsigned flags,
                                           xentoollog_logger *logger)
{
    libxl_logger own;

    memset(&own, 0, sizeof own);
    own.size = sizeof own;
    own.log = xlchild_compat_log;
    own.user = logger;
    return libxl_ctx_alloc(ret_ctx, version, flags,
                           logger != NULL ? &own : NULL);
}
#define libxl_ctx_alloc xlchild_compat_ctx_alloc

static inline void xlchild_compat_say(libxl_ctx *ctx, xentoollog_level level,
                                      int errnoval, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static inline void xlchild_compat_say(libxl_ctx *ctx, xentoollog_level level,
                                      int errnoval, const char *format, ...)
{
    char text[512];
    va_list al;

    va_start(al, format);
    vsnprintf(text, sizeof text, format, al);
    va_end(al);
    (void)libxl_ctx_log(ctx,
                        level <= XTL_DETAIL   ? LIBXL_LOG_DEBUG
                        : level <= XTL_NOTICE ? LIBXL_LOG_INFO
                        : level <= XTL_WARN   ? LIBXL_LOG_WARNING
                        : level <= XTL_ERROR  ? LIBXL_LOG_ERROR
                                              : LIBXL_LOG_CRITICAL,
                        errnoval, text);
    errno = errnoval;
}

/* libxl_report_child_exitstatus - logs how a child ended, in words */
static inline void libxl_report_child_exitstatus(libxl_ctx *ctx,
                                                 xentoollog_level level,
                                                 const char *what, pid_t pid,
                                                 int status)
{
    int saved = errno;

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        xlchild_compat_say(ctx, level, 0, "%s [%ld] exited with status 0", what,
                           (long)pid);
    else if (WIFEXITED(status))
        xlchild_compat_say(ctx, level, 0, "%s [%ld] failed: exit status %d",
                           what, (long)pid, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        xlchild_compat_say(ctx, level, 0, "%s [%ld] killed by signal %d%s",
                           what, (long)pid, WTERMSIG(status),
                           (status & 0x80) != 0 ? " (core dumped)" : "");
    else
        xlchild_compat_say(ctx, level, 0, "%s [%ld]: status %#x", what,
                           (long)pid, (unsigned)status);
    errno = saved;
}

/* ---- files -------------------------------------------------------------- */

static inline int xlchild_compat_flag(libxl_ctx *ctx, int fd, int get, int set,
                                      int flag, int on)
{
    int flags = fcntl(fd, get);

    if (flags >= 0 &&
        fcntl(fd, set, on ? flags | flag : flags & ~flag) >= 0)
        return 0;
    xlchild_compat_say(ctx, XTL_ERROR, errno, "fcntl on fd %d", fd);
    return ERROR_FAIL;
}

/* libxl_fd_set_cloexec, libxl_fd_set_nonblock - set a flag, or clear it: 0, or
 * ERROR_FAIL, logged and with errno */
static inline int libxl_fd_set_cloexec(libxl_ctx *ctx, int fd, int cloexec)
{
    return xlchild_compat_flag(ctx, fd, F_GETFD, F_SETFD, FD_CLOEXEC, cloexec);
}

static inline int libxl_fd_set_nonblock(libxl_ctx *ctx, int fd, int nonblock)
{
    return xlchild_compat_flag(ctx, fd, F_GETFL, F_SETFL, O_NONBLOCK, nonblock);
}

/* libxl_pipe - pipe(); 0, or ERROR_FAIL, logged and with errno */
static inline int libxl_pipe(libxl_ctx *ctx, int pipes[2])
{
    if (pipe(pipes) == 0)
        return 0;
    xlchild_compat_say(ctx, XTL_ERROR, errno, "pipe");
    return ERROR_FAIL;
}

/* libxl_read_exactly, libxl_write_exactly - all of size bytes: 0, or an errno
 * value, logged with the names given; EPROTO where the file ends before */
static inline int libxl_read_exactly(libxl_ctx *ctx, int fd, void *data,
                                     ssize_t size, const char *filename,
                                     const char *what)
{
    char *at = (char *)data;

    while (size > 0) {
        ssize_t n = read(fd, at, (size_t)size);
        int errnoval = n == 0 ? EPROTO : errno;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            xlchild_compat_say(ctx, XTL_ERROR, errnoval, "reading %s%s%s",
                               what != NULL ? what : "",
                               what != NULL ? " from " : "", filename);
            return errnoval;
        }
        at += n;
        size -= n;
    }
    return 0;
}

static inline int libxl_write_exactly(libxl_ctx *ctx, int fd, const void *data,
                                      ssize_t size, const char *filename,
                                      const char *what)
{
    const char *at = (const char *)data;

    while (size > 0) {
        ssize_t n = write(fd, at, (size_t)size);
        int errnoval = errno;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            xlchild_compat_say(ctx, XTL_ERROR, errnoval, "writing %s%s%s",
                               what != NULL ? what : "",
                               what != NULL ? " to " : "", filename);
            return errnoval;
        }
        at += n;
        size -= n;
    }
    return 0;
}

/* libxl_read_file_contents - a plain file's bytes in memory that is the
 * caller's to free(), each output may be NULL: 0, or an errno value, logged
 * unless it is ENOENT. An empty file: NULL and 0. */
static inline int libxl_read_file_contents(libxl_ctx *ctx, const char *filename,
                                           void **ret_data, int *ret_length)
{
#ifdef O_CLOEXEC
    int fd = open(filename, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
#else
    int fd = open(filename, O_RDONLY | O_NONBLOCK);
#endif
    int errnoval = fd < 0 ? errno : 0;
    void *data = NULL;
    struct stat info;

    if (fd >= 0 && fstat(fd, &info) != 0)
        errnoval = errno;
    else if (fd >= 0 && !S_ISREG(info.st_mode))
        errnoval = ENOTTY;
    else if (fd >= 0 && info.st_size > 0x7fffffff)
        errnoval = EFBIG;
    if (errnoval == 0 && info.st_size > 0 && ret_data != NULL) {
        data = malloc((size_t)info.st_size);
        if (data == NULL)
            errnoval = ENOMEM;
        else
            errnoval = libxl_read_exactly(ctx, fd, data, info.st_size,
                                          filename, NULL);
    } else if (errnoval != 0 && errnoval != ENOENT) {
        xlchild_compat_say(ctx, XTL_ERROR, errnoval, "reading %s", filename);
    }
    if (fd >= 0)
        close(fd);
    if (errnoval != 0) {
        free(data);
        return errnoval;
    }
    if (ret_data != NULL)
        *ret_data = data;
    if (ret_length != NULL)
        *ret_length = (int)info.st_size;
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
