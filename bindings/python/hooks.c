/* hooks.c - C hooks that call Python closures
 *
 * Called by the library, on a thread that is inside a call (call.c). A
 * closure is kept by the Ctx while it is registered, and by the trampoline
 * while it runs. Its exception is kept for the call; nothing unwinds through C.
 */
#include "binding.h"

#include <errno.h>
#include <unistd.h>

int xlpy_callable_or_none(PyObject *object, const char *what)
{
    if (object == Py_None || PyCallable_Check(object))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must be callable or None, not %.100s",
                 what, Py_TYPE(object)->tp_name);
    return -1;
}

/* Borrowed during the call: the caller releases it. NULL: none any more. */
static PyObject *closure_of(xlpy_ctx *self, enum xlpy_hook hook)
{
    Py_XINCREF(self->hooks[hook]);
    return self->hooks[hook];
}

static void call_log(void *user, libxl_log_level level, int errnoval,
                     const char *message)
{
    xlpy_ctx *self = user;
    PyObject *closure, *answer;
    struct xlpy_gil gil;

    if (xlpy_over())
        return;
    xlpy_gil_take(&gil);
    closure = closure_of(self, XLPY_LOG);
    if (closure) {
        answer = PyObject_CallFunction(closure, "iis", (int)level, errnoval,
                                       message);
        Py_XDECREF(answer);
        xlpy_keep_exception(&gil, closure);
        Py_DECREF(closure);
    }
    xlpy_gil_give(&gil);
}

const libxl_logger xlpy_logger = {
    .size = sizeof(libxl_logger),
    .min_level = LIBXL_LOG_WARNING,
    .log = call_log,
};

/* The errno of the OSError that is set, which is then cleared; 0: another. */
static int errno_of_exception(void)
{
    PyObject *type, *value, *traceback, *number;
    int errnoval = 0;

    if (!PyErr_ExceptionMatches(PyExc_OSError))
        return 0;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    number = PyObject_GetAttrString(value, "errno");
    if (number && PyLong_Check(number))
        errnoval = (int)PyLong_AsLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    if (errnoval <= 0) {
        PyErr_Restore(type, value, traceback);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return errnoval;
}

/* A closure that raises in the child must not come back as a failed fork, in
 * two processes: the child ends. */
static pid_t call_fork(void *user)
{
    xlpy_ctx *self = user;
    PyObject *closure, *answer = NULL;
    struct xlpy_gil gil;
    pid_t before = getpid();
    long pid = -1;
    int errnoval = ECANCELED;

    xlpy_gil_take(&gil);
    closure = closure_of(self, XLPY_FORK);
    if (closure)
        answer = PyObject_CallFunctionObjArgs(closure, NULL);
    if (getpid() != before) {
        if (!answer || !PyLong_Check(answer) || PyLong_AsLong(answer) != 0)
            _exit(127);
        return 0;
    }
    if (answer) {
        pid = PyLong_AsLong(answer);
        if (!PyErr_Occurred() && pid <= 1) {
            PyErr_Format(PyExc_ValueError,
                         "fork_replacement returned %ld, which is no child",
                         pid);
            pid = -1;
        }
        Py_DECREF(answer);
    }
    if (PyErr_Occurred()) {
        pid = -1;
        if (PyErr_ExceptionMatches(PyExc_OSError)) {
            int r = errno_of_exception();

            if (r)
                errnoval = r;
        }
    }
    xlpy_keep_exception(&gil, closure);
    Py_XDECREF(closure);
    xlpy_gil_give(&gil);
    if (pid < 0)
        errno = errnoval;
    return (pid_t)pid;
}

/* What a childproc_exited_callback may answer: None, True or 0 for its own,
 * False or ERROR_NOT_READY for not its own, another code for a disaster. */
static int answer_code(PyObject *answer)
{
    long code;

    if (answer == Py_None || answer == Py_True)
        return 0;
    if (answer == Py_False)
        return ERROR_NOT_READY;
    code = PyLong_AsLong(answer);
    return PyErr_Occurred() ? 0 : (int)code;
}

static int call_exited(pid_t pid, int status, void *user)
{
    xlpy_ctx *self = user;
    PyObject *closure, *answer, *make, *object = NULL;
    struct xlpy_gil gil;
    int code = 0;

    if (xlpy_over())
        return ERROR_NOT_READY;
    xlpy_gil_take(&gil);
    closure = closure_of(self, XLPY_EXITED);
    if (closure) {
        make = xlpy_class("status_of_stranger");
        if (make)
            object = PyObject_CallFunction(make, "ii", (int)pid, status);
        answer = object ? PyObject_CallFunction(closure, "iO", (int)pid, object)
                        : NULL;
        if (answer)
            code = answer_code(answer);
        Py_XDECREF(answer);
        Py_XDECREF(object);
        xlpy_keep_exception(&gil, closure);
        Py_DECREF(closure);
    } else {
        code = ERROR_NOT_READY;
    }
    xlpy_gil_give(&gil);
    return code;
}

/* The closure leaves the Ctx before it is called: once, whatever it does. */
void xlpy_report_callback(libxl_ctx *ctx, const libxl_childproc_result *result,
                          void *for_callback)
{
    struct xlpy_onexit *onexit = for_callback;
    PyObject *callable, *value, *answer = NULL;
    struct xlpy_gil gil;

    (void)ctx;
    xlpy_gil_take(&gil);
    callable = onexit->callable;
    Py_INCREF(callable);
    onexit->fired = 1;
    if (onexit->id) /* the start has returned: nobody else needs it */
        xlpy_onexit_drop(onexit);
    value = xlpy_result(result);
    if (value)
        answer = PyObject_CallFunctionObjArgs(callable, value, NULL);
    Py_XDECREF(answer);
    Py_XDECREF(value);
    xlpy_keep_exception(&gil, callable);
    Py_DECREF(callable);
    xlpy_gil_give(&gil);
}

static void call_event_occurs(void *user, libxl_event *event)
{
    xlpy_ctx *self = user;
    PyObject *closure, *value, *answer = NULL;
    struct xlpy_gil gil;

    xlpy_gil_take(&gil);
    closure = closure_of(self, XLPY_EVENT_OCCURS);
    value = xlpy_event(self, event);
    libxl_event_free(self->ctx, event);
    if (closure && value)
        answer = PyObject_CallFunctionObjArgs(closure, value, NULL);
    Py_XDECREF(answer);
    Py_XDECREF(value);
    xlpy_keep_exception(&gil, closure);
    Py_XDECREF(closure);
    xlpy_gil_give(&gil);
}

static void call_disaster(void *user, libxl_event_type type, const char *msg,
                          int errnoval)
{
    xlpy_ctx *self = user;
    PyObject *closure, *answer;
    struct xlpy_gil gil;

    if (xlpy_over())
        return;
    xlpy_gil_take(&gil);
    closure = closure_of(self, XLPY_DISASTER);
    if (closure) {
        answer = PyObject_CallFunction(closure, "isi", (int)type, msg,
                                       errnoval);
        Py_XDECREF(answer);
        xlpy_keep_exception(&gil, closure);
        Py_DECREF(closure);
    }
    xlpy_gil_give(&gil);
}

/* Puts new closures in place of old ones; what was there is in fresh. */
static void exchange(xlpy_ctx *self, enum xlpy_hook first, PyObject **fresh,
                     int n)
{
    PyObject *old;
    int i;

    for (i = 0; i < n; i++) {
        old = self->hooks[first + i];
        self->hooks[first + i] = fresh[i];
        fresh[i] = old;
    }
}

static PyObject *owned(PyObject *object)
{
    if (object == Py_None)
        return NULL;
    Py_INCREF(object);
    return object;
}

/* _setmode(owner, fork_replacement, childproc_exited_callback) */
PyObject *xlpy_setmode(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    libxl_childproc_hooks hooks = { .size = sizeof(hooks) };
    PyObject *fresh[2];
    struct xlpy_call call;
    long owner;
    int rc;

    if (n != 3)
        return PyErr_Format(PyExc_TypeError, "_setmode needs 3 arguments");
    owner = PyLong_AsLong(args[0]);
    if (PyErr_Occurred() ||
        xlpy_callable_or_none(args[1], "fork_replacement") ||
        xlpy_callable_or_none(args[2], "childproc_exited_callback") ||
        xlpy_begin(&call, object))
        return NULL;
    hooks.chldowner = (libxl_sigchld_owner)owner;
    hooks.fork_replacement = args[1] == Py_None ? NULL : call_fork;
    hooks.childproc_exited_callback = args[2] == Py_None ? NULL : call_exited;
    fresh[0] = owned(args[1]);
    fresh[1] = owned(args[2]);
    exchange(self, XLPY_FORK, fresh, 2);
    xlpy_release(&call);
    rc = libxl_childproc_setmode_checked(call.ctx, &hooks, self);
    xlpy_acquire(&call);
    if (rc)
        exchange(self, XLPY_FORK, fresh, 2);
    Py_XDECREF(fresh[0]);
    Py_XDECREF(fresh[1]);
    if (xlpy_end(&call))
        return NULL;
    if (rc)
        return xlpy_raise(rc, call.errnoval, "setmode");
    self->whole = 1;
    Py_RETURN_NONE;
}

/* _register_callbacks(mask, event_occurs, disaster) */
PyObject *xlpy_register_callbacks(PyObject *object, PyObject *const *args,
                                  Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    libxl_event_hooks hooks = { .size = sizeof(hooks) };
    PyObject *fresh[2];
    struct xlpy_call call;
    int rc;

    if (n != 3)
        return PyErr_Format(PyExc_TypeError,
                            "_register_callbacks needs 3 arguments");
    hooks.event_occurs_mask = PyLong_AsUnsignedLongLongMask(args[0]);
    if (PyErr_Occurred() || xlpy_callable_or_none(args[1], "event_occurs") ||
        xlpy_callable_or_none(args[2], "disaster") ||
        xlpy_begin(&call, object))
        return NULL;
    hooks.event_occurs = args[1] == Py_None ? NULL : call_event_occurs;
    hooks.disaster = args[2] == Py_None ? NULL : call_disaster;
    fresh[0] = owned(args[1]);
    fresh[1] = owned(args[2]);
    exchange(self, XLPY_EVENT_OCCURS, fresh, 2);
    xlpy_release(&call);
    rc = libxl_event_register_callbacks(call.ctx, &hooks, self);
    xlpy_acquire(&call);
    if (rc)
        exchange(self, XLPY_EVENT_OCCURS, fresh, 2);
    Py_XDECREF(fresh[0]);
    Py_XDECREF(fresh[1]);
    if (xlpy_end(&call))
        return NULL;
    if (rc)
        return xlpy_raise(rc, call.errnoval, "register_callbacks");
    Py_RETURN_NONE;
}
