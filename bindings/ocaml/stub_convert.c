/* stub_convert.c - errors, statuses, signals and events as OCaml values
 *
 * Pure translation, with the runtime lock held. Called by every other stub.
 * The layouts are those of the types in ocaml/lib/types.ml.
 */
#define CAML_INTERNALS /* caml_convert_signal_number and its reverse */
#include "stub.h"

#include <caml/unixsupport.h>
#include <sys/wait.h>

#if OCAML_VERSION >= 50000
#define error_of_errno caml_unix_error_of_code
#define errno_of_error caml_unix_code_of_unix_error
#else
#define error_of_errno unix_error_of_code
#define errno_of_error code_of_unix_error
#endif

int xlo_signal_to_c(value v)
{
    return caml_convert_signal_number(Int_val(v));
}

value xlo_signal_to_ocaml(int signo)
{
    return Val_int(caml_rev_convert_signal_number(signo));
}

value xlo_ok(value v)
{
    CAMLparam1(v);
    CAMLlocal1(result);

    result = caml_alloc_small(1, 0);
    Field(result, 0) = v;
    CAMLreturn(result);
}

static value some(value v)
{
    return xlo_ok(v); /* the same layout: one field, tag 0 */
}

value xlo_errno_option(int errnoval)
{
    return errnoval ? some(error_of_errno(errnoval)) : Val_int(0);
}

value xlo_error(int rc, const libxl_childproc_failure *failure)
{
    CAMLparam0();
    CAMLlocal4(result, tuple, error, argument);

    error = xlo_errno_option(failure->errnoval);
    argument = Val_int(0);
    if (failure->argument)
        argument = some(caml_copy_string(failure->argument));
    tuple = caml_alloc_small(4, 0);
    Field(tuple, 0) = Val_int(rc);
    Field(tuple, 1) = Val_int(failure->stage);
    Field(tuple, 2) = error;
    Field(tuple, 3) = argument;
    result = caml_alloc_small(1, 1);
    Field(result, 0) = tuple;
    CAMLreturn(result);
}

value xlo_system_error(int rc, int errnoval)
{
    libxl_childproc_failure failure = {.errnoval = errnoval};

    return xlo_error(rc, &failure);
}

value xlo_answer(int rc, int errnoval)
{
    if (rc)
        return xlo_system_error(rc, rc == ERROR_SYSTEM ? errnoval : 0);
    return xlo_ok(Val_unit);
}

value xlo_status(int status)
{
    value v;

    if (WIFEXITED(status)) {
        v = caml_alloc_small(1, 0);
        Field(v, 0) = Val_int(WEXITSTATUS(status));
    } else if (WIFSTOPPED(status)) {
        v = caml_alloc_small(1, 2);
        Field(v, 0) = xlo_signal_to_ocaml(WSTOPSIG(status));
    } else {
        v = caml_alloc_small(1, 1);
        Field(v, 0) = xlo_signal_to_ocaml(WTERMSIG(status));
    }
    return v;
}

static double seconds(struct timeval t)
{
    return t.tv_sec + t.tv_usec / 1e6;
}

value xlo_rusage(const struct rusage *r)
{
    CAMLparam0();
    CAMLlocal3(record, user, system);

    user = caml_copy_double(seconds(r->ru_utime));
    system = caml_copy_double(seconds(r->ru_stime));
    record = caml_alloc_small(9, 0);
    Field(record, 0) = user;
    Field(record, 1) = system;
    Field(record, 2) = Val_long(r->ru_maxrss);
    Field(record, 3) = Val_long(r->ru_minflt);
    Field(record, 4) = Val_long(r->ru_majflt);
    Field(record, 5) = Val_long(r->ru_inblock);
    Field(record, 6) = Val_long(r->ru_oublock);
    Field(record, 7) = Val_long(r->ru_nvcsw);
    Field(record, 8) = Val_long(r->ru_nivcsw);
    CAMLreturn(record);
}

value xlo_ended(const libxl_childproc_result *result)
{
    CAMLparam0();
    CAMLlocal5(record, status, rusage, failure, error);

    if (result->lost == LIBXL_LOST_NONE) {
        rusage = xlo_status(result->status);
        status = caml_alloc_small(1, 0); /* Status */
        Field(status, 0) = rusage;
    } else {
        status = caml_alloc_small(1, 1); /* Lost */
        Field(status, 0) = Val_int(result->lost - 1);
    }
    rusage = Val_int(0);
    if (result->has_rusage) {
        record = xlo_rusage(&result->rusage);
        rusage = some(record);
    }
    failure = Val_int(0);
    if (result->lost == LIBXL_LOST_NEVER_RAN) {
        error = xlo_errno_option(result->errnoval);
        record = caml_alloc_small(2, 0);
        Field(record, 0) = Val_int(result->stage);
        Field(record, 1) = error;
        failure = some(record);
    }
    record = caml_alloc_small(6, 0);
    Field(record, 0) = Val_long(result->id);
    Field(record, 1) = Val_int(result->pid);
    Field(record, 2) = status;
    Field(record, 3) = Val_int(result->source);
    Field(record, 4) = rusage;
    Field(record, 5) = failure;
    CAMLreturn(record);
}

value xlo_event(const libxl_event *event)
{
    CAMLparam0();
    CAMLlocal2(v, ended);
    value tag = Val_long((intnat)event->for_user);

    switch (event->type) {
    case LIBXL_EVENT_TYPE_CHILDPROC_EXIT:
        ended = xlo_ended(&event->u.childproc_exit);
        v = caml_alloc_small(2, 1);
        Field(v, 0) = tag;
        Field(v, 1) = ended;
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STARTED:
        v = caml_alloc_small(3, 2);
        Field(v, 0) = tag;
        Field(v, 1) = Val_long(event->u.childproc_started.id);
        Field(v, 2) = Val_int(event->u.childproc_started.pid);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STOPPED:
    case LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED:
        v = caml_alloc_small(
            4, event->type == LIBXL_EVENT_TYPE_CHILDPROC_STOPPED ? 3 : 4);
        Field(v, 0) = tag;
        Field(v, 1) = Val_long(event->u.childproc_stopped.id);
        Field(v, 2) = Val_int(event->u.childproc_stopped.pid);
        Field(v, 3) = xlo_signal_to_ocaml(event->u.childproc_stopped.signo);
        break;
    default:
        v = caml_alloc_small(2, 0);
        Field(v, 0) = tag;
        Field(v, 1) = Val_int(event->u.operation_complete.rc);
    }
    CAMLreturn(v);
}

/* ---- externals ---- */

/* errno_of_error : Unix.error -> int */
value xlchild_ml_errno_of_error(value error)
{
    return Val_int(errno_of_error(error));
}

/* system_signal : int -> int, as the kernel numbers it */
value xlchild_ml_system_signal(value signo)
{
    return Val_int(xlo_signal_to_c(signo));
}

/* ocaml_signal : int -> int, as OCaml numbers it */
value xlchild_ml_ocaml_signal(value signo)
{
    return xlo_signal_to_ocaml(Int_val(signo));
}

value xlchild_ml_stage_name(value stage)
{
    return caml_copy_string(libxl_childproc_stage_name(Int_val(stage)));
}

value xlchild_ml_owner_name(value owner)
{
    return caml_copy_string(libxl_childproc_owner_name(Int_val(owner)));
}

value xlchild_ml_lost_text(value lost)
{
    return caml_copy_string(libxl_childproc_lost_text(Int_val(lost)));
}
