/* xlchild/childproc.h - children: what to start, and what can be done with it
 *
 * Who owns SIGCHLD and reaps is the treaty's (xlchild/treaty.h); a ctx has the
 * default until it is told otherwise.
 */
#ifndef XLCHILD_CHILDPROC_H
#define XLCHILD_CHILDPROC_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h> /* sigset_t, also in strict C11 */
#include <sys/types.h>

#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/treaty.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what to start ------------------------------------------------------ */

/* Sources of a file descriptor map that are no descriptor of the parent. */
#define LIBXL_FD_NULL (-2)   /* /dev/null, opened for reading and writing */
#define LIBXL_FD_CLOSED (-3) /* not open in the child */

/* target in the child becomes a copy of source in the parent. Targets do not
 * repeat; sources may, and may be any permutation of targets. */
typedef struct libxl_childproc_fd {
    int target;
    int source;
} libxl_childproc_fd;

typedef struct libxl_childproc_rlimit {
    int resource; /* RLIMIT_… */
    struct rlimit limit;
} libxl_childproc_rlimit;

typedef enum libxl_kill_scope {
    LIBXL_KILL_PROCESS = 0,
    LIBXL_KILL_GROUP = 1,  /* the group that the child leads (NEW_GROUP or
                              NEW_SESSION), also when the child has ended, for
                              as long as it has a handle. Before Linux 6.9 its
                              number is kept for that, if this is its policy's
                              scope, and the mode is not one that reaps
                              everybody */
    LIBXL_KILL_CGROUP = 2  /* everything in the child's own cgroup */
} libxl_kill_scope;

/* How to end a child: first_signal, then SIGKILL after grace_ms. */
typedef struct libxl_kill_policy {
    int first_signal; /* 0: SIGKILL at once */
    int grace_ms;     /* milliseconds of CLOCK_MONOTONIC, >= 0 */
    libxl_kill_scope scope;
} libxl_kill_policy;

/* What libxl_ctx_free does with a child that still lives. */
typedef enum libxl_free_policy {
    LIBXL_FREE_DETACH = 0, /* lives on; reaped by the library all the same */
    LIBXL_FREE_KILL = 1,   /* SIGKILL in the policy's scope, and reaped */
    LIBXL_FREE_LEAVE = 2   /* lives on; reaping it becomes the host's matter */
} libxl_free_policy;

/* Flags of libxl_childproc_spec. */
#define LIBXL_SPAWN_SEARCH_PATH (1u << 0) /* a program without / is searched */
#define LIBXL_SPAWN_NEW_SESSION (1u << 1) /* setsid() */
#define LIBXL_SPAWN_NEW_GROUP (1u << 2)   /* setpgid(0, 0) */
#define LIBXL_SPAWN_JOIN_GROUP (1u << 3)  /* setpgid(0, group) */
#define LIBXL_SPAWN_KEEP_FDS (1u << 4)    /* other fds without close-on-exec
                                             stay open (default: closed) */
#define LIBXL_SPAWN_KEEP_SIGMASK (1u << 5)  /* the calling thread's mask */
#define LIBXL_SPAWN_KEEP_SIGIGN (1u << 6)   /* ignored signals stay ignored */
#define LIBXL_SPAWN_IGNORE_SIGPIPE (1u << 7) /* SIGPIPE ignored in the child */
#define LIBXL_SPAWN_SET_UID (1u << 8)    /* uid counts */
#define LIBXL_SPAWN_SET_GID (1u << 9)    /* gid counts */
#define LIBXL_SPAWN_SET_GROUPS (1u << 10) /* groups count */
#define LIBXL_SPAWN_SET_UMASK (1u << 11) /* umask counts */
#define LIBXL_SPAWN_SET_NICE (1u << 12)  /* nice counts */
#define LIBXL_SPAWN_SET_PDEATHSIG (1u << 13) /* pdeathsig counts */
#define LIBXL_SPAWN_SET_CTTY (1u << 14) /* ctty_fd becomes the controlling
                                           terminal; implies NEW_SESSION */
#define LIBXL_SPAWN_REPORT_STOPS (1u << 15) /* STOPPED and CONTINUED events
                                               (not in mainloop mode) */
#define LIBXL_SPAWN_RESTORE_SIGPIPE (1u << 16) /* SIGPIPE and SIGXFSZ, which
                                                  interpreters ignore for
                                                  themselves, at their default
                                                  even with KEEP_SIGIGN */
#define LIBXL_SPAWN_KEEP_GROUPS (1u << 17) /* with SET_UID or SET_GID and no
                                              SET_GROUPS: the caller's
                                              supplementary groups stay */
#define LIBXL_SPAWN_HOLD_PID (1u << 18) /* only with LIBXL_REPORT_HOLD: when it
                                           has ended it is not reaped before
                                           libxl_childproc_wait takes its result
                                           or libxl_childproc_detach lets it go,
                                           so that its pid stays its own. In
                                           the modes that reap everybody it is
                                           reaped all the same; what is known of
                                           it stays */

#define LIBXL_SPAWN_NOWAIT (1u << 19) /* the call returns once there is a
                                         process, without waiting for its
                                         program to be executed */
#define LIBXL_SPAWN_REPORT_START (1u << 20) /* only with NOWAIT, and not in
                                               libxl_childproc_exec, which has
                                               started for it: a
                                               CHILDPROC_STARTED event, with the
                                               report's for_event, when it has
                                               become its program. None where
                                               its end is noticed first */
#define LIBXL_SPAWN_ACCOUNT (1u << 21) /* why it died, and what it cost, is kept
                                          for libxl_childproc_account_take; not
                                          with LIBXL_REPORT_NONE */

/* A NULL-terminated array of strings, which is only read: main's argv and
 * environ (char **) as well as arrays of const char *. C++ converts them all to
 * one type; in C no type takes them without a cast but a pointer to void. */
#ifdef __cplusplus
typedef const char *const *libxl_strings;
#else
typedef const void *libxl_strings;
#endif

/* Names a family of this ctx (xlchild/family.h); never reused, never 0. */
typedef uint64_t libxl_family_id;

/* Everything about a child to start. Initialise with
 * libxl_childproc_spec_init, then set what differs. Only read during the
 * call; no fd of the caller's has its flags changed. */
typedef struct libxl_childproc_spec {
    size_t size;             /* set by init: the caller's sizeof */
    const char *path;        /* program to execute; NULL: argv[0] */
    libxl_strings argv;      /* at least one */
    libxl_strings envp;      /* NULL: the caller's environ */
    const char *search_path; /* for SEARCH_PATH; NULL: PATH in envp, else the
                                caller's PATH, else /usr/bin:/bin */
    const char *cwd;         /* NULL: the caller's. Entered with the ids that
                                the child is to have */
    const libxl_childproc_fd *fds; /* unmentioned 0, 1 and 2 are inherited
                                      unless they are close-on-exec; every
                                      other fd is closed */
    size_t nfds;             /* how many fds has */
    unsigned flags;          /* LIBXL_SPAWN_… */
    pid_t group;             /* JOIN_GROUP: > 1 */
    uid_t uid;               /* SET_UID: real, effective and saved. With it,
                                or SET_GID, no supplementary group of the
                                caller's stays, unless SET_GROUPS says which
                                or KEEP_GROUPS says so. Where they may not be
                                dropped (EPERM) the start fails, stage GROUPS */
    gid_t gid;               /* SET_GID */
    const gid_t *groups;     /* SET_GROUPS: supplementary */
    size_t ngroups;          /* how many groups has */
    mode_t umask;            /* SET_UMASK */
    int nice;                /* SET_NICE: absolute, -20 .. 19 */
    int pdeathsig;           /* SET_PDEATHSIG: sent when the starting *thread*
                                ends */
    int ctty_fd;             /* SET_CTTY: an fd of the caller; -1 */
    const libxl_childproc_rlimit *rlimits; /* set in the child; NULL */
    size_t nrlimits;         /* how many rlimits has */
    const sigset_t *sigmask;   /* NULL: empty, unless KEEP_SIGMASK */
    const sigset_t *sigignore; /* NULL: none, unless KEEP_SIGIGN */
    const char *cgroup;        /* directory of a cgroup v2 to start in; NULL */
    libxl_free_policy on_free; /* if it lives when the ctx is freed */
    libxl_kill_policy kill;    /* used by timeouts, aborts and FREE_KILL; by
                                  default SIGKILL to the process, at once */
    int exited_grace_ms;       /* mainloop mode: how long the host may take to
                                  pass a status on; 1000 by default */
    int reserved;              /* 0 */
    /* Asked, with no lock held, when a signal has interrupted a start that
     * waits for its child to become its program, and every 100 ms meanwhile.
     * Not 0: the start is given up, the child ended and reaped, and the call
     * returns ERROR_INTERRUPTED. May not re-enter. NULL: the start waits for as
     * long as it takes */
    int (*interrupted)(void *user);
    void *interrupted_user;  /* handed to interrupted */
    libxl_family_id family;  /* one that has no child yet (xlchild/family.h);
                                0: none. It may say what cgroup and kill.scope
                                are, and set NEW_GROUP */
} libxl_childproc_spec;

/* libxl_childproc_spec_init_sized - the defaults, in a struct of the caller's
 * size. Called through libxl_childproc_spec_init, and by other languages
 * Before:   spec has size bytes     Effects: none     Owns: none
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  nothing; spec is overwritten */
LIBXL_API void libxl_childproc_spec_init_sized(libxl_childproc_spec *spec,
                                               size_t size)
    LIBXL_SYMBOL(childproc_spec_init_sized);

/* libxl_childproc_spec_init - the defaults
 * Before:   spec not NULL     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: yes     Fork: yes
 * Returns:  nothing; spec is overwritten */
static inline void libxl_childproc_spec_init(libxl_childproc_spec *spec)
{
    libxl_childproc_spec_init_sized(spec, sizeof *spec);
}

/* Where starting a child failed. */
#define LIBXL_STAGES(X)                                                        \
    X(NONE, 0, "none")                                                         \
    X(ARGUMENT, 1, "argument")   /* refused before anything happened */        \
    X(PREPARE, 2, "prepare")     /* the parent lacked memory or fds */         \
    X(FORK, 3, "fork")                                                         \
    X(GATE, 4, "gate")           /* held child could not be released */        \
    X(FDS, 5, "fds")                                                           \
    X(SIGNALS, 6, "signals")                                                   \
    X(SESSION, 7, "session")     /* setsid or setpgid */                       \
    X(CTTY, 8, "ctty")                                                         \
    X(CGROUP, 9, "cgroup")                                                     \
    X(RLIMIT, 10, "rlimit")                                                    \
    X(NICE, 11, "nice")                                                        \
    X(GROUPS, 12, "groups")                                                    \
    X(GID, 13, "gid")                                                          \
    X(UID, 14, "uid")                                                          \
    X(PDEATHSIG, 15, "pdeathsig")                                              \
    X(CHDIR, 16, "chdir")                                                      \
    X(EXEC, 17, "exec")

typedef enum libxl_childproc_stage {
#define LIBXL_STAGE_ENUM(name, value, text) LIBXL_STAGE_##name = value,
    LIBXL_STAGES(LIBXL_STAGE_ENUM)
#undef LIBXL_STAGE_ENUM
} libxl_childproc_stage;

/* Why a start failed. */
typedef struct libxl_childproc_failure {
    libxl_childproc_stage stage;
    int errnoval;         /* 0 where no system error belongs to it */
    const char *argument; /* stage ARGUMENT: the member's name; stage FDS: the
                             member of the options whose file could not be
                             opened; else NULL. A constant string */
} libxl_childproc_failure;

/* libxl_childproc_stage_name - the text for a stage
 * Before:   none     Effects: none     Owns: a constant string, never NULL
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  the text; "unknown" for a number that is no stage */
LIBXL_API const char *libxl_childproc_stage_name(libxl_childproc_stage stage)
    LIBXL_SYMBOL(childproc_stage_name);

/* How a child's end is reported: exactly once, by exactly one of these.
 * (Evenables come on top.) */
typedef enum libxl_childproc_report_kind {
    LIBXL_REPORT_HOLD = 0,     /* kept until libxl_childproc_wait takes it */
    LIBXL_REPORT_EVENT = 1,    /* a CHILDPROC_EXIT event */
    LIBXL_REPORT_CALLBACK = 2, /* the callback below */
    LIBXL_REPORT_NONE = 3      /* reaped in silence */
} libxl_childproc_report_kind;

typedef struct libxl_childproc_report {
    libxl_childproc_report_kind kind;
    /* The child is forgotten when this is called: its id answers
     * ERROR_NOTFOUND. Called with no lock held; may re-enter. */
    void (*callback)(libxl_ctx *ctx, const libxl_childproc_result *result,
                     void *for_callback);
    union {
        libxl_ev_user for_event;
        void *for_callback;
    } u;
} libxl_childproc_report;

/* libxl_childproc_spawn - start a child
 * Before:   a mode as wished; the default is libxl_sigchld_owner_libxl
 * Effects:  the child runs, or there is none: a failed exec or set-up step is
 *           an error here and its process is reaped. Blocks until the
 *           child has executed its program; with LIBXL_SPAWN_NOWAIT only
 *           until there is a process. What fails later is its end then, with
 *           LIBXL_LOST_NEVER_RAN, stage and errnoval; signals take effect at
 *           any time. (Its stack and a copy of the spec, 264 KiB of which some
 *           12 are touched, go when that is noticed: by whoever pumps, or
 *           starts the next one)
 * Owns:     spec and report are only read (report NULL: HOLD). *ret_id names
 *           the child until its end has been reported; *ret_pid is its pid.
 *           Each ret_ may be NULL
 * Calls:    fork_replacement; osevent hooks; the logger. The report may come
 *           before the call returns
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_id and *ret_pid untouched, *ret_failure set
 *   ERROR_INVAL    ret_failure->argument is the member at fault
 *   ERROR_SPAWN    a step in the child failed -> ret_failure->stage and
 *                  ->errnoval say which, and why
 *   ERROR_NOMEM, ERROR_SYSTEM  the parent lacks memory, fds or processes
 *                  (stage PREPARE or FORK; the first start needs one of each
 *                  to find out what the kernel offers) -> try again
 *   ERROR_INTERRUPTED  spec->interrupted gave it up
 *   ERROR_SIGCHLD_UNAVAILABLE  SIGCHLD is ignored or blocked and the kernel
 *                  has no pidfds -> unblock it
 *   ERROR_SIGCHLD_CONFLICT  another ctx is in an incompatible mode -> set
 *                  one that goes with it
 *   > 0            what an osevent hook returned */
LIBXL_API int libxl_childproc_spawn(libxl_ctx *ctx,
                                    const libxl_childproc_spec *spec,
                                    const libxl_childproc_report *report,
                                    libxl_childproc_id *ret_id, pid_t *ret_pid,
                                    libxl_childproc_failure *ret_failure)
    LIBXL_SYMBOL(childproc_spawn);

/* One entry of a batch. */
typedef struct libxl_childproc_batch_entry {
    const libxl_childproc_spec *spec;     /* in */
    const libxl_childproc_report *report; /* in; NULL: HOLD */
    int rc;                               /* out, as from spawn */
    libxl_childproc_id id;                /* out, 0 unless rc is 0 */
    pid_t pid;                            /* out, -1 unless rc is 0 */
    libxl_childproc_failure failure;      /* out */
    uint64_t reserved[2];                 /* out, zero */
} libxl_childproc_batch_entry;

/* libxl_childproc_spawn_many - start a batch of children
 * Before:   as libxl_childproc_spawn
 * Effects:  starts every entry; if the ctx has starter threads, on these and
 *           on the calling one in parallel (libxl_childproc_set_starters),
 *           but with LIBXL_SPAWN_SET_PDEATHSIG on these only. One entry's
 *           failure does not keep the others from starting
 * Owns:     entries are read, and their out members written
 * Calls:    as libxl_childproc_spawn
 * Threads:  any     Signals: no     Fork: no
 * Returns:  the number of entries started, each entry's rc in place
 *   ERROR_INVAL  ctx or entries NULL, or too many. Nothing started. */
LIBXL_API int
libxl_childproc_spawn_many(libxl_ctx *ctx,
                           libxl_childproc_batch_entry *entries, size_t n)
    LIBXL_SYMBOL(childproc_spawn_many);

/* libxl_childproc_set_starters - threads that start children for this ctx
 * Before:   n from 0 (the default: the calling thread starts them) to 64
 * Effects:  the threads block all signals, are made again after a fork on
 *           the first batch, and end with the ctx. A parent-death signal
 *           fires when the starting thread ends, hence with the ctx
 * Owns:     none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_INVAL  n out of range, or a fork_replacement is set
 *   ERROR_BUSY   a batch is running -> call again when it has returned
 *   ERROR_SYSTEM threads could not be made; there are as many as before */
LIBXL_API int libxl_childproc_set_starters(libxl_ctx *ctx, int n)
    LIBXL_SYMBOL(childproc_set_starters);

/* ---- living children ---------------------------------------------------- */

/* A flag of libxl_childproc_wait: the result stays, for any number of threads
 * and times, until libxl_childproc_detach lets the child go. */
#define LIBXL_WAIT_KEEP 2u

/* libxl_childproc_wait - wait for one child, and take its result if it is held
 * Before:   id was started with another report than LIBXL_REPORT_NONE
 * Effects:  pumps the ctx while it waits; on success a held child is reaped,
 *           and forgotten unless flags have LIBXL_WAIT_KEEP. One that is
 *           reported by event or callback is so all the same, once; this tells
 *           those who wait when it ends
 * Owns:     *ret_result is the caller's
 * Calls:    any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_result untouched
 *   ERROR_NOTFOUND     no such child, or its result was taken, or its event
 *                      or callback has it -> nothing to wait for
 *   ERROR_INVAL        not reported at all; an argument is wrong
 *   ERROR_TIMEDOUT     still alive after timeout_ms (0: only looks) -> call
 *                      again, or libxl_childproc_terminate
 *   ERROR_INTERRUPTED  only with LIBXL_WAIT_INTERRUPTIBLE -> call again with
 *                      the rest of the time
 *   ERROR_SYSTEM, ERROR_NOMEM  the thread could not wait */
LIBXL_API int libxl_childproc_wait(libxl_ctx *ctx, libxl_childproc_id id,
                                   int timeout_ms, unsigned flags,
                                   libxl_childproc_result *ret_result)
    LIBXL_SYMBOL(childproc_wait);

/* libxl_childproc_kill - send a signal to a child, never to another process
 * Before:   id is a child of this ctx that has not been reported
 * Effects:  signals the process, or the group it leads, or its cgroup. In a
 *           host that has closed fds of ours it is looked first whether they
 *           are ours still; who closes one in another thread, between that look
 *           and the signal, and has a pidfd by that number at once, may see his
 *           own process hit
 * Owns:     none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_NOTFOUND    no such child, or it has ended -> nothing to do
 *   ERROR_INVAL       bad signal, or a scope the child was not started for
 *   ERROR_PERMISSION  the kernel refused: the child changed its ids -> only a
 *                     process with such rights can
 *   ERROR_SYSTEM      errno says why */
LIBXL_API int libxl_childproc_kill(libxl_ctx *ctx, libxl_childproc_id id,
                                   int signo, libxl_kill_scope scope)
    LIBXL_SYMBOL(childproc_kill);

/* libxl_childproc_terminate - end a child by policy
 * Before:   as libxl_childproc_kill
 * Effects:  sends policy->first_signal now and SIGKILL after policy->grace_ms
 *           if it has not ended (policy NULL: the spec's). Needs pumping.
 *           When the child ends first, the rest of the group or cgroup in
 *           scope gets its SIGKILL then, before the child is reaped.
 *           Asking again only ever makes the SIGKILL come sooner
 * Owns:     policy is only read     Calls: osevent hooks
 * Threads:  any     Signals: no     Fork: no
 * Returns:  as libxl_childproc_kill, or an osevent hook's positive code */
LIBXL_API int libxl_childproc_terminate(libxl_ctx *ctx, libxl_childproc_id id,
                                        const libxl_kill_policy *policy)
    LIBXL_SYMBOL(childproc_terminate);

/* libxl_childproc_detach - no report for this child any more
 * Before:   as libxl_childproc_kill; also for a held result
 * Effects:  the child runs on, stops and is reaped in silence, never a zombie;
 *           whoever waits for it is answered ERROR_NOTFOUND
 * Owns:     none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_NOTFOUND  no such child, or it was reported -> nothing to do */
LIBXL_API int libxl_childproc_detach(libxl_ctx *ctx, libxl_childproc_id id)
    LIBXL_SYMBOL(childproc_detach);

/* libxl_childproc_linger - detach, and leave its number to the program a while
 * Before:   as libxl_childproc_detach
 * Effects:  as libxl_childproc_detach, but when the child ends it is not reaped
 *           before half a second later, or before the next start with this
 *           ctx: a wait by number of the program's own still finds it. Nobody
 *           need call again. In the modes that reap everybody, and in mainloop
 *           mode, it is libxl_childproc_detach
 * Owns:     none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0
 *   ERROR_NOTFOUND  no such child, or it was reported -> nothing to do */
LIBXL_API int libxl_childproc_linger(libxl_ctx *ctx, libxl_childproc_id id)
    LIBXL_SYMBOL(childproc_linger);

/* libxl_childproc_lookup - the id of a live child by its pid
 * Before:   none     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_id untouched
 *   ERROR_NOTFOUND  no live child of this ctx has that pid -> it has ended,
 *                   or is not ours
 *   ERROR_INVAL     an argument is NULL, or pid <= 1 */
LIBXL_API int libxl_childproc_lookup(libxl_ctx *ctx, pid_t pid,
                                     libxl_childproc_id *ret_id)
    LIBXL_SYMBOL(childproc_lookup);

/* libxl_childproc_count - how many children of this ctx are unreported
 * Before:   none     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  the number, detached ones included, >= 0
 *   ERROR_INVAL  ctx NULL, or of the parent process */
LIBXL_API int libxl_childproc_count(libxl_ctx *ctx)
    LIBXL_SYMBOL(childproc_count);

/* libxl_childproc_start_time - names a process beyond its pid
 * Before:   pid > 1 exists     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: no     Fork: yes
 * Returns:  0, *ret_ticks is the start time in clock ticks after boot (the
 *           22nd field of /proc/PID/stat); on failure untouched
 *   ERROR_NOTFOUND  no such process -> it has ended
 *   ERROR_INVAL     pid <= 1 or ret_ticks NULL
 *   ERROR_SYSTEM    /proc could not be read; errno says why (ENOENT: it lives,
 *                   but there is no /proc, or it is hidden there) */
LIBXL_API int libxl_childproc_start_time(pid_t pid, uint64_t *ret_ticks)
    LIBXL_SYMBOL(childproc_start_time);

/* libxl_childproc_adopt - watch a process that somebody else started
 * Before:   the process is identified by pidfd (>= 0; pid and start_ticks are
 *           then ignored), or by pid > 1 and start_ticks; needs pidfds
 * Effects:  its end is reported like a child's. For a non-child the kernel
 *           tells the status once its parent has reaped it (Linux 6.15), else
 *           it is LIBXL_LOST_NOT_OURS. A process that is our own child is
 *           reaped as one. One that has been reaped, named by its pidfd, is
 *           reported at once where the kernel still tells how it ended, with a
 *           pid of 0. libxl_ctx_free leaves it as it is
 * Owns:     pidfd is duplicated; report as in spawn
 * Calls:    osevent hooks
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_id untouched
 *   ERROR_NOTFOUND  no such process, or its start time is another -> it has
 *                   ended, and nobody tells how
 *   ERROR_INVAL     bad arguments, init, this process itself, or already a
 *                   child of a ctx
 *   ERROR_NI        this kernel has no pidfds -> watch /proc/PID yourself
 *   ERROR_NOMEM, ERROR_SYSTEM, > 0  as in spawn */
LIBXL_API int libxl_childproc_adopt(libxl_ctx *ctx, pid_t pid,
                                    uint64_t start_ticks, int pidfd,
                                    const libxl_childproc_report *report,
                                    libxl_childproc_id *ret_id)
    LIBXL_SYMBOL(childproc_adopt);

/* ---- what is going on --------------------------------------------------- */

/* Kernel facilities, as bits of libxl_childproc_diagnosis.facilities. */
#define LIBXL_FACILITY_PIDFD (1u << 0)       /* CLONE_PIDFD and P_PIDFD */
#define LIBXL_FACILITY_SHARED_FILES (1u << 1) /* CLONE_FILES + close_range
                                                 (CLOSE_RANGE_UNSHARE) */
#define LIBXL_FACILITY_CLOSE_RANGE (1u << 2)
#define LIBXL_FACILITY_EXIT_INFO (1u << 3)   /* PIDFD_GET_INFO tells exits */
#define LIBXL_FACILITY_VFORK (1u << 4)       /* clone(CLONE_VM|CLONE_VFORK) */

typedef struct libxl_childproc_diagnosis {
    size_t size;                    /* set by the caller: sizeof. Members that
                                       this library does not know are zero */
    libxl_sigchld_owner mode_asked;
    libxl_sigchld_owner mode_in_force;
    const char *mode_reason;        /* why they differ; NULL if they do not.
                                       A constant string */
    unsigned facilities;            /* LIBXL_FACILITY_… that are known to work
                                       here; the words tell what is not known
                                       yet, for want of fds or processes */
    int handler_wanted;             /* this ctx wants our SIGCHLD handler now */
    int handler_installed;          /* it is the disposition now */
    int handler_displaced;          /* wanted, but somebody replaced it */
    int sigchld_ignored;            /* SIG_IGN or SA_NOCLDWAIT */
    int sigchld_blocked;            /* in the calling thread */
    char handler_object[256];       /* the object file of whatever handles
                                       SIGCHLD now; "" for SIG_DFL, SIG_IGN */
    int children;                   /* of this ctx, unreported */
} libxl_childproc_diagnosis;

/* libxl_childproc_diagnose - who owns SIGCHLD now, which mode, and why
 * Before:   ret_diagnosis->size set (may be NULL: only words)
 * Effects:  none
 * Owns:     *ret_words, if asked for, is malloc'ed text of several lines:
 *           free() it
 * Calls:    none
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure outputs untouched
 *   ERROR_INVAL, ERROR_NOMEM */
LIBXL_API int
libxl_childproc_diagnose(libxl_ctx *ctx,
                         libxl_childproc_diagnosis *ret_diagnosis,
                         char **ret_words)
    LIBXL_SYMBOL(childproc_diagnose);

/* libxl_childproc_owner_name - the name for a mode, as in the enum without
 * its libxl_sigchld_owner_ prefix
 * Before:   none     Effects: none     Owns: a constant string, never NULL
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  the name; "unknown" for a number that is no mode */
LIBXL_API const char *libxl_childproc_owner_name(libxl_sigchld_owner owner)
    LIBXL_SYMBOL(childproc_owner_name);

/* libxl_childproc_lost_text - why a status is lost, in words
 * Before:   none     Effects: none     Owns: a constant string, never NULL
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  the text; "unknown" for a number that is no reason */
LIBXL_API const char *libxl_childproc_lost_text(libxl_childproc_lost lost)
    LIBXL_SYMBOL(childproc_lost_text);

#ifdef __cplusplus
}
#endif

#endif
