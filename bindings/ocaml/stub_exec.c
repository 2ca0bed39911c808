/* stub_exec.c - running a command to completion
 *
 * Synchronously, where the library does the waiting, or with a completion
 * that reaches OCaml by xlo_completed. Called by ocaml/lib/run.ml through
 * Raw.
 */
#include "stub.h"

#include <caml/fail.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Raw.stream: (kind, Unix.file_descr option, string option, int): the string is
 * the path, or for kind BUFFER the data; the int is the limit. */
static int copy_stream(struct xlo_arena *arena, value v, libxl_stream *ret)
{
    value fd = Field(v, 1), text = Field(v, 2);
    int rc = 0;

    memset(ret, 0, sizeof(*ret));
    ret->kind = Int_val(Field(v, 0));
    ret->fd = Is_block(fd) ? Int_val(Field(fd, 0)) : -1;
    ret->limit = Long_val(Field(v, 3));
    if (!Is_block(text))
        return 0;
    text = Field(text, 0);
    if (ret->kind == LIBXL_STREAM_BUFFER) {
        void *data = xlo_arena_alloc(arena, caml_string_length(text) + 1);

        if (!data)
            return ERROR_NOMEM;
        ret->length = caml_string_length(text);
        memcpy(data, String_val(text), ret->length);
        ret->data = data;
    } else {
        ret->path = xlo_arena_string(arena, text, &rc);
    }
    return rc;
}

/* Raw.exec_opts: { stdin; stdout; stderr; timeout_ms; linger; started;
 * streams } */
static int copy_options(struct xlo_arena *arena, value v,
                        struct xlo_operation *op,
                        libxl_childproc_exec_opts *opts)
{
    int rc;

    libxl_childproc_exec_opts_init(opts);
    if ((rc = copy_stream(arena, Field(v, 0), &opts->stdin_stream)) ||
        (rc = copy_stream(arena, Field(v, 1), &opts->stdout_stream)) ||
        (rc = copy_stream(arena, Field(v, 2), &opts->stderr_stream)))
        return rc;
    opts->timeout_ms = Long_val(Field(v, 3));
    opts->linger = Int_val(Field(v, 4));
    if (Bool_val(Field(v, 5))) {
        op->started.callback = xlo_started;
        op->started.u.for_callback = op;
        opts->started = &op->started;
    }
    if (Bool_val(Field(v, 6))) {
        opts->stream_data = xlo_stream_data;
        opts->stream_user = op;
    }
    return 0;
}

/* ---- waiting for it here ---- */

/* What the library writes to when it is over. */
struct waiting {
    struct xlo_waited waited;
    struct xlo_operation op;
};

/* Until it is over, with signal handlers at once: one that raises ends it by
 * its policy, and is raised when the child is reaped. Where the host has closed
 * the context's descriptors nothing is told any more: *ret_gone then. */
static int wait_for_it(struct xlo_frame *frame, const libxl_asyncop_how *how,
                       struct xlo_waited *waited, value *exception,
                       int *ret_gone)
{
    struct xlo_wait wait = {.deadline = -1, .blocks = 1};
    libxl_ctx *ctx = frame->x->ctx;
    value raised;

    while (!atomic_load(&waited->done)) {
        if (*exception == Val_unit && xlo_wait_pending(&wait, &raised)) {
            *exception = raised;
            xlo_release();
            libxl_ao_abort(ctx, how);
            xlo_retake();
            continue;
        }
        xlo_release();
        *ret_gone = xlo_pump(ctx, waited->wake) == ERROR_FDS_CLOSED;
        xlo_retake();
        if (*ret_gone)
            return ERROR_FDS_CLOSED;
    }
    return waited->rc;
}

/* exec : t -> command -> exec_opts -> int -> (outcome, …) result */
value xlchild_ml_exec(value t, value command_v, value options_v, value token)
{
    CAMLparam3(t, command_v, options_v);
    CAMLlocal2(outcome, exception);
    struct waiting *w;
    libxl_asyncop_how how = {.callback = xlo_waited};
    libxl_childproc_failure failure = {.stage = LIBXL_STAGE_NONE};
    libxl_childproc_exec_opts opts;
    libxl_childproc_account account;
    struct xlo_command command;
    struct xlo_arena arena;
    struct xlo_frame frame;
    int gone = 0, has_account = 0;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    w = calloc(1, sizeof(*w));
    if (!w) {
        xlo_end(&frame);
        CAMLreturn(xlo_system_error(ERROR_NOMEM, 0));
    }
    w->waited.wake = -1;
    w->op.handle.number = Long_val(token);
    w->op.handle.x = frame.x;
    how.u.for_callback = &w->waited;
    exception = Val_unit;
    frame.exception = &exception;
    xlo_arena_init(&arena);
    rc = xlo_command(&arena, command_v, frame.x, &frame, &command, &failure);
    if (rc)
        goto out;
    w->op.accounted = (command.spec.flags & LIBXL_SPAWN_ACCOUNT) != 0;
    w->waited.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->waited.wake < 0) {
        failure.stage = LIBXL_STAGE_PREPARE;
        failure.errnoval = errno;
        rc = ERROR_SYSTEM;
        goto out;
    }
    rc = copy_options(&arena, options_v, &w->op, &opts);
    if (rc) {
        failure.stage = LIBXL_STAGE_ARGUMENT;
        failure.argument = "stream";
        goto out;
    }
    xlo_release();
    rc = libxl_childproc_exec(frame.x->ctx, &command.spec, &opts,
                              &w->op.result, &failure, &how);
    xlo_retake();
    if (!rc)
        rc = wait_for_it(&frame, &how, &w->waited, &exception, &gone);
    if (!gone && w->op.accounted && w->op.result.child.id) {
        xlo_release();
        has_account = !xlo_take_account(frame.x->ctx, w->op.result.child.id,
                                        &account);
        xlo_retake();
    }
out:
    if (w->waited.wake >= 0 && !gone)
        close(w->waited.wake);
    xlo_arena_free(&arena);
    xlo_end(&frame);
    if (gone) {
        /* the context has it until it is freed, and may write to it then; what
         * has the eventfd's number by now is the host's, maybe */
        w->waited.wake = -1;
        CAMLreturn(xlo_error(rc, &failure));
    }
    if (exception != Val_unit) {
        libxl_childproc_exec_result_dispose(&w->op.result);
        free(w);
        caml_raise(exception);
    }
    if (!rc || w->op.result.child.id)
        outcome = xlo_ok(xlo_outcome(rc, &w->op.result,
                                     has_account ? &account : NULL));
    else
        outcome = xlo_error(rc, &failure);
    libxl_childproc_exec_result_dispose(&w->op.result);
    free(w);
    CAMLreturn(outcome);
}

/* exec_start : t -> command -> exec_opts -> int -> (unit, …) result */
value xlchild_ml_exec_start(value t, value command_v, value options_v,
                            value token)
{
    CAMLparam3(t, command_v, options_v);
    libxl_childproc_failure failure = {.stage = LIBXL_STAGE_NONE};
    libxl_childproc_exec_opts opts;
    libxl_asyncop_how how;
    struct xlo_operation *op;
    struct xlo_command command;
    struct xlo_arena arena;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_arena_init(&arena);
    op = xlo_handle_new(frame.x, XLO_OPERATION, sizeof(*op), Long_val(token));
    if (!op) {
        rc = ERROR_NOMEM;
        goto out;
    }
    op->how.callback = xlo_completed;
    op->how.u.for_callback = op;
    how = op->how; /* op may be gone before the call returns */
    rc = xlo_command(&arena, command_v, frame.x, NULL, &command, &failure);
    if (!rc && (rc = copy_options(&arena, options_v, op, &opts))) {
        failure.stage = LIBXL_STAGE_ARGUMENT;
        failure.argument = "stream";
    }
    if (!rc) {
        op->accounted = (command.spec.flags & LIBXL_SPAWN_ACCOUNT) != 0;
        xlo_release();
        rc = libxl_childproc_exec(frame.x->ctx, &command.spec, &opts,
                                  &op->result, &failure, &how);
        xlo_retake();
    }
    if (rc) {
        xlo_handle_unlink(&op->handle);
        free(op);
    }
out:
    xlo_arena_free(&arena);
    xlo_end(&frame);
    CAMLreturn(rc ? xlo_error(rc, &failure) : xlo_ok(Val_unit));
}

/* abort : t -> int -> (unit, …) result */
value xlchild_ml_abort(value t, value token)
{
    CAMLparam1(t);
    libxl_asyncop_how how;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    rc = xlo_operation_how(frame.x, Long_val(token), &how);
    if (!rc) {
        xlo_release();
        rc = libxl_ao_abort(frame.x->ctx, &how);
        xlo_retake();
    }
    xlo_end(&frame);
    CAMLreturn(rc ? xlo_system_error(rc, 0) : xlo_ok(Val_unit));
}
