/* stub_event.c - events: checking, waiting, hooks, evenables
 *
 * Called by ocaml/lib/events.ml through Raw. Waiting is where signals and
 * exceptions of callbacks have to reach OCaml: see xlo_wait_pending.
 */
#include "stub.h"

#include <caml/callback.h>
#include <caml/fail.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

/* ---- blocking ---- */

/* A wait comes up this often, as OCaml's own tick does: for a callback that
 * raised, and for a signal that came between the look at what is pending and
 * the system call, which then slept over it. */
#define SLICE_MS 50

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void xlo_wait_start(struct xlo_wait *w, intnat timeout_ms)
{
    w->deadline = timeout_ms < 0 ? -1 : now() + timeout_ms * INT64_C(1000000);
    w->blocks = timeout_ms != 0;
}

int xlo_wait_timeout(const struct xlo_wait *w)
{
    int64_t left;

    if (w->deadline < 0)
        return SLICE_MS;
    left = (w->deadline - now() + 999999) / 1000000;
    if (left <= 0)
        return 0;
    return left < SLICE_MS ? left : SLICE_MS;
}

int xlo_wait_pending(const struct xlo_wait *w, value *ret_exception)
{
    value result;

    *ret_exception = Val_unit;
    if (!w->blocks)
        return 0;
    result = caml_process_pending_actions_exn();
    if (!Is_exception_result(result))
        return 0;
    *ret_exception = Extract_exception(result);
    return 1;
}

int xlo_wait_again(const struct xlo_wait *w, const struct xlo_frame *frame,
                   int rc)
{
    if (rc != ERROR_INTERRUPTED && rc != ERROR_TIMEDOUT)
        return 0;
    if (frame->raised)
        return 0; /* the caller raises it */
    return rc == ERROR_INTERRUPTED || w->deadline < 0 || now() < w->deadline;
}

/* ---- taking events ---- */

/* take : t -> int -> int -> int -> (event list, …) result
 * At most max events of the mask's types, [] after timeout ms. */
value xlchild_ml_take(value t, value max_v, value mask_v, value timeout_v)
{
    CAMLparam1(t);
    CAMLlocal4(exception, list, event, cell);
    enum { MOST = 256 };
    libxl_event *events[MOST];
    int max = Long_val(max_v) < MOST ? Long_val(max_v) : MOST;
    uint64_t mask = Long_val(mask_v);
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
        rc = libxl_event_wait_many(frame.x->ctx, events, max, mask,
                                   xlo_wait_timeout(&wait),
                                   LIBXL_WAIT_INTERRUPTIBLE);
        errnoval = errno;
        xlo_retake();
    } while (xlo_wait_again(&wait, &frame, rc));
    list = Val_emptylist;
    for (int i = rc - 1; i >= 0; i--) {
        event = xlo_event(events[i]);
        libxl_event_free(frame.x->ctx, events[i]);
        cell = caml_alloc_small(2, Tag_cons);
        Field(cell, 0) = event;
        Field(cell, 1) = list;
        list = cell;
    }
    xlo_end(&frame);
    if (exception != Val_unit)
        caml_raise(exception);
    if (rc < 0 && rc != ERROR_TIMEDOUT && rc != ERROR_INTERRUPTED)
        CAMLreturn(xlo_system_error(rc, rc == ERROR_SYSTEM ? errnoval : 0));
    CAMLreturn(xlo_ok(list));
}

/* match : t -> int -> (event -> bool) -> bool -> (event option, …) result */
value xlchild_ml_match(value t, value mask_v, value predicate, value block)
{
    CAMLparam2(t, predicate);
    CAMLlocal1(event_v);
    libxl_event *event = NULL;
    uint64_t mask = Long_val(mask_v);
    int blocking = Bool_val(block), errnoval;
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    frame.predicate = &predicate;
    xlo_release();
    if (blocking)
        rc = libxl_event_wait(frame.x->ctx, &event, mask, xlo_predicate,
                              &frame);
    else
        rc = libxl_event_check(frame.x->ctx, &event, mask, xlo_predicate,
                               &frame);
    errnoval = errno;
    xlo_retake();
    event_v = Val_int(0);
    if (!rc) {
        event_v = xlo_ok(xlo_event(event)); /* Some */
        libxl_event_free(frame.x->ctx, event);
    }
    xlo_end(&frame);
    if (rc && rc != ERROR_NOT_READY)
        CAMLreturn(xlo_system_error(rc, rc == ERROR_SYSTEM ? errnoval : 0));
    CAMLreturn(xlo_ok(event_v));
}

/* ---- hooks ---- */

/* register_callbacks : t -> int -> bool -> (unit, …) result */
value xlchild_ml_register_callbacks(value t, value mask, value disaster)
{
    CAMLparam1(t);
    libxl_event_hooks hooks = {
        .event_occurs_mask = Long_val(mask),
        .event_occurs = Long_val(mask) ? xlo_event_occurs : NULL,
        .disaster = Bool_val(disaster) ? xlo_disaster : NULL,
        .size = sizeof(hooks),
    };
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_release();
    rc = libxl_event_register_callbacks(frame.x->ctx, &hooks, frame.x);
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(rc ? xlo_system_error(rc, 0) : xlo_ok(Val_unit));
}

/* ---- evenables ---- */

/* evenable : t -> int -> int -> (int, …) result; pid 0: every child */
value xlchild_ml_evenable(value t, value pid_v, value tag_v)
{
    CAMLparam1(t);
    pid_t pid = Int_val(pid_v);
    libxl_ev_user tag = Long_val(tag_v);
    struct xlo_frame frame;
    struct xlo_evgen *evgen;
    intnat number = 0;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    evgen = xlo_handle_new(frame.x, XLO_EVGEN, sizeof(*evgen), 0);
    if (!evgen) {
        rc = ERROR_NOMEM;
        goto out;
    }
    number = evgen->handle.number;
    xlo_release();
    rc = libxl_evenable_childproc_exit(frame.x->ctx, pid, tag, &evgen->evgen);
    xlo_retake();
    if (rc) {
        xlo_handle_unlink(&evgen->handle);
        free(evgen);
    }
out:
    xlo_end(&frame);
    CAMLreturn(rc ? xlo_system_error(rc, 0) : xlo_ok(Val_long(number)));
}

/* evdisable : t -> int -> (unit, …) result */
value xlchild_ml_evdisable(value t, value number)
{
    CAMLparam1(t);
    struct xlo_frame frame;
    struct xlo_evgen *evgen;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    evgen = xlo_handle_take(frame.x, XLO_EVGEN, Long_val(number));
    if (!evgen) {
        rc = ERROR_NOTFOUND;
    } else {
        xlo_release();
        libxl_evdisable_childproc_exit(frame.x->ctx, evgen->evgen);
        xlo_retake();
        free(evgen);
    }
    xlo_end(&frame);
    CAMLreturn(rc ? xlo_system_error(rc, 0) : xlo_ok(Val_unit));
}
