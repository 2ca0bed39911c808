/* leaver.c - a plugin with the core in it that leaves children behind
 *
 * Loaded, and unloaded, by host_unload.c. Exports leaver_leave.
 */
#include "xlchild.h"

/* Starts PROGRAM twice, each with fd as its stdin, in mode owner: one is let go
 * with its ctx, the ctx of the other is left as it is, with a thread that
 * starts children. 0, or what failed. */
__attribute__((visibility("default"))) int leaver_leave(int owner,
                                                        const char *program,
                                                        int fd);

int leaver_leave(int owner, const char *program, int fd)
{
    libxl_childproc_hooks hooks = {(libxl_sigchld_owner)owner, 0, 0,
                                   sizeof(hooks)};
    const char *argv[] = {program, "hold", "exit", "23", 0};
    libxl_childproc_fd fds = {0, fd};
    libxl_childproc_spec spec;
    libxl_ctx *ctx;
    int rc = 0;

    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    spec.fds = &fds;
    spec.nfds = 1;
    for (int i = 0; i < 2 && !rc; i++) {
        rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, 0);
        if (!rc)
            rc = libxl_childproc_setmode_checked(ctx, &hooks, 0);
        if (!rc)
            rc = libxl_childproc_spawn(ctx, &spec, 0, 0, 0, 0);
        if (!rc && i == 0)
            rc = libxl_ctx_free(ctx);
        else if (!rc)
            rc = libxl_childproc_set_starters(ctx, 1);
    }
    return rc;
}
