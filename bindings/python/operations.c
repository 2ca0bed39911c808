/* operations.c - commands run to completion
 *
 * A blocking run is an asynchronous operation whose completion callback wakes
 * the thread, which meanwhile polls what the ctx watches and so does the
 * ctx's work: signals interrupt it, other threads may do the same at once.
 * An asynchronous one completes as an event (events.c takes it, results.c
 * asks xlpy_op_complete), and so does the asking when a family is empty.
 */
#include "binding.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS 500
#define TIDY_MS 250

/* One operation. C writes result and, for a blocking one, rc and done; the
 * rest belongs to the GIL. */
struct xlpy_op {
    struct xlpy_op *next, **prev; /* in owner->ops */
    xlpy_ctx *owner;
    unsigned long number;
    libxl_asyncop_how how;
    libxl_childproc_exec_result result;
    PyObject *stream_data; /* closure, or NULL */
    int captures[2]; /* stdout and stderr are kept */
    int rc;
    atomic_int done;
    int wake; /* eventfd of a blocking run; -1 */
    int plain; /* no command: its completion is a code alone */
};

static struct xlpy_op *op_new(xlpy_ctx *self)
{
    struct xlpy_op *op = PyMem_Calloc(1, sizeof(*op));

    if (!op) {
        PyErr_NoMemory();
        return NULL;
    }
    op->owner = self;
    op->number = ++self->serial;
    op->wake = -1;
    op->next = self->ops;
    if (op->next)
        op->next->prev = &op->next;
    op->prev = &self->ops;
    self->ops = op;
    return op;
}

static void op_drop(struct xlpy_op *op)
{
    PyObject *closure = op->stream_data;

    *op->prev = op->next;
    if (op->next)
        op->next->prev = op->prev;
    if (op->wake >= 0)
        close(op->wake);
    libxl_childproc_exec_result_dispose(&op->result);
    PyMem_Free(op);
    Py_XDECREF(closure);
}

void xlpy_ops_drop(xlpy_ctx *self)
{
    while (self->ops)
        op_drop(self->ops);
}

int xlpy_ops_traverse(xlpy_ctx *self, visitproc visit, void *arg)
{
    struct xlpy_op *op;

    for (op = self->ops; op; op = op->next)
        Py_VISIT(op->stream_data);
    return 0;
}

static struct xlpy_op *op_numbered(xlpy_ctx *self, unsigned long long number)
{
    struct xlpy_op *op;

    for (op = self->ops; op; op = op->next)
        if (op->number == number)
            return op;
    return NULL;
}

/* ---- arguments ------------------------------------------------------------ */

static void on_stream(libxl_ctx *ctx, int stream, const void *data,
                      size_t length, void *user)
{
    struct xlpy_op *op = user;
    PyObject *closure, *answer;
    struct xlpy_gil gil;

    (void)ctx;
    xlpy_gil_take(&gil);
    closure = op->stream_data;
    Py_INCREF(closure);
    answer = PyObject_CallFunction(closure, "iy#", stream, (const char *)data,
                                   (Py_ssize_t)length);
    Py_XDECREF(answer);
    xlpy_keep_exception(&gil, closure);
    Py_DECREF(closure);
    xlpy_gil_give(&gil);
}

/* (kind, value): value is None, an fd, a path, bytes, or a limit */
static int stream_of(struct xlpy_arena *arena, PyObject *pair,
                     libxl_stream *stream, Py_buffer *view)
{
    PyObject *value;
    int kind;

    if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "iO", &kind, &value)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a stream is a pair");
        return -1;
    }
    stream->kind = (libxl_stream_kind)kind;
    switch (stream->kind) {
    case LIBXL_STREAM_FD:
        stream->fd = (int)PyLong_AsLong(value);
        break;
    case LIBXL_STREAM_FILE:
    case LIBXL_STREAM_APPEND:
        stream->path = xlpy_text(arena, value);
        break;
    case LIBXL_STREAM_BUFFER:
        if (PyObject_GetBuffer(value, view, PyBUF_SIMPLE)) {
            xlpy_blame("input");
            return -1;
        }
        stream->data = view->buf;
        stream->length = (size_t)view->len;
        break;
    case LIBXL_STREAM_CAPTURE:
        if (value != Py_None)
            stream->limit = PyLong_AsSize_t(value);
        break;
    default:
        break;
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- results -------------------------------------------------------------- */

static PyObject *captured(const libxl_captured *c, int wanted)
{
    if (!wanted)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(c->data ? c->data : "",
                                     (Py_ssize_t)c->length);
}

/* (rc, result, timed_out, aborted, stdin_written, out, err, out_dropped,
 *  err_dropped, held_open, the stream whose file could not be opened) */
static PyObject *outcome(const struct xlpy_op *op, int rc)
{
    const libxl_childproc_exec_result *r = &op->result;

    return Py_BuildValue("(iNiinNNnniz)", rc, xlpy_result(&r->child),
                         r->timed_out, r->aborted,
                         (Py_ssize_t)r->stdin_written, captured(&r->out, op->captures[0]),
                         captured(&r->err, op->captures[1]), (Py_ssize_t)r->out.dropped,
                         (Py_ssize_t)r->err.dropped,
                         r->out.held_open || r->err.held_open,
                         rc == ERROR_SPAWN ? r->failure.argument : NULL);
}

PyObject *xlpy_op_complete(xlpy_ctx *self, const libxl_event *event)
{
    struct xlpy_op *op = op_numbered(self, event->for_user);
    PyObject *value;

    if (!op)
        Py_RETURN_NONE;
    value = op->plain ? PyLong_FromLong(event->u.operation_complete.rc)
                      : outcome(op, event->u.operation_complete.rc);
    op_drop(op);
    return value;
}

/* ---- running -------------------------------------------------------------- */

/* Any thread, no GIL. */
static void on_complete(libxl_ctx *ctx, int rc, void *for_callback)
{
    struct xlpy_op *op = for_callback;
    uint64_t one = 1;

    (void)ctx;
    op->rc = rc;
    atomic_store(&op->done, 1);
    if (write(op->wake, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is readable */
}

/* Does the ctx's work until something happened, or for so long. The lock of
 * the interpreter is released; 0, or a code. */
static int pump(libxl_ctx *ctx, int wake, int timeout)
{
    struct pollfd fds[9];
    struct timeval now;
    int n = 8, rc;

    gettimeofday(&now, NULL);
    rc = libxl_osevent_beforepoll(ctx, &n, fds + 1, &timeout, now);
    if (rc)
        return rc;
    fds[0].fd = wake;
    fds[0].events = POLLIN;
    fds[0].revents = 0;
    if (poll(fds, (nfds_t)n + 1, timeout) < 0)
        return errno == EINTR ? ERROR_INTERRUPTED : ERROR_SYSTEM;
    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(ctx, n + 1, fds, now);
    return 0;
}

/* A Ctrl-C went to the child as well: a moment to end by itself, as
 * subprocess gives. The lock of the interpreter is released. */
static void tidy(struct xlpy_call *call, struct xlpy_op *op)
{
    struct timespec until;
    int rc = 0;

    xlpy_until(TIDY_MS, &until);
    while (!atomic_load(&op->done) && !xlpy_passed(&until) &&
           (rc == 0 || rc == ERROR_INTERRUPTED))
        rc = pump(call->ctx, op->wake, xlpy_left(&until));
}

/* An exception is set: the child must end before it can be raised. */
static void end_early(struct xlpy_call *call, struct xlpy_op *op)
{
    PyObject *type, *value, *traceback;
    int interrupted = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    int rc;

    PyErr_Fetch(&type, &value, &traceback);
    xlpy_release(call);
    if (interrupted)
        tidy(call, op);
    rc = libxl_ao_abort(call->ctx, &op->how);
    while (!atomic_load(&op->done)) {
        rc = pump(call->ctx, op->wake, SLICE_MS);
        if (rc && rc != ERROR_INTERRUPTED)
            break;
    }
    xlpy_acquire(call);
    PyErr_Restore(type, value, traceback);
}

struct request {
    libxl_childproc_spec spec;
    libxl_childproc_exec_opts opts;
    sigset_t sets[2];
    Py_buffer view;
    struct xlpy_arena arena;
};

/* (argv, options, stdin, stdout, stderr, timeout_ms, linger, stream_data) */
static int request_of(struct request *q, struct xlpy_op *op,
                      PyObject *const *args)
{
    if (xlpy_spec(&q->arena, op->owner, args[0], args[1], &q->spec, q->sets))
        return -1;
    libxl_childproc_exec_opts_init(&q->opts);
    if (stream_of(&q->arena, args[2], &q->opts.stdin_stream, &q->view) ||
        stream_of(&q->arena, args[3], &q->opts.stdout_stream, &q->view) ||
        stream_of(&q->arena, args[4], &q->opts.stderr_stream, &q->view))
        return -1;
    op->captures[0] = q->opts.stdout_stream.kind == LIBXL_STREAM_CAPTURE;
    op->captures[1] = q->opts.stderr_stream.kind == LIBXL_STREAM_CAPTURE;
    q->opts.timeout_ms = (int)PyLong_AsLong(args[5]);
    if (PyErr_Occurred())
        return -1;
    q->opts.linger = (libxl_linger)PyLong_AsLong(args[6]);
    if (PyErr_Occurred() || xlpy_callable_or_none(args[7], "stream_data"))
        return -1;
    if (args[7] != Py_None) {
        Py_INCREF(args[7]);
        op->stream_data = args[7];
        q->opts.stream_data = on_stream;
        q->opts.stream_user = op;
    }
    return 0;
}

static int start(struct xlpy_call *call, struct request *q, struct xlpy_op *op)
{
    libxl_childproc_failure failure = { 0 };
    int rc;

    xlpy_interruptible(&q->spec);
    xlpy_release(call);
    rc = libxl_childproc_exec(call->ctx, &q->spec, &q->opts, &op->result,
                              &failure, &op->how);
    xlpy_acquire(call);
    if (rc == 0)
        return 0;
    if (!xlpy_raise_kept(call)) {
        if (rc == ERROR_SYSTEM && !failure.errnoval)
            failure.errnoval = call->errnoval;
        xlpy_raise_failure(rc, &failure, &q->spec, &q->opts);
    }
    return -1;
}

/* _run(as request_of) -> an outcome */
PyObject *xlpy_run(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    struct request q = { .view = { 0 } };
    struct xlpy_op *op;
    struct xlpy_call call;
    PyObject *value = NULL;
    int rc;

    if (n != 8)
        return PyErr_Format(PyExc_TypeError, "_run needs 8 arguments");
    xlpy_arena_init(&q.arena);
    if (xlpy_begin(&call, object))
        return NULL;
    op = op_new((xlpy_ctx *)object);
    if (!op)
        goto out;
    op->how.callback = on_complete;
    op->how.u.for_callback = op;
    op->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (op->wake < 0) {
        xlpy_raise(ERROR_SYSTEM, errno, "run");
        goto out;
    }
    if (request_of(&q, op, args) || start(&call, &q, op))
        goto out;
    while (!atomic_load(&op->done)) {
        xlpy_release(&call);
        rc = pump(call.ctx, op->wake, SLICE_MS);
        xlpy_acquire(&call);
        if (rc && rc != ERROR_INTERRUPTED)
            xlpy_raise(rc, call.errnoval, "run");
        if (rc == 0 || rc == ERROR_INTERRUPTED)
            PyErr_CheckSignals();
        if (!PyErr_Occurred())
            xlpy_raise_kept(&call);
        if (PyErr_Occurred()) {
            end_early(&call, op);
            goto out;
        }
    }
    if (!xlpy_raise_kept(&call))
        value = outcome(op, op->rc);
out:
    if (op)
        op_drop(op);
    if (q.view.obj)
        PyBuffer_Release(&q.view);
    xlpy_leave(&call);
    xlpy_arena_clear(&q.arena);
    return value;
}

/* _exec(as request_of, started, cell) -> the number that its completion
 * event carries, also in cell; with started, an event when it has started does
 * so, too */
PyObject *xlpy_exec(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    struct request q = { .view = { 0 } };
    libxl_asyncprogress_how progress = { 0 };
    struct xlpy_op *op;
    struct xlpy_call call;
    PyObject *value = NULL;

    if (n < 8 || n > 10)
        return PyErr_Format(PyExc_TypeError, "_exec needs 8 to 10 arguments");
    xlpy_arena_init(&q.arena);
    if (xlpy_begin(&call, object))
        return NULL;
    op = op_new((xlpy_ctx *)object);
    if (!op)
        goto out;
    op->how.u.for_event = op->number;
    value = PyLong_FromUnsignedLong(op->number);
    if (!value || request_of(&q, op, args)) {
        Py_CLEAR(value);
        op_drop(op);
        goto out;
    }
    progress.u.for_event = op->number;
    if (n >= 9 && args[8] == Py_True)
        q.opts.started = &progress;
    if (start(&call, &q, op)) {
        Py_CLEAR(value);
        op_drop(op);
    } else if (n == 10 && xlpy_hand_over(args[9], value)) {
        Py_CLEAR(value);
    }
out:
    if (q.view.obj)
        PyBuffer_Release(&q.view);
    xlpy_leave(&call);
    xlpy_arena_clear(&q.arena);
    return value;
}

/* _abort(number) -> False if it is finished */
PyObject *xlpy_abort(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    libxl_asyncop_how how;
    unsigned long long number;
    struct xlpy_call call;
    struct xlpy_op *op;
    int rc = ERROR_NOTFOUND;

    if (n != 1)
        return PyErr_Format(PyExc_TypeError, "_abort needs 1 argument");
    number = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_begin(&call, object))
        return NULL;
    op = op_numbered((xlpy_ctx *)object, number);
    if (op) {
        how = op->how;
        xlpy_release(&call);
        rc = libxl_ao_abort(call.ctx, &how);
        xlpy_acquire(&call);
    }
    if (xlpy_end(&call))
        return NULL;
    if (rc && rc != ERROR_NOTFOUND && rc != ERROR_ABORTED)
        return xlpy_raise(rc, call.errnoval, "abort");
    return PyBool_FromLong(rc != ERROR_NOTFOUND);
}

/* ---- families that become empty ------------------------------------------- */

/* Any thread, no GIL; once. */
static void on_empty(libxl_ctx *ctx, int rc, void *for_callback)
{
    struct xlpy_op *op = for_callback;
    PyObject *closure, *answer;
    struct xlpy_gil gil;

    (void)ctx;
    xlpy_gil_take(&gil);
    closure = op->stream_data;
    Py_INCREF(closure);
    op_drop(op);
    answer = PyObject_CallFunction(closure, "i", rc);
    Py_XDECREF(answer);
    xlpy_keep_exception(&gil, closure);
    Py_DECREF(closure);
    xlpy_gil_give(&gil);
}

/* _family_when_empty(id, callback, cell) -> the number that its completion
 * event carries, with the code as payload; also in cell. Not with a callback:
 * that is called with the code instead, perhaps before this returns */
PyObject *xlpy_family_when_empty(PyObject *object, PyObject *const *args,
                                 Py_ssize_t n)
{
    struct xlpy_op *op = NULL;
    PyObject *value = NULL;
    libxl_asyncop_how how;
    libxl_family_id id;
    struct xlpy_call call;
    int rc;

    if (n != 3)
        return PyErr_Format(PyExc_TypeError,
                            "_family_when_empty needs 3 arguments");
    id = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred() || xlpy_callable_or_none(args[1], "callback") ||
        xlpy_begin(&call, object))
        return NULL;
    op = op_new((xlpy_ctx *)object);
    if (!op)
        goto out;
    op->plain = 1;
    value = PyLong_FromUnsignedLong(op->number);
    if (!value) {
        op_drop(op);
        goto out;
    }
    if (args[1] == Py_None) {
        op->how.u.for_event = op->number;
    } else {
        Py_INCREF(args[1]);
        op->stream_data = args[1];
        op->how.callback = on_empty;
        op->how.u.for_callback = op;
    }
    how = op->how; /* it may be gone before the call returns */
    xlpy_release(&call);
    rc = libxl_family_when_empty(call.ctx, id, &how);
    xlpy_acquire(&call);
    if (rc) {
        op_drop(op); /* no completion comes */
        Py_CLEAR(value);
        if (!xlpy_raise_kept(&call))
            xlpy_raise(rc, call.errnoval, "libxl_family_when_empty");
    } else if (xlpy_hand_over(args[2], value) || xlpy_raise_kept(&call)) {
        Py_CLEAR(value);
    }
out:
    xlpy_leave(&call);
    return value;
}
