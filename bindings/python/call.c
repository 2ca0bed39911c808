/* call.c - one call into the library, and the GIL around it
 *
 * Every function of the binding that takes a Ctx goes through here, those that
 * SWIG generates included. Next: the library, then hooks.c for the closures.
 */
#include "binding.h"

#include <errno.h>
#include <unistd.h>

/* The innermost call of this thread that is inside the library. */
static __thread struct xlpy_call *current;
/* The process that the Ctx of this thread's last call was made in. */
static __thread pid_t last_pid;

/* -1 and an exception: not a Ctx, closed, or the parent process's. */
int xlpy_begin(struct xlpy_call *call, PyObject *object)
{
    xlpy_ctx *self = (xlpy_ctx *)object;

    memset(call, 0, sizeof(*call));
    if (!PyObject_TypeCheck(object, xlpy_ctx_type)) {
        PyErr_Format(PyExc_TypeError, "a Context is needed, not %.100s",
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    if (!self->ctx) {
        PyErr_SetString(PyExc_ValueError, "the Context is closed");
        return -1;
    }
    Py_INCREF(self);
    call->owner = self;
    call->ctx = self->ctx;
    call->begun = 1;
    self->inside++;
    last_pid = self->pid;
    return 0;
}

int xlpy_inherited(void)
{
    return last_pid > 0 && last_pid != getpid();
}

void xlpy_release(struct xlpy_call *call)
{
    call->outer = current;
    current = call;
    call->thread = PyEval_SaveThread();
    errno = 0;
}

void xlpy_acquire(struct xlpy_call *call)
{
    call->errnoval = errno;
    PyEval_RestoreThread(call->thread);
    call->thread = NULL;
    current = call->outer;
}

/* -1: the exception of a callback is set now. */
int xlpy_raise_kept(struct xlpy_call *call)
{
    PyObject *carried;

    if (call->type) {
        PyErr_Restore(call->type, call->value, call->traceback);
        call->type = call->value = call->traceback = NULL;
        return -1;
    }
    carried = call->owner ? call->owner->carried : NULL;
    if (!carried)
        return 0;
    call->owner->carried = NULL;
    PyErr_SetObject((PyObject *)Py_TYPE(carried), carried);
    Py_DECREF(carried);
    return -1;
}

/* The call has made something that an exception would lose: the exception
 * comes out of the next call. */
void xlpy_carry(struct xlpy_call *call)
{
    if (!call->type)
        return;
    PyErr_NormalizeException(&call->type, &call->value, &call->traceback);
    if (call->traceback)
        PyException_SetTraceback(call->value, call->traceback);
    if (!call->owner->carried) {
        call->owner->carried = call->value;
        Py_INCREF(call->value);
        Py_CLEAR(call->type);
        Py_CLEAR(call->value);
        Py_CLEAR(call->traceback);
        return;
    }
    PyErr_Restore(call->type, call->value, call->traceback);
    call->type = call->value = call->traceback = NULL;
    PyErr_WriteUnraisable((PyObject *)call->owner);
}

/* Nothing is raised; an exception that is set stays. */
void xlpy_leave(struct xlpy_call *call)
{
    PyObject *type, *value, *traceback;
    xlpy_ctx *owner = call->owner;

    if (!call->begun)
        return;
    call->begun = 0;
    if (call->type) {
        PyErr_Fetch(&type, &value, &traceback);
        xlpy_carry(call);
        PyErr_Restore(type, value, traceback);
    }
    owner->inside--;
    call->owner = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    Py_DECREF(owner);
    PyErr_Restore(type, value, traceback);
    if (!current)
        xlpy_free_forgotten();
}

int xlpy_end(struct xlpy_call *call)
{
    int r = xlpy_raise_kept(call);

    xlpy_leave(call);
    return r;
}

void xlpy_gil_take(struct xlpy_gil *gil)
{
    gil->call = current && current->thread ? current : NULL;
    if (gil->call) {
        PyEval_RestoreThread(gil->call->thread);
        gil->call->thread = NULL;
    } else {
        gil->state = PyGILState_Ensure();
    }
}

void xlpy_gil_give(struct xlpy_gil *gil)
{
    if (gil->call)
        gil->call->thread = PyEval_SaveThread();
    else
        PyGILState_Release(gil->state);
}

void xlpy_keep_exception(struct xlpy_gil *gil, PyObject *culprit)
{
    struct xlpy_call *call = gil->call;

    if (!PyErr_Occurred())
        return;
    if (call && !call->type)
        PyErr_Fetch(&call->type, &call->value, &call->traceback);
    else
        PyErr_WriteUnraisable(culprit);
}
