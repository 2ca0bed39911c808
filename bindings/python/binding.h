/* binding.h - what the files of the Python binding share
 *
 * A call into the library, seen from Python:
 *
 *     xlpy_begin      the Ctx is open; it cannot be closed meanwhile
 *     xlpy_release    the GIL is given up; callbacks find this call
 *       libxl_…       trampolines (hooks.c) take the GIL back for a closure,
 *                     whose exception is kept in the call
 *     xlpy_acquire    the GIL is back, errno is kept
 *     xlpy_end        an exception that was kept is raised: -1
 *
 * Python's headers come first, as they demand.
 */
#ifndef XLPY_BINDING_H
#define XLPY_BINDING_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include "xlchild/childproc.h"
#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/exec.h"
#include "xlchild/family.h"
#include "xlchild/osevent.h"

/* The closures that a Ctx owns while they are registered. */
enum xlpy_hook {
    XLPY_LOG,
    XLPY_FORK,
    XLPY_EXITED,
    XLPY_EVENT_OCCURS,
    XLPY_DISASTER,
    XLPY_FD_REGISTER,
    XLPY_FD_MODIFY,
    XLPY_FD_DEREGISTER,
    XLPY_TIMEOUT_REGISTER,
    XLPY_TIMEOUT_MODIFY,
    XLPY_TIMEOUT_DEREGISTER,
    XLPY_NHOOKS
};

/* A closure that a child's end is reported to, once. */
struct xlpy_onexit {
    struct xlpy_onexit *next, **prev; /* in owner->onexit; GIL */
    struct xlpy_ctx *owner;
    PyObject *callable;
    libxl_childproc_id id; /* 0 until the start has returned */
    int fired;
};

struct xlpy_op;

/* The Python object around a libxl_ctx. All members belong to the GIL. */
typedef struct xlpy_ctx {
    PyObject_HEAD
    libxl_ctx *ctx;     /* NULL: closed */
    int inside;         /* calls under way: close() is refused */
    pid_t pid;          /* the process that it was made in */
    int whole;          /* it has a mode: made to the end, and handed over */
    PyObject *hooks[XLPY_NHOOKS];
    PyObject *stash;    /* list: events taken by a call that then raised */
    PyObject *carried;  /* an exception for the next call; NULL */
    PyObject *evgens;   /* dict number -> address */
    PyObject *registrations; /* dict number -> what a loop hook returned */
    unsigned long serial;
    unsigned long timer; /* of the timeout that is registered; 0 */
    struct xlpy_onexit *onexit;
    struct xlpy_op *ops;
    struct xlpy_ctx *next_forgotten; /* ctx_type.c */
} xlpy_ctx;

struct xlpy_call {
    struct xlpy_call *outer;
    xlpy_ctx *owner;
    libxl_ctx *ctx;
    PyThreadState *thread; /* NULL while the GIL is held */
    PyObject *type, *value, *traceback;
    int errnoval;
    int begun;
};

/* call.c */
int xlpy_begin(struct xlpy_call *call, PyObject *object);
void xlpy_release(struct xlpy_call *call);
void xlpy_acquire(struct xlpy_call *call);
int xlpy_raise_kept(struct xlpy_call *call);
void xlpy_leave(struct xlpy_call *call);
int xlpy_end(struct xlpy_call *call);
void xlpy_carry(struct xlpy_call *call);
/* The Ctx of this thread's last call is the parent process's. */
int xlpy_inherited(void);

/* The GIL, in a callback. */
struct xlpy_gil {
    struct xlpy_call *call; /* NULL: a thread that Python did not send in */
    PyGILState_STATE state;
};
void xlpy_gil_take(struct xlpy_gil *gil);
void xlpy_gil_give(struct xlpy_gil *gil);
/* Keeps the exception that is set for the call, or shows it. */
void xlpy_keep_exception(struct xlpy_gil *gil, PyObject *culprit);

/* errors.c: these set an exception and return NULL */
PyObject *xlpy_raise(int rc, int errnoval, const char *what);
PyObject *xlpy_raise_failure(int rc, const libxl_childproc_failure *failure,
                             const libxl_childproc_spec *spec,
                             const libxl_childproc_exec_opts *opts);
/* These return a new exception, and set none. */
PyObject *xlpy_start_error(int rc, const libxl_childproc_failure *failure,
                           const libxl_childproc_spec *spec,
                           const libxl_childproc_exec_opts *opts);
PyObject *xlpy_error(int rc, const libxl_childproc_failure *failure,
                     int errnoval, const char *what, const char *subject);
void xlpy_blame(const char *format, ...);
PyObject *xlpy_class(const char *name); /* of xlchild._errors; borrowed */

/* ctx_type.c */
extern PyTypeObject *xlpy_ctx_type;
int xlpy_types_init(PyObject *module);
int xlpy_close(xlpy_ctx *self);
/* No call of this thread is under way any more. */
void xlpy_free_forgotten(void);
/* The interpreter is gone: no closure may be called. */
int xlpy_over(void);

/* hooks.c */
extern const libxl_logger xlpy_logger;
PyObject *xlpy_setmode(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_register_callbacks(PyObject *self, PyObject *const *args,
                                  Py_ssize_t n);
void xlpy_report_callback(libxl_ctx *ctx, const libxl_childproc_result *result,
                          void *for_callback);
int xlpy_callable_or_none(PyObject *object, const char *what);

/* loops.c */
PyObject *xlpy_osevent_register(PyObject *self, PyObject *const *args,
                                Py_ssize_t n);
PyObject *xlpy_beforepoll(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_afterpoll(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_occurred_fd(PyObject *self, PyObject *const *args,
                           Py_ssize_t n);
PyObject *xlpy_occurred_timeout(PyObject *self, PyObject *const *args,
                                Py_ssize_t n);

/* spec.c: Python's arguments as C structs */
struct xlpy_block;
struct xlpy_arena {
    struct xlpy_block *blocks;
    char *free;
    size_t left;
    char first[2048];
};
void xlpy_arena_init(struct xlpy_arena *arena);
void xlpy_arena_clear(struct xlpy_arena *arena);
void *xlpy_arena_get(struct xlpy_arena *arena, size_t size);
/* A copy of a str, bytes or PathLike; NULL and an exception. */
const char *xlpy_text(struct xlpy_arena *arena, PyObject *object);
int xlpy_spec(struct xlpy_arena *arena, xlpy_ctx *owner, PyObject *argv,
              PyObject *options, libxl_childproc_spec *ret_spec,
              sigset_t sets[2]);
const char *xlpy_program(const libxl_childproc_spec *spec);
int xlpy_policy(PyObject *object, libxl_kill_policy *ret_policy);
int xlpy_signal_set(PyObject *object, sigset_t *ret_set);

/* results.c: C structs as Python's values */
PyObject *xlpy_result(const libxl_childproc_result *result);
PyObject *xlpy_event(xlpy_ctx *self, const libxl_event *event);

/* events.c */
int xlpy_until(long timeout_ms, struct timespec *ret_until);
int xlpy_left(const struct timespec *until); /* ms in this slice */
int xlpy_passed(const struct timespec *until);
PyObject *xlpy_events(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_peek(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_claim(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_evenable(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_evdisable(PyObject *self, PyObject *const *args, Py_ssize_t n);

/* children.c */
PyObject *xlpy_spawn(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_spawn_many(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_wait(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_adopt(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_detach(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_linger(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_diagnose(PyObject *self, PyObject *const *args, Py_ssize_t n);
void xlpy_interruptible(libxl_childproc_spec *spec);
int xlpy_hand_over(PyObject *cell, PyObject *answer);
void xlpy_onexit_drop(struct xlpy_onexit *onexit);

/* families.c */
PyObject *xlpy_family_new(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_family_look(PyObject *self, PyObject *const *args,
                           Py_ssize_t n);
PyObject *xlpy_family_wait(PyObject *self, PyObject *const *args,
                           Py_ssize_t n);

/* account.c */
PyObject *xlpy_account(PyObject *self, PyObject *const *args, Py_ssize_t n);

/* operations.c */
PyObject *xlpy_run(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_exec(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *xlpy_family_when_empty(PyObject *self, PyObject *const *args,
                                 Py_ssize_t n);
PyObject *xlpy_abort(PyObject *self, PyObject *const *args, Py_ssize_t n);
/* The operation's tuple if the event is one's completion, and forgets it;
 * None for a completion of somebody else's. */
PyObject *xlpy_op_complete(xlpy_ctx *self, const libxl_event *event);
void xlpy_ops_drop(xlpy_ctx *self);
int xlpy_ops_traverse(xlpy_ctx *self, visitproc visit, void *arg);

/* audit.c */
PyObject *xlpy_watch_starts(PyObject *callback);

#endif
