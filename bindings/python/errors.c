/* errors.c - the library's codes as Python exceptions
 *
 * The classes are Python's (xlchild/_errors.py); this file finds and raises
 * them. Called by everything in the binding that gets a code.
 */
#include "binding.h"

PyObject *xlpy_class(const char *name)
{
    static PyObject *module;
    PyObject *found;

    if (!module)
        module = PyImport_ImportModule("xlchild._errors");
    if (!module)
        return NULL;
    found = PyObject_GetAttrString(module, name);
    Py_XDECREF(found); /* the module keeps it */
    return found;
}

/* A new exception object; NULL and an exception if there is none. */
PyObject *xlpy_error(int rc, const libxl_childproc_failure *failure,
                     int errnoval, const char *what)
{
    PyObject *factory = xlpy_class("from_code");

    if (!factory)
        return NULL;
    if (!failure)
        return PyObject_CallFunction(factory, "iizzz", rc, errnoval, what,
                                     NULL, NULL);
    return PyObject_CallFunction(factory, "iizzz", rc, failure->errnoval, what,
                                 libxl_childproc_stage_name(failure->stage),
                                 failure->argument);
}

static PyObject *set(PyObject *error)
{
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *xlpy_raise(int rc, int errnoval, const char *what)
{
    return set(xlpy_error(rc, NULL, errnoval, what));
}

PyObject *xlpy_raise_failure(int rc, const libxl_childproc_failure *failure,
                             const char *program)
{
    return set(xlpy_error(rc, failure, 0, program));
}
