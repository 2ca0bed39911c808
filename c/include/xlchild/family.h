/* xlchild/family.h - a child's whole family, held
 *
 * A family is a thing of its own that outlives the child: whoever the child
 * has started, and they in turn. Made before the child, given to one start as
 * the spec's member family; then it can be asked whether it is empty, waited
 * for, signalled, and ended. A policy says when it is ended by itself, so that
 * a command that has ended well leaves nothing behind, either.
 */
#ifndef XLCHILD_FAMILY_H
#define XLCHILD_FAMILY_H

#include "xlchild/childproc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* By what a family is held, the better the higher. */
typedef enum libxl_family_hold {
    LIBXL_HOLD_NONE = 0,  /* by nothing: never started, or let slip (state's
                             why says how) */
    LIBXL_HOLD_GROUP = 1, /* the process group of the child, by its leader's
                             pidfd: as long as the family wants with Linux
                             6.9, before that as long as the child has a
                             handle. Who leaves the group (setsid, a daemon)
                             leaves the family */
    LIBXL_HOLD_KEEPER = 2, /* a process of the library's own, the keeper, whose
                              child the child is, not the caller's: all that
                              descend from it stay below the keeper, whatever
                              they leave. Only where holds names it: the
                              child's getppid() is the keeper, the caller's own
                              wait() does not see it, and the kernel tells its
                              status by a pidfd. It does not ignore SIGCHLD,
                              whatever the caller does. Needs no right */
    LIBXL_HOLD_CGROUP = 3 /* a cgroup v2 that the library makes, and removes:
                             nobody leaves. Needs the right to make one */
} libxl_family_hold;

/* When a family is ended by itself. */
typedef enum libxl_family_when {
    LIBXL_FAMILY_NEVER = 0,
    LIBXL_FAMILY_TIMEOUT = 1, /* when the child is ended by its spec's kill
                                 policy: a time-out, an abort,
                                 libxl_childproc_terminate, LIBXL_FREE_KILL.
                                 That policy's scope is the family then */
    LIBXL_FAMILY_FAILURE = 2, /* as TIMEOUT, and when the child ends in any
                                 other way than by exit(0), or its status is
                                 lost */
    LIBXL_FAMILY_ALWAYS = 3   /* when the child ends */
} libxl_family_when;

/* Initialise with libxl_family_opts_init, then set what differs. */
typedef struct libxl_family_opts {
    size_t size;                /* set by init: the caller's sizeof */
    libxl_family_when end_when; /* NEVER */
    int first_signal;           /* sent when it is ended; 0: SIGKILL at once */
    int grace_ms;               /* … and SIGKILL so much later, >= 0 */
    unsigned holds;             /* 1u << LIBXL_HOLD_… of those that may be
                                   taken; 0: any that leaves the child the
                                   caller's, which a keeper does not */
    const char *cgroup_parent;  /* where a cgroup is made: the directory of a
                                   cgroup v2. NULL: the caller's own */
} libxl_family_opts;

/* libxl_family_opts_init_sized - the defaults, in a struct of the caller's
 * size. Called through libxl_family_opts_init, and by other languages
 * Before:   opts has size bytes     Effects: none     Owns: none
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  nothing; opts is overwritten */
LIBXL_API void libxl_family_opts_init_sized(libxl_family_opts *opts,
                                            size_t size)
    LIBXL_SYMBOL(family_opts_init_sized);

/* libxl_family_opts_init - the defaults: any hold, never ended by itself
 * Before:   opts not NULL     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: yes     Fork: yes
 * Returns:  nothing; opts is overwritten */
static inline void libxl_family_opts_init(libxl_family_opts *opts)
{
    libxl_family_opts_init_sized(opts, sizeof *opts);
}

/* libxl_family_new - a family for one child to come
 * Before:   none
 * Effects:  chooses the best hold that opts allow and that is to be had here;
 *           makes the cgroup, if that is it (a keeper comes with the child).
 *           Blocks for the file system's time
 * Owns:     opts are only read (NULL: the defaults). *ret_id names the family
 *           until libxl_family_free
 * Calls:    the logger
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_id untouched
 *   ERROR_INVAL    ret_id NULL, or a member of opts is wrong
 *   ERROR_NI       none of the holds that are allowed is to be had here; the
 *                  log says why -> allow LIBXL_HOLD_GROUP
 *   ERROR_NOMEM, ERROR_LIMIT, ERROR_SYSTEM  no memory or fd -> try again */
LIBXL_API int libxl_family_new(libxl_ctx *ctx, const libxl_family_opts *opts,
                               libxl_family_id *ret_id)
    LIBXL_SYMBOL(family_new);

/* What is known of a family. */
typedef struct libxl_family_state {
    size_t size;            /* set by the caller: sizeof. Members that this
                               library does not know are zero */
    libxl_family_hold hold;
    const char *why;        /* why there is no better one; NULL: there is none.
                               A constant string */
    int started;            /* a child has been started in it */
    int empty;              /* nobody is in it. Until it is started: 1 */
    int ending;             /* it has been asked to end, or its policy has */
    pid_t pid;              /* the child's; 0 until it is started */
    const char *cgroup;     /* the directory; NULL: there is none. Valid until
                               libxl_family_free; removed when it is empty */
} libxl_family_state;

/* libxl_family_look - by what it is held, and whether it is empty
 * Before:   ret_state->size set
 * Effects:  looks now, without waiting
 * Owns:     none
 * Calls:    any callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_state untouched
 *   ERROR_NOTFOUND  no such family -> it was freed
 *   ERROR_INVAL     ret_state NULL */
LIBXL_API int libxl_family_look(libxl_ctx *ctx, libxl_family_id id,
                                libxl_family_state *ret_state)
    LIBXL_SYMBOL(family_look);

/* libxl_family_wait - wait until it is empty
 * Before:   none
 * Effects:  pumps the ctx while it waits. The child counts, until it has been
 *           noticed to have ended. A cgroup or a keeper tells by itself; a
 *           group is looked at every few milliseconds, up to 50, and /proc is
 *           read where it may have nobody but zombies in it
 * Owns:     none
 * Calls:    any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0 it is empty, or was never started
 *   ERROR_NOTFOUND     no such family -> it was freed, perhaps meanwhile
 *   ERROR_NI           its hold was let slip -> nobody can tell
 *   ERROR_TIMEDOUT     somebody is in it after timeout_ms (0: only looks) ->
 *                      wait again, or end it
 *   ERROR_INTERRUPTED  only with flags LIBXL_WAIT_INTERRUPTIBLE -> call again
 *   ERROR_INVAL        an argument is wrong
 *   ERROR_SYSTEM, ERROR_NOMEM  the thread could not wait */
LIBXL_API int libxl_family_wait(libxl_ctx *ctx, libxl_family_id id,
                                int timeout_ms, unsigned flags)
    LIBXL_SYMBOL(family_wait);

/* libxl_family_when_empty - be told when it is empty
 * Before:   none
 * Effects:  an operation that completes once, with the answer that
 *           libxl_family_wait would give: 0, ERROR_NOTFOUND, ERROR_NI. May be
 *           asked any number of times. Needs pumping. libxl_ctx_free answers
 *           what is still asked with ERROR_NOTFOUND
 * Owns:     how is copied
 * Calls:    how->callback, or an OPERATION_COMPLETE event; may come before
 *           this returns
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0 asked
 *   ERROR_NOTFOUND  no such family -> it was freed
 *   ERROR_INVAL     how NULL
 *   ERROR_NOMEM     and no completion comes
 *   > 0             what an osevent hook returned */
LIBXL_API int libxl_family_when_empty(libxl_ctx *ctx, libxl_family_id id,
                                      const libxl_asyncop_how *how)
    LIBXL_SYMBOL(family_when_empty);

/* libxl_family_signal - send a signal to everybody in it, and nobody else
 * Before:   none
 * Effects:  by the cgroup, or pidfds: never to a bare number. A keeper is
 *           asked to, and does so at once
 * Owns:     none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0 somebody was sent it (signo 0: somebody is there)
 *   ERROR_NOTFOUND    no such family, or it is empty -> nothing to do
 *   ERROR_INVAL       bad signal
 *   ERROR_PERMISSION  the kernel refused -> only a process with more rights
 *                     can
 *   ERROR_NI          its hold was let slip -> nobody can
 *   ERROR_SYSTEM      errno says why */
LIBXL_API int libxl_family_signal(libxl_ctx *ctx, libxl_family_id id,
                                  int signo)
    LIBXL_SYMBOL(family_signal);

/* libxl_family_end - end it: a first signal, a grace, SIGKILL
 * Before:   none
 * Effects:  the first signal is sent now, SIGKILL after the grace if somebody
 *           is left then, which needs pumping. Asking again only ever makes the
 *           SIGKILL come sooner. Does not wait: libxl_family_wait does
 * Owns:     none
 * Calls:    osevent hooks
 * Threads:  any     Signals: no     Fork: no
 * Returns:  as libxl_family_signal, or an osevent hook's positive code
 *   ERROR_INVAL  bad signal, or grace_ms < 0 */
LIBXL_API int libxl_family_end(libxl_ctx *ctx, libxl_family_id id,
                               int first_signal, int grace_ms)
    LIBXL_SYMBOL(family_end);

/* libxl_family_free - let go of it
 * Before:   none
 * Effects:  a cgroup is removed if it is empty. Who is in it lives on, in the
 *           cgroup if there is one; if its end is under way, SIGKILL comes now.
 *           A keeper ends, which is waited for (a moment, 2 s at most).
 *           The child is as it was; its policy is no more. Whoever waits is
 *           answered ERROR_NOTFOUND
 * Owns:     the id is gone
 * Calls:    callbacks that are due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_NOTFOUND  no such family -> it was freed
 *   ERROR_BUSY      its child is being started -> when that is over */
LIBXL_API int libxl_family_free(libxl_ctx *ctx, libxl_family_id id)
    LIBXL_SYMBOL(family_free);

/* libxl_family_hold_name - the name of a hold: "none", "group", "keeper",
 * "cgroup"
 * Before:   none     Effects: none     Owns: a constant string, never NULL
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  the name; "unknown" for a number that is no hold */
LIBXL_API const char *libxl_family_hold_name(libxl_family_hold hold)
    LIBXL_SYMBOL(family_hold_name);

#ifdef __cplusplus
}
#endif

#endif
