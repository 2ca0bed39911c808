/* xlchild/treaty.h - the treaty about SIGCHLD: who owns it, and who reaps
 *
 * POSIX gives a process one SIGCHLD and one wait(). A ctx therefore has a
 * mode that says who owns them; libxl_childproc_setmode chooses it, once,
 * before the first child. Included by xlchild/childproc.h.
 */
#ifndef XLCHILD_TREATY_H
#define XLCHILD_TREATY_H

#include <stddef.h>
#include <sys/types.h>

#include "xlchild/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    /* The library owns SIGCHLD whenever the ctx has an unreaped child, and
     * reaps all children of the process. Not beside a mainloop ctx. */
    libxl_sigchld_owner_libxl,
    /* The application owns SIGCHLD and reaps. It promises to call
     * libxl_childproc_exited or libxl_childproc_sigchld_occurred, but NOT
     * from within a signal handler. The library touches no signal state. */
    libxl_sigchld_owner_mainloop,
    /* As _libxl, but always, even with no child. Not beside mainloop. */
    libxl_sigchld_owner_libxl_always,
    /* The library's handler is always installed, but only children started
     * through the ctx are ever reaped. */
    libxl_sigchld_owner_libxl_always_selective_reap,
    /* Nobody needs SIGCHLD: exits arrive through pidfds and only our own
     * children are reaped. Where the kernel refuses pidfds this falls back
     * to selective reaping, with a warning and a word in diagnose. */
    libxl_sigchld_owner_none
} libxl_sigchld_owner;

typedef struct {
    libxl_sigchld_owner chldowner;
    /* All of these are optional: */
    /* Called instead of fork, for every child; should behave exactly like
     * fork, errno included. Called with no lock held; must not re-enter the
     * library. The child it makes is held until the parent has registered
     * it. In the child it must return 0 or _exit. */
    pid_t (*fork_replacement)(void *user);
    /* Only with the owners _libxl and _libxl_always: called when a child was
     * reaped that no ctx of this process started. Returns 0 if the
     * application recognised it (or keeps no records), ERROR_NOT_READY or
     * ERROR_UNKNOWN_CHILD, Xen's two codes for it, if the child is not the
     * application's either (a warning is logged); anything else is a disaster
     * (libxl_event_hooks). Never called from a signal handler, but from
     * inside a call that pumps events; may re-enter. Without it the
     * application is assumed not to start children. */
    int (*childproc_exited_callback)(pid_t, int status, void *user);
    size_t size; /* sizeof(libxl_childproc_hooks); 0 means the fields above */
} libxl_childproc_hooks;

/* libxl_childproc_setmode - who owns SIGCHLD, for this ctx
 * As libxl_childproc_setmode_checked, as in the founding text: a failure is
 * logged and changes nothing. */
LIBXL_API void libxl_childproc_setmode(libxl_ctx *ctx,
                                       const libxl_childproc_hooks *hooks,
                                       void *user)
    LIBXL_SYMBOL(childproc_setmode);

/* libxl_childproc_setmode_checked - the same, with an answer
 * Before:   the ctx has no child; best called at initialisation
 * Effects:  with the _always owners the SIGCHLD handler is installed now,
 *           chaining to the one there was, and removed by the next setmode
 *           or libxl_ctx_free
 * Owns:     hooks are copied (NULL: &{ libxl_sigchld_owner_libxl, 0, 0 });
 *           user must stay valid until replaced or the ctx is freed
 * Calls:    the logger
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure the mode is as before
 *   ERROR_INVAL             ctx NULL, unknown owner or size, or
 *                           childproc_exited_callback with an owner that
 *                           never reaps strangers
 *   ERROR_BUSY              the ctx has children or operations -> set the
 *                           mode before the first, or after the last
 *   ERROR_SIGCHLD_CONFLICT  mainloop beside an owner that reaps everything,
 *                           or the reverse -> use _none or selective_reap
 *   ERROR_NOMEM, ERROR_SYSTEM  the self-pipe or handler could not be had */
LIBXL_API int
libxl_childproc_setmode_checked(libxl_ctx *ctx,
                                const libxl_childproc_hooks *hooks, void *user)
    LIBXL_SYMBOL(childproc_setmode_checked);

/* libxl_childproc_exited - the host reaped a child: is it ours?
 * Before:   owner mainloop; status is as from waitpid. NOT from a signal
 *           handler
 * Effects:  if pid is a child of this ctx its end is reported. A status of a
 *           stopped or continued child is accepted and is not an end
 * Owns:     none
 * Calls:    the child's callback and any other that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0 ours
 *   ERROR_NOT_READY  not ours, silently -> look among your own; or the owner
 *                    is not mainloop (which is logged). No other error. */
LIBXL_API int libxl_childproc_exited(libxl_ctx *ctx, pid_t, int status)
    LIBXL_SYMBOL(childproc_exited);

/* libxl_childproc_sigchld_occurred - the host saw a SIGCHLD: look for exits
 * Before:   owner mainloop (other owners: harmless). NOT from a signal handler
 * Effects:  reaps those of this ctx's children that have ended, no others
 * Owns:     none
 * Calls:    callbacks that are due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  nothing */
LIBXL_API void libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
    LIBXL_SYMBOL(childproc_sigchld_occurred);

/* libxl_postfork_child_noexec - in a child that forked and will not exec
 * Before:   in the child of a fork() by the host, before any other use of the
 *           library there; once
 * Effects:  closes every fd that any ctx of the parent had, puts SIGCHLD's
 *           disposition back to what the host had, if ours is installed. The
 *           parent is not affected. New ctxs work afterwards; on the parent's
 *           only libxl_ctx_free does
 * Owns:     none
 * Calls:    none
 * Threads:  the one that forked     Signals: no
 * Fork:     that is what it is for
 * Returns:  nothing (ctx may be NULL: all are treated anyway) */
LIBXL_API void libxl_postfork_child_noexec(libxl_ctx *ctx)
    LIBXL_SYMBOL(postfork_child_noexec);

#ifdef __cplusplus
}
#endif

#endif
