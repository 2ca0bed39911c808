/* children.c - starting children, one or many, and looking after them
 *
 * Called by Context.spawn and its kin. The hot path of the binding: one
 * crossing a child, or one a batch.
 */
#include "binding.h"

#include <stdlib.h>
#include <time.h>

/* ---- reports to a closure ----------------------------------------------- */

static struct xlpy_onexit *onexit_new(xlpy_ctx *self, PyObject *callable)
{
    struct xlpy_onexit *onexit = PyMem_Calloc(1, sizeof(*onexit));

    if (!onexit) {
        PyErr_NoMemory();
        return NULL;
    }
    onexit->owner = self;
    Py_INCREF(callable);
    onexit->callable = callable;
    onexit->next = self->onexit;
    if (onexit->next)
        onexit->next->prev = &onexit->next;
    onexit->prev = &self->onexit;
    self->onexit = onexit;
    return onexit;
}

void xlpy_onexit_drop(struct xlpy_onexit *onexit)
{
    PyObject *callable = onexit->callable;

    *onexit->prev = onexit->next;
    if (onexit->next)
        onexit->next->prev = onexit->prev;
    PyMem_Free(onexit);
    Py_DECREF(callable);
}

/* How the end is reported, from (kind, user): an int as user is an event's
 * for_user, a callable is called. *ret_onexit is set for the latter. */
static int report_of(xlpy_ctx *self, PyObject *kind, PyObject *user,
                     libxl_childproc_report *report,
                     struct xlpy_onexit **ret_onexit)
{
    memset(report, 0, sizeof(*report));
    *ret_onexit = NULL;
    report->kind = (libxl_childproc_report_kind)PyLong_AsLong(kind);
    if (PyErr_Occurred())
        return -1;
    if (report->kind == LIBXL_REPORT_EVENT ||
        report->kind == LIBXL_REPORT_HOLD) { /* then that of its start's */
        report->u.for_event = PyLong_AsUnsignedLongLong(user);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (report->kind == LIBXL_REPORT_CALLBACK) {
        if (!PyCallable_Check(user)) {
            PyErr_SetString(PyExc_TypeError, "on_exit must be callable");
            return -1;
        }
        *ret_onexit = onexit_new(self, user);
        if (!*ret_onexit)
            return -1;
        report->callback = xlpy_report_callback;
        report->u.for_callback = *ret_onexit;
    }
    return 0;
}

/* The start has returned. */
static void onexit_settle(struct xlpy_onexit *onexit, int started,
                          libxl_childproc_id id)
{
    if (!onexit)
        return;
    if (!started || onexit->fired)
        xlpy_onexit_drop(onexit);
    else
        onexit->id = id;
}

/* ---- starting ------------------------------------------------------------ */

/* A start that waits for its exec was interrupted: Python's handlers run, and
 * an exception of theirs gives it up. */
static int on_interrupted(void *Py_UNUSED(user))
{
    struct xlpy_gil gil;
    int raised;

    if (xlpy_over())
        return 0;
    xlpy_gil_take(&gil);
    raised = PyErr_CheckSignals() < 0;
    xlpy_keep_exception(&gil, NULL);
    xlpy_gil_give(&gil);
    return raised;
}

void xlpy_interruptible(libxl_childproc_spec *spec)
{
    spec->interrupted = on_interrupted;
}

/* The answer is put into the caller's list before anybody can raise anything:
 * whatever comes between the return and the assignment, it knows. */
int xlpy_hand_over(PyObject *cell, PyObject *answer)
{
    if (!answer || cell == Py_None)
        return 0;
    if (!PyList_Check(cell)) {
        PyErr_SetString(PyExc_TypeError, "a list is needed for the answer");
        return -1;
    }
    return PyList_Append(cell, answer);
}

/* _spawn(argv, options, kind, user, cell) -> (id, pid), also in cell */
PyObject *xlpy_spawn(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    libxl_childproc_failure failure = { 0 };
    struct xlpy_onexit *onexit = NULL;
    libxl_childproc_report report;
    libxl_childproc_spec spec;
    libxl_childproc_id id = 0;
    struct xlpy_arena arena;
    struct xlpy_call call;
    PyObject *value = NULL;
    sigset_t sets[2];
    pid_t pid = -1;
    int rc;

    if (n != 4 && n != 5)
        return PyErr_Format(PyExc_TypeError, "_spawn needs 4 or 5 arguments");
    xlpy_arena_init(&arena);
    if (xlpy_begin(&call, object))
        return NULL;
    if (xlpy_spec(&arena, self, args[0], args[1], &spec, sets) ||
        report_of(self, args[2], args[3], &report, &onexit))
        goto out;
    xlpy_interruptible(&spec);
    xlpy_release(&call);
    rc = libxl_childproc_spawn(call.ctx, &spec, &report, &id, &pid, &failure);
    xlpy_acquire(&call);
    onexit_settle(onexit, rc == 0, id);
    if (rc == 0) {
        value = Py_BuildValue("(Ki)", (unsigned long long)id, (int)pid);
        if (n == 5 && xlpy_hand_over(args[4], value))
            Py_CLEAR(value);
    } else if (!xlpy_raise_kept(&call)) {
        if (rc == ERROR_SYSTEM && !failure.errnoval)
            failure.errnoval = call.errnoval;
        xlpy_raise_failure(rc, &failure, &spec, NULL);
    }
out:
    xlpy_leave(&call);
    xlpy_arena_clear(&arena);
    return value;
}

struct batch {
    libxl_childproc_batch_entry *entries;
    libxl_childproc_spec *specs;
    libxl_childproc_report *reports;
    struct xlpy_onexit **onexits;
    sigset_t (*sets)[2];
};

static int batch_get(struct xlpy_arena *arena, size_t n, struct batch *b)
{
    b->entries = xlpy_arena_get(arena, n * sizeof(*b->entries));
    b->specs = xlpy_arena_get(arena, n * sizeof(*b->specs));
    b->reports = xlpy_arena_get(arena, n * sizeof(*b->reports));
    b->onexits = xlpy_arena_get(arena, n * sizeof(*b->onexits));
    b->sets = xlpy_arena_get(arena, n * sizeof(*b->sets));
    if (!b->entries || !b->specs || !b->reports || !b->onexits || !b->sets)
        return -1;
    memset(b->entries, 0, n * sizeof(*b->entries));
    memset(b->onexits, 0, n * sizeof(*b->onexits));
    return 0;
}

/* _spawn_many([(argv, options, kind, user), ...], cell)
 *     -> [(id, pid) or an exception, ...], which cell gets as well; and alone
 *        where a signal handler has raised and so given one of them up */
PyObject *xlpy_spawn_many(PyObject *object, PyObject *const *args,
                          Py_ssize_t n)
{
    xlpy_ctx *self = (xlpy_ctx *)object;
    struct xlpy_arena arena;
    struct xlpy_call call;
    struct batch b = { 0 };
    PyObject *fast = NULL, *list = NULL;
    Py_ssize_t i, count = 0;
    int rc = 0, called = 0, given_up = 0;

    if (n != 1 && n != 2)
        return PyErr_Format(PyExc_TypeError,
                            "_spawn_many needs 1 or 2 arguments");
    xlpy_arena_init(&arena);
    if (xlpy_begin(&call, object))
        return NULL;
    fast = PySequence_Tuple(args[0]);
    if (!fast)
        goto out;
    count = PyTuple_GET_SIZE(fast);
    if (count == 0) {
        list = PyList_New(0);
        goto out;
    }
    if (batch_get(&arena, (size_t)count, &b))
        goto out;
    for (i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(fast, i);

        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 4) {
            PyErr_SetString(PyExc_TypeError, "an entry is a tuple of four");
            goto out;
        }
        if (xlpy_spec(&arena, self, PyTuple_GET_ITEM(item, 0),
                      PyTuple_GET_ITEM(item, 1), &b.specs[i], b.sets[i]) ||
            report_of(self, PyTuple_GET_ITEM(item, 2),
                      PyTuple_GET_ITEM(item, 3), &b.reports[i],
                      &b.onexits[i]))
            goto out;
        xlpy_interruptible(&b.specs[i]);
        b.entries[i].spec = &b.specs[i];
        b.entries[i].report = &b.reports[i];
    }
    xlpy_release(&call);
    rc = libxl_childproc_spawn_many(call.ctx, b.entries, (size_t)count);
    xlpy_acquire(&call);
    called = rc >= 0;
    if (rc < 0) {
        xlpy_raise(rc, call.errnoval, "spawn_many");
        goto out;
    }
    list = PyList_New(count);
    for (i = 0; i < count; i++) {
        libxl_childproc_batch_entry *e = &b.entries[i];
        PyObject *value;

        onexit_settle(b.onexits[i], e->rc == 0, e->id);
        b.onexits[i] = NULL;
        given_up |= e->rc == ERROR_INTERRUPTED;
        if (!list)
            continue;
        if (e->rc == 0)
            value = Py_BuildValue("(Ki)", (unsigned long long)e->id,
                                  (int)e->pid);
        else
            value = xlpy_start_error(e->rc, &e->failure, e->spec, NULL);
        if (value)
            PyList_SET_ITEM(list, i, value);
        else
            Py_CLEAR(list);
    }
    if (list && n == 2 &&
        (xlpy_hand_over(args[1], list) ||
         (given_up && xlpy_raise_kept(&call)))) /* a handler's, and now */
        Py_CLEAR(list);
out:
    for (i = 0; b.onexits && !called && i < count; i++)
        onexit_settle(b.onexits[i], 0, 0);
    Py_XDECREF(fast);
    xlpy_leave(&call);
    xlpy_arena_clear(&arena);
    return list;
}

/* ---- living children ------------------------------------------------------ */

/* _wait(id, timeout_ms) -> a result; None when the time is over. The result
 * stays: whatever is raised before somebody has it, and however many ask, all
 * get the same until _detach. */
PyObject *xlpy_wait(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    libxl_childproc_result result;
    struct timespec until;
    struct xlpy_call call;
    PyObject *value = NULL;
    libxl_childproc_id id;
    long timeout;
    int rc, slice;

    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "_wait needs 2 arguments");
    id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred())
        return NULL;
    timeout = PyLong_AsLong(args[1]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    xlpy_until(timeout, &until);
    for (;;) {
        slice = timeout == 0 ? 0 : xlpy_left(&until);
        xlpy_release(&call);
        rc = libxl_childproc_wait(call.ctx, id, slice,
                                  LIBXL_WAIT_INTERRUPTIBLE | LIBXL_WAIT_KEEP,
                                  &result);
        xlpy_acquire(&call);
        if (call.type)
            break;
        if (rc == 0) {
            value = xlpy_result(&result);
            break;
        }
        if (rc != ERROR_TIMEDOUT && rc != ERROR_INTERRUPTED) {
            xlpy_raise(rc, call.errnoval, "wait");
            break;
        }
        if (timeout != 0 && PyErr_CheckSignals() < 0)
            break;
        if (timeout == 0 || xlpy_passed(&until)) {
            value = Py_None;
            Py_INCREF(value);
            break;
        }
    }
    if (!value && !PyErr_Occurred())
        xlpy_raise_kept(&call);
    xlpy_leave(&call);
    return value;
}

/* _adopt(pid, start_ticks, pidfd, kind, user, cell) -> id, also in cell */
PyObject *xlpy_adopt(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    struct xlpy_onexit *onexit = NULL;
    libxl_childproc_report report;
    libxl_childproc_id id = 0;
    unsigned long long ticks;
    struct xlpy_call call;
    PyObject *value = NULL;
    int pid, pidfd, rc;

    if (n != 5 && n != 6)
        return PyErr_Format(PyExc_TypeError, "_adopt needs 5 or 6 arguments");
    pid = (int)PyLong_AsLong(args[0]);
    if (PyErr_Occurred())
        return NULL;
    ticks = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    pidfd = (int)PyLong_AsLong(args[2]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    if (report_of((xlpy_ctx *)object, args[3], args[4], &report, &onexit))
        goto out;
    xlpy_release(&call);
    rc = libxl_childproc_adopt(call.ctx, pid, ticks, pidfd, &report, &id);
    xlpy_acquire(&call);
    onexit_settle(onexit, rc == 0, id);
    if (rc == 0) {
        value = PyLong_FromUnsignedLongLong(id);
        if (n == 6 && xlpy_hand_over(args[5], value))
            Py_CLEAR(value);
    } else if (!xlpy_raise_kept(&call)) {
        xlpy_raise(rc, call.errnoval, "adopt");
    }
out:
    xlpy_leave(&call);
    return value;
}

static PyObject *let_go(PyObject *object, PyObject *const *args, Py_ssize_t n,
                        int lingers)
{
    const char *name = lingers ? "linger" : "detach";
    xlpy_ctx *self = (xlpy_ctx *)object;
    struct xlpy_onexit *onexit;
    libxl_childproc_id id;
    struct xlpy_call call;
    int rc;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "_%s needs 1 argument", name);
    id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    xlpy_release(&call);
    rc = lingers ? libxl_childproc_linger(call.ctx, id)
                 : libxl_childproc_detach(call.ctx, id);
    xlpy_acquire(&call);
    if (rc == 0 && self->onexit) {
        for (onexit = self->onexit; onexit; onexit = onexit->next)
            if (onexit->id == id)
                break;
        if (onexit)
            xlpy_onexit_drop(onexit);
    }
    if (xlpy_end(&call))
        return NULL;
    if (rc)
        return xlpy_raise(rc, call.errnoval, name);
    Py_RETURN_NONE;
}

/* _detach(id) */
PyObject *xlpy_detach(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    return let_go(object, args, n, 0);
}

/* _linger(id) */
PyObject *xlpy_linger(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    return let_go(object, args, n, 1);
}

/* _diagnose() -> (asked, in_force, reason, facilities, wanted, installed,
 *                 displaced, ignored, blocked, object, children, words) */
PyObject *xlpy_diagnose(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    libxl_childproc_diagnosis d;
    struct xlpy_call call;
    PyObject *value;
    char *words = NULL;
    int rc;

    (void)args;
    if (n != 0)
        return PyErr_Format(PyExc_TypeError, "_diagnose takes no argument");
    if (xlpy_begin(&call, object))
        return NULL;
    memset(&d, 0, sizeof(d));
    d.size = sizeof(d);
    xlpy_release(&call);
    rc = libxl_childproc_diagnose(call.ctx, &d, &words);
    xlpy_acquire(&call);
    if (xlpy_end(&call)) {
        free(words);
        return NULL;
    }
    if (rc)
        return xlpy_raise(rc, call.errnoval, "diagnose");
    value = Py_BuildValue(
        "(iizIiiiiiziN)", (int)d.mode_asked, (int)d.mode_in_force,
        d.mode_reason, d.facilities, d.handler_wanted, d.handler_installed,
        d.handler_displaced, d.sigchld_ignored, d.sigchld_blocked,
        d.handler_object, d.children,
        PyUnicode_DecodeFSDefault(words ? words : ""));
    free(words);
    return value;
}
