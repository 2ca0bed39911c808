/* events.c - taking events, in batches, and asking for more of them
 *
 * Called by Context.events and the loops of the package. Waits come back once
 * in a while, and at once when a signal handler ran, to let Python run its own.
 */
#include "binding.h"

#include <limits.h>
#include <time.h>

#define MAX_BATCH 1024
#define SLICE_MS 500 /* a signal that another thread took is seen by then */

/* 0 and the end of the wait; timeout_ms < 0: none. */
int xlpy_until(long timeout_ms, struct timespec *ret_until)
{
    if (timeout_ms < 0) {
        ret_until->tv_sec = -1;
        return 0;
    }
    clock_gettime(CLOCK_MONOTONIC, ret_until);
    ret_until->tv_sec += timeout_ms / 1000;
    ret_until->tv_nsec += timeout_ms % 1000 * 1000000;
    if (ret_until->tv_nsec >= 1000000000) {
        ret_until->tv_sec++;
        ret_until->tv_nsec -= 1000000000;
    }
    return 0;
}

/* Nanoseconds left, >= 0. */
static long long left_ns(const struct timespec *until)
{
    struct timespec now;
    long long left;

    clock_gettime(CLOCK_MONOTONIC, &now);
    left = (long long)(until->tv_sec - now.tv_sec) * 1000000000 +
           (until->tv_nsec - now.tv_nsec);
    return left > 0 ? left : 0;
}

int xlpy_left(const struct timespec *until)
{
    long long left;

    if (until->tv_sec < 0)
        return SLICE_MS;
    left = (left_ns(until) + 999999) / 1000000;
    return left < SLICE_MS ? (int)left : SLICE_MS;
}

int xlpy_passed(const struct timespec *until)
{
    return until->tv_sec >= 0 && left_ns(until) == 0;
}

/* The list gets the events, all of which are freed. -1: an exception. */
static int take(xlpy_ctx *self, PyObject *list, libxl_event **events, int n)
{
    PyObject *value;
    int i, r = 0;

    for (i = 0; i < n; i++) {
        value = r ? NULL : xlpy_event(self, events[i]);
        if (!value || PyList_Append(list, value) < 0)
            r = -1;
        Py_XDECREF(value);
        libxl_event_free(self->ctx, events[i]);
    }
    return r;
}

/* The caller's list, so that it has what was taken whatever is raised before
 * the call's value reaches it; or a new one. */
static PyObject *new_list(PyObject *cell)
{
    if (cell == Py_None)
        return PyList_New(0);
    Py_INCREF(cell);
    return cell;
}

/* What an earlier call left behind, if it matches; NULL: nothing. Mostly the
 * stash is empty. */
static PyObject *from_stash(xlpy_ctx *self, uint64_t mask, Py_ssize_t max,
                            PyObject *cell)
{
    PyObject *list = NULL, *item;
    Py_ssize_t i = 0, taken = 0;
    long type;

    while (i < PyList_GET_SIZE(self->stash)) {
        item = PyList_GET_ITEM(self->stash, i);
        type = PyLong_AsLong(PyTuple_GET_ITEM(item, 0));
        if (!(mask & LIBXL_EVENTMASK(type)) ||
            taken >= max) {
            i++;
            continue;
        }
        if (!list && !(list = new_list(cell)))
            return NULL;
        taken++;
        if (PyList_Append(list, item) < 0 ||
            PySequence_DelItem(self->stash, i) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

/* _events(max, mask, timeout_ms, cell) -> a list, empty when the time is
 * over: cell, if that is one */
PyObject *xlpy_events(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    libxl_event *room[64], **events = room;
    struct timespec until;
    struct xlpy_call call;
    PyObject *list = NULL, *cell = Py_None;
    uint64_t mask;
    long max, timeout;
    int count, wait;

    if (n != 3 && n != 4)
        return PyErr_Format(PyExc_TypeError, "_events needs 3 or 4 arguments");
    if (n == 4)
        cell = args[3];
    if (cell != Py_None && !PyList_Check(cell))
        return PyErr_Format(PyExc_TypeError, "cell must be a list");
    max = PyLong_AsLong(args[0]);
    mask = PyLong_AsUnsignedLongLongMask(args[1]);
    timeout = PyLong_AsLong(args[2]);
    if (PyErr_Occurred())
        return NULL;
    if (max < 1)
        return PyErr_Format(PyExc_ValueError, "max must be 1 or more");
    if (max > MAX_BATCH)
        max = MAX_BATCH;
    if (xlpy_begin(&call, object))
        return NULL;
    if (PyList_GET_SIZE(self->stash) > 0) {
        list = from_stash(self, mask, max, cell);
        if (list || PyErr_Occurred())
            goto out;
    }
    if (max > 64) {
        events = PyMem_Malloc((size_t)max * sizeof(*events));
        if (!events) {
            PyErr_NoMemory();
            goto out;
        }
    }
    xlpy_until(timeout, &until);
    for (;;) {
        wait = timeout == 0 ? 0 : xlpy_left(&until);
        xlpy_release(&call);
        count = libxl_event_wait_many(call.ctx, events, (int)max, mask, wait,
                                      LIBXL_WAIT_INTERRUPTIBLE);
        xlpy_acquire(&call);
        if (call.type) { /* what was taken comes with the next call */
            if (count > 0 && take(self, self->stash, events, count))
                PyErr_WriteUnraisable(object);
            break;
        }
        if (count > 0) {
            list = new_list(cell);
            if (list && take(self, list, events, count))
                Py_CLEAR(list);
            xlpy_carry(&call);
            break;
        }
        if (count != ERROR_TIMEDOUT && count != ERROR_INTERRUPTED) {
            xlpy_raise(count, call.errnoval, "events");
            break;
        }
        if (timeout != 0 && PyErr_CheckSignals() < 0)
            break;
        if (timeout == 0 || xlpy_passed(&until)) {
            list = new_list(cell);
            break;
        }
    }
    if (events != room)
        PyMem_Free(events);
out:
    if (PyErr_Occurred()) {
        xlpy_leave(&call);
    } else if (list && PyList_GET_SIZE(list) > 0) {
        xlpy_leave(&call);
    } else if (xlpy_end(&call)) {
        Py_CLEAR(list);
    }
    return list;
}

struct sought {
    libxl_childproc_id id;
    libxl_childproc_result result;
    int found;
};

static int look_at(const libxl_event *event, void *user)
{
    struct sought *sought = user;

    if (!sought->found && event->u.childproc_exit.id == sought->id) {
        sought->result = event->u.childproc_exit;
        sought->found = 1;
    }
    return 0; /* it stays where it is */
}

/* Of what an interrupted call had taken. Borrowed, or NULL. */
static PyObject *in_stash(const xlpy_ctx *self, unsigned long long id)
{
    Py_ssize_t i;

    for (i = 0; i < PyList_GET_SIZE(self->stash); i++) {
        PyObject *item = PyList_GET_ITEM(self->stash, i);
        PyObject *payload = PyTuple_GET_ITEM(item, 2);

        if (PyLong_AsLong(PyTuple_GET_ITEM(item, 0)) ==
                LIBXL_EVENT_TYPE_CHILDPROC_EXIT &&
            PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(payload, 0)) == id)
            return payload;
    }
    return NULL;
}

/* _peek(id) -> the result that waits as an event to be taken; None */
PyObject *xlpy_peek(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    struct sought sought = { 0 };
    PyObject *stashed;
    libxl_event *event;
    struct xlpy_call call;
    int rc;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "_peek needs 1 argument");
    sought.id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    stashed = in_stash((xlpy_ctx *)object, sought.id);
    if (stashed) {
        Py_INCREF(stashed);
        xlpy_leave(&call);
        return stashed;
    }
    xlpy_release(&call);
    rc = libxl_event_check(call.ctx, &event,
                           LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_EXIT),
                           look_at, &sought);
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    if (rc != ERROR_NOT_READY)
        return xlpy_raise(rc, call.errnoval, "peek");
    if (sought.found)
        return xlpy_result(&sought.result);
    Py_RETURN_NONE;
}

static int is_for(const libxl_event *event, void *user)
{
    return event->for_user == *(const uint64_t *)user;
}

/* Of what an interrupted call had taken. -1: an exception. */
static int drop_from_stash(xlpy_ctx *self, uint64_t user)
{
    Py_ssize_t i = 0;
    int dropped = 0;

    while (i < PyList_GET_SIZE(self->stash)) {
        PyObject *item = PyList_GET_ITEM(self->stash, i);

        if (PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(item, 1)) != user) {
            i++;
            continue;
        }
        if (PySequence_DelItem(self->stash, i) < 0)
            return -1;
        dropped++;
    }
    return dropped;
}

/* _claim(for_user) -> how many starts and ends there are for this number,
 * which are taken, and all others left; whatever work is due is done */
PyObject *xlpy_claim(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    uint64_t mask = LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_STARTED) |
                    LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    libxl_event *event;
    struct xlpy_call call;
    uint64_t user;
    int rc, found;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "_claim needs 1 argument");
    user = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    found = drop_from_stash((xlpy_ctx *)object, user);
    if (found < 0) {
        xlpy_leave(&call);
        return NULL;
    }
    xlpy_release(&call);
    while ((rc = libxl_event_check(call.ctx, &event, mask, is_for, &user)) ==
           0) {
        libxl_event_free(call.ctx, event);
        found++;
    }
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    if (rc != ERROR_NOT_READY)
        return xlpy_raise(rc, call.errnoval, "claim");
    return PyLong_FromLong(found);
}

/* _evenable(pid, for_user, cell) -> a number for _evdisable, also in cell; pid
 * 0: every child */
PyObject *xlpy_evenable(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    libxl_evgen_childproc_exit *evgen = NULL;
    struct xlpy_call call;
    PyObject *key = NULL, *address = NULL;
    uint64_t user;
    long pid;
    int rc, r;

    if (n != 2 && n != 3)
        return PyErr_Format(PyExc_TypeError,
                            "_evenable needs 2 or 3 arguments");
    pid = PyLong_AsLong(args[0]);
    if (PyErr_Occurred())
        return NULL;
    user = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    if (pid > INT_MAX || pid < INT_MIN)
        pid = -1;
    xlpy_release(&call);
    rc = libxl_evenable_childproc_exit(call.ctx, (pid_t)pid, user, &evgen);
    xlpy_acquire(&call);
    if (!rc) {
        key = PyLong_FromUnsignedLong(++self->serial);
        address = PyLong_FromVoidPtr(evgen);
        r = key && address ? PyDict_SetItem(self->evgens, key, address) : -1;
        Py_XDECREF(address);
        if (!r && n == 3 && xlpy_hand_over(args[2], key)) {
            r = -1;
            PyDict_DelItem(self->evgens, key);
        }
        if (r) {
            Py_CLEAR(key);
            xlpy_release(&call);
            libxl_evdisable_childproc_exit(call.ctx, evgen);
            xlpy_acquire(&call);
        }
    }
    xlpy_carry(&call);
    xlpy_leave(&call);
    if (rc)
        return xlpy_raise(rc, call.errnoval, "evenable");
    return key;
}

/* _evdisable(number): a number that is not enabled any more raises */
PyObject *xlpy_evdisable(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    struct xlpy_call call;
    PyObject *address;
    void *evgen;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "_evdisable needs 1 argument");
    if (xlpy_begin(&call, object))
        return NULL;
    address = PyDict_GetItem(self->evgens, args[0]);
    if (!address) {
        xlpy_leave(&call);
        return PyErr_Format(PyExc_ValueError, "not enabled (any more)");
    }
    evgen = PyLong_AsVoidPtr(address);
    PyDict_DelItem(self->evgens, args[0]);
    xlpy_release(&call);
    libxl_evdisable_childproc_exit(call.ctx, evgen);
    xlpy_acquire(&call);
    if (xlpy_end(&call))
        return NULL;
    Py_RETURN_NONE;
}
