/* ctx_type.c - the Ctx type: a libxl_ctx, and the closures that it uses
 *
 * A heap type with GC support; xlchild.Context derives from it. The libxl_ctx
 * goes in close(), or in tp_finalize, where closures are still alive.
 */
#include "binding.h"

#include <unistd.h>

PyTypeObject *xlpy_ctx_type;

static PyObject *ctx_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"log", "min_level", NULL};
    libxl_logger logger = xlpy_logger;
    PyObject *log = Py_None;
    struct xlpy_call call;
    xlpy_ctx *self;
    int level = LIBXL_LOG_WARNING;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|Oi:Ctx", names, &log,
                                     &level) ||
        xlpy_callable_or_none(log, "log"))
        return NULL;
    self = (xlpy_ctx *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (!(self->stash = PyList_New(0)) ||
        !(self->evgens = PyDict_New()) || !(self->registrations = PyDict_New()))
        goto out;
    if (log != Py_None) {
        Py_INCREF(log);
        self->hooks[XLPY_LOG] = log;
    }
    logger.user = self;
    logger.min_level = (libxl_log_level)level;
    memset(&call, 0, sizeof(call));
    call.owner = self;
    xlpy_release(&call);
    rc = libxl_ctx_alloc(&self->ctx, LIBXL_VERSION, 0,
                         log == Py_None ? NULL : &logger);
    xlpy_acquire(&call);
    if (xlpy_raise_kept(&call))
        goto out;
    if (rc) {
        xlpy_raise(rc, call.errnoval, "Context");
        goto out;
    }
    self->pid = getpid();
    return (PyObject *)self;

out:
    Py_DECREF(self);
    return NULL;
}

/* Drops what C no longer uses once the libxl_ctx is gone. */
static void forget(xlpy_ctx *self)
{
    int i;

    while (self->onexit)
        xlpy_onexit_drop(self->onexit);
    xlpy_ops_drop(self);
    for (i = 0; i < XLPY_NHOOKS; i++)
        Py_CLEAR(self->hooks[i]);
    Py_CLEAR(self->stash);
    Py_CLEAR(self->evgens);
    Py_CLEAR(self->registrations);
}

/* The default Context: open until the process ends, whatever Python code runs
 * until then. What Python has of it may be gone when it is freed. */
static xlpy_ctx *to_the_end;
static int over;

int xlpy_over(void)
{
    return over;
}

static void at_the_end(void)
{
    xlpy_ctx *self = to_the_end;

    over = 1; /* no closure is called any more */
    if (self && self->ctx && self->pid == getpid() && !self->inside)
        libxl_ctx_free(self->ctx);
}

/* _keep_to_the_end() */
static PyObject *ctx_keep(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    xlpy_ctx *old = to_the_end;

    Py_INCREF(object);
    to_the_end = (xlpy_ctx *)object;
    Py_XDECREF((PyObject *)old);
    Py_RETURN_NONE;
}

/* Forgotten while a closure of another one ran: freed when that is over. */
static xlpy_ctx *forgotten;

void xlpy_free_forgotten(void)
{
    PyObject *type, *value, *traceback;
    xlpy_ctx *self, *again = NULL;

    if (!forgotten)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    while (forgotten) {
        self = forgotten;
        forgotten = self->next_forgotten;
        self->next_forgotten = NULL;
        if (xlpy_close(self) && self->ctx) {
            self->next_forgotten = again;
            again = self;
        } else {
            Py_DECREF(self);
        }
    }
    forgotten = again;
    PyErr_Restore(type, value, traceback);
}

/* 0, or an ERROR_ code and nothing happened; exceptions of hooks are shown,
 * not raised: the ctx is gone in any case. */
int xlpy_close(xlpy_ctx *self)
{
    struct xlpy_call call;
    PyObject *carried;
    libxl_ctx *ctx = self->ctx;
    int rc;

    if (!ctx)
        return 0;
    if (self->inside)
        return ERROR_BUSY;
    Py_INCREF(self);
    self->ctx = NULL;
    memset(&call, 0, sizeof(call));
    call.owner = self;
    xlpy_release(&call);
    rc = libxl_ctx_free(ctx);
    xlpy_acquire(&call);
    if (call.type) {
        PyErr_Restore(call.type, call.value, call.traceback);
        PyErr_WriteUnraisable((PyObject *)self);
    }
    if (rc) {
        self->ctx = ctx;
    } else {
        carried = self->carried;
        self->carried = NULL;
        if (carried) {
            PyErr_SetObject((PyObject *)Py_TYPE(carried), carried);
            PyErr_WriteUnraisable((PyObject *)self);
            Py_DECREF(carried);
        }
        forget(self);
    }
    Py_DECREF(self);
    return rc;
}

static PyObject *ctx_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    int rc = xlpy_close(self);

    if (rc)
        return xlpy_raise(rc, 0, "close");
    Py_RETURN_NONE;
}

/* Never calls the user's code: closures go first, apart from those that
 * undo registrations of a loop. */
static void ctx_finalize(PyObject *object)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    PyObject *type, *value, *traceback;

    if (!self->ctx)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (self->whole && self->pid == getpid() &&
        PyErr_ResourceWarning(object, 1, "unclosed Context %R", object) &&
        PyErr_ExceptionMatches(PyExc_Warning))
        PyErr_WriteUnraisable(object);
    PyErr_Clear();
    Py_CLEAR(self->hooks[XLPY_LOG]);
    Py_CLEAR(self->hooks[XLPY_EXITED]);
    Py_CLEAR(self->hooks[XLPY_FORK]);
    Py_CLEAR(self->hooks[XLPY_EVENT_OCCURS]);
    Py_CLEAR(self->hooks[XLPY_DISASTER]);
    if (xlpy_close(self) && self->ctx) {
        Py_INCREF(self);
        self->next_forgotten = forgotten;
        forgotten = self;
    }
    PyErr_Restore(type, value, traceback);
}

static int ctx_traverse(PyObject *object, visitproc visit, void *arg)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    struct xlpy_onexit *onexit;
    int i;

#if PY_VERSION_HEX >= 0x03090000
    Py_VISIT(Py_TYPE(object));
#endif
    for (i = 0; i < XLPY_NHOOKS; i++)
        Py_VISIT(self->hooks[i]);
    for (onexit = self->onexit; onexit; onexit = onexit->next)
        Py_VISIT(onexit->callable);
    Py_VISIT(self->stash);
    Py_VISIT(self->carried);
    Py_VISIT(self->evgens);
    Py_VISIT(self->registrations);
    return xlpy_ops_traverse(self, visit, arg);
}

/* The closures of an open ctx are C's until tp_finalize has closed it. */
static int ctx_clear(PyObject *object)
{
    xlpy_ctx *self = (xlpy_ctx *)object;

    Py_CLEAR(self->carried);
    if (!self->ctx)
        forget(self);
    return 0;
}

static void ctx_dealloc(PyObject *object)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    PyTypeObject *type = Py_TYPE(object);

    if (PyObject_CallFinalizerFromDealloc(object) < 0)
        return; /* forgotten: see above */
    PyObject_GC_UnTrack(object);
    if (!self->ctx)
        ctx_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *ctx_closed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!((xlpy_ctx *)object)->ctx);
}

/* The signature is for inspect, and for the check against _libxl.pyi. */
#define PUBLIC(name, function, signature, words)                    \
    {                                                               \
        name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, \
            name "($self" signature ", /)\n--\n\n" words            \
    }
#define FAST(name, function, signature) PUBLIC(name, function, signature, "")

#define REQUEST \
    ", argv, options, stdin, stdout, stderr, timeout_ms, linger, stream_data"

#define BEFOREPOLL                                                         \
    "What to poll: [(fd, events)], and how long: milliseconds, or -1.\n\n" \
    "timeout_ms is how long the program would wait by itself (-1: for "    \
    "ever).\n\n"                                                           \
    ">>> import select, xlchild\n"                                         \
    ">>> with xlchild.Context() as ctx:\n"                                 \
    "...     child = ctx.spawn(['true'], event=True)\n"                    \
    "...     while child.status is None:\n"                                \
    "...         fds, timeout = ctx.beforepoll()\n"                        \
    "...         poll = select.poll()\n"                                   \
    "...         for fd, events in fds:\n"                                 \
    "...             poll.register(fd, events)\n"                          \
    "...         ctx.afterpoll(poll.poll(timeout))\n"                      \
    "...         taken = ctx.events()\n"                                   \
    "...     print(child.status)\n"                                        \
    "exit 0\n"

static PyMethodDef ctx_methods[] = {
    {"close", ctx_close, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Free the context. BusyError while a call on it is under way."},
    {"_keep_to_the_end", ctx_keep, METH_NOARGS,
     "_keep_to_the_end($self, /)\n--\n\n"},
    FAST("_setmode", xlpy_setmode, ", owner, fork_replacement, exited"),
    FAST("_register_callbacks", xlpy_register_callbacks,
         ", mask, event_occurs, disaster"),
    FAST("_osevent_register", xlpy_osevent_register,
         ", fd_register, fd_modify, fd_deregister, timeout_register, "
         "timeout_modify, timeout_deregister"),
    PUBLIC("beforepoll", xlpy_beforepoll, ", timeout_ms=-1", BEFOREPOLL),
    PUBLIC("afterpoll", xlpy_afterpoll, ", fds",
           "Pass on what poll() said, (fd, revents) each: callbacks run.\n\n"
           "See beforepoll()."),
    PUBLIC("occurred_fd", xlpy_occurred_fd, ", for_libxl, fd, events, revents",
           "A host loop saw an fd that it was asked to watch.\n\n"
           "events are those asked for, revents those seen (select.POLLIN "
           "and so on).\nSee Context.osevent_register()."),
    PUBLIC("occurred_timeout", xlpy_occurred_timeout, ", for_libxl",
           "A time that a host loop was asked to watch has come.\n\n"
           "It is asked no more. See Context.osevent_register()."),
    FAST("_events", xlpy_events, ", max, mask, timeout_ms, cell=None"),
    FAST("_evenable", xlpy_evenable, ", pid, user, cell=None"),
    FAST("_peek", xlpy_peek, ", id"),
    FAST("_claim", xlpy_claim, ", user"),
    FAST("_evdisable", xlpy_evdisable, ", number"),
    FAST("_spawn", xlpy_spawn, ", argv, options, kind, user, cell=None"),
    FAST("_spawn_many", xlpy_spawn_many, ", entries, cell=None"),
    FAST("_wait", xlpy_wait, ", id, timeout_ms"),
    FAST("_adopt", xlpy_adopt,
         ", pid, start_ticks, pidfd, kind, user, cell=None"),
    FAST("_detach", xlpy_detach, ", id"),
    FAST("_linger", xlpy_linger, ", id"),
    FAST("_account", xlpy_account, ", id, cell"),
    FAST("_diagnose", xlpy_diagnose, ""),
    FAST("_family_new", xlpy_family_new,
         ", end_when, first_signal, grace_ms, holds, cgroup_parent, cell"),
    FAST("_family_look", xlpy_family_look, ", id"),
    FAST("_family_wait", xlpy_family_wait, ", id, timeout_ms"),
    FAST("_family_when_empty", xlpy_family_when_empty, ", id, callback, cell"),
    FAST("_run", xlpy_run, REQUEST),
    FAST("_exec", xlpy_exec, REQUEST ", started=False, cell=None"),
    FAST("_abort", xlpy_abort, ", number"),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef ctx_getset[] = {
    {"closed", ctx_closed, NULL, "True once the context is freed.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot ctx_slots[] = {
    {Py_tp_new, ctx_new},
    {Py_tp_dealloc, ctx_dealloc},
    {Py_tp_finalize, ctx_finalize},
    {Py_tp_traverse, ctx_traverse},
    {Py_tp_clear, ctx_clear},
    {Py_tp_methods, ctx_methods},
    {Py_tp_getset, ctx_getset},
    {Py_tp_doc, "A libxl_ctx and the closures that it calls."},
    {0, NULL},
};

static PyType_Spec ctx_spec = {
    "xlchild._libxl.Ctx",
    sizeof(xlpy_ctx),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
        Py_TPFLAGS_HAVE_FINALIZE,
    ctx_slots,
};

int xlpy_types_init(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&ctx_spec);

    if (!type)
        return -1;
    if (Py_AtExit(at_the_end) != 0) { /* there is no room for it */
        Py_DECREF(type);
        PyErr_SetString(PyExc_RuntimeError, "too many atexit functions");
        return -1;
    }
    xlpy_ctx_type = (PyTypeObject *)type;
    Py_INCREF(type);
    if (PyModule_AddObject(module, "Ctx", type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}
