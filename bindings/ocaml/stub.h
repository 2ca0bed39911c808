/* stub.h - what the OCaml stubs share
 *
 * The stubs only translate: values in, one call of the library with the
 * runtime lock released, values out. Policy is in ocaml/lib.
 *
 * stub_ctx.c       contexts: allocation, use counts, closing, finalising
 * stub_callback.c  from the library into OCaml (the only file that does)
 * stub_convert.c   errors, statuses, signals, events: C to OCaml and back
 * stub_command.c   a command record to a libxl_childproc_spec
 * stub_child.c, stub_event.c, stub_exec.c, stub_family.c, stub_loop.c   the
 *                  calls, by topic
 * stub_logger.c    the process that logs for a daemon
 * stub_keeper.c, keeper.c   the process that keeps pidfds for the next life
 * stub_bell.c      waiting for another thread
 * stub_system.c    what OCaml's Unix lacks
 */
#ifndef XLO_STUB_H
#define XLO_STUB_H

#include <pthread.h>
#include <stdatomic.h>

#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>
#include <caml/mlvalues.h>
#include <caml/signals.h>
#include <caml/version.h>

#include <xlchild/account.h>
#include <xlchild/childproc.h>
#include <xlchild/ctx.h>
#include <xlchild/event.h>
#include <xlchild/exec.h>
#include <xlchild/family.h>
#include <xlchild/osevent.h>

/* Beside the library's codes: the context is closed. */
#define XLO_CLOSED (-1000)

/* What OCaml knows by number only, as the first member of what it is: an
 * evenable, a report, an operation, a family's emptiness that is asked for, a
 * registration with the host's loop. Kept until it ends, or the ctx does. */
enum xlo_kind {
    XLO_EVGEN,
    XLO_REPORT,
    XLO_OPERATION,
    XLO_EMPTIED,
    XLO_FD,
    XLO_TIMEOUT
};

struct xlo_handle {
    struct xlo_handle *next, **link;
    struct xlo_ctx *x;
    intnat number;
    enum xlo_kind kind;
};

struct xlo_evgen {
    struct xlo_handle handle;
    libxl_evgen_childproc_exit *evgen;
};

struct xlo_registration {
    struct xlo_handle handle;
    void *for_libxl;
    int fd;
};

/* number here is OCaml's, of the closure */
struct xlo_report {
    struct xlo_handle handle;
};

/* number is OCaml's here, too */
struct xlo_emptied {
    struct xlo_handle handle;
};

struct xlo_operation {
    struct xlo_handle handle;
    libxl_asyncop_how how;
    libxl_asyncprogress_how started;
    libxl_childproc_exec_result result;
    int accounted; /* started with LIBXL_SPAWN_ACCOUNT */
};

/* Fields of Children.Child.t that C fills in, so that what was started is known
 * there before anything can raise. */
enum xlo_child_field {
    XLO_CHILD_CONTEXT,
    XLO_CHILD_ID,
    XLO_CHILD_PID,
    XLO_CHILD_ACCOUNT
};

/* Fields of Raw.family, likewise. */
enum xlo_family_field { XLO_FAMILY_CONTEXT, XLO_FAMILY_ID, XLO_FAMILY_CGROUP };

struct xlo_ctx {
    libxl_ctx *ctx;      /* NULL once closed */
    atomic_llong uses;   /* calls under way, those of the collector's each
                            XLO_OF_COLLECTOR; far below 0 when closed */
    atomic_int silent;   /* no callback reaches OCaml any more */
    value weak;          /* generational root: a Weak.t of the OCaml record,
                            so that closures are reachable while it is, and a
                            cycle through them is no leak */
    pthread_mutex_t lock; /* of handles */
    struct xlo_handle *handles;
    intnat next_number;
    struct xlo_ctx *next; /* ctxs that could not be freed yet */
};

/* A call into the library from OCaml, on this thread's stack. While it is
 * there the thread does not hold the runtime lock. */
struct xlo_frame {
    struct xlo_frame *outer;
    struct xlo_ctx *x;
    value *predicate; /* a rooted closure, or NULL */
    value *exception; /* rooted: of a signal handler that ran while a start
                         waited; Val_unit */
    int64_t asked;    /* xlo_interrupted, first: of CLOCK_MONOTONIC in ns */
    int raised;       /* a callback of this call raised */
    long long weight; /* in uses */
};

/* ---- contexts ---- */

/* Starts a call on the OCaml record t: counts it, and links frame. 0, or
 * XLO_CLOSED. Runtime lock held. */
int xlo_begin(value t, struct xlo_frame *frame);
void xlo_end(struct xlo_frame *frame);
/* What t is of; never to be used but by a call that has begun. */
struct xlo_ctx *xlo_ctx_of(value t);
/* The same for a finaliser, on whatever thread the collector came: nobody made
 * that call, and close waits for its end instead of being refused. */
#define XLO_OF_COLLECTOR (1LL << 32)
int xlo_begin_collected(value t, struct xlo_frame *frame);
/* Releases and retakes the runtime lock between begin and end. Neither runs
 * OCaml code, so nothing can raise while C owns something. */
void xlo_release(void);
void xlo_retake(void);
/* This thread runs a callback of the library's: nothing may be called that the
 * callback's author did not call. */
extern __thread int xlo_in_callback;
struct xlo_frame *xlo_current_frame(void);

/* A zeroed handle of size bytes; number 0: the next one. NULL: no memory. */
void *xlo_handle_new(struct xlo_ctx *x, enum xlo_kind kind, size_t size,
                     intnat number);
/* The same, unlinked: one of several callers gets it. */
void *xlo_handle_take(struct xlo_ctx *x, enum xlo_kind kind, intnat number);
void xlo_handle_unlink(struct xlo_handle *handle); /* not freed; idempotent */

/* What a number stands for, copied: it may end at any moment on another
 * thread. 0 or ERROR_NOTFOUND. */
int xlo_registration_of(struct xlo_ctx *x, enum xlo_kind kind, intnat number,
                        void **ret_for_libxl, int *ret_fd);
int xlo_operation_how(struct xlo_ctx *x, intnat number, libxl_asyncop_how *ret);

/* ---- conversions: runtime lock held ---- */

int xlo_signal_to_c(value v);
value xlo_signal_to_ocaml(int signo);
value xlo_ok(value v);
/* Error (rc, stage, Unix.error option, argument option) */
value xlo_error(int rc, const libxl_childproc_failure *failure);
value xlo_system_error(int rc, int errnoval); /* errnoval 0: none */
/* rc and errno of a call that was just made, as a (unit, …) result */
value xlo_answer(int rc, int errnoval);
value xlo_errno_option(int errnoval);
value xlo_status(int wait_status); /* a Unix.process_status */
value xlo_ended(const libxl_childproc_result *result);
value xlo_event(const libxl_event *event);
value xlo_rusage(const struct rusage *usage);
value xlo_account(const libxl_childproc_account *account);

/* ---- accounts: stub_account.c ---- */

/* Takes that of a child; without the runtime lock. 0, or a code. */
int xlo_take_account(libxl_ctx *ctx, libxl_childproc_id id,
                     libxl_childproc_account *ret);

/* ---- blocking: stub_event.c ---- */

/* A wait that signals and raising callbacks end early. */
struct xlo_wait {
    int64_t deadline; /* of CLOCK_MONOTONIC in ns; < 0: none */
    int blocks;
};

int64_t xlo_now(void); /* of CLOCK_MONOTONIC, ns */
void xlo_wait_start(struct xlo_wait *w, intnat timeout_ms);
/* Before each blocking call: runs what the runtime has pending, so that a
 * signal of just before is not slept over. 0 to go on, with *ret_exception
 * Val_unit, or 1 where a handler raised. */
int xlo_wait_pending(const struct xlo_wait *w, value *ret_exception);
/* Waits for work, at most a slice, or for wake (-1: none), and does it. A
 * signal ends it. 0, or ERROR_FDS_CLOSED: nothing comes any more. Runtime lock
 * released. */
int xlo_pump(libxl_ctx *ctx, int wake);
/* What to ask the library for, this time. */
int xlo_wait_timeout(const struct xlo_wait *w);
/* Whether to ask again after rc. */
int xlo_wait_again(const struct xlo_wait *w, const struct xlo_frame *frame,
                   int rc);

/* ---- commands ---- */

struct xlo_chunk;

/* Memory for what is copied out of the heap for one call. */
struct xlo_arena {
    struct xlo_chunk *chunks;
    size_t used;
    _Alignas(max_align_t) char first[2048];
};

struct xlo_command {
    libxl_childproc_spec spec;
    sigset_t sigmask, sigignore;
};

void xlo_arena_init(struct xlo_arena *arena);
void *xlo_arena_alloc(struct xlo_arena *arena, size_t size); /* NULL: none */
/* A C string; *ret_rc is ERROR_NOMEM or, for a NUL inside, ERROR_INVAL. */
char *xlo_arena_string(struct xlo_arena *arena, value v, int *ret_rc);
void xlo_arena_free(struct xlo_arena *arena);

/* Copies a command out of the heap, for a start of x. 0, or a code with
 * *ret_failure set. A start that waits long asks xlo_interrupted with frame
 * (NULL: none does). */
int xlo_command(struct xlo_arena *arena, value v, struct xlo_ctx *x,
                struct xlo_frame *frame, struct xlo_command *ret,
                libxl_childproc_failure *ret_failure);
int xlo_interrupted(void *frame);
libxl_kill_policy xlo_kill_policy(value v);

/* ---- callbacks: what the library calls; user is the struct xlo_ctx ---- */

pid_t xlo_fork_replacement(void *user);
int xlo_childproc_exited(pid_t pid, int status, void *user);
void xlo_log(void *user, libxl_log_level level, int errnoval,
             const char *message);
void xlo_event_occurs(void *user, libxl_event *event);
void xlo_disaster(void *user, libxl_event_type type, const char *message,
                  int errnoval);
extern const libxl_osevent_hooks xlo_loop_hooks;

/* user is the struct xlo_frame */
int xlo_predicate(const libxl_event *event, void *user);

/* user is the struct xlo_report, freed by the call */
void xlo_report(libxl_ctx *ctx, const libxl_childproc_result *result,
                void *user);

/* user is the struct xlo_emptied, freed by the call */
void xlo_emptied(libxl_ctx *ctx, int rc, void *user);

/* user is the struct xlo_operation; completed frees it. account may be NULL */
value xlo_outcome(int rc, const libxl_childproc_exec_result *result,
                  const libxl_childproc_account *account);
void xlo_started(libxl_ctx *ctx, libxl_event *event, void *user);
void xlo_stream_data(libxl_ctx *ctx, int stream, const void *data,
                     size_t length, void *user);
void xlo_completed(libxl_ctx *ctx, int rc, void *user);
/* user is the struct xlo_waited: it is woken up, and frees it itself */
struct xlo_waited {
    atomic_int done;
    int rc, wake;
};
void xlo_waited(libxl_ctx *ctx, int rc, void *user);

#endif
