/* xlchild/osevent.h - running inside somebody else's event loop
 *
 * Three ways, from least to most work:
 *  - watch libxl_ctx_fileno for reading and call libxl_event_check;
 *  - poll() loops: libxl_osevent_beforepoll and libxl_osevent_afterpoll;
 *  - loops with registrations: libxl_osevent_register_hooks and the
 *    occurred calls.
 * The library registers one fd and at most one timeout at a time, and
 * neither while it is idle.
 */
#ifndef XLCHILD_OSEVENT_H
#define XLCHILD_OSEVENT_H

#include <poll.h>
#include <sys/time.h>

#include "xlchild/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The host loop's registration functions. Copied. Each returns 0, or a
 * positive code of the host's or ERROR_OSEVENT_REG_FAIL, which the library call
 * that caused it returns after putting everything back as it was (inside a
 * call that returns nothing it is a disaster); only deregister cannot fail.
 *
 * for_libxl is the library's: pass it to libxl_osevent_occurred_*. It stays
 * valid until libxl_ctx_free, however late such a call comes.
 * *for_app_registration_out is the host's: the library gives it back with
 * modify and deregister. An absolute time is gettimeofday's, as in Xen; a
 * time of {0, 0} means at once.
 *
 * The hooks are called with no lock of the library held, one at a time a
 * ctx, and must not call into the library. */
typedef struct libxl_osevent_hooks {
    int (*fd_register)(void *user, int fd, void **for_app_registration_out,
                       short events, void *for_libxl);
    int (*fd_modify)(void *user, int fd, void **for_app_registration_update,
                     short events);
    void (*fd_deregister)(void *user, int fd, void *for_app_registration);
    int (*timeout_register)(void *user, void **for_app_registration_out,
                            struct timeval abs, void *for_libxl);
    /* Only ever called with {0, 0}: "fire as soon as possible", which is also
     * how a timeout that is no longer wanted is got rid of. */
    int (*timeout_modify)(void *user, void **for_app_registration_update,
                          struct timeval abs);
    /* Only ever called by libxl_ctx_free. */
    void (*timeout_deregister)(void *user, void *for_app_registration);
    size_t size; /* sizeof(libxl_osevent_hooks); 0 means the fields above */
} libxl_osevent_hooks;

/* libxl_osevent_register_hooks - have the library register with a host loop
 * Before:   the ctx is idle: no live child, no operation (ERROR_BUSY)
 * Effects:  from now on fds and timeouts are registered through hooks
 * Owns:     hooks are copied (NULL: back to none); user must stay valid until
 *           replaced or the ctx is freed
 * Calls:    fd_register if the ctx's mode keeps something registered
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0, or fd_register's positive code
 *   ERROR_INVAL  a hook is missing, or an unknown size
 *   ERROR_BUSY   not idle -> register before the first child, or after the
 *                last; another thread may be inside a hook */
LIBXL_API int libxl_osevent_register_hooks(libxl_ctx *ctx,
                                           const libxl_osevent_hooks *hooks,
                                           void *user)
    LIBXL_SYMBOL(osevent_register_hooks);

/* libxl_osevent_beforepoll - what to poll() for
 * Before:   *nfds_io is the room in fds (fds may be NULL if it is 0)
 * Effects:  none
 * Owns:     fds[0 .. *nfds_io-1] and *timeout_io are filled in. The timeout,
 *           in milliseconds, -1 for none, is only ever lowered
 * Calls:    none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_BUFFERFULL  *nfds_io is the room needed; *timeout_io is set all the
 *                     same -> call again with more
 *   ERROR_INVAL       an argument is NULL or negative
 *   ERROR_NOMEM, ERROR_SYSTEM  the fd could not be made; errno says why */
LIBXL_API int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io,
                                       struct pollfd *fds, int *timeout_io,
                                       struct timeval now)
    LIBXL_SYMBOL(osevent_beforepoll);

/* libxl_osevent_afterpoll - what poll() said
 * Before:   fds as filled in by poll(), which may contain others' entries
 * Effects:  does the work that is due
 * Owns:     fds are only read
 * Calls:    any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  nothing. Then use libxl_event_check. */
LIBXL_API void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds,
                                       const struct pollfd *fds,
                                       struct timeval now)
    LIBXL_SYMBOL(osevent_afterpoll);

/* libxl_osevent_occurred_fd - a registered fd became ready
 * Before:   for_libxl came from fd_register on this ctx, at any time before
 * Effects:  does the work that is due; harmless when it is late, and when the
 *           fd has been deregistered, closed or its number reused
 * Owns:     none
 * Calls:    any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  nothing */
LIBXL_API void libxl_osevent_occurred_fd(libxl_ctx *ctx, void *for_libxl,
                                         int fd, short events, short revents)
    LIBXL_SYMBOL(osevent_occurred_fd);

/* libxl_osevent_occurred_timeout - a registered timeout passed
 * The registration is gone with it: the library does not deregister a
 * timeout that occurred. Until this returns timeout_modify may still name it,
 * from another thread, so that the host keeps its record till then; and it
 * waits for a hook that another thread is in, so that the host may hold no
 * lock which its hooks take. Otherwise as libxl_osevent_occurred_fd. */
LIBXL_API void libxl_osevent_occurred_timeout(libxl_ctx *ctx, void *for_libxl)
    LIBXL_SYMBOL(osevent_occurred_timeout);

#ifdef __cplusplus
}
#endif

#endif
