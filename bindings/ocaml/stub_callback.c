/* stub_callback.c - from the library into OCaml
 *
 * The only file that enters OCaml. The library calls these functions on a
 * thread that is inside it: one of OCaml's, which released the runtime lock
 * on its way in (it has a frame), or a foreign one, which is registered for
 * the call. Each builds a Raw.call and hands it to Raw.dispatch, which finds
 * the closure, calls it, and keeps an exception for the pumping call. Nothing
 * raises through C.
 */
#include "stub.h"

#include <caml/callback.h>
#include <caml/threads.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tags of Raw.call, in its order; Fork is the constant constructor. */
enum call_tag {
    CALL_STRANGER,
    CALL_LOG,
    CALL_EVENT,
    CALL_DISASTER,
    CALL_REPORT,
    CALL_STARTED,
    CALL_STREAM,
    CALL_COMPLETED,
    CALL_EMPTIED,
    CALL_FD_REGISTER,
    CALL_FD_MODIFY,
    CALL_FD_DEREGISTER,
    CALL_TIMEOUT_REGISTER,
    CALL_TIMEOUT_MODIFY,
    CALL_TIMEOUT_DEREGISTER
};

/* What Raw.dispatch answers when the closure raised. */
#define RAISED Min_long

struct entry {
    struct xlo_ctx *x;
    struct xlo_frame *frame; /* NULL: a foreign thread */
    int registered;
};

/* ---- entering and leaving ---- */

__thread int xlo_in_callback;

static void leave(struct entry *e)
{
    xlo_in_callback--;
    caml_enter_blocking_section_no_pending();
    if (e->registered)
        caml_c_thread_unregister();
}

/* 1: the runtime lock is held, and leave is due. */
static int enter(struct entry *e, struct xlo_ctx *x)
{
    e->x = x;
    e->frame = xlo_current_frame();
    e->registered = 0;
    if (atomic_load(&x->silent))
        return 0;
    if (!e->frame)
        e->registered = caml_c_thread_register();
    caml_leave_blocking_section();
    xlo_in_callback++;
    if (!atomic_load(&x->silent))
        return 1;
    leave(e); /* finalised while this thread waited for the runtime */
    return 0;
}

static void report_escaped(struct entry *e, value exception)
{
    static const value *escaped;
    value weak = e->frame ? e->frame->x->weak : e->x->weak;

    if (!escaped)
        escaped = caml_named_value("xlchild.escaped");
    if (escaped && !Is_exception_result(
                       caml_callback2_exn(*escaped, weak, exception)))
        return;
    fputs("xlchild: an exception in a callback could not be kept\n", stderr);
}

/* Raw.dispatch callee pumper call; if_raised where the closure raised. */
static intnat dispatch(struct entry *e, value call, intnat if_raised)
{
    static const value *function;
    value weak = e->x->weak;
    value pumper = e->frame ? e->frame->x->weak : weak;
    value answer;

    if (!function)
        function = caml_named_value("xlchild.dispatch");
    if (!function)
        return if_raised;
    answer = caml_callback3_exn(*function, weak, pumper, call);
    if (Is_exception_result(answer)) {
        report_escaped(e, Extract_exception(answer));
        answer = Val_long(RAISED);
    }
    if (Long_val(answer) != RAISED)
        return Long_val(answer);
    if (e->frame)
        e->frame->raised = 1;
    return if_raised;
}

/* A block of immediate fields. */
static value block(enum call_tag tag, int n, const intnat *fields)
{
    value v = caml_alloc_small(n, tag);

    for (int i = 0; i < n; i++)
        Field(v, i) = Val_long(fields[i]);
    return v;
}

/* The same with one field, of any value, added at its end. */
static value block_with(enum call_tag tag, int n, const intnat *fields,
                        value last)
{
    CAMLparam1(last);
    value v = caml_alloc_small(n + 1, tag);

    for (int i = 0; i < n; i++)
        Field(v, i) = Val_long(fields[i]);
    Field(v, n) = last;
    CAMLreturn(v);
}

#define FIELDS(...) ((const intnat[]){__VA_ARGS__})

/* ---- the treaty ---- */

/* The child keeps the runtime lock that it was forked with: it goes on to
 * execute a program, and the lock's owner is a thread of the parent's. */
pid_t xlo_fork_replacement(void *user)
{
    pid_t parent = getpid();
    struct entry e;
    intnat pid;

    if (!enter(&e, user)) {
        errno = EINVAL;
        return -1;
    }
    pid = dispatch(&e, Val_int(0), -ECANCELED);
    if (getpid() != parent)
        return 0;
    leave(&e);
    if (pid < 0) {
        errno = -pid;
        return -1;
    }
    return pid;
}

int xlo_childproc_exited(pid_t pid, int status, void *user)
{
    struct entry e;
    int rc;

    if (!enter(&e, user))
        return 0;
    rc = dispatch(&e,
                  block_with(CALL_STRANGER, 1, FIELDS(pid), xlo_status(status)),
                  0);
    leave(&e);
    return rc;
}

/* ---- signals during a start ---- */

/* A start takes a thousandth of this. Before, handlers wait for its end, since
 * one that runs here may not call the library. */
#define PATIENCE_NS INT64_C(1000000000)

int xlo_interrupted(void *user)
{
    struct xlo_frame *frame = user;
    struct entry e;
    value result;
    int64_t now = xlo_now();

    if (!frame->asked)
        frame->asked = now;
    if (now - frame->asked < PATIENCE_NS || !enter(&e, frame->x))
        return 0;
    result = caml_process_pending_actions_exn();
    if (Is_exception_result(result))
        *frame->exception = Extract_exception(result);
    leave(&e);
    return *frame->exception != Val_unit;
}

/* ---- the logger ---- */

static value message_of(const char *message)
{
    return caml_copy_string(message ? message : "");
}

static value message_call(enum call_tag tag, int number, int errnoval,
                          const char *message)
{
    CAMLparam0();
    CAMLlocal3(v, text, error);

    text = message_of(message);
    error = xlo_errno_option(errnoval);
    v = caml_alloc_small(3, tag);
    Field(v, 0) = Val_int(number);
    Field(v, 1) = error;
    Field(v, 2) = text;
    CAMLreturn(v);
}

void xlo_log(void *user, libxl_log_level level, int errnoval,
             const char *message)
{
    int saved = errno;
    struct entry e;

    if (enter(&e, user)) {
        dispatch(&e, message_call(CALL_LOG, level, errnoval, message), 0);
        leave(&e);
    }
    errno = saved;
}

/* ---- events and reports ---- */

void xlo_event_occurs(void *user, libxl_event *event)
{
    struct xlo_ctx *x = user;
    struct entry e;

    if (enter(&e, x)) {
        dispatch(&e, block_with(CALL_EVENT, 0, NULL, xlo_event(event)), 0);
        leave(&e);
    }
    libxl_event_free(x->ctx, event);
}

void xlo_disaster(void *user, libxl_event_type type, const char *message,
                  int errnoval)
{
    struct entry e;

    if (!enter(&e, user))
        return;
    dispatch(&e, message_call(CALL_DISASTER, type, errnoval, message), 0);
    leave(&e);
}

int xlo_predicate(const libxl_event *event, void *user)
{
    struct xlo_frame *frame = user;
    struct entry e;
    value answer;
    int matches = 0;

    if (!enter(&e, frame->x))
        return 0;
    answer = xlo_event(event);
    answer = caml_callback_exn(*frame->predicate, answer);
    if (!Is_exception_result(answer)) {
        matches = Bool_val(answer);
    } else {
        report_escaped(&e, Extract_exception(answer));
        frame->raised = 1;
    }
    leave(&e);
    return matches;
}

void xlo_report(libxl_ctx *ctx, const libxl_childproc_result *result,
                void *user)
{
    struct xlo_report *report = user;
    struct entry e;

    (void)ctx;
    if (enter(&e, report->handle.x)) {
        dispatch(&e,
                 block_with(CALL_REPORT, 1, FIELDS(report->handle.number),
                            xlo_ended(result)),
                 0);
        leave(&e);
    }
    xlo_handle_unlink(&report->handle);
    free(report);
}

/* ---- operations ---- */

void xlo_started(libxl_ctx *ctx, libxl_event *event, void *user)
{
    struct xlo_operation *op = user;
    struct entry e;

    if (enter(&e, op->handle.x)) {
        dispatch(&e,
                 block(CALL_STARTED, 3,
                       FIELDS(op->handle.number, event->u.childproc_started.id,
                              event->u.childproc_started.pid)),
                 0);
        leave(&e);
    }
    libxl_event_free(ctx, event);
}

void xlo_stream_data(libxl_ctx *ctx, int stream, const void *data,
                     size_t length, void *user)
{
    struct xlo_operation *op = user;
    struct entry e;

    (void)ctx;
    if (!enter(&e, op->handle.x))
        return;
    dispatch(&e,
             block_with(CALL_STREAM, 2, FIELDS(op->handle.number, stream),
                        caml_alloc_initialized_string(length, data)),
             0);
    leave(&e);
}

static value captured(const libxl_captured *c)
{
    CAMLparam0();
    CAMLlocal2(record, data);

    data = caml_alloc_initialized_string(c->data ? c->length : 0,
                                         c->data ? c->data : "");
    record = caml_alloc_small(3, 0);
    Field(record, 0) = data;
    Field(record, 1) = Val_long(c->dropped);
    Field(record, 2) = Val_bool(c->held_open);
    CAMLreturn(record);
}

value xlo_outcome(int rc, const libxl_childproc_exec_result *result,
                  const libxl_childproc_account *account)
{
    CAMLparam0();
    CAMLlocal5(record, ended, out, err, late);
    CAMLlocal1(cost);

    ended = xlo_ended(&result->child);
    out = captured(&result->out);
    err = captured(&result->err);
    late = Val_int(0);
    if (rc == ERROR_SPAWN) { /* the call that started it had returned */
        record = Field(xlo_error(rc, &result->failure), 0);
        late = caml_alloc_small(1, 0);
        Field(late, 0) = record;
    }
    cost = Val_int(0);
    if (account)
        cost = xlo_ok(xlo_account(account)); /* Some */
    record = caml_alloc_small(9, 0);
    Field(record, 0) = ended;
    Field(record, 1) = Val_int(rc);
    Field(record, 2) = Val_bool(result->timed_out);
    Field(record, 3) = Val_bool(result->aborted);
    Field(record, 4) = Val_long(result->stdin_written);
    Field(record, 5) = out;
    Field(record, 6) = err;
    Field(record, 7) = late;
    Field(record, 8) = cost;
    CAMLreturn(record);
}

void xlo_completed(libxl_ctx *ctx, int rc, void *user)
{
    struct xlo_operation *op = user;
    libxl_childproc_id id = op->result.child.id;
    libxl_childproc_account account;
    struct entry e;
    int has_account =
        op->accounted && id && !xlo_take_account(ctx, id, &account);

    xlo_handle_unlink(&op->handle);
    if (enter(&e, op->handle.x)) {
        dispatch(&e,
                 block_with(CALL_COMPLETED, 1, FIELDS(op->handle.number),
                            xlo_outcome(rc, &op->result,
                                        has_account ? &account : NULL)),
                 0);
        leave(&e);
    }
    libxl_childproc_exec_result_dispose(&op->result);
    free(op);
}

void xlo_emptied(libxl_ctx *ctx, int rc, void *user)
{
    struct xlo_emptied *emptied = user;
    struct entry e;

    (void)ctx;
    if (enter(&e, emptied->handle.x)) {
        dispatch(&e,
                 block(CALL_EMPTIED, 2, FIELDS(emptied->handle.number, rc)),
                 0);
        leave(&e);
    }
    xlo_handle_unlink(&emptied->handle);
    free(emptied);
}

/* Of a call that waits for it, on whatever thread that is told. */
void xlo_waited(libxl_ctx *ctx, int rc, void *user)
{
    struct xlo_waited *waited = user;
    uint64_t one = 1;
    int wake = waited->wake;

    (void)ctx;
    waited->rc = rc;
    if (write(wake, &one, sizeof(one)) < 0)
        errno = 0; /* it looks from time to time */
    atomic_store(&waited->done, 1); /* it may be gone from here on */
}

/* ---- the host's loop ---- */

/* 1, the host's positive code, where the closure raised. */
static int fd_register(void *user, int fd, void **ret_for_app, short events,
                       void *for_libxl)
{
    struct xlo_ctx *x = user;
    struct xlo_registration *reg =
        xlo_handle_new(x, XLO_FD, sizeof(*reg), 0);
    struct entry e;
    int rc = 1;

    if (!reg)
        return rc;
    reg->for_libxl = for_libxl;
    reg->fd = fd;
    if (enter(&e, x)) {
        rc = dispatch(&e,
                      block(CALL_FD_REGISTER, 3,
                            FIELDS(reg->handle.number, fd, events)),
                      1);
        leave(&e);
    }
    if (rc) {
        xlo_handle_unlink(&reg->handle);
        free(reg);
        return rc;
    }
    *ret_for_app = reg;
    return 0;
}

static int fd_modify(void *user, int fd, void **for_app, short events)
{
    struct xlo_registration *reg = *for_app;
    struct entry e;
    int rc = 1;

    (void)fd;
    if (enter(&e, user)) {
        rc = dispatch(
            &e, block(CALL_FD_MODIFY, 2, FIELDS(reg->handle.number, events)),
            1);
        leave(&e);
    }
    return rc;
}

/* The registration is over: OCaml's closure is told, the number dies. */
static void end_registration(struct xlo_ctx *x, struct xlo_registration *reg,
                             enum call_tag tag)
{
    struct entry e;

    if (enter(&e, x)) {
        dispatch(&e, block(tag, 1, FIELDS(reg->handle.number)), 0);
        leave(&e);
    }
    xlo_handle_unlink(&reg->handle);
    free(reg);
}

static void fd_deregister(void *user, int fd, void *for_app)
{
    (void)fd;
    end_registration(user, for_app, CALL_FD_DEREGISTER);
}

static int timeout_register(void *user, void **ret_for_app, struct timeval at,
                            void *for_libxl)
{
    struct xlo_ctx *x = user;
    struct xlo_registration *reg =
        xlo_handle_new(x, XLO_TIMEOUT, sizeof(*reg), 0);
    struct entry e;
    int rc = 1;

    if (!reg)
        return rc;
    reg->for_libxl = for_libxl;
    if (enter(&e, x)) {
        rc = dispatch(&e,
                      block_with(CALL_TIMEOUT_REGISTER, 1,
                                 FIELDS(reg->handle.number),
                                 caml_copy_double(at.tv_sec +
                                                  at.tv_usec / 1e6)),
                      1);
        leave(&e);
    }
    if (rc) {
        xlo_handle_unlink(&reg->handle);
        free(reg);
        return rc;
    }
    *ret_for_app = reg;
    return 0;
}

static int timeout_modify(void *user, void **for_app, struct timeval at)
{
    struct xlo_registration *reg = *for_app;
    struct entry e;
    int rc = 1;

    (void)at; /* only ever "as soon as possible" */
    if (enter(&e, user)) {
        rc = dispatch(
            &e, block(CALL_TIMEOUT_MODIFY, 1, FIELDS(reg->handle.number)), 1);
        leave(&e);
    }
    return rc;
}

static void timeout_deregister(void *user, void *for_app)
{
    end_registration(user, for_app, CALL_TIMEOUT_DEREGISTER);
}

const libxl_osevent_hooks xlo_loop_hooks = {
    .fd_register = fd_register,
    .fd_modify = fd_modify,
    .fd_deregister = fd_deregister,
    .timeout_register = timeout_register,
    .timeout_modify = timeout_modify,
    .timeout_deregister = timeout_deregister,
    .size = sizeof(libxl_osevent_hooks),
};
