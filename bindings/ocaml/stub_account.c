/* stub_account.c - accounts: why a child died, and what it cost
 *
 * Called by ocaml/lib/children.ml through Raw, and by stub_exec.c and
 * stub_callback.c for what ran to completion. The layout is that of
 * Types.account.
 */
#include "stub.h"

#include <string.h>

int xlo_take_account(libxl_ctx *ctx, libxl_childproc_id id,
                     libxl_childproc_account *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->size = sizeof(*ret);
    return libxl_childproc_account_take(ctx, id, ret);
}

/* ---- to OCaml ---- */

static value known(int64_t n)
{
    return n < 0 ? Val_int(0) : xlo_ok(Val_long(n)); /* Some */
}

static value seconds(int64_t n, double unit)
{
    return n < 0 ? Val_int(0) : xlo_ok(caml_copy_double(n / unit));
}

static value sent(const libxl_childproc_account *a)
{
    value pair;

    if (!a->sent_signal)
        return Val_int(0);
    pair = caml_alloc_small(2, 0);
    Field(pair, 0) = Val_int(a->sent_by);
    Field(pair, 1) = xlo_signal_to_ocaml(a->sent_signal);
    return xlo_ok(pair);
}

value xlo_account(const libxl_childproc_account *a)
{
    CAMLparam0();
    CAMLlocal1(record);

    record = caml_alloc(14, 0);
    Store_field(record, 0, Val_int(a->ended_by));
    Store_field(record, 1, Val_bool(a->perhaps));
    Store_field(record, 2, known(a->core_dumped));
    Store_field(record, 3, sent(a));
    Store_field(record, 4, seconds(a->exec_ns, 1e9));
    Store_field(record, 5, seconds(a->end_ns, 1e9));
    Store_field(record, 6, a->has_rusage ? xlo_ok(xlo_rusage(&a->rusage))
                                         : Val_int(0));
    Store_field(record, 7, known(a->memory_kills));
    Store_field(record, 8, seconds(a->cpu_usec, 1e6));
    Store_field(record, 9, known(a->memory_peak));
    Store_field(record, 10, known(a->pids_peak));
    Store_field(record, 11, seconds(a->memory_stall_usec, 1e6));
    Store_field(record, 12, seconds(a->cpu_stall_usec, 1e6));
    Store_field(record, 13, seconds(a->io_stall_usec, 1e6));
    CAMLreturn(record);
}

/* ---- externals ---- */

/* account_take : t -> child -> int, a code; where there was one, the child has
 * it: nothing can be raised in between */
value xlchild_ml_account_take(value t, value child)
{
    CAMLparam2(t, child);
    CAMLlocal1(record);
    libxl_childproc_id id = Long_val(Field(child, XLO_CHILD_ID));
    libxl_childproc_account account;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(Val_int(rc));
    xlo_release();
    rc = xlo_take_account(frame.x->ctx, id, &account);
    xlo_retake();
    xlo_end(&frame);
    if (!rc) {
        record = xlo_ok(xlo_account(&account)); /* Some */
        Store_field(child, XLO_CHILD_ACCOUNT, record);
    }
    CAMLreturn(Val_int(rc));
}

/* account_drop : t -> int -> bool; of one whom nobody can ask for it any more.
 * Whether that is over: it was taken, or there is none to come */
value xlchild_ml_account_drop(value t, value id_v)
{
    CAMLparam1(t);
    libxl_childproc_id id = Long_val(id_v);
    libxl_childproc_account account;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(Val_true);
    xlo_release();
    rc = xlo_take_account(frame.x->ctx, id, &account);
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(Val_bool(rc != ERROR_NOT_READY));
}
