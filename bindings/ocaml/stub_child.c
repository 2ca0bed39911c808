/* stub_child.c - the treaty and children: one external a function
 *
 * Called by context.ml, children.ml and diagnosis.ml of ocaml/lib through Raw.
 */
#include "stub.h"

#include <caml/callback.h>
#include <caml/fail.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The frame of nearly every call: begin, release, CALL into rc, retake, end. */
#define PUMP(t, CALL)                                                          \
    struct xlo_frame frame;                                                    \
    int errnoval = 0, rc = xlo_begin(t, &frame);                               \
    if (!rc) {                                                                 \
        libxl_ctx *ctx = frame.x->ctx;                                         \
        xlo_release();                                                         \
        rc = CALL;                                                             \
        errnoval = errno;                                                      \
        xlo_retake();                                                          \
        xlo_end(&frame);                                                       \
    }

/* ---- the treaty ---- */

/* setmode : t -> int -> bool -> bool -> (unit, …) result */
value xlchild_ml_setmode(value t, value owner, value forks, value strangers)
{
    CAMLparam1(t);
    libxl_childproc_hooks hooks = {
        .chldowner = Int_val(owner),
        .fork_replacement = Bool_val(forks) ? xlo_fork_replacement : NULL,
        .childproc_exited_callback =
            Bool_val(strangers) ? xlo_childproc_exited : NULL,
        .size = sizeof(hooks),
    };
    struct xlo_frame frame;
    int errnoval, rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_release();
    rc = libxl_childproc_setmode_checked(frame.x->ctx, &hooks, frame.x);
    errnoval = errno;
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* exited : t -> int -> Unix.process_status -> (int, …) result */
value xlchild_ml_exited(value t, value pid_v, value status_v)
{
    CAMLparam2(t, status_v);
    pid_t pid = Int_val(pid_v);
    int n = Int_val(Field(status_v, 0)), status;

    if (Tag_val(status_v) == 0)
        status = (n & 0xff) << 8;
    else if (Tag_val(status_v) == 1)
        status = xlo_signal_to_c(Val_int(n)) & 0x7f;
    else
        status = (xlo_signal_to_c(Val_int(n)) & 0xff) << 8 | 0x7f;
    PUMP(t, libxl_childproc_exited(ctx, pid, status));
    if (rc == XLO_CLOSED)
        CAMLreturn(xlo_answer(rc, errnoval));
    CAMLreturn(xlo_ok(Val_int(rc)));
}

value xlchild_ml_sigchld_occurred(value t)
{
    CAMLparam1(t);
    PUMP(t, (libxl_childproc_sigchld_occurred(ctx), 0));
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* postfork_child_noexec : unit -> unit; of every ctx, hence of none */
value xlchild_ml_postfork_child_noexec(value unit)
{
    libxl_postfork_child_noexec(NULL);
    return unit;
}

/* fork : unit -> int, or -errno: the bare system's. The OCaml runtime is not
 * told, so the child may only go on to execute a program. */
value xlchild_ml_fork(value unit)
{
    pid_t pid = fork();

    (void)unit;
    return Val_int(pid < 0 ? -errno : pid);
}

/* ---- starting ---- */

/* Raw.report: Hold | Silent | Event of int | Callback of int. 0, or
 * ERROR_NOMEM. *ret_made is to be freed if the start fails. */
static int report_of(struct xlo_ctx *x, value v, libxl_childproc_report *ret,
                     struct xlo_report **ret_made)
{
    memset(ret, 0, sizeof(*ret));
    *ret_made = NULL;
    if (Is_long(v)) {
        ret->kind = Int_val(v) ? LIBXL_REPORT_NONE : LIBXL_REPORT_HOLD;
    } else if (Tag_val(v) == 0) {
        ret->kind = LIBXL_REPORT_EVENT;
        ret->u.for_event = Long_val(Field(v, 0));
    } else {
        *ret_made = xlo_handle_new(x, XLO_REPORT, sizeof(**ret_made),
                                   Long_val(Field(v, 0)));
        if (!*ret_made)
            return ERROR_NOMEM;
        ret->kind = LIBXL_REPORT_CALLBACK;
        ret->callback = xlo_report;
        ret->u.for_callback = *ret_made;
    }
    return 0;
}

static void drop_report(struct xlo_report *report)
{
    if (!report)
        return;
    xlo_handle_unlink(&report->handle);
    free(report);
}

static void set_child(value child, libxl_childproc_id id, pid_t pid)
{
    Field(child, XLO_CHILD_PID) = Val_int(pid);
    Field(child, XLO_CHILD_ID) = Val_long(id);
}

/* spawn : t -> command -> report -> Child.t -> (unit, …) result; the child's id
 * and pid are set where it was started */
value xlchild_ml_spawn(value t, value command_v, value report_v, value child)
{
    CAMLparam4(t, command_v, report_v, child);
    CAMLlocal1(exception);
    libxl_childproc_failure failure = {.stage = LIBXL_STAGE_NONE};
    struct xlo_command command;
    libxl_childproc_report report;
    struct xlo_report *made = NULL;
    struct xlo_arena arena;
    struct xlo_frame frame;
    libxl_childproc_id id = 0;
    pid_t pid = -1;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    exception = Val_unit;
    frame.exception = &exception;
    xlo_arena_init(&arena);
    rc = xlo_command(&arena, command_v, frame.x, &frame, &command, &failure);
    if (rc || (rc = report_of(frame.x, report_v, &report, &made)))
        goto out;
    xlo_release();
    rc = libxl_childproc_spawn(frame.x->ctx, &command.spec, &report, &id, &pid,
                               &failure);
    xlo_retake();
    if (rc)
        drop_report(made);
    else
        set_child(child, id, pid);
out:
    xlo_arena_free(&arena);
    xlo_end(&frame);
    if (exception != Val_unit)
        caml_raise(exception);
    CAMLreturn(rc ? xlo_error(rc, &failure) : xlo_ok(Val_unit));
}

/* spawn_many : t -> (command * report * Child.t) array
 *              -> ((unit, …) result array, …) result; each child as in spawn */
value xlchild_ml_spawn_many(value t, value batch)
{
    CAMLparam2(t, batch);
    CAMLlocal2(list, one);
    size_t n = Wosize_val(batch), i;
    struct xlo_command *commands = NULL;
    libxl_childproc_batch_entry *entries = NULL;
    libxl_childproc_report *reports = NULL;
    struct xlo_report **made = NULL;
    libxl_childproc_failure failure = {.stage = LIBXL_STAGE_NONE};
    struct xlo_arena arena;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_arena_init(&arena);
    commands = calloc(n + 1, sizeof(*commands));
    entries = calloc(n + 1, sizeof(*entries));
    reports = calloc(n + 1, sizeof(*reports));
    made = calloc(n + 1, sizeof(*made));
    if (!commands || !entries || !reports || !made) {
        rc = ERROR_NOMEM;
        goto out;
    }
    for (i = 0; i < n; i++) {
        value pair = Field(batch, i);

        rc = xlo_command(&arena, Field(pair, 0), frame.x, NULL, &commands[i],
                         &failure);
        if (rc ||
            (rc = report_of(frame.x, Field(pair, 1), &reports[i], &made[i])))
            goto out;
        entries[i].spec = &commands[i].spec;
        entries[i].report = &reports[i];
        entries[i].rc = ERROR_FAIL;
    }
    xlo_release();
    rc = libxl_childproc_spawn_many(frame.x->ctx, entries, n);
    xlo_retake();
    if (rc > 0)
        rc = 0;
    for (i = 0; !rc && i < n; i++)
        if (!entries[i].rc)
            set_child(Field(Field(batch, i), 2), entries[i].id,
                      entries[i].pid);
out:
    for (i = 0; made && i < n; i++)
        if (rc || entries[i].rc)
            drop_report(made[i]);
    xlo_arena_free(&arena);
    xlo_end(&frame);
    if (!rc) {
        list = caml_alloc(n, 0);
        for (i = 0; i < n; i++) {
            one = entries[i].rc
                      ? xlo_error(entries[i].rc, &entries[i].failure)
                      : xlo_ok(Val_unit);
            Store_field(list, i, one);
        }
    }
    free(commands);
    free(entries);
    free(reports);
    free(made);
    CAMLreturn(rc ? xlo_error(rc, &failure) : xlo_ok(list));
}

value xlchild_ml_set_starters(value t, value n_v)
{
    CAMLparam1(t);
    int n = Int_val(n_v);
    PUMP(t, libxl_childproc_set_starters(ctx, n));
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* ---- living children ---- */

/* wait : t -> int -> int -> (ended, …) result; timeout in ms, -1 for ever. The
 * answer stays until detach. */
value xlchild_ml_wait(value t, value id_v, value timeout_v)
{
    CAMLparam1(t);
    CAMLlocal1(exception);
    libxl_childproc_id id = Long_val(id_v);
    libxl_childproc_result result;
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
        rc = libxl_childproc_wait(frame.x->ctx, id, xlo_wait_timeout(&wait),
                                  LIBXL_WAIT_INTERRUPTIBLE | LIBXL_WAIT_KEEP,
                                  &result);
        errnoval = errno;
        xlo_retake();
    } while (xlo_wait_again(&wait, &frame, rc));
    xlo_end(&frame);
    if (exception != Val_unit)
        caml_raise(exception);
    CAMLreturn(rc ? xlo_answer(rc, errnoval) : xlo_ok(xlo_ended(&result)));
}

value xlchild_ml_kill(value t, value id_v, value signo_v, value scope_v)
{
    CAMLparam1(t);
    libxl_childproc_id id = Long_val(id_v);
    int signo = xlo_signal_to_c(signo_v), scope = Int_val(scope_v);
    PUMP(t, libxl_childproc_kill(ctx, id, signo, scope));
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* terminate : t -> int -> kill_policy option -> (unit, …) result */
value xlchild_ml_terminate(value t, value id_v, value policy_v)
{
    CAMLparam2(t, policy_v);
    libxl_childproc_id id = Long_val(id_v);
    libxl_kill_policy policy, *given = NULL;

    if (Is_block(policy_v)) {
        policy = xlo_kill_policy(Field(policy_v, 0));
        given = &policy;
    }
    PUMP(t, libxl_childproc_terminate(ctx, id, given));
    CAMLreturn(xlo_answer(rc, errnoval));
}

value xlchild_ml_detach(value t, value id_v)
{
    CAMLparam1(t);
    libxl_childproc_id id = Long_val(id_v);
    PUMP(t, libxl_childproc_detach(ctx, id));
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* let_go : t -> int -> unit; detach, for a finaliser */
value xlchild_ml_let_go(value t, value id_v)
{
    CAMLparam1(t);
    libxl_childproc_id id = Long_val(id_v);
    struct xlo_frame frame;

    if (xlo_begin_collected(t, &frame))
        CAMLreturn(Val_unit);
    xlo_release();
    libxl_childproc_detach(frame.x->ctx, id);
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(Val_unit);
}

/* abandon : t -> int -> unit; whatever becomes of it, it is killed and reaped.
 * Nothing is raised here, before or after. */
value xlchild_ml_abandon(value t, value id_v)
{
    static const libxl_kill_policy at_once[] = {
        {.scope = LIBXL_KILL_GROUP}, {.scope = LIBXL_KILL_PROCESS}};
    CAMLparam1(t);
    libxl_childproc_id id = Long_val(id_v);
    struct xlo_frame frame;

    if (!id || xlo_begin(t, &frame))
        CAMLreturn(Val_unit);
    xlo_release();
    if (libxl_childproc_terminate(frame.x->ctx, id, &at_once[0]))
        libxl_childproc_terminate(frame.x->ctx, id, &at_once[1]);
    libxl_childproc_detach(frame.x->ctx, id);
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(Val_unit);
}

/* in_callback : unit -> bool, of this thread */
value xlchild_ml_in_callback(value unit)
{
    (void)unit;
    return Val_bool(xlo_in_callback > 0);
}

/* lookup : t -> int -> (int, …) result */
value xlchild_ml_lookup(value t, value pid_v)
{
    CAMLparam1(t);
    libxl_childproc_id id = 0;
    pid_t pid = Int_val(pid_v);
    PUMP(t, libxl_childproc_lookup(ctx, pid, &id));
    CAMLreturn(rc ? xlo_answer(rc, errnoval) : xlo_ok(Val_long(id)));
}

/* count : t -> (int, …) result */
value xlchild_ml_count(value t)
{
    CAMLparam1(t);
    PUMP(t, libxl_childproc_count(ctx));
    CAMLreturn(rc < 0 ? xlo_answer(rc, errnoval) : xlo_ok(Val_int(rc)));
}

/* start_time : int -> (int, …) result */
value xlchild_ml_start_time(value pid_v)
{
    pid_t pid = Int_val(pid_v);
    uint64_t ticks = 0;
    int rc, errnoval;

    xlo_release();
    rc = libxl_childproc_start_time(pid, &ticks);
    errnoval = errno;
    xlo_retake();
    return rc ? xlo_answer(rc, errnoval) : xlo_ok(Val_long(ticks));
}

/* adopt : t -> int -> int -> Unix.file_descr option -> report -> Child.t
 *         -> (unit, …) result; the child's id is set */
value xlchild_ml_adopt(value t, value pid_v, value ticks_v, value pidfd_v,
                       value report_v, value child)
{
    CAMLparam4(t, pidfd_v, report_v, child);
    pid_t pid = Int_val(pid_v);
    uint64_t ticks = Long_val(ticks_v);
    int pidfd = Is_block(pidfd_v) ? Int_val(Field(pidfd_v, 0)) : -1;
    libxl_childproc_report report;
    struct xlo_report *made = NULL;
    struct xlo_frame frame;
    libxl_childproc_id id = 0;
    int errnoval = 0, rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    rc = report_of(frame.x, report_v, &report, &made);
    if (rc)
        goto out;
    xlo_release();
    rc = libxl_childproc_adopt(frame.x->ctx, pid, ticks, pidfd, &report, &id);
    errnoval = errno;
    xlo_retake();
    if (rc)
        drop_report(made);
    else
        set_child(child, id, pid);
out:
    xlo_end(&frame);
    CAMLreturn(rc ? xlo_answer(rc, errnoval) : xlo_ok(Val_unit));
}

/* Bytecode calls what has more than five arguments so. */
value xlchild_ml_adopt_bytecode(value *v, int n)
{
    (void)n;
    return xlchild_ml_adopt(v[0], v[1], v[2], v[3], v[4], v[5]);
}

/* ---- what is going on ---- */

/* diagnose : t -> (Raw.diagnosis, …) result */
value xlchild_ml_diagnose(value t)
{
    CAMLparam1(t);
    CAMLlocal4(record, reason, object, words_v);
    libxl_childproc_diagnosis d = {.size = sizeof(d)};
    char *words = NULL;
    PUMP(t, libxl_childproc_diagnose(ctx, &d, &words));

    if (rc)
        CAMLreturn(xlo_answer(rc, errnoval));
    words_v = caml_copy_string(words ? words : "");
    free(words);
    reason = Val_int(0);
    if (d.mode_reason)
        reason = xlo_ok(caml_copy_string(d.mode_reason)); /* Some */
    object = caml_copy_string(d.handler_object);
    record = caml_alloc_small(12, 0);
    Field(record, 0) = Val_int(d.mode_asked);
    Field(record, 1) = Val_int(d.mode_in_force);
    Field(record, 2) = reason;
    Field(record, 3) = Val_int(d.facilities);
    Field(record, 4) = Val_bool(d.handler_wanted);
    Field(record, 5) = Val_bool(d.handler_installed);
    Field(record, 6) = Val_bool(d.handler_displaced);
    Field(record, 7) = Val_bool(d.sigchld_ignored);
    Field(record, 8) = Val_bool(d.sigchld_blocked);
    Field(record, 9) = object;
    Field(record, 10) = Val_int(d.children);
    Field(record, 11) = words_v;
    CAMLreturn(xlo_ok(record));
}
