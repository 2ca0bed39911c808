/* xlchild/ctx.h - contexts, error codes, logging
 *
 * Everything else hangs on a libxl_ctx. Allocate one, say who owns SIGCHLD
 * (xlchild/childproc.h), start children, and pump it: with
 * libxl_event_wait (xlchild/event.h), or from a loop of your own
 * (libxl_ctx_fileno here, or xlchild/osevent.h).
 *
 * Unless a comment says otherwise every function may be called from any
 * thread, none is safe in a signal handler, and none is usable in a forked
 * child on a ctx of its parent (it returns ERROR_INVAL there; see
 * libxl_postfork_child_noexec).
 *
 * Return codes are 0 (or a count) for success and a negative ERROR_* for
 * failure. A positive code is one that a hook of yours returned. A failure
 * leaves everything as it was, outputs included. Comments say what to do about
 * each code, save for these, which mean the same everywhere:
 *   ERROR_INVAL  a mistake of the caller's: a bad argument, a NULL ctx, one of
 *                the parent process, or a call from a hook that may not
 *                re-enter -> mend the program
 *   ERROR_NOMEM, ERROR_SYSTEM  memory, fds or processes ran out; errno says
 *                which -> give some back or raise the limit, and call again
 */
#ifndef XLCHILD_CTX_H
#define XLCHILD_CTX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef LIBXL_API
#define LIBXL_API __attribute__((visibility("default")))
#endif

/* In object files a function has a name of this library's own, xlchild_ in
 * place of libxl_: Xen's libxenlight, whose functions are called the same, may
 * be in the same program. It is this name that dlsym() knows. */
#ifndef LIBXL_SYMBOL
#define LIBXL_SYMBOL(name) __asm__("xlchild_" #name)
#endif

/* The version of this interface: pass it to libxl_ctx_alloc. */
#define LIBXL_VERSION 0

/* One row an error: name, value, text. The values down to -25 are those of
 * Xen's libxl, so that programs may compare them; ours start at -128. */
#define LIBXL_ERRORS(X)                                                        \
    X(NONSPECIFIC, -1, "unspecified error")                                    \
    X(VERSION, -2, "interface version mismatch")                               \
    X(FAIL, -3, "operation failed")                                            \
    X(NI, -4, "not implemented")                                               \
    X(NOMEM, -5, "out of memory")                                              \
    X(INVAL, -6, "invalid argument")                                           \
    X(BADFAIL, -7, "failed, and the state is unknown")                         \
    X(TIMEDOUT, -9, "timed out")                                               \
    X(NOT_READY, -11, "not ready")                                             \
    X(OSEVENT_REG_FAIL, -12, "event loop registration failed")                 \
    X(BUFFERFULL, -13, "buffer too small")                                     \
    X(UNKNOWN_CHILD, -14, "unknown child")                                     \
    X(LOCK_FAIL, -15, "lock failed")                                           \
    X(ABORTED, -22, "aborted")                                                 \
    X(NOTFOUND, -23, "not found")                                              \
    X(SPAWN, -128, "child could not be set up or executed")                    \
    X(SIGCHLD_CONFLICT, -129, "incompatible with another SIGCHLD owner here")  \
    X(SIGCHLD_UNAVAILABLE, -130, "no way to notice the child's exit")          \
    X(BUSY, -131, "in use")                                                    \
    X(INTERRUPTED, -132, "interrupted by a signal")                            \
    X(SYSTEM, -133, "system call failed (see errno)")                          \
    X(PERMISSION, -134, "permission denied")                                   \
    X(LIMIT, -135, "limit reached")

enum libxl_error {
#define LIBXL_ERROR_ENUM(name, value, text) ERROR_##name = value,
    LIBXL_ERRORS(LIBXL_ERROR_ENUM)
#undef LIBXL_ERROR_ENUM
};

typedef struct libxl_ctx libxl_ctx;

typedef enum libxl_log_level {
    LIBXL_LOG_DEBUG = 0,
    LIBXL_LOG_INFO = 1,
    LIBXL_LOG_WARNING = 2,
    LIBXL_LOG_ERROR = 3,
    LIBXL_LOG_CRITICAL = 4
} libxl_log_level;

/* Structs that say their size grow at their end in later releases. The size is
 * the caller's, set where the caller is compiled, so that a program and a
 * library of different releases work together: members that the program does
 * not know have their defaults, and one that the library does not know may be
 * set only to zero, which is the default of every member that is added
 * (ERROR_INVAL otherwise). The other structs keep their size for good; those
 * that the library fills have reserved room, which it sets to zero. */

/* Where log messages go. Copied by libxl_ctx_alloc. `log` is called without
 * any lock, on a thread that is inside the library, never from a signal
 * handler, never in a child; it must not call back into the library.
 * errnoval is 0 where no system error belongs to the message. */
typedef struct libxl_logger {
    size_t size; /* sizeof(libxl_logger) */
    libxl_log_level min_level;
    void (*log)(void *user, libxl_log_level level, int errnoval,
                const char *message);
    void *user;
} libxl_logger;

/* libxl_ctx_alloc - a new context, in mode libxl_sigchld_owner_libxl
 * Before:   version must be LIBXL_VERSION, flags 0
 * Effects:  opens close-on-exec fds; touches no signal state
 * Owns:     logger is copied (NULL: warnings and worse to stderr); free the
 *           ctx with libxl_ctx_free
 * Calls:    none
 * Threads:  any     Signals: no     Fork: yes, a child may allocate its own
 * Returns:  0; on failure *ret_ctx is NULL and nothing stays open
 *   ERROR_VERSION  wrong version -> rebuild against this header
 *   ERROR_INVAL    ret_ctx NULL, unknown flags, or bad logger
 *   ERROR_NOMEM    out of memory
 *   ERROR_SYSTEM   errno says why: EMFILE, ENFILE, ENOMEM -> raise it */
LIBXL_API int libxl_ctx_alloc(libxl_ctx **ret_ctx, int version, unsigned flags,
                              const libxl_logger *logger)
    LIBXL_SYMBOL(ctx_alloc);

/* libxl_ctx_free - end a context; legal while children live
 * Before:   not from inside one of this ctx's callbacks, and with no other
 *           thread inside a call on it (ERROR_BUSY, nothing changed)
 * Effects:  applies each live child's free policy (libxl_childproc_spec),
 *           aborts operations without completing them, restores SIGCHLD if
 *           this ctx was the last that needed our handler, deregisters every
 *           fd and timer, closes every fd, frees unread events
 * Owns:     the ctx and everything obtained from it are gone
 * Calls:    the osevent deregister hooks, the logger
 * Threads:  any     Signals: no
 * Fork:     yes; on a parent's ctx it releases memory and closes fds only
 * Returns:  0 (NULL: 0, nothing done)
 *   ERROR_BUSY  in use -> return from the callback, or join the thread first */
LIBXL_API int libxl_ctx_free(libxl_ctx *ctx)
    LIBXL_SYMBOL(ctx_free);

/* libxl_ctx_fileno - one pollable fd: readable exactly when there is work
 * Before:   none
 * Effects:  the first call opens it
 * Owns:     the ctx keeps the fd; do not read, close or change it. Watch it
 *           for reading, then call libxl_event_check until ERROR_NOT_READY
 * Calls:    none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  the fd, >= 0
 *   ERROR_INVAL   ctx NULL, or of the parent process
 *   ERROR_NOMEM, ERROR_SYSTEM  could not be made; errno says why */
LIBXL_API int libxl_ctx_fileno(libxl_ctx *ctx)
    LIBXL_SYMBOL(ctx_fileno);

/* libxl_ctx_disaster_latched - the first disaster that no hook was told
 * Before:   none     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: no     Fork: yes
 * Returns:  0 while there was none, else the ERROR_* of the first one */
LIBXL_API int libxl_ctx_disaster_latched(libxl_ctx *ctx)
    LIBXL_SYMBOL(ctx_disaster_latched);

/* libxl_ctx_log - have the ctx's logger write a message of the host's
 * Before:   none
 * Effects:  none
 * Owns:     message is copied; what is beyond 511 bytes is cut off
 * Calls:    the logger, where level is not below its min_level; it comes after
 *           what the library has said before
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_INVAL  an argument is wrong */
LIBXL_API int libxl_ctx_log(libxl_ctx *ctx, libxl_log_level level, int errnoval,
                            const char *message)
    LIBXL_SYMBOL(ctx_log);

/* libxl_strerror - the text for a code
 * Before:   none     Effects: none
 * Owns:     a constant string, never NULL
 * Calls:    none
 * Threads:  any     Signals: yes     Fork: yes
 * Returns:  the text; "unknown error" for a code that is none of ours */
LIBXL_API const char *libxl_strerror(int rc)
    LIBXL_SYMBOL(strerror);

/* libxl_error_name - the name for a code, without its ERROR_ prefix
 * Before:   none     Effects: none
 * Owns:     a constant string, or NULL for a code that is none of ours
 * Calls:    none
 * Threads:  any     Signals: yes     Fork: yes
 * Returns:  the name, or NULL */
LIBXL_API const char *libxl_error_name(int rc)
    LIBXL_SYMBOL(error_name);

/* libxl_version_string - the library's release, as "major.minor.patch"
 * Before:   none     Effects: none     Owns: a constant string
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  the text */
LIBXL_API const char *libxl_version_string(void)
    LIBXL_SYMBOL(version_string);

#ifdef __cplusplus
}
#endif

#endif
