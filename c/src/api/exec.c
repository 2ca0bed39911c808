/* exec.c - running a command to completion
 *
 * Called by the host. Makes the streams (wiring.c), then the child (spawn.c);
 * from there operation.c moves the operation to its completion.
 * Streams, timeout and abort are in place before the child runs, and before
 * the first byte of stdin is written (C18).
 */
#define _GNU_SOURCE
#include "xlchild/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "api/operation.h"
#include "kernel/sized.h"
#include "loop/enter.h"
#include "ctx/log.h"
#include "loop/pump.h"
#include "api/spawn.h"
#include "start/spec.h"
#include "ctx/waiters.h"
#include "start/wiring.h"

static void defaults(libxl_childproc_exec_opts *opts)
{
    memset(opts, 0, sizeof *opts);
    opts->size = sizeof *opts;
    opts->stdin_stream.kind = LIBXL_STREAM_NULL;
    opts->stdin_stream.fd = -1;
    opts->stdout_stream.fd = -1;
    opts->stderr_stream.fd = -1;
}

void libxl_childproc_exec_opts_init_sized(libxl_childproc_exec_opts *opts,
                                          size_t size)
{
    libxl_childproc_exec_opts own;

    defaults(&own);
    own.size = size;
    xl_sized_give(opts, size, &own, sizeof own);
}

void libxl_childproc_exec_result_dispose(libxl_childproc_exec_result *result)
{
    if (result == NULL)
        return;
    xl_free(result->out.data);
    xl_free(result->err.data);
    memset(result, 0, sizeof *result);
}

/* ---- checking ----------------------------------------------------------- */

static int bad_stream(const libxl_stream *s, int which)
{
    switch (s->kind) {
    case LIBXL_STREAM_INHERIT:
    case LIBXL_STREAM_NULL:
        return 0;
    case LIBXL_STREAM_FD:
        return s->fd < 0 || fcntl(s->fd, F_GETFD) < 0;
    case LIBXL_STREAM_FILE:
        return s->path == NULL;
    case LIBXL_STREAM_APPEND:
        return s->path == NULL || which == 0;
    case LIBXL_STREAM_BUFFER:
        return which != 0 || (s->data == NULL && s->length > 0);
    case LIBXL_STREAM_CAPTURE:
    case LIBXL_STREAM_CALLBACK:
        return which == 0;
    case LIBXL_STREAM_MERGE:
        return which != 2;
    }
    return 1;
}

/* *opts becomes room, in this release's size and with the defaults for what it
 * lacks. NULL, or the member at fault. */
static const char *take_opts(const libxl_childproc_exec_opts **opts,
                             libxl_childproc_exec_opts *room)
{
    defaults(room);
    if (*opts != NULL &&
        xl_sized_take(room, sizeof *room, *opts, (*opts)->size,
                      XL_SIZE_WITH(libxl_childproc_exec_opts, linger)) != 0)
        return "opts.size";
    room->size = sizeof *room;
    *opts = room;
    return NULL;
}

static const char *bad_member(const libxl_childproc_exec_opts *opts)
{
    if (bad_stream(&opts->stdin_stream, 0))
        return "stdin_stream";
    if (bad_stream(&opts->stdout_stream, 1))
        return "stdout_stream";
    if (bad_stream(&opts->stderr_stream, 2))
        return "stderr_stream";
    if (opts->timeout_ms < LIBXL_WAIT_FOREVER)
        return "timeout_ms";
    if (opts->linger != LIBXL_LINGER_DRAIN && opts->linger != LIBXL_LINGER_EOF)
        return "linger";
    if ((opts->stdout_stream.kind == LIBXL_STREAM_CALLBACK ||
         opts->stderr_stream.kind == LIBXL_STREAM_CALLBACK) &&
        opts->stream_data == NULL)
        return "stream_data";
    return NULL;
}

/* ---- the operation ------------------------------------------------------ */

/* How long the call waits for its child to become its program, so that a
 * failure is told at once; after that the child's end tells it. */
#define PATIENCE_MS 20

static int ao_done(libxl_ctx *ctx, void *user)
{
    const struct xl_operation *ao = user;

    (void)ctx;
    return ao->complete == 2;
}

static void ao_cancelled(libxl_ctx *ctx, struct xl_waiter *waiter)
{
    xl_operation_abandon(ctx, waiter->user);
}

static int prepare_failed(libxl_childproc_failure *failure,
                          libxl_childproc_stage stage, int errnoval,
                          const char *argument)
{
    failure->stage = stage;
    failure->errnoval = errnoval;
    failure->argument = argument;
    errno = errnoval;
    if (stage == LIBXL_STAGE_ARGUMENT)
        return ERROR_INVAL;
    return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
}

/* Puts our ends under watch. */
static int watch(libxl_ctx *ctx, struct xl_operation *ao, struct xl_wiring *w)
{
    int i;

    for (i = 0; i < 3; i++) {
        if (w->ours[i].fd >= 0 &&
            xl_stream_watch(ctx, &ao->streams[i], &w->ours[i]) != 0)
            return -1;
    }
    return 0;
}

static int start(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                 const libxl_childproc_exec_opts *opts, struct xl_operation *ao,
                 libxl_childproc_failure *failure)
{
    struct xl_wiring w;
    libxl_childproc_fd *map = NULL;
    struct xl_spawn spawn;
    int timeout = opts->timeout_ms > 0 ? opts->timeout_ms : LIBXL_WAIT_FOREVER;
    int saved;
    int rc;

    xl_wiring_init(&w);
    memset(&spawn, 0, sizeof spawn);
    rc = xl_spec_sources(spec, failure);
    if (rc != 0)
        goto out;
    map = xl_sys.malloc((spec->nfds + 3) * sizeof *map);
    if (map == NULL) {
        rc = prepare_failed(failure, LIBXL_STAGE_PREPARE, ENOMEM, NULL);
        goto out;
    }
    if (xl_wiring_make(&w, opts) != 0 || watch(ctx, ao, &w) != 0) {
        rc = prepare_failed(failure, LIBXL_STAGE_PREPARE, errno, NULL);
        goto out;
    }
    spawn.nmap = xl_wiring_merge(
        &w, spec, opts->stderr_stream.kind == LIBXL_STREAM_MERGE, map);
    spawn.map = map;
    spawn.files = w.files;
    spawn.opens = w.opens;
    spawn.spec = spec;
    spawn.patience_ms = PATIENCE_MS;
    spawn.ao = ao;
    spawn.due = xl_after_ms(timeout);
    ao->due = spawn.due;
    rc = xl_spawn(ctx, &spawn);
    *failure = spawn.failure;
out:
    saved = errno;
    xl_wiring_close(&w);
    xl_free(map);
    errno = saved;
    return rc;
}

int libxl_childproc_exec(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                         const libxl_childproc_exec_opts *opts,
                         libxl_childproc_exec_result *ret_result,
                         libxl_childproc_failure *ret_failure,
                         const libxl_asyncop_how *how)
{
    libxl_childproc_exec_opts opts_room;
    libxl_childproc_spec spec_room;
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    struct xl_operation *ao = NULL;
    const char *member;
    int saved = 0;
    int rc;

    rc = xl_enter_surely(ctx);
    if (rc != 0) {
        (void)prepare_failed(&failure, LIBXL_STAGE_ARGUMENT, 0, "ctx");
        goto out;
    }
    if (ret_result == NULL)
        member = "ret_result";
    else if (spec == NULL)
        member = "spec";
    else
        member = take_opts(&opts, &opts_room);
    if (member == NULL)
        member = bad_member(opts);
    if (member != NULL) {
        rc = prepare_failed(&failure, LIBXL_STAGE_ARGUMENT, 0, member);
        xl_log(ctx, LIBXL_LOG_ERROR, 0,
               "libxl_childproc_exec: bad argument: %s", member);
        goto leave;
    }
    memset(ret_result, 0, sizeof *ret_result);
    rc = xl_spec_check(&spec, &spec_room, &failure);
    if (rc != 0)
        goto leave;
    ao = xl_operation_new(ctx, spec, opts, ret_result, how);
    if (ao == NULL) {
        rc = prepare_failed(&failure, LIBXL_STAGE_PREPARE, ENOMEM, NULL);
        saved = ENOMEM;
        goto leave;
    }
    rc = start(ctx, spec, opts, ao, &failure);
    saved = errno;
    /* an abort has ended it before it was let go */
    if (rc == ERROR_SPAWN && failure.stage == LIBXL_STAGE_GATE &&
        ao->rc == ERROR_ABORTED)
        rc = ERROR_ABORTED;
    if (rc != 0) {
        xl_operation_free(ctx, ao);
        goto leave;
    }
    if (ao->synchronous) {
        struct xl_waiter waiter;

        xl_waiter_init(&waiter);
        waiter.ao = ao;
        waiter.cancelled = ao_cancelled;
        waiter.user = ao;
        for (;;) {
            rc = xl_pump_wait(ctx, &waiter, ao_done, ao, LIBXL_WAIT_FOREVER, 0);
            if (rc == 0 || rc == ERROR_FDS_CLOSED)
                break;
            /* no eventfd to wait on: be the leader as soon as we can */
            xl_pump_yield(ctx, &waiter);
        }
        if (rc != 0) {
            xl_operation_abandon(ctx, ao);
            goto leave;
        }
        rc = ao->rc;
        *ret_result = ao->own;
        memset(&ao->own, 0, sizeof ao->own);
        if (rc == ERROR_SPAWN) {
            failure = ret_result->failure;
            saved = failure.errnoval;
        }
        xl_operation_free(ctx, ao);
    }
leave:
    rc = xl_leave(ctx, rc);
out:
    if (ret_failure != NULL)
        *ret_failure = failure;
    if (rc != 0)
        errno = saved;
    return rc;
}
