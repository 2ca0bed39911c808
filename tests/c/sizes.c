/* sizes.c - structs in the size that they have where the caller was compiled
 *
 * Proves X7 from the inside: what a shorter struct lacks has its default, and
 * what no release can have handed in is refused. Programs that were compiled
 * with other headers are the house checks' (test_growth.py).
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/sized.h"
#include "start/spec.h"

static const char *const argv[] = {"/bin/true", NULL};

/* A copy of the first bytes where the others cannot be read. */
static void *first_bytes(const void *from, size_t size)
{
    void *to = malloc(size);

    XT_TRUE(to != NULL);
    return memcpy(to, from, size);
}

XT_TEST(a_shorter_spec_has_the_defaults_for_the_rest, "X7")
{
    const size_t least = XL_SIZE_WITH(libxl_childproc_spec, flags);
    libxl_childproc_spec whole;
    int read = 0;

    libxl_childproc_spec_init(&whole);
    whole.argv = argv;
    whole.flags = LIBXL_SPAWN_NEW_GROUP;
    for (size_t size = 8; size <= sizeof(whole); size += 8) {
        libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
        libxl_childproc_spec room, *given;
        const libxl_childproc_spec *spec;

        whole.size = size;
        spec = given = first_bytes(&whole, size);
        if (size < least) {
            XT_EQ_INT(xl_spec_check(&spec, &room, &failure), ERROR_INVAL);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_ARGUMENT);
            XT_EQ_STR(failure.argument, "size");
        } else {
            XT_EQ_INT(xl_spec_check(&spec, &room, &failure), 0);
            XT_EQ_INT(spec->size, sizeof(*spec));
            XT_EQ_PTR(spec->argv, argv);
            XT_EQ_INT(spec->flags, LIBXL_SPAWN_NEW_GROUP);
            XT_EQ_INT(spec->ctty_fd, -1);
            XT_EQ_INT(spec->exited_grace_ms, 1000);
            read++;
        }
        free(given);
    }
    XT_GT_INT(read, 5);
}

XT_TEST(sizes_that_no_release_has, "X7 X5")
{
    static const size_t sizes[] = {0,
                                   1,
                                   sizeof(libxl_childproc_spec) - 1,
                                   sizeof(libxl_childproc_spec) + 1,
                                   4104,
                                   (size_t)-8};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;
    libxl_childproc_spec spec = xt_spec(argv);

    libxl_childproc_exec_opts_init(&opts);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        libxl_childproc_diagnosis diagnosis = {.size = sizes[i] & ~7ul};
        libxl_childproc_failure failure;

        spec.size = opts.size = sizes[i];
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
              ERROR_INVAL);
        XT_EQ_STR(failure.argument, "size");
        XT_RC(libxl_childproc_exec(ctx, &spec, NULL, &result, &failure, NULL),
              ERROR_INVAL);
        XT_EQ_STR(failure.argument, "size");
        spec.size = sizeof(spec);
        XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, &failure, NULL),
              ERROR_INVAL);
        XT_EQ_STR(failure.argument, "opts.size");
        if (diagnosis.size < 16 || diagnosis.size > 4096)
            XT_RC(libxl_childproc_diagnose(ctx, &diagnosis, NULL), ERROR_INVAL);
    }
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

XT_TEST(reserved_members_are_zero, "X7")
{
    libxl_childproc_failure failure;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(argv);
    libxl_childproc_batch_entry entry;
    libxl_childproc_result result;

    memset(&entry, 0xdd, sizeof(entry));
    memset(&result, 0xdd, sizeof(result));
    entry.spec = &spec;
    entry.report = NULL;
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, &entry, 1), 1);
    XT_EQ_INT(entry.reserved[0] | entry.reserved[1], 0);
    XT_RC(libxl_childproc_wait(ctx, entry.id, LIBXL_WAIT_FOREVER, 0, &result),
          0);
    XT_EQ_INT(result.reserved[0], 0);
    spec.reserved = 1;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "reserved");
    xt_ctx_free(ctx);
}

struct told {
    int n;
    libxl_log_level level;
    int errnoval;
    char text[600];
};

static void tell(void *user, libxl_log_level level, int errnoval,
                 const char *message)
{
    struct told *told = user;

    told->n++;
    told->level = level;
    told->errnoval = errnoval;
    snprintf(told->text, sizeof(told->text), "%s", message);
}

XT_TEST(a_host_speaks_through_the_logger, "X5")
{
    struct told told = {.n = 0};
    libxl_logger logger = {sizeof(logger), LIBXL_LOG_INFO, tell, &told};
    char longer[1000];
    libxl_ctx *ctx;

    XT_RC(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger), 0);
    XT_RC(libxl_ctx_log(ctx, LIBXL_LOG_WARNING, ENOENT, "100 %s"), 0);
    XT_EQ_INT(told.n, 1);
    XT_EQ_INT(told.level, LIBXL_LOG_WARNING);
    XT_EQ_INT(told.errnoval, ENOENT);
    XT_EQ_STR(told.text, "100 %s");
    XT_RC(libxl_ctx_log(ctx, LIBXL_LOG_DEBUG, 0, "not heard"), 0);
    XT_EQ_INT(told.n, 1);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    XT_RC(libxl_ctx_log(ctx, LIBXL_LOG_INFO, 0, longer), 0);
    XT_EQ_INT(strlen(told.text), 511);
    XT_RC(libxl_ctx_log(ctx, LIBXL_LOG_INFO, 0, NULL), ERROR_INVAL);
    XT_RC(libxl_ctx_log(ctx, (libxl_log_level)5, 0, "x"), ERROR_INVAL);
    XT_RC(libxl_ctx_log(NULL, LIBXL_LOG_INFO, 0, "x"), ERROR_INVAL);
    xt_ctx_free(ctx);
}
