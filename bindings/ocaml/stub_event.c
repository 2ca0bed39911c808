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
#include <poll.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

/* ---- blocking ---- */

/* A wait comes up this often, as OCaml's own tick does: for a callback that
 * raised, and for a signal that came between the look at what is pending and
 * the system call, which then slept over it. */
#define SLICE_MS 50

int64_t xlo_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void xlo_wait_start(struct xlo_wait *w, intnat timeout_ms)
{
    w->deadline = timeout_ms < 0 ? -1 : xlo_now() + timeout_ms * INT64_C(1000000);
    w->blocks = timeout_ms != 0;
}

int xlo_wait_timeout(const struct xlo_wait *w)
{
    int64_t left;

    if (w->deadline < 0)
        return SLICE_MS;
    left = (w->deadline - xlo_now() + 999999) / 1000000;
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
    return rc == ERROR_INTERRUPTED || w->deadline < 0 || xlo_now() < w->deadline;
}

int xlo_pump(libxl_ctx *ctx, int wake)
{
    struct pollfd fds[9];
    struct timeval now;
    int n = 8, timeout = SLICE_MS, rc;

    gettimeofday(&now, NULL);
    rc = libxl_osevent_beforepoll(ctx, &n, fds + 1, &timeout, now);
    if (rc == ERROR_FDS_CLOSED)
        return rc;
    if (rc)
        n = 0;
    fds[0] = (struct pollfd){.fd = wake, .events = POLLIN};
    if (poll(fds, n + 1, timeout) < 0)
        return 0;
    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(ctx, n + 1, fds, now);
    return 0;
}

/* ---- taking events ---- */

/* Raw.t.stash: batches of events, the newest first, in an Atomic.t. What was
 * taken is there before OCaml code goes on, where anything may raise. */
#define STASH 8

static value stash_of(value t)
{
    return Field(Field(t, STASH), 0);
}

static void add_to_stash(value t_v, value batch_v)
{
    CAMLparam2(t_v, batch_v);
    CAMLlocal2(old, cell);

    for (;;) {
        cell = caml_alloc_small(2, Tag_cons);
        old = stash_of(t_v);
        Field(cell, 0) = batch_v;
        Field(cell, 1) = old;
#if OCAML_VERSION >= 50000
        if (caml_atomic_cas_field(Field(t_v, STASH), 0, old, cell))
            break;
#else
        caml_modify(&Field(Field(t_v, STASH), 0), cell);
        break;
#endif
    }
    CAMLreturn0;
}

/* take : t -> int -> int -> int -> (unit, …) result
 * At most max events of the mask's types go to the stash, none after timeout ms
 * or where somebody else put some there. */
value xlchild_ml_take(value t, value max_v, value mask_v, value timeout_v)
{
    CAMLparam1(t);
    CAMLlocal5(exception, list, event, cell, stash);
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
    stash = stash_of(t);
    do {
        if (xlo_wait_pending(&wait, &exception)) {
            rc = ERROR_INTERRUPTED;
            break;
        }
        if (stash_of(t) != stash) {
            rc = ERROR_TIMEDOUT;
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
    if (list != Val_emptylist)
        add_to_stash(t, list);
    xlo_end(&frame);
    if (exception != Val_unit)
        caml_raise(exception);
    if (rc < 0 && rc != ERROR_TIMEDOUT && rc != ERROR_INTERRUPTED)
        CAMLreturn(xlo_answer(rc, errnoval));
    CAMLreturn(xlo_ok(Val_unit));
}

/* match : t -> int -> (event -> bool) -> bool -> (unit, …) result; the event
 * goes to the stash */
value xlchild_ml_match(value t, value mask_v, value predicate, value block)
{
    CAMLparam2(t, predicate);
    CAMLlocal4(event_v, cell, exception, stash);
    libxl_event *event = NULL;
    uint64_t mask = Long_val(mask_v);
    struct xlo_wait wait = {.deadline = -1, .blocks = Bool_val(block)};
    struct xlo_frame frame;
    int errnoval = 0, rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    frame.predicate = &predicate;
    exception = Val_unit;
    stash = stash_of(t);
    for (;;) {
        if (xlo_wait_pending(&wait, &exception)) {
            rc = ERROR_NOT_READY;
            break;
        }
        xlo_release();
        rc = libxl_event_check(frame.x->ctx, &event, mask, xlo_predicate,
                               &frame);
        errnoval = errno;
        /* what a closure raised, and what another call left, comes first */
        if (rc != ERROR_NOT_READY || !wait.blocks || frame.raised) {
            xlo_retake();
            break;
        }
        xlo_pump(frame.x->ctx, -1);
        xlo_retake();
        if (frame.raised || stash_of(t) != stash)
            break;
    }
    if (!rc) {
        event_v = xlo_event(event);
        libxl_event_free(frame.x->ctx, event);
        cell = caml_alloc_small(2, Tag_cons);
        Field(cell, 0) = event_v;
        Field(cell, 1) = Val_emptylist;
        add_to_stash(t, cell);
    }
    xlo_end(&frame);
    if (exception != Val_unit)
        caml_raise(exception);
    if (rc && rc != ERROR_NOT_READY)
        CAMLreturn(xlo_answer(rc, errnoval));
    CAMLreturn(xlo_ok(Val_unit));
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
