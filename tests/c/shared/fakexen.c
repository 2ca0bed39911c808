/* fakexen.c - a library that exports the names of the core, as Xen's does
 *
 * Loaded globally by linked_apart.c before a plugin that contains the core.
 * Whoever ends up here instead of in the core is counted.
 */
#include "xlchild.h"

int fakexen_calls;

int libxl_ctx_alloc(libxl_ctx **ret_ctx, int version, unsigned flags,
                    const libxl_logger *logger)
{
    (void)ret_ctx;
    (void)version;
    (void)flags;
    (void)logger;
    fakexen_calls++;
    return -77;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    (void)ctx;
    fakexen_calls++;
    return -77;
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks,
                             void *user)
{
    (void)ctx;
    (void)hooks;
    (void)user;
    fakexen_calls++;
}

int libxl_childproc_exited(libxl_ctx *ctx, pid_t pid, int status)
{
    (void)ctx;
    (void)pid;
    (void)status;
    fakexen_calls++;
    return -77;
}

int libxl_childproc_setmode_checked(libxl_ctx *ctx,
                                    const libxl_childproc_hooks *hooks,
                                    void *user)
{
    (void)ctx;
    (void)hooks;
    (void)user;
    fakexen_calls++;
    return -77;
}

int libxl_event_wait(libxl_ctx *ctx, libxl_event **ret_event,
                     uint64_t typemask, libxl_event_predicate *predicate,
                     void *predicate_user)
{
    (void)ctx;
    (void)ret_event;
    (void)typemask;
    (void)predicate;
    (void)predicate_user;
    fakexen_calls++;
    return -77;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    (void)ctx;
    (void)event;
    fakexen_calls++;
}
