/* errors.c - the library's codes as Python exceptions
 *
 * The classes are Python's (xlchild/_errors.py); this file finds and raises
 * them. Called by everything in the binding that gets a code.
 */
#include "binding.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

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

static PyObject *named(const char *text)
{
    if (!text)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(text);
}

/* A new exception object; NULL and an exception if there is none. what: the
 * operation, or the program; subject: what the system's error is about, or
 * NULL. */
PyObject *xlpy_error(int rc, const libxl_childproc_failure *failure,
                     int errnoval, const char *what, const char *subject)
{
    PyObject *factory;

    if (rc == ERROR_INVAL && xlpy_inherited()) {
        factory = xlpy_class("inherited");
        return factory ? PyObject_CallFunction(factory, "N", named(what))
                       : NULL;
    }
    factory = xlpy_class("from_code");
    if (!factory)
        return NULL;
    return PyObject_CallFunction(
        factory, "iiNzzN", rc, failure ? failure->errnoval : errnoval,
        named(what),
        failure ? libxl_childproc_stage_name(failure->stage) : NULL,
        failure ? failure->argument : NULL, named(subject));
}

/* The path of the stream that could not be opened. */
static const char *unopened(const libxl_childproc_exec_opts *opts,
                            const char *argument)
{
    const libxl_stream *stream = NULL;

    if (strcmp(argument, "stdin_stream") == 0)
        stream = &opts->stdin_stream;
    else if (strcmp(argument, "stdout_stream") == 0)
        stream = &opts->stdout_stream;
    else if (strcmp(argument, "stderr_stream") == 0)
        stream = &opts->stderr_stream;
    return stream ? stream->path : NULL;
}

static int closed_fd(const libxl_childproc_spec *spec)
{
    size_t i;

    for (i = 0; i < spec->nfds; i++)
        if (spec->fds[i].source >= 0 &&
            fcntl(spec->fds[i].source, F_GETFD) < 0)
            return spec->fds[i].source;
    return -1;
}

/* What the error of a start is about; room is for what has to be made up.
 * NULL: nothing in particular. */
static const char *subject_of(const libxl_childproc_failure *failure,
                              const libxl_childproc_spec *spec,
                              const libxl_childproc_exec_opts *opts,
                              char *room, size_t size)
{
    int fd;

    switch (failure->stage) {
    case LIBXL_STAGE_EXEC:
        return xlpy_program(spec);
    case LIBXL_STAGE_CHDIR:
        return spec->cwd;
    case LIBXL_STAGE_CGROUP:
        return spec->cgroup;
    case LIBXL_STAGE_FDS:
        if (opts && failure->argument)
            return unopened(opts, failure->argument);
        fd = closed_fd(spec);
        if (fd < 0)
            return NULL;
        snprintf(room, size, "fd %d", fd);
        return room;
    case LIBXL_STAGE_SESSION:
        if (!(spec->flags & LIBXL_SPAWN_JOIN_GROUP))
            return NULL;
        snprintf(room, size, "process group %d", (int)spec->group);
        return room;
    case LIBXL_STAGE_CTTY:
        snprintf(room, size, "ctty_fd %d", spec->ctty_fd);
        return room;
    case LIBXL_STAGE_UID:
        snprintf(room, size, "uid %u", (unsigned)spec->uid);
        return room;
    case LIBXL_STAGE_GID:
        snprintf(room, size, "gid %u", (unsigned)spec->gid);
        return room;
    case LIBXL_STAGE_GROUPS:
        return "groups";
    case LIBXL_STAGE_RLIMIT:
        return "rlimits";
    case LIBXL_STAGE_NICE:
        snprintf(room, size, "nice %d", spec->nice);
        return room;
    default:
        return NULL;
    }
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
    return set(xlpy_error(rc, NULL, errnoval, what, NULL));
}

PyObject *xlpy_start_error(int rc, const libxl_childproc_failure *failure,
                           const libxl_childproc_spec *spec,
                           const libxl_childproc_exec_opts *opts)
{
    char room[64];

    return xlpy_error(rc, failure, 0, xlpy_program(spec),
                      subject_of(failure, spec, opts, room, sizeof(room)));
}

PyObject *xlpy_raise_failure(int rc, const libxl_childproc_failure *failure,
                             const libxl_childproc_spec *spec,
                             const libxl_childproc_exec_opts *opts)
{
    return set(xlpy_start_error(rc, failure, spec, opts));
}

/* Says of the exception that is set which argument it is about. */
void xlpy_blame(const char *format, ...)
{
    PyObject *type, *value, *traceback, *what, *words;
    va_list arguments;

    if (!PyErr_Occurred())
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (type != PyExc_TypeError && type != PyExc_ValueError) {
        PyErr_Restore(type, value, traceback);
        return;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    va_start(arguments, format);
    what = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    words = what ? PyUnicode_FromFormat("%U: %S", what, value) : NULL;
    if (words) {
        PyErr_SetObject(type, words);
        Py_DECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    } else {
        PyErr_Clear();
        PyErr_Restore(type, value, traceback);
    }
    Py_XDECREF(words);
    Py_XDECREF(what);
}
