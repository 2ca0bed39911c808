/* families.c - families seen from Python: made, looked at, waited for
 *
 * Called by the package's Family (_family.py). To signal, end and free one are
 * plain functions, which SWIG generates.
 */
#include "binding.h"

#include <time.h>

/* _family_new(end_when, first_signal, grace_ms, holds, cgroup_parent, cell)
 *     -> (id, its cgroup's directory or None), also in cell */
PyObject *xlpy_family_new(PyObject *object, PyObject *const *args,
                          Py_ssize_t n)
{
    libxl_family_state state;
    struct xlpy_arena arena;
    libxl_family_opts opts;
    libxl_family_id id = 0;
    struct xlpy_call call;
    PyObject *value = NULL;
    long numbers[4];
    int i, rc;

    if (n != 6)
        return PyErr_Format(PyExc_TypeError, "_family_new needs 6 arguments");
    for (i = 0; i < 4; i++) {
        numbers[i] = PyLong_AsLong(args[i]);
        if (PyErr_Occurred())
            return NULL;
    }
    xlpy_arena_init(&arena);
    if (xlpy_begin(&call, object))
        return NULL;
    libxl_family_opts_init(&opts);
    opts.end_when = (libxl_family_when)numbers[0];
    opts.first_signal = (int)numbers[1];
    opts.grace_ms = (int)numbers[2];
    opts.holds = (unsigned)numbers[3];
    if (args[4] != Py_None) {
        opts.cgroup_parent = xlpy_text(&arena, args[4]);
        if (!opts.cgroup_parent) {
            xlpy_blame("cgroup_parent");
            goto out;
        }
    }
    memset(&state, 0, sizeof(state));
    state.size = sizeof(state);
    xlpy_release(&call);
    rc = libxl_family_new(call.ctx, &opts, &id);
    /* nobody else knows its number: the directory's name stays */
    if (rc == 0)
        rc = libxl_family_look(call.ctx, id, &state);
    xlpy_acquire(&call);
    if (rc == 0) {
        value = state.cgroup
                    ? Py_BuildValue("(KN)", (unsigned long long)id,
                                    PyUnicode_DecodeFSDefault(state.cgroup))
                    : Py_BuildValue("(KO)", (unsigned long long)id, Py_None);
        if (xlpy_hand_over(args[5], value) || xlpy_raise_kept(&call))
            Py_CLEAR(value);
    } else if (!xlpy_raise_kept(&call)) {
        xlpy_raise(rc, call.errnoval, "libxl_family_new");
    }
out:
    xlpy_leave(&call);
    xlpy_arena_clear(&arena);
    return value;
}

/* _family_look(id) -> (hold, why, started, empty, ending, pid) */
PyObject *xlpy_family_look(PyObject *object, PyObject *const *args,
                           Py_ssize_t n)
{
    libxl_family_state state;
    struct xlpy_call call;
    libxl_family_id id;
    int rc;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "_family_look needs 1 argument");
    id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    memset(&state, 0, sizeof(state));
    state.size = sizeof(state);
    xlpy_release(&call);
    rc = libxl_family_look(call.ctx, id, &state);
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    if (rc)
        return xlpy_raise(rc, call.errnoval, "libxl_family_look");
    return Py_BuildValue("(iziiii)", (int)state.hold, state.why, state.started,
                         state.empty, state.ending, (int)state.pid);
}

/* _family_wait(id, timeout_ms) -> it is empty; False when the time is over.
 * Handlers of signals run meanwhile. */
PyObject *xlpy_family_wait(PyObject *object, PyObject *const *args,
                           Py_ssize_t n)
{
    struct timespec until;
    struct xlpy_call call;
    PyObject *value = NULL;
    libxl_family_id id;
    long timeout;
    int rc, slice;

    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "_family_wait needs 2 arguments");
    id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred())
        return NULL;
    timeout = PyLong_AsLong(args[1]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    xlpy_until(timeout, &until);
    while (!value) {
        slice = timeout == 0 ? 0 : xlpy_left(&until);
        xlpy_release(&call);
        rc = libxl_family_wait(call.ctx, id, slice, LIBXL_WAIT_INTERRUPTIBLE);
        xlpy_acquire(&call);
        if (call.type)
            break;
        if (rc == 0) {
            value = PyBool_FromLong(1);
        } else if (rc != ERROR_TIMEDOUT && rc != ERROR_INTERRUPTED) {
            xlpy_raise(rc, call.errnoval, "libxl_family_wait");
            break;
        } else if (timeout != 0 && PyErr_CheckSignals() < 0) {
            break;
        } else if (timeout == 0 || xlpy_passed(&until)) {
            value = PyBool_FromLong(0);
        }
    }
    if (!value && !PyErr_Occurred())
        xlpy_raise_kept(&call);
    xlpy_leave(&call);
    return value;
}
