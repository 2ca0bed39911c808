/* hello.c - runs a command and says how it ended: README's example */
#include <stdio.h>
#include <sys/wait.h>
#include <xlchild.h>

int main(void)
{
    const char *argv[] = { "sh", "-c", "echo hello; exit 3", NULL };
    libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_none };
    libxl_childproc_exec_result result;
    libxl_childproc_failure failure;
    libxl_childproc_exec_opts opts;
    libxl_childproc_spec spec;
    libxl_ctx *ctx;
    int rc;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL) != 0)
        return 1;
    libxl_childproc_setmode(ctx, &hooks, NULL);

    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    spec.flags = LIBXL_SPAWN_SEARCH_PATH;
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.timeout_ms = 10000;

    rc = libxl_childproc_exec(ctx, &spec, &opts, &result, &failure, NULL);
    if (rc == ERROR_SPAWN)
        printf("failed in stage %s\n",
               libxl_childproc_stage_name(failure.stage));
    else if (rc == 0 && result.child.lost == LIBXL_LOST_NONE)
        printf("%sexit %d\n", result.out.data,
               WEXITSTATUS(result.child.status));
    libxl_childproc_exec_result_dispose(&result);
    return libxl_ctx_free(ctx) != 0;
}
