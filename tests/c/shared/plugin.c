/* plugin.c - a shared object that contains the core, as a binding does
 *
 * Loaded by linked_apart.c. Exports plugin_run and nothing else.
 */
#include "xlchild.h"

/* Runs PROGRAM and returns its exit status as waitpid gives it, or -1. */
__attribute__((visibility("default"))) int plugin_run(const char *program);

int plugin_run(const char *program)
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, 0, 0,
                                   sizeof(hooks)};
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, 0, {1}};
    const char *argv[] = {program, "exit", "23", 0};
    libxl_childproc_spec spec;
    libxl_event *event;
    libxl_ctx *ctx;
    int status = -1;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, 0))
        return -1;
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    if (!libxl_childproc_setmode_checked(ctx, &hooks, 0) &&
        !libxl_childproc_spawn(ctx, &spec, &report, 0, 0, 0) &&
        !libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0)) {
        status = event->u.childproc_exit.status;
        libxl_event_free(ctx, event);
    }
    if (libxl_ctx_free(ctx))
        return -1;
    return status;
}
