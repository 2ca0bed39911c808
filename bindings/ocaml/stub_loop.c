/* stub_loop.c - running inside the host's event loop
 *
 * Registered hooks (whose trampolines are in stub_callback.c), and the
 * poll()-shaped pair. Called by ocaml/lib/loop.ml through Raw. Event masks
 * are poll()'s: 1 readable, 4 writable.
 */
#include "stub.h"

#include <caml/callback.h>
#include <caml/fail.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

static struct timeval wall_clock(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return now;
}

/* register_loop : t -> bool -> (unit, …) result */
value xlchild_ml_register_loop(value t, value hooked)
{
    CAMLparam1(t);
    int with_hooks = Bool_val(hooked), errnoval;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_release();
    rc = libxl_osevent_register_hooks(
        frame.x->ctx, with_hooks ? &xlo_loop_hooks : NULL, frame.x);
    errnoval = errno;
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(xlo_answer(rc, errnoval));
}

/* occurred_fd : t -> int -> int -> int -> (unit, …) result; harmless when the
 * registration is over */
value xlchild_ml_occurred_fd(value t, value number, value events_v,
                             value revents_v)
{
    CAMLparam1(t);
    short events = Int_val(events_v), revents = Int_val(revents_v);
    struct xlo_frame frame;
    void *for_libxl;
    int fd, rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    if (!xlo_registration_of(frame.x, XLO_FD, Long_val(number), &for_libxl,
                             &fd)) {
        xlo_release();
        libxl_osevent_occurred_fd(frame.x->ctx, for_libxl, fd, events,
                                  revents);
        xlo_retake();
    }
    xlo_end(&frame);
    CAMLreturn(xlo_ok(Val_unit));
}

/* occurred_timeout : t -> int -> (unit, …) result; ends the registration */
value xlchild_ml_occurred_timeout(value t, value number)
{
    CAMLparam1(t);
    struct xlo_frame frame;
    struct xlo_registration *reg;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    reg = xlo_handle_take(frame.x, XLO_TIMEOUT, Long_val(number));
    if (reg) {
        xlo_release();
        libxl_osevent_occurred_timeout(frame.x->ctx, reg->for_libxl);
        xlo_retake();
        free(reg);
    }
    xlo_end(&frame);
    CAMLreturn(xlo_ok(Val_unit));
}

/* beforepoll : t -> int -> ((Unix.file_descr * int) array * int, …) result;
 * the timeouts are ms, -1 for none */
value xlchild_ml_beforepoll(value t, value timeout_v)
{
    CAMLparam1(t);
    CAMLlocal3(list, pair, both);
    struct pollfd *fds = NULL, *more;
    int nfds = 0, timeout = Int_val(timeout_v), errnoval = 0;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_release();
    while ((rc = libxl_osevent_beforepoll(frame.x->ctx, &nfds, fds, &timeout,
                                          wall_clock())) ==
           ERROR_BUFFERFULL) {
        more = realloc(fds, nfds * sizeof(*fds));
        if (!more) {
            rc = ERROR_NOMEM;
            break;
        }
        fds = more;
    }
    errnoval = errno;
    xlo_retake();
    xlo_end(&frame);
    if (!rc) {
        list = caml_alloc(nfds, 0);
        for (int i = 0; i < nfds; i++) {
            pair = caml_alloc_small(2, 0);
            Field(pair, 0) = Val_int(fds[i].fd);
            Field(pair, 1) = Val_int(fds[i].events);
            Store_field(list, i, pair);
        }
        both = caml_alloc_small(2, 0);
        Field(both, 0) = list;
        Field(both, 1) = Val_int(timeout);
    }
    free(fds);
    if (rc)
        CAMLreturn(xlo_answer(rc, errnoval));
    CAMLreturn(xlo_ok(both));
}

/* afterpoll : t -> (Unix.file_descr * int * int) array -> (unit, …) result */
value xlchild_ml_afterpoll(value t, value list)
{
    CAMLparam2(t, list);
    int n = Wosize_val(list);
    struct pollfd *fds = calloc(n + 1, sizeof(*fds));
    struct xlo_frame frame;
    int rc;

    if (!fds)
        CAMLreturn(xlo_system_error(ERROR_NOMEM, 0));
    rc = xlo_begin(t, &frame);
    if (!rc) {
        for (int i = 0; i < n; i++) {
            fds[i].fd = Int_val(Field(Field(list, i), 0));
            fds[i].events = Int_val(Field(Field(list, i), 1));
            fds[i].revents = Int_val(Field(Field(list, i), 2));
        }
        xlo_release();
        libxl_osevent_afterpoll(frame.x->ctx, n, fds, wall_clock());
        xlo_retake();
        xlo_end(&frame);
    }
    free(fds);
    CAMLreturn(rc ? xlo_system_error(rc, 0) : xlo_ok(Val_unit));
}

/* ---- what OCaml's Unix lacks ---- */

/* poll : Unix.file_descr array -> int -> int array; poll()'s revents for
 * reading, -errno as the only element where it failed */
value xlchild_ml_poll(value list, value timeout_v)
{
    CAMLparam1(list);
    CAMLlocal1(answer);
    int n = Wosize_val(list), timeout = Int_val(timeout_v), r, errnoval;
    struct pollfd *fds;

    /* a signal of just before is not slept over */
    answer = caml_process_pending_actions_exn();
    if (Is_exception_result(answer))
        caml_raise(Extract_exception(answer));
    fds = calloc(n + 1, sizeof(*fds));
    if (!fds) {
        r = -1;
        errnoval = ENOMEM;
    } else {
        for (int i = 0; i < n; i++) {
            fds[i].fd = Int_val(Field(list, i));
            fds[i].events = POLLIN;
        }
        xlo_release();
        r = poll(fds, n, timeout);
        errnoval = errno;
        xlo_retake();
    }
    answer = caml_alloc(r < 0 ? 1 : n, 0);
    if (r < 0)
        Store_field(answer, 0, Val_int(-errnoval));
    for (int i = 0; r >= 0 && i < n; i++)
        Store_field(answer, i, Val_int(fds[i].revents));
    free(fds);
    CAMLreturn(answer);
}

/* now : unit -> int, nanoseconds of CLOCK_MONOTONIC */
value xlchild_ml_now(value unit)
{
    struct timespec t;

    (void)unit;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return Val_long(t.tv_sec * INT64_C(1000000000) + t.tv_nsec);
}
