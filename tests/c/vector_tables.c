/* vector_tables.c - the shared tables of tests/vectors, run through C
 *
 * Python and OCaml run the same rows. A case a row; see
 * tests/vectors/README.md for the columns.
 */
#define _GNU_SOURCE
#include "vectors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

XT_TEST_TABLE(status, "C6 B8", "status.tsv")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xt_places places = {NULL};
    struct xt_made_spec made;
    libxl_childproc_result r;

    xt_make_spec(&made, &places, "-", row->field[1]);
    r = xt_wait(ctx, xt_spawn(ctx, &made.spec, NULL, NULL));
    xt_ended(&r, row->field[2], row->field[3]);
    xt_made_spec_dispose(&made);
    xt_ctx_free(ctx);
}

/* id, settings: a start that fails so, leaving nothing. */
static void refused(const struct xt_row *row, const char *settings,
                    int expected_rc, libxl_childproc_failure *ret_failure)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xt_places places = {NULL};
    struct xt_made_spec made;
    libxl_childproc_id id = 77;
    pid_t pid = 78;

    xt_make_spec(&made, &places, settings, "-");
    memset(ret_failure, 0xee, sizeof(*ret_failure));
    XT_RC(libxl_childproc_spawn(ctx, &made.spec, NULL, &id, &pid, ret_failure),
          expected_rc);
    XT_EQ_INT(id, 77);
    XT_EQ_INT(pid, 78);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_made_spec_dispose(&made);
    xt_places_dispose(&places);
    xt_ctx_free(ctx);
    (void)row;
}

XT_TEST_TABLE(failure, "C15 C16 B8", "failure.tsv")
{
    libxl_childproc_failure failure;

    xt_needs(row->field[1]);
    if (xt_on_valgrind() && strstr(row->field[2], "badscript"))
        XT_SKIP("valgrind looks for the interpreter too late");
    refused(row, row->field[2], ERROR_SPAWN, &failure);
    XT_EQ_STR(libxl_childproc_stage_name(failure.stage), row->field[3]);
    XT_EQ_STR(strerror(failure.errnoval), strerror(xt_errno(row->field[4])));
    XT_EQ_PTR(failure.argument, NULL);
}

XT_TEST_TABLE(invalid, "X5 C13 B8", "invalid.tsv")
{
    libxl_childproc_failure failure;

    refused(row, row->field[1], ERROR_INVAL, &failure);
    XT_EQ_STR(libxl_childproc_stage_name(failure.stage), "argument");
    XT_EQ_STR(failure.argument, row->field[2]);
}

static void act(libxl_ctx *ctx, libxl_childproc_id id, const char *action)
{
    char *text = strdup(action), *rest = text;
    const char *verb = strsep(&rest, " "), *signal = strsep(&rest, " ");
    libxl_kill_policy policy;

    if (!strcmp(verb, "kill")) {
        XT_OK(libxl_childproc_kill(ctx, id, xt_signal(signal),
                                   xt_scope(rest)));
    } else if (!strcmp(signal, "-")) {
        XT_OK(libxl_childproc_terminate(ctx, id, NULL));
    } else {
        policy.first_signal = xt_signal(signal);
        policy.grace_ms = atoi(strsep(&rest, " "));
        policy.scope = xt_scope(rest);
        XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    }
    free(text);
}

XT_TEST_TABLE(ending, "C13 B8", "kill.tsv")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xt_places places = {NULL};
    struct xt_made_spec made;
    libxl_childproc_fd fd = {1, -1};
    libxl_childproc_result r;
    libxl_childproc_id id;
    int p[2];

    xt_pipe(p);
    fd.source = p[1];
    xt_make_spec(&made, &places, row->field[2], row->field[1]);
    made.spec.fds = &fd;
    made.spec.nfds = 1;
    id = xt_spawn(ctx, &made.spec, NULL, NULL);
    xt_close(&p[1]);
    xt_await_byte(p[0]);
    act(ctx, id, row->field[3]);
    r = xt_wait(ctx, id);
    xt_ended(&r, row->field[4], row->field[5]);
    xt_close(&p[0]);
    xt_made_spec_dispose(&made);
    xt_ctx_free(ctx);
}

static void same_bytes(struct xt_places *places, const char *column,
                       const libxl_captured *got)
{
    struct xt_bytes want = {NULL, 0};

    if (strcmp(column, "-"))
        want = xt_text(places, column);
    XT_EQ_MEM(got->data, got->length, want.data, want.length);
    XT_EQ_INT(got->dropped, 0);
    XT_EQ_INT(got->held_open, 0);
    if (got->data)
        XT_EQ_INT(got->data[got->length], 0);
    free(want.data);
}

XT_TEST_TABLE(stream, "C18 B8", "stream.tsv")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xt_places places = {NULL};
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    struct xt_bytes in = {NULL, 0};
    struct xt_made_spec made;

    xt_make_spec(&made, &places, "-", row->field[1]);
    libxl_childproc_exec_opts_init(&opts);
    if (strcmp(row->field[2], "-")) {
        in = xt_text(&places, row->field[2]);
        opts.stdin_stream.kind = LIBXL_STREAM_BUFFER;
        opts.stdin_stream.data = in.data;
        opts.stdin_stream.length = in.length;
    }
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CAPTURE;
    XT_OK(libxl_childproc_exec(ctx, &made.spec, &opts, &result, NULL, NULL));
    same_bytes(&places, row->field[3], &result.out);
    same_bytes(&places, row->field[4], &result.err);
    xt_ended(&result.child, row->field[5], row->field[6]);
    XT_LE_INT(result.stdin_written, in.length);
    XT_EQ_INT(result.timed_out, 0);
    XT_EQ_INT(result.aborted, 0);
    libxl_childproc_exec_result_dispose(&result);
    free(in.data);
    xt_made_spec_dispose(&made);
    xt_ctx_free(ctx);
}

XT_TEST_TABLE(child, "C16 B8", "child.tsv")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct xt_places places = {NULL};
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    struct xt_made_spec made;

    xt_needs(row->field[1]);
    if (xt_on_valgrind() && strstr(row->field[2], "NOFILE"))
        XT_SKIP("valgrind has its own idea of RLIMIT_NOFILE");
    xt_make_spec(&made, &places, row->field[2], row->field[3]);
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    XT_OK(libxl_childproc_exec(ctx, &made.spec, &opts, &result, NULL, NULL));
    same_bytes(&places, row->field[4], &result.out);
    XT_EXITED(&result.child, 0);
    libxl_childproc_exec_result_dispose(&result);
    xt_made_spec_dispose(&made);
    xt_places_dispose(&places);
    xt_ctx_free(ctx);
}

XT_TEST_TABLE(codes, "X5 B8", "codes.tsv")
{
    const char *kind = row->field[1];
    int number = atoi(row->field[2]);

    if (!strcmp(kind, "error")) {
        XT_EQ_STR(libxl_strerror(number), row->field[3]);
        if (row->field[0][0] >= 'A' && row->field[0][0] <= 'Z')
            XT_EQ_STR(libxl_error_name(number), row->field[0]);
        else
            XT_EQ_PTR(libxl_error_name(number), NULL);
    } else if (!strcmp(kind, "stage")) {
        XT_EQ_STR(libxl_childproc_stage_name((libxl_childproc_stage)number),
                  row->field[3]);
    } else if (!strcmp(kind, "owner")) {
        XT_EQ_STR(libxl_childproc_owner_name((libxl_sigchld_owner)number),
                  row->field[3]);
    } else {
        XT_EQ_STR(kind, "lost");
        XT_EQ_STR(libxl_childproc_lost_text((libxl_childproc_lost)number),
                  row->field[3]);
    }
}
