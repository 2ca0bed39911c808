/* loops.c - a Python event loop as the host's: the osevent calls
 *
 * A registration is whatever object the Python hook returned; C carries its
 * number, and the Ctx keeps the object until it is deregistered.
 */
#include "binding.h"

#include <sys/time.h>

static struct timeval now_tv(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return now;
}

static double seconds(struct timeval abs)
{
    return (double)abs.tv_sec + (double)abs.tv_usec / 1e6;
}

/* Calls a hook; steals arguments. NULL: it raised, which the call keeps. */
static PyObject *call_hook(struct xlpy_gil *gil, xlpy_ctx *self,
                           enum xlpy_hook hook, PyObject *arguments)
{
    PyObject *closure = self->hooks[hook], *answer = NULL;

    Py_XINCREF(closure);
    if (closure && arguments)
        answer = PyObject_Call(closure, arguments, NULL);
    Py_XDECREF(arguments);
    xlpy_keep_exception(gil, closure);
    Py_XDECREF(closure);
    return answer;
}

/* Keeps a registration, steals it. 0: no memory. */
static unsigned long keep(xlpy_ctx *self, PyObject *registration)
{
    unsigned long number = ++self->serial;
    PyObject *key = PyLong_FromUnsignedLong(number);

    if (!key || PyDict_SetItem(self->registrations, key, registration) < 0)
        number = 0;
    Py_XDECREF(key);
    Py_DECREF(registration);
    return number;
}

/* A new reference; None if there is none. */
static PyObject *kept(xlpy_ctx *self, void *number, int forget)
{
    PyObject *key = PyLong_FromVoidPtr(number), *found = NULL;

    if (key && self->registrations) {
        found = PyDict_GetItem(self->registrations, key);
        Py_XINCREF(found);
        if (found && forget && PyDict_DelItem(self->registrations, key) < 0)
            PyErr_Clear();
    }
    Py_XDECREF(key);
    if (!found) {
        found = Py_None;
        Py_INCREF(found);
    }
    return found;
}

static void renew(xlpy_ctx *self, void **number_io, PyObject *registration)
{
    unsigned long number;

    if (registration == Py_None) { /* the old one is still good */
        Py_DECREF(registration);
        return;
    }
    number = keep(self, registration);
    if (number) {
        Py_DECREF(kept(self, *number_io, 1));
        *number_io = (void *)number;
    }
}

static int on_fd_register(void *user, int fd, void **out, short events,
                          void *for_libxl)
{
    xlpy_ctx *self = user;
    struct xlpy_gil gil;
    PyObject *answer;
    unsigned long number = 0;

    xlpy_gil_take(&gil);
    answer = call_hook(&gil, self, XLPY_FD_REGISTER,
                       Py_BuildValue("iiN", fd, (int)events,
                                     PyLong_FromVoidPtr(for_libxl)));
    if (answer)
        number = keep(self, answer);
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
    if (number)
        *out = (void *)number;
    return number ? 0 : 1;
}

static int on_fd_modify(void *user, int fd, void **update, short events)
{
    xlpy_ctx *self = user;
    struct xlpy_gil gil;
    PyObject *answer;

    xlpy_gil_take(&gil);
    answer = call_hook(&gil, self, XLPY_FD_MODIFY,
                       Py_BuildValue("Nii", kept(self, *update, 0), fd,
                                     (int)events));
    if (answer)
        renew(self, update, answer);
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
    return answer ? 0 : 1;
}

static void on_fd_deregister(void *user, int fd, void *registration)
{
    xlpy_ctx *self = user;
    struct xlpy_gil gil;

    if (xlpy_over())
        return;
    xlpy_gil_take(&gil);
    Py_XDECREF(call_hook(&gil, self, XLPY_FD_DEREGISTER,
                         Py_BuildValue("Ni", kept(self, registration, 1),
                                       fd)));
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
}

/* There is one timeout at a time: an older one has occurred. */
static int on_timeout_register(void *user, void **out, struct timeval abs,
                               void *for_libxl)
{
    xlpy_ctx *self = user;
    struct xlpy_gil gil;
    PyObject *answer;
    unsigned long number = 0;

    xlpy_gil_take(&gil);
    if (self->timer)
        Py_DECREF(kept(self, (void *)self->timer, 1));
    self->timer = 0;
    answer = call_hook(&gil, self, XLPY_TIMEOUT_REGISTER,
                       Py_BuildValue("dN", seconds(abs),
                                     PyLong_FromVoidPtr(for_libxl)));
    if (answer)
        number = keep(self, answer);
    self->timer = number;
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
    if (number)
        *out = (void *)number;
    return number ? 0 : 1;
}

static int on_timeout_modify(void *user, void **update, struct timeval abs)
{
    xlpy_ctx *self = user;
    struct xlpy_gil gil;
    PyObject *answer;

    xlpy_gil_take(&gil);
    answer = call_hook(&gil, self, XLPY_TIMEOUT_MODIFY,
                       Py_BuildValue("Nd", kept(self, *update, 0),
                                     seconds(abs)));
    if (answer) {
        renew(self, update, answer);
        self->timer = (unsigned long)*update;
    }
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
    return answer ? 0 : 1;
}

static void on_timeout_deregister(void *user, void *registration)
{
    xlpy_ctx *self = user;
    struct xlpy_gil gil;

    if (xlpy_over())
        return;
    xlpy_gil_take(&gil);
    self->timer = 0;
    Py_XDECREF(call_hook(&gil, self, XLPY_TIMEOUT_DEREGISTER,
                         Py_BuildValue("(N)", kept(self, registration, 1))));
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
}

static const libxl_osevent_hooks loop_hooks = {
    .fd_register = on_fd_register,
    .fd_modify = on_fd_modify,
    .fd_deregister = on_fd_deregister,
    .timeout_register = on_timeout_register,
    .timeout_modify = on_timeout_modify,
    .timeout_deregister = on_timeout_deregister,
    .size = sizeof(libxl_osevent_hooks),
};

#define NHOOKS 6

/* _osevent_register(six closures in the order of the struct, or six None) */
PyObject *xlpy_osevent_register(PyObject *object, PyObject *const *args,
                                Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    PyObject *old[NHOOKS];
    struct xlpy_call call;
    int i, rc, none = 0;

    if (n != NHOOKS)
        return PyErr_Format(PyExc_TypeError,
                            "_osevent_register needs 6 arguments");
    for (i = 0; i < NHOOKS; i++) {
        if (xlpy_callable_or_none(args[i], "a loop hook"))
            return NULL;
        none += args[i] == Py_None;
    }
    if (none != 0 && none != NHOOKS)
        return PyErr_Format(PyExc_TypeError, "all loop hooks, or none");
    if (xlpy_begin(&call, object))
        return NULL;
    if (none) { /* the old ones may be called once more */
        xlpy_release(&call);
        rc = libxl_osevent_register_hooks(call.ctx, NULL, NULL);
        xlpy_acquire(&call);
        for (i = 0; i < NHOOKS && !rc; i++)
            Py_CLEAR(self->hooks[XLPY_FD_REGISTER + i]);
    } else {
        for (i = 0; i < NHOOKS; i++) {
            old[i] = self->hooks[XLPY_FD_REGISTER + i];
            Py_INCREF(args[i]);
            self->hooks[XLPY_FD_REGISTER + i] = args[i];
        }
        xlpy_release(&call);
        rc = libxl_osevent_register_hooks(call.ctx, &loop_hooks, self);
        xlpy_acquire(&call);
        for (i = 0; i < NHOOKS; i++) {
            if (rc) {
                Py_DECREF(self->hooks[XLPY_FD_REGISTER + i]);
                self->hooks[XLPY_FD_REGISTER + i] = old[i];
            } else {
                Py_XDECREF(old[i]);
            }
        }
    }
    if (xlpy_end(&call))
        return NULL;
    if (rc)
        return xlpy_raise(rc, call.errnoval, "osevent_register_hooks");
    Py_RETURN_NONE;
}

/* beforepoll(timeout_ms=-1) -> ([(fd, events), ...], timeout_ms) */
PyObject *xlpy_beforepoll(PyObject *object, PyObject *const *args,
                          Py_ssize_t n)
{
    struct pollfd room[8];
    struct xlpy_call call;
    PyObject *list;
    int timeout = -1, nfds = 8, rc, i;

    if (n > 1)
        return PyErr_Format(PyExc_TypeError, "beforepoll takes a timeout");
    if (n == 1) {
        timeout = (int)PyLong_AsLong(args[0]);
        if (PyErr_Occurred())
            return NULL;
    }
    if (xlpy_begin(&call, object))
        return NULL;
    xlpy_release(&call);
    rc = libxl_osevent_beforepoll(call.ctx, &nfds, room, &timeout, now_tv());
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    if (rc)
        return xlpy_raise(rc, call.errnoval, "beforepoll");
    list = PyList_New(nfds);
    for (i = 0; list && i < nfds; i++) {
        PyObject *pair = Py_BuildValue("(ii)", room[i].fd,
                                       (int)room[i].events);

        if (!pair) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, i, pair);
    }
    return list ? Py_BuildValue("(Ni)", list, timeout) : NULL;
}

/* afterpoll([(fd, revents), ...]): what select.poll() returned */
PyObject *xlpy_afterpoll(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    PyObject *fast;
    struct pollfd *fds;
    struct xlpy_call call;
    Py_ssize_t i, nfds;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "afterpoll takes a list");
    fast = PySequence_Fast(args[0], "afterpoll takes a list");
    if (!fast)
        return NULL;
    nfds = PySequence_Fast_GET_SIZE(fast);
    fds = PyMem_Calloc((size_t)nfds + 1, sizeof(*fds));
    if (!fds) {
        Py_DECREF(fast);
        return PyErr_NoMemory();
    }
    for (i = 0; i < nfds; i++) {
        PyObject *pair = PySequence_Tuple(PySequence_Fast_GET_ITEM(fast, i));

        if (pair && PyArg_ParseTuple(pair, "ih", &fds[i].fd, &fds[i].revents))
            fds[i].events = fds[i].revents;
        Py_XDECREF(pair);
        if (PyErr_Occurred())
            break;
    }
    Py_DECREF(fast);
    if (PyErr_Occurred() || xlpy_begin(&call, object)) {
        PyMem_Free(fds);
        return NULL;
    }
    xlpy_release(&call);
    libxl_osevent_afterpoll(call.ctx, (int)nfds, fds, now_tv());
    xlpy_acquire(&call);
    PyMem_Free(fds);
    if (xlpy_end(&call))
        return NULL;
    Py_RETURN_NONE;
}

/* occurred_fd(for_libxl, fd, events, revents) */
PyObject *xlpy_occurred_fd(PyObject *object, PyObject *const *args,
                           Py_ssize_t n)
{
    struct xlpy_call call;
    void *for_libxl;
    long values[3];
    int i;

    if (n != 4)
        return PyErr_Format(PyExc_TypeError, "occurred_fd needs 4 arguments");
    for_libxl = PyLong_AsVoidPtr(args[0]);
    for (i = 0; i < 3 && !PyErr_Occurred(); i++)
        values[i] = PyLong_AsLong(args[i + 1]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    xlpy_release(&call);
    libxl_osevent_occurred_fd(call.ctx, for_libxl, (int)values[0],
                              (short)values[1], (short)values[2]);
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    Py_RETURN_NONE;
}

/* occurred_timeout(for_libxl) */
PyObject *xlpy_occurred_timeout(PyObject *object, PyObject *const *args,
                                Py_ssize_t n)
{
    struct xlpy_call call;
    void *for_libxl;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError,
                            "occurred_timeout needs 1 argument");
    for_libxl = PyLong_AsVoidPtr(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    xlpy_release(&call);
    libxl_osevent_occurred_timeout(call.ctx, for_libxl);
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    Py_RETURN_NONE;
}
