/* _libxl.i - how Python sees libxl.i
 *
 * Plain functions on a Ctx are generated from the shared file; what takes
 * structs or closures is written by hand in the .c files beside this one, as
 * methods of Ctx (ctx_type.c), and ignored here.
 */
%module(docstring="The C API, bare. Use the package xlchild.") _libxl

%feature("autodoc", "0"); /* signatures, for the check against the stub */

%begin %{
#define PY_SSIZE_T_CLEAN
%}

%{
#include "binding.h"
%}

%init %{
    /* Only to be dropped when the interpreter ends. SWIG 4.3 would make it
     * then, of a type that Python warns of: where warnings are errors, it
     * would crash. */
    Swig_Globals_global = PyDict_New();
    if (xlpy_types_init(m) < 0)
        return NULL;
%}

/* ---- the context, and the GIL --------------------------------------------- */

%typemap(in) libxl_ctx *ctx (struct xlpy_call call = {0}) {
    if (xlpy_begin(&call, $input))
        SWIG_fail;
    $1 = call.ctx;
}
%typemap(freearg) libxl_ctx *ctx { xlpy_leave(&call$argnum); }
%typemap(typecheck) libxl_ctx *ctx { $1 = 1; }

%define RELEASING(name)
%exception name {
    xlpy_release(&call1);
    $action
    xlpy_acquire(&call1);
    if (xlpy_raise_kept(&call1))
        SWIG_fail;
}
%enddef

/* A negative code is raised, anything else returned. */
%define RAISING(name)
RELEASING(name)
%typemap(out) int name {
    if ($1 < 0) {
        xlpy_raise($1, call1.errnoval, #name);
        SWIG_fail;
    }
    $result = PyLong_FromLong($1);
}
%enddef

RAISING(libxl_ctx_fileno)
RELEASING(libxl_ctx_disaster_latched)
RAISING(libxl_childproc_set_starters)
RAISING(libxl_childproc_kill)
RAISING(libxl_childproc_terminate)
RAISING(libxl_childproc_lookup)
RAISING(libxl_childproc_count)
RAISING(libxl_family_signal)
RAISING(libxl_family_end)
RAISING(libxl_family_free)
RELEASING(libxl_childproc_exited)
RELEASING(libxl_childproc_sigchld_occurred)

/* True: it was ours. There is no other failure. */
%typemap(out) int libxl_childproc_exited {
    $result = PyBool_FromLong($1 == 0);
}

/* ---- other arguments -------------------------------------------------------- */

%typemap(in) libxl_childproc_id {
    $1 = PyLong_AsUnsignedLongLong($input);
    if (PyErr_Occurred())
        SWIG_fail;
}
%apply libxl_childproc_id { libxl_family_id };
%typemap(in) const libxl_kill_policy * (libxl_kill_policy policy) {
    $1 = NULL;
    if ($input != Py_None) {
        if (xlpy_policy($input, &policy))
            SWIG_fail;
        $1 = &policy;
    }
}
%typemap(in, numinputs=0) libxl_childproc_id *ret_id (libxl_childproc_id id) {
    id = 0;
    $1 = &id;
}
%typemap(argout) libxl_childproc_id *ret_id {
    Py_XDECREF($result);
    $result = PyLong_FromUnsignedLongLong(*$1);
}
%typemap(in, numinputs=0) uint64_t *ret_ticks (uint64_t ticks) {
    ticks = 0;
    $1 = &ticks;
}
%typemap(argout) uint64_t *ret_ticks {
    Py_XDECREF($result);
    $result = PyLong_FromUnsignedLongLong(*$1);
}
%typemap(out) int libxl_childproc_start_time {
    if ($1 < 0) {
        xlpy_raise($1, errno, "start_time");
        SWIG_fail;
    }
    $result = PyLong_FromLong($1);
}
%{
#include <errno.h>
%}

/* ---- written by hand --------------------------------------------------------- */

%ignore libxl_ctx_alloc;                 /* Ctx() */
%ignore libxl_ctx_free;                  /* Ctx.close */
%ignore libxl_ctx_log;                   /* Python has logging */
%ignore libxl_logger;                    /* Ctx(log=) */
%ignore libxl_event_check;               /* Ctx._events */
%ignore libxl_event_wait;                /* Ctx._events */
%ignore libxl_event_wait_many;           /* Ctx._events */
%ignore libxl_event_free;                /* Ctx._events */
%ignore libxl_event;
%ignore libxl_event_u;
%ignore libxl_ev_link;
%ignore libxl_event::link;
%ignore libxl_event_u_operation_complete;
%ignore libxl_event_u_childproc_started;
%ignore libxl_event_u_childproc_stopped;
%ignore libxl_childproc_result;          /* a tuple */
%ignore libxl_event_hooks;
%ignore libxl_event_register_callbacks;  /* Ctx._register_callbacks */
%ignore libxl_evenable_childproc_exit;   /* Ctx._evenable */
%ignore libxl_evdisable_childproc_exit;  /* Ctx._evdisable */
%ignore libxl_asyncop_how;
%ignore libxl_asyncop_how_u;
%ignore libxl_asyncprogress_how;
%ignore libxl_asyncprogress_how_u;
%ignore libxl_ao_abort;                  /* Ctx._abort */
%ignore libxl_osevent_hooks;
%ignore libxl_osevent_register_hooks;    /* Ctx._osevent_register */
%ignore libxl_osevent_beforepoll;        /* Ctx.beforepoll */
%ignore libxl_osevent_afterpoll;         /* Ctx.afterpoll */
%ignore libxl_osevent_occurred_fd;       /* Ctx.occurred_fd */
%ignore libxl_osevent_occurred_timeout;  /* Ctx.occurred_timeout */
%ignore libxl_childproc_hooks;
%ignore libxl_childproc_setmode;         /* Ctx._setmode */
%ignore libxl_childproc_setmode_checked; /* Ctx._setmode */
%ignore libxl_postfork_child_noexec;     /* postfork_child_noexec, below */
%ignore libxl_childproc_fd;
%ignore libxl_childproc_rlimit;
%ignore libxl_kill_policy;
%ignore libxl_childproc_spec;            /* a dict: spec.c */
%ignore libxl_childproc_spec_init;
%ignore libxl_childproc_spec_init_sized;
%ignore libxl_childproc_failure;         /* an exception: errors.c */
%ignore libxl_childproc_report;
%ignore libxl_childproc_report_u;
%ignore libxl_childproc_spawn;           /* Ctx._spawn */
%ignore libxl_childproc_batch_entry;
%ignore libxl_childproc_spawn_many;      /* Ctx._spawn_many */
%ignore libxl_childproc_wait;            /* Ctx._wait */
%ignore libxl_childproc_detach;          /* Ctx._detach */
%ignore libxl_childproc_linger;          /* Ctx._linger */
%ignore libxl_childproc_adopt;           /* Ctx._adopt */
%ignore libxl_childproc_diagnosis;
%ignore libxl_childproc_diagnose;        /* Ctx._diagnose */
%ignore libxl_childproc_account;         /* a tuple */
%ignore libxl_childproc_account_take;    /* Ctx._account */
%ignore libxl_stream;
%ignore libxl_childproc_exec_opts;
%ignore libxl_childproc_exec_opts_init;
%ignore libxl_childproc_exec_opts_init_sized;
%ignore libxl_captured;
%ignore libxl_childproc_exec_result;
%ignore libxl_childproc_exec;            /* Ctx._run, Ctx._exec */
%ignore libxl_childproc_exec_result_dispose;
%ignore libxl_family_opts;
%ignore libxl_family_opts_init;
%ignore libxl_family_opts_init_sized;
%ignore libxl_family_state;
%ignore libxl_family_new;                /* Ctx._family_new */
%ignore libxl_family_look;               /* Ctx._family_look */
%ignore libxl_family_wait;               /* Ctx._family_wait */
%ignore libxl_family_when_empty;         /* Ctx._family_when_empty */

%inline %{
/* In a child that forked and will not exec: closes what the parent's ctxs
 * have open here. */
static void postfork_child_noexec(void)
{
    libxl_postfork_child_noexec(NULL);
}
%}

/* From now on callback(event, arguments) hears of the starts that go past the
 * library; None: nobody does. In audit.c. */
%rename(watch_starts) xlpy_watch_starts;
PyObject *xlpy_watch_starts(PyObject *callback);

%include "libxl.i"
