/* stub_ctx.c - contexts as OCaml values
 *
 * A context is a custom block that points to a struct xlo_ctx. Called by
 * Xlchild.create and close, by every other stub (begin, end), and by the
 * garbage collector (finalise), which never calls back into OCaml.
 */
#include "stub.h"

#include <caml/custom.h>
#include <caml/fail.h>
#include <caml/threads.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLOSED_USES (LLONG_MIN / 2)

/* So often, and so long in all, close waits for the collector. */
#define LOOK_NS 200000
#define MOST_LOOKS 25000

#define Ctx_val(v) (*(struct xlo_ctx **)Data_custom_val(v))

static __thread struct xlo_frame *current_frame;

/* Contexts that were finalised while a callback of theirs was under way on
 * another thread: freed when the next one is made or freed. */
static pthread_mutex_t unfreed_lock = PTHREAD_MUTEX_INITIALIZER;
static struct xlo_ctx *unfreed;

static atomic_long leaked;

/* ---- calls under way ---- */

struct xlo_frame *xlo_current_frame(void)
{
    return current_frame;
}

static int begin(value t, struct xlo_frame *frame, long long weight)
{
    struct xlo_ctx *x = Ctx_val(Field(t, 0));

    if (atomic_fetch_add(&x->uses, weight) < 0) {
        atomic_fetch_sub(&x->uses, weight);
        return XLO_CLOSED;
    }
    frame->x = x;
    frame->weight = weight;
    frame->predicate = NULL;
    frame->exception = NULL;
    frame->asked = 0;
    frame->raised = 0;
    frame->outer = current_frame;
    current_frame = frame;
    return 0;
}

int xlo_begin(value t, struct xlo_frame *frame)
{
    return begin(t, frame, 1);
}

int xlo_begin_collected(value t, struct xlo_frame *frame)
{
    return begin(t, frame, XLO_OF_COLLECTOR);
}

void xlo_end(struct xlo_frame *frame)
{
    current_frame = frame->outer;
    atomic_fetch_sub(&frame->x->uses, frame->weight);
}

struct xlo_ctx *xlo_ctx_of(value t)
{
    return Ctx_val(Field(t, 0));
}

void xlo_release(void)
{
    caml_enter_blocking_section_no_pending();
}

void xlo_retake(void)
{
    int saved = errno;

    caml_leave_blocking_section();
    errno = saved;
}

/* ---- handles ---- */

void *xlo_handle_new(struct xlo_ctx *x, enum xlo_kind kind, size_t size,
                     intnat number)
{
    struct xlo_handle *handle = calloc(1, size);

    if (!handle)
        return NULL;
    handle->kind = kind;
    handle->x = x;
    pthread_mutex_lock(&x->lock);
    handle->number = number ? number : ++x->next_number;
    handle->next = x->handles;
    handle->link = &x->handles;
    if (x->handles)
        x->handles->link = &handle->next;
    x->handles = handle;
    pthread_mutex_unlock(&x->lock);
    return handle;
}

/* Under x->lock. */
static struct xlo_handle *find(struct xlo_ctx *x, enum xlo_kind kind,
                               intnat number)
{
    struct xlo_handle *handle;

    for (handle = x->handles; handle; handle = handle->next)
        if (handle->number == number && handle->kind == kind)
            break;
    return handle;
}

/* Under x->lock. */
static void unlink_handle(struct xlo_handle *handle)
{
    if (!handle->link)
        return;
    *handle->link = handle->next;
    if (handle->next)
        handle->next->link = handle->link;
    handle->link = NULL;
}

void *xlo_handle_take(struct xlo_ctx *x, enum xlo_kind kind, intnat number)
{
    struct xlo_handle *handle;

    pthread_mutex_lock(&x->lock);
    handle = find(x, kind, number);
    if (handle)
        unlink_handle(handle);
    pthread_mutex_unlock(&x->lock);
    return handle;
}

void xlo_handle_unlink(struct xlo_handle *handle)
{
    pthread_mutex_lock(&handle->x->lock);
    unlink_handle(handle);
    pthread_mutex_unlock(&handle->x->lock);
}

int xlo_registration_of(struct xlo_ctx *x, enum xlo_kind kind, intnat number,
                        void **ret_for_libxl, int *ret_fd)
{
    struct xlo_registration *reg;

    pthread_mutex_lock(&x->lock);
    reg = (struct xlo_registration *)find(x, kind, number);
    if (reg) {
        *ret_for_libxl = reg->for_libxl;
        *ret_fd = reg->fd;
    }
    pthread_mutex_unlock(&x->lock);
    return reg ? 0 : ERROR_NOTFOUND;
}

int xlo_operation_how(struct xlo_ctx *x, intnat number, libxl_asyncop_how *ret)
{
    struct xlo_operation *op;

    pthread_mutex_lock(&x->lock);
    op = (struct xlo_operation *)find(x, XLO_OPERATION, number);
    if (op)
        *ret = op->how;
    pthread_mutex_unlock(&x->lock);
    return op ? 0 : ERROR_NOTFOUND;
}

/* ---- the end of a context ---- */

/* After libxl_ctx_free: nobody calls back, nobody waits. */
static void release_memory(struct xlo_ctx *x)
{
    while (x->handles) {
        struct xlo_handle *handle = x->handles;

        x->handles = handle->next;
        if (handle->kind == XLO_OPERATION)
            libxl_childproc_exec_result_dispose(
                &((struct xlo_operation *)handle)->result);
        free(handle);
    }
}

static void free_unfreed(void)
{
    struct xlo_ctx *list, *next;

    pthread_mutex_lock(&unfreed_lock);
    list = unfreed;
    unfreed = NULL;
    pthread_mutex_unlock(&unfreed_lock);
    for (; list; list = next) {
        next = list->next;
        if (libxl_ctx_free(list->ctx)) {
            pthread_mutex_lock(&unfreed_lock);
            list->next = unfreed;
            unfreed = list;
            pthread_mutex_unlock(&unfreed_lock);
            continue;
        }
        release_memory(list);
        pthread_mutex_destroy(&list->lock);
        free(list);
    }
}

static void finalise(value v)
{
    static const char warning[] =
        "xlchild: a context was never closed (Xlchild.close)\n";
    struct xlo_ctx *x = Ctx_val(v);

    if (!x)
        return;
    Ctx_val(v) = NULL;
    if (x->ctx) {
        atomic_store(&x->silent, 1);
        atomic_fetch_add(&leaked, 1);
        if (write(2, warning, sizeof(warning) - 1) < 0)
            errno = 0; /* nowhere to say it */
        caml_remove_generational_global_root(&x->weak);
        pthread_mutex_lock(&unfreed_lock);
        x->next = unfreed;
        unfreed = x;
        pthread_mutex_unlock(&unfreed_lock);
        free_unfreed();
        return;
    }
    pthread_mutex_destroy(&x->lock);
    free(x);
}

static struct custom_operations operations = {
    .identifier = "xlchild.ctx",
    .finalize = finalise,
    .compare = custom_compare_default,
    .hash = custom_hash_default,
    .serialize = custom_serialize_default,
    .deserialize = custom_deserialize_default,
    .compare_ext = custom_compare_ext_default,
    .fixed_length = custom_fixed_length_default,
};

/* ---- externals ---- */

/* unopened : unit -> raw; a closed one, for alloc to open */
value xlchild_ml_unopened(value unit)
{
    struct xlo_ctx *x = calloc(1, sizeof(*x));
    value block;

    (void)unit;
    if (!x)
        caml_raise_out_of_memory();
    pthread_mutex_init(&x->lock, NULL);
    atomic_store(&x->uses, CLOSED_USES);
    block = caml_alloc_custom(&operations, sizeof(x), 0, 1);
    Ctx_val(block) = x;
    return block;
}

/* alloc : t -> t Weak.t -> int -> bool -> (unit, …) result; min_level, and
 * whether messages go to a closure. Of t only the raw context is read. */
value xlchild_ml_alloc(value t, value weak, value min_level, value logged)
{
    CAMLparam2(t, weak);
    struct xlo_ctx *x = Ctx_val(Field(t, 0));
    libxl_logger logger = {.size = sizeof(logger),
                           .min_level = Int_val(min_level),
                           .log = xlo_log,
                           .user = x};
    int rc, errnoval;

    x->weak = weak;
    caml_register_generational_global_root(&x->weak);
    xlo_release();
    free_unfreed();
    rc = libxl_ctx_alloc(&x->ctx, LIBXL_VERSION, 0,
                         Bool_val(logged) ? &logger : NULL);
    errnoval = errno;
    xlo_retake();
    if (rc) {
        x->ctx = NULL;
        caml_remove_generational_global_root(&x->weak);
        CAMLreturn(xlo_answer(rc, errnoval));
    }
    atomic_store(&x->uses, 0);
    CAMLreturn(xlo_ok(Val_unit));
}

static int inside(const struct xlo_ctx *x)
{
    const struct xlo_frame *frame = current_frame;

    while (frame && frame->x != x)
        frame = frame->outer;
    return frame != NULL;
}

/* From here on no call begins. 0, XLO_CLOSED, or ERROR_BUSY where somebody's is
 * under way. */
static int claim(struct xlo_ctx *x)
{
    static const struct timespec moment = {.tv_nsec = LOOK_NS};
    long long uses = 0;
    int looks = 0;

    while (!atomic_compare_exchange_strong(&x->uses, &uses, CLOSED_USES)) {
        if (uses < 0)
            return XLO_CLOSED;
        if (uses % XLO_OF_COLLECTOR || inside(x) || looks++ == MOST_LOOKS)
            return ERROR_BUSY;
        xlo_release();
        nanosleep(&moment, NULL);
        xlo_retake();
        uses = 0;
    }
    return 0;
}

/* close : t -> (unit, …) result */
value xlchild_ml_close(value t)
{
    CAMLparam1(t);
    struct xlo_ctx *x = Ctx_val(Field(t, 0));
    struct xlo_frame frame = {.x = x};
    int rc = claim(x);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    frame.outer = current_frame;
    current_frame = &frame;
    xlo_release();
    rc = libxl_ctx_free(x->ctx);
    xlo_retake();
    current_frame = frame.outer;
    if (rc) {
        atomic_fetch_sub(&x->uses, CLOSED_USES);
        CAMLreturn(xlo_system_error(rc, 0));
    }
    x->ctx = NULL;
    atomic_store(&x->silent, 1);
    caml_remove_generational_global_root(&x->weak);
    release_memory(x);
    CAMLreturn(xlo_ok(Val_unit));
}

/* leaked : unit -> int, contexts finalised without having been closed */
value xlchild_ml_leaked(value unit)
{
    (void)unit;
    return Val_long(atomic_load(&leaked));
}

/* fileno : t -> (Unix.file_descr, …) result */
value xlchild_ml_fileno(value t)
{
    CAMLparam1(t);
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame), errnoval;

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_release();
    rc = libxl_ctx_fileno(frame.x->ctx);
    errnoval = errno;
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(rc < 0 ? xlo_answer(rc, errnoval) : xlo_ok(Val_int(rc)));
}

/* disaster_latched : t -> (int, …) result */
value xlchild_ml_disaster_latched(value t)
{
    CAMLparam1(t);
    struct xlo_frame frame;
    int rc = xlo_begin(t, &frame);

    if (rc)
        CAMLreturn(xlo_system_error(rc, 0));
    xlo_release();
    rc = libxl_ctx_disaster_latched(frame.x->ctx);
    xlo_retake();
    xlo_end(&frame);
    CAMLreturn(xlo_ok(Val_int(rc)));
}

value xlchild_ml_strerror(value rc)
{
    return caml_copy_string(libxl_strerror(Int_val(rc)));
}

/* error_name : int -> string, "" for a number that is no code */
value xlchild_ml_error_name(value rc)
{
    const char *name = libxl_error_name(Int_val(rc));

    return caml_copy_string(name ? name : "");
}

value xlchild_ml_version(value unit)
{
    (void)unit;
    return caml_copy_string(libxl_version_string());
}
