/* stub_bell.c - a condition that a signal handler of the host's ends the wait
 * for
 *
 * Called by ocaml/syslog/bell.ml for whoever waits for another thread. OCaml's
 * Condition.wait goes on whatever signal comes: its handler would run when the
 * condition is next signalled. Here a wait is over when the bell has rung, when
 * this thread got a signal, and after a while in any case, for one that another
 * thread took. It needs no descriptor, and owns nothing that an exception could
 * leave behind.
 */
#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <caml/custom.h>
#include <caml/fail.h>

/* How often it has rung. Not in OCaml's heap: a thread sleeps on its address. */
#define Bell_val(v) (*(_Atomic(uint32_t) **)Data_custom_val(v))

static void finalise(value bell)
{
    free(Bell_val(bell));
}

static struct custom_operations operations = {
    .identifier = "xlchild.bell",
    .finalize = finalise,
    .compare = custom_compare_default,
    .hash = custom_hash_default,
    .serialize = custom_serialize_default,
    .deserialize = custom_deserialize_default,
    .compare_ext = custom_compare_ext_default,
};

/* bell : unit -> t */
value xlchild_ml_bell(value unit)
{
    _Atomic(uint32_t) *count = calloc(1, sizeof(*count));
    value bell;

    (void)unit;
    if (!count)
        caml_raise_out_of_memory();
    bell = caml_alloc_custom(&operations, sizeof(count), 0, 1);
    Bell_val(bell) = count;
    return bell;
}

/* bell_count : t -> int */
value xlchild_ml_bell_count(value bell)
{
    return Val_long(atomic_load(Bell_val(bell)));
}

/* bell_ring : t -> unit */
value xlchild_ml_bell_ring(value bell)
{
    atomic_fetch_add(Bell_val(bell), 1);
    syscall(SYS_futex, Bell_val(bell), FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL,
            0);
    return Val_unit;
}

/* bell_wait : t -> int -> int -> unit; until the count is another, for so many
 * microseconds at most */
value xlchild_ml_bell_wait(value bell, value count, value microseconds)
{
    CAMLparam1(bell);
    _Atomic(uint32_t) *word = Bell_val(bell);
    uint32_t seen = Long_val(count);
    long most = Long_val(microseconds);
    struct timespec timeout = {.tv_sec = most / 1000000,
                               .tv_nsec = most % 1000000 * 1000};

    xlo_release();
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &timeout, NULL, 0);
    xlo_retake();
    CAMLreturn(Val_unit);
}
