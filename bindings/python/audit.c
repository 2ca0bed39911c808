/* audit.c - hears of the starts that go past the library
 *
 * os.fork, os.posix_spawn and their like say what they are about to do to
 * Python's audit hooks. A hook written in Python would be called for every
 * import and every open(); this one looks at the name and calls one for five
 * events only. A hook cannot be taken back: without a callback it returns at
 * once. Called by Python; _starts.py counts what it hears.
 */
#include "binding.h"

#include <string.h>

static const char *const wanted[] = {
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", NULL,
};

/* All of the GIL's. */
static PyObject *listener;
static PyInterpreterState *listeners; /* where it lives */
static int hooked;

static int heard(const char *event, PyObject *args, void *unused)
{
    PyObject *type, *value, *traceback, *callback = listener, *answer;
    int i;

    (void)unused;
    if (strncmp(event, "os.", 3) != 0 || callback == NULL)
        return 0;
    for (i = 0; wanted[i] != NULL; i++)
        if (strcmp(event, wanted[i]) == 0)
            break;
    if (wanted[i] == NULL || PyThreadState_Get()->interp != listeners)
        return 0;

    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF(callback);
    answer = PyObject_CallFunction(callback, "sO", event,
                                   args != NULL ? args : Py_None);
    if (answer == NULL)
        PyErr_WriteUnraisable(callback); /* the start is not ours to stop */
    Py_XDECREF(answer);
    Py_DECREF(callback);
    PyErr_Restore(type, value, traceback);
    return 0;
}

/* callback(event, arguments) from now on; None: nobody hears. */
PyObject *xlpy_watch_starts(PyObject *callback)
{
    PyObject *before = listener;

    if (callback != Py_None && !PyCallable_Check(callback)) {
        PyErr_SetString(PyExc_TypeError, "callback must be callable or None");
        return NULL;
    }
    if (callback != Py_None && !hooked) {
        if (PySys_AddAuditHook(heard, NULL) < 0)
            return NULL;
        hooked = 1;
    }
    listeners = PyThreadState_Get()->interp;
    listener = NULL;
    if (callback != Py_None) {
        Py_INCREF(callback);
        listener = callback;
    }
    Py_XDECREF(before);
    Py_RETURN_NONE;
}
