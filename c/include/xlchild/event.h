/* xlchild/event.h - events: waiting for them, and having them delivered
 *
 * Exits, completions and progress reach the host as events. An event goes to
 * the event_occurs hook where its type is in the hook's mask, and is queued
 * for libxl_event_check and libxl_event_wait otherwise. Each is delivered
 * exactly once; those about one child come in the order in which they
 * happened.
 */
#ifndef XLCHILD_EVENT_H
#define XLCHILD_EVENT_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "xlchild/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the host attaches to whatever will produce an event. */
typedef uint64_t libxl_ev_user;

/* Names a child started through this ctx: unique for the ctx's life, never
 * reused (a pid is), never 0. */
typedef uint64_t libxl_childproc_id;

/* Why a status could not be learnt. Everything but NONE means LOST: `status`
 * holds nothing then. */
typedef enum libxl_childproc_lost {
    LIBXL_LOST_NONE = 0,       /* the status is the kernel's */
    LIBXL_LOST_STOLEN = 1,     /* another wait() in this process took it, and
                                  this kernel keeps no copy */
    LIBXL_LOST_IGNORED = 2,    /* SIGCHLD was ignored or SA_NOCLDWAIT was set:
                                  the kernel threw the status away */
    LIBXL_LOST_NOT_PASSED = 3, /* mainloop mode: the host reaped the child and
                                  never called libxl_childproc_exited */
    LIBXL_LOST_NOT_OURS = 4,   /* adopted, not our child: only its parent
                                  learnt the status */
    LIBXL_LOST_NUMBER_REUSED = 5, /* another wait() took it, and its pid is
                                     another process's by now; there was no
                                     pidfd to ask */
    LIBXL_LOST_LEFT = 6, /* of an operation's child that the kernel did not let
                            us kill: it was left running */
    LIBXL_LOST_NEVER_RAN = 7 /* there is none: a step before the program
                                  failed; stage and errnoval say which, and
                                  why */
} libxl_childproc_lost;

/* How the status reached us. */
typedef enum libxl_childproc_source {
    LIBXL_SOURCE_NONE = 0,   /* lost */
    LIBXL_SOURCE_REAPED = 1, /* the library reaped the child */
    LIBXL_SOURCE_PASSED = 2, /* the host passed it to libxl_childproc_exited */
    LIBXL_SOURCE_PIDFD = 3   /* the kernel told it after somebody else's wait
                                (PIDFD_GET_INFO, Linux 6.15) */
} libxl_childproc_source;

/* How a child ended. */
typedef struct libxl_childproc_result {
    libxl_childproc_id id;
    pid_t pid;
    int status; /* as waitpid gives it: WIFEXITED and friends apply. 0 and
                   meaningless when lost != LIBXL_LOST_NONE */
    libxl_childproc_lost lost;
    libxl_childproc_source source;
    int has_rusage;       /* rusage is the kernel's (LIBXL_SOURCE_REAPED) */
    struct rusage rusage; /* of the child and what it waited for */
    int stage;            /* LIBXL_LOST_NEVER_RAN: the LIBXL_STAGE_… that
                             failed. Else LIBXL_STAGE_NONE */
    int errnoval;         /* … and why. Else 0 */
    uint64_t reserved[1]; /* zero */
} libxl_childproc_result;

typedef enum libxl_event_type {
#ifdef XLCHILD_LIBXL_COMPAT_H /* for programs written for Xen's: none occurs */
#define XLCHILD_EVENT_TYPES_OF_XEN 1
    LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN = 1,
    LIBXL_EVENT_TYPE_DOMAIN_DEATH = 2,
    LIBXL_EVENT_TYPE_DISK_EJECT = 3,
    LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE = 5,
#endif
    LIBXL_EVENT_TYPE_OPERATION_COMPLETE = 4, /* Xen's number */
    LIBXL_EVENT_TYPE_CHILDPROC_EXIT = 32,
    LIBXL_EVENT_TYPE_CHILDPROC_STARTED = 33, /* progress of an operation; or
                                                LIBXL_SPAWN_REPORT_START */
    LIBXL_EVENT_TYPE_CHILDPROC_STOPPED = 34,
    LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED = 35
} libxl_event_type;

#define LIBXL_EVENTMASK_ALL (~UINT64_C(0))
#define LIBXL_EVENTMASK(type) (UINT64_C(1) << (type))

/* As in the tail queues of BSD's <sys/queue.h>. */
typedef struct libxl_ev_link {
    struct libxl_event *tqe_next;
    struct libxl_event **tqe_prev;
} libxl_ev_link;

typedef struct libxl_event {
    union { /* the library's, then whoever owns the event's */
        struct libxl_event *next;
        libxl_ev_link link;
    };
    libxl_event_type type;
    uint32_t domid;         /* 0; Xen's events are about a domain */
    libxl_ev_user for_user; /* as given when the event was asked for */
    union {
        struct {
            int rc;
        } operation_complete;
        libxl_childproc_result childproc_exit;
        struct {
            libxl_childproc_id id;
            pid_t pid;
        } childproc_started;
        struct {
            libxl_childproc_id id;
            pid_t pid;
            int signo; /* SIGCONT in CHILDPROC_CONTINUED */
        } childproc_stopped;
    } u;
} libxl_event;

/* A host's filter: nonzero for "this one". Called with no lock held, on the
 * calling thread; must not call into the library. */
typedef int libxl_event_predicate(const libxl_event *event, void *user);

/* libxl_event_check - take an event that is there already
 * Before:   none
 * Effects:  does whatever work is due, without blocking
 * Owns:     *ret_event is the caller's; give it to libxl_event_free
 * Calls:    the predicate, and any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_event untouched
 *   ERROR_NOT_READY  no event matches -> libxl_event_wait, or poll
 *                    libxl_ctx_fileno
 *   ERROR_INVAL      ctx or ret_event NULL, or called from a hook that may
 *                    not re-enter */
LIBXL_API int libxl_event_check(libxl_ctx *ctx, libxl_event **ret_event,
                                uint64_t typemask,
                                libxl_event_predicate *predicate,
                                void *predicate_user)
    LIBXL_SYMBOL(event_check);

/* libxl_event_wait - wait for an event and take it
 * As libxl_event_check, but blocks until an event matches. Signals do not
 * interrupt it.
 * Returns:  0; on failure *ret_event untouched
 *   ERROR_INVAL   as for check
 *   ERROR_SYSTEM, ERROR_NOMEM  the thread could not wait; errno says why */
LIBXL_API int libxl_event_wait(libxl_ctx *ctx, libxl_event **ret_event,
                               uint64_t typemask,
                               libxl_event_predicate *predicate,
                               void *predicate_user)
    LIBXL_SYMBOL(event_wait);

/* Flags of the calls that block. */
#define LIBXL_WAIT_INTERRUPTIBLE 1u /* return ERROR_INTERRUPTED after a signal
                                       handler ran on the waiting thread */
#define LIBXL_WAIT_FOREVER (-1)     /* as timeout_ms */

/* libxl_event_wait_many - take up to max events in one call
 * Before:   none
 * Effects:  as libxl_event_wait, but gives up after timeout_ms milliseconds
 *           of CLOCK_MONOTONIC (0: does not block; LIBXL_WAIT_FOREVER)
 * Owns:     ret_events[0 .. n-1] are the caller's; free each
 * Calls:    any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  n >= 1, the number of events taken, in order
 *   ERROR_TIMEDOUT     none in time -> call again
 *   ERROR_INTERRUPTED  only with LIBXL_WAIT_INTERRUPTIBLE -> call again with
 *                      the rest of the time
 *   ERROR_INVAL        an argument is wrong (max < 1, unknown flag, …)
 *   ERROR_SYSTEM, ERROR_NOMEM  the thread could not wait */
LIBXL_API int libxl_event_wait_many(libxl_ctx *ctx, libxl_event **ret_events,
                                    int max, uint64_t typemask, int timeout_ms,
                                    unsigned flags)
    LIBXL_SYMBOL(event_wait_many);

/* libxl_event_free - give an event back
 * Before:   the event was taken from, or handed over by, this ctx
 * Effects:  none     Owns: the event is gone (NULL: no-op)     Calls: none
 * Threads:  any     Signals: no     Fork: yes
 * Returns:  nothing */
LIBXL_API void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
    LIBXL_SYMBOL(event_free);

/* The host's event hooks. Copied. */
typedef struct libxl_event_hooks {
    uint64_t event_occurs_mask; /* which types go to event_occurs */
    /* Called with no lock held on a thread inside the library; owns the
     * event; may re-enter the library. */
    void (*event_occurs)(void *user, libxl_event *event);
    /* Something happened that makes further reports unreliable. type is 0
     * where it concerns all events. Must not re-enter the library. */
    void (*disaster)(void *user, libxl_event_type type, const char *msg,
                     int errnoval);
    size_t size; /* sizeof(libxl_event_hooks); 0 means the fields above */
} libxl_event_hooks;

/* libxl_event_register_callbacks - have events delivered by callback
 * Before:   none
 * Effects:  events that occur from now on are routed by the new mask; those
 *           queued already stay queued
 * Owns:     hooks are copied (NULL: none); user must stay valid until replaced
 * Calls:    none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_INVAL  a mask without event_occurs, or an unknown size. Nothing
 *                changed. */
LIBXL_API int libxl_event_register_callbacks(libxl_ctx *ctx,
                                             const libxl_event_hooks *hooks,
                                             void *user)
    LIBXL_SYMBOL(event_register_callbacks);

typedef struct libxl_evgen_childproc_exit libxl_evgen_childproc_exit;

/* libxl_evenable_childproc_exit - an event when a child of this ctx ends
 * Before:   pid is a live child of this ctx, or a held one that has ended and
 *           whose result has not been taken (of two the live one); or 0 for
 *           every child, present and future
 * Effects:  each end produces one CHILDPROC_EXIT event per evenable, with
 *           for_user = user, besides the child's own report; one that has
 *           come already, at once
 * Owns:     *ret_evgen until libxl_evdisable_childproc_exit or libxl_ctx_free
 * Calls:    none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_evgen untouched
 *   ERROR_INVAL          an argument is NULL, or pid is negative
 *   ERROR_UNKNOWN_CHILD  pid is no such child -> if it was one, its own
 *                        report has come, or will
 *   ERROR_NOMEM          nothing changed */
LIBXL_API int
libxl_evenable_childproc_exit(libxl_ctx *ctx, pid_t pid, libxl_ev_user user,
                              libxl_evgen_childproc_exit **ret_evgen)
    LIBXL_SYMBOL(evenable_childproc_exit);

/* libxl_evdisable_childproc_exit - no more such events
 * Before:   evgen came from this ctx and was not disabled yet
 * Effects:  events that occurred already may still be returned
 * Owns:     evgen is gone (NULL: no-op)     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  nothing */
LIBXL_API void
libxl_evdisable_childproc_exit(libxl_ctx *ctx,
                               libxl_evgen_childproc_exit *evgen)
    LIBXL_SYMBOL(evdisable_childproc_exit);

/* How an asynchronous operation reports its completion. With a callback, it
 * is called; without one, an OPERATION_COMPLETE event with for_event in
 * for_user occurs. A NULL libxl_asyncop_how makes the operation synchronous. */
typedef struct libxl_asyncop_how {
    void (*callback)(libxl_ctx *ctx, int rc, void *for_callback);
    union {
        libxl_ev_user for_event; /* used if callback is NULL */
        void *for_callback;      /* passed to callback */
    } u;
} libxl_asyncop_how;

/* How an operation reports progress: by callback (which then owns the event)
 * or by the event itself. */
typedef struct libxl_asyncprogress_how {
    void (*callback)(libxl_ctx *ctx, libxl_event *event, void *for_callback);
    union {
        libxl_ev_user for_event;
        void *for_callback;
    } u;
} libxl_asyncprogress_how;

/* libxl_ao_abort - ask a running operation to end early
 * Before:   how equals, member by member, that of a running operation
 * Effects:  the operation's child is killed by its kill policy; the
 *           completion comes when it is reaped, with ERROR_ABORTED, or with
 *           0 where the child had ended already
 * Owns:     how is only compared
 * Calls:    any callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0 asked
 *   ERROR_NOTFOUND  no such operation, or it is finished -> nothing to do
 *   ERROR_ABORTED   asked already -> await the completion
 *   ERROR_INVAL     an argument is NULL */
LIBXL_API int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
    LIBXL_SYMBOL(ao_abort);

#ifdef __cplusplus
}
#endif

#endif
