/* stub_family.c - families: one external a function
 *
 * Called by ocaml/lib/family.ml through Raw. Signals are the system's here, and
 * arguments have been looked at.
 */
#include "stub.h"

#include <caml/fail.h>
#include <errno.h>
#include <stdlib.h>

/* ---- the frame of a call ---- */

/* 0, with the runtime lock released; or XLO_CLOSED. */
static int enter(value t, struct xlo_frame *frame)
{
    int rc = xlo_begin(t, frame);

    if (!rc)
        xlo_release();
    return rc;
}

/* What rc and errno of the call that was just made are, as a result. */
static value left(struct xlo_frame *frame, int rc)
{
    int errnoval = errno;

    xlo_retake();
    xlo_end(frame);
    return xlo_answer(rc, errnoval);
}

/* ---- making and letting go ---- */

/* family_new : t -> Raw.family_opts -> family -> (unit, …) result; the family's
 * id and cgroup are set where there is one */
value xlchild_ml_family_new(value t, value opts_v, value family_v)
{
    CAMLparam3(t, opts_v, family_v);
    CAMLlocal2(path, answer);
    libxl_family_state state = {.size = sizeof(state)};
    libxl_family_opts opts;
    struct xlo_arena arena;
    struct xlo_frame frame;
    libxl_family_id id = 0;
    int errnoval, rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_arena_init(&arena);
    libxl_family_opts_init(&opts);
    opts.end_when = Int_val(Field(opts_v, 0));
    opts.first_signal = Int_val(Field(opts_v, 1));
    opts.grace_ms = Int_val(Field(opts_v, 2));
    opts.holds = Int_val(Field(opts_v, 3));
    if (Is_block(Field(opts_v, 4)))
        opts.cgroup_parent =
            xlo_arena_string(&arena, Field(Field(opts_v, 4), 0), &rc);
    if (rc)
        goto out;
    xlo_release();
    rc = libxl_family_new(frame.x->ctx, &opts, &id);
    errnoval = errno;
    /* nobody else knows its number: the path stays */
    if (!rc && libxl_family_look(frame.x->ctx, id, &state))
        state.cgroup = NULL;
    xlo_retake();
    errno = errnoval;
    if (!rc)
        Field(family_v, XLO_FAMILY_ID) = Val_long(id);
    if (!rc && state.cgroup) {
        path = xlo_ok(caml_copy_string(state.cgroup)); /* Some */
        Store_field(family_v, XLO_FAMILY_CGROUP, path);
    }
out:
    answer = xlo_answer(rc, errno);
    xlo_arena_free(&arena);
    xlo_end(&frame);
    CAMLreturn(answer);
}

value xlchild_ml_family_free(value t, value id_v)
{
    CAMLparam1(t);
    libxl_family_id id = Long_val(id_v);
    struct xlo_frame frame;
    int rc = enter(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    CAMLreturn(left(&frame, libxl_family_free(frame.x->ctx, id)));
}

/* family_sweep : t -> int -> bool; lets go of one that was forgotten, unless
 * somebody is in it. Whether it is no more */
value xlchild_ml_family_sweep(value t, value id_v)
{
    CAMLparam1(t);
    libxl_family_state state = {.size = sizeof(state)};
    libxl_family_id id = Long_val(id_v);
    struct xlo_frame frame;
    int rc = enter(t, &frame);

    if (rc)
        CAMLreturn(Val_true);
    rc = libxl_family_look(frame.x->ctx, id, &state);
    if (!rc && state.started && !state.empty)
        rc = ERROR_BUSY;
    if (!rc)
        rc = libxl_family_free(frame.x->ctx, id);
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(Val_bool(rc != ERROR_BUSY));
}

/* ---- asking ---- */

/* family_look : t -> int -> (Raw.family_state, …) result */
value xlchild_ml_family_look(value t, value id_v)
{
    CAMLparam1(t);
    CAMLlocal3(answer, why, record);
    libxl_family_state state = {.size = sizeof(state)};
    libxl_family_id id = Long_val(id_v);
    struct xlo_frame frame;
    int rc = enter(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    rc = libxl_family_look(frame.x->ctx, id, &state);
    answer = left(&frame, rc);
    if (rc)
        CAMLreturn(answer);
    why = Val_int(0);
    if (state.why)
        why = xlo_ok(caml_copy_string(state.why)); /* Some */
    record = caml_alloc_small(6, 0);
    Field(record, 0) = Val_int(state.hold);
    Field(record, 1) = why;
    Field(record, 2) = Val_bool(state.started);
    Field(record, 3) = Val_bool(state.empty);
    Field(record, 4) = Val_bool(state.ending);
    Field(record, 5) = Val_int(state.pid);
    CAMLreturn(xlo_ok(record));
}

/* family_wait : t -> int -> int -> (unit, …) result; timeout in ms, -1 for
 * ever */
value xlchild_ml_family_wait(value t, value id_v, value timeout_v)
{
    CAMLparam1(t);
    CAMLlocal1(exception);
    libxl_family_id id = Long_val(id_v);
    struct xlo_frame frame;
    struct xlo_wait wait;
    int errnoval = 0, rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_wait_start(&wait, Long_val(timeout_v));
    do {
        if (xlo_wait_pending(&wait, &exception)) {
            rc = ERROR_INTERRUPTED;
            break;
        }
        xlo_release();
        rc = libxl_family_wait(frame.x->ctx, id, xlo_wait_timeout(&wait),
                               LIBXL_WAIT_INTERRUPTIBLE);
        errnoval = errno;
        xlo_retake();
    } while (xlo_wait_again(&wait, &frame, rc));
    xlo_end(&frame);
    if (exception != Val_unit)
        caml_raise(exception);
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* family_when_empty : t -> int -> int -> (unit, …) result; the number is of
 * OCaml's closure */
value xlchild_ml_family_when_empty(value t, value id_v, value number)
{
    CAMLparam1(t);
    libxl_asyncop_how how = {.callback = xlo_emptied};
    libxl_family_id id = Long_val(id_v);
    struct xlo_emptied *emptied;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    emptied = xlo_handle_new(frame.x, XLO_EMPTIED, sizeof(*emptied),
                             Long_val(number));
    if (!emptied) {
        xlo_end(&frame);
        CAMLreturn(xlo_system_error(ERROR_NOMEM, 0));
    }
    how.u.for_callback = emptied;
    xlo_release();
    rc = libxl_family_when_empty(frame.x->ctx, id, &how);
    if (rc) {
        xlo_handle_unlink(&emptied->handle);
        free(emptied);
    }
    CAMLreturn(left(&frame, rc));
}

/* family_hold_name : int -> string */
value xlchild_ml_family_hold_name(value hold)
{
    return caml_copy_string(libxl_family_hold_name(Int_val(hold)));
}

/* ---- signals ---- */

value xlchild_ml_family_signal(value t, value id_v, value signo_v)
{
    CAMLparam1(t);
    libxl_family_id id = Long_val(id_v);
    int signo = Int_val(signo_v);
    struct xlo_frame frame;
    int rc = enter(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    CAMLreturn(left(&frame, libxl_family_signal(frame.x->ctx, id, signo)));
}

/* family_end : t -> int -> int -> int -> (unit, …) result; grace in ms */
value xlchild_ml_family_end(value t, value id_v, value signo_v, value grace_v)
{
    CAMLparam1(t);
    libxl_family_id id = Long_val(id_v);
    int signo = Int_val(signo_v), grace = Int_val(grace_v);
    struct xlo_frame frame;
    int rc = enter(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    CAMLreturn(
        left(&frame, libxl_family_end(frame.x->ctx, id, signo, grace)));
}
