/* nowait.c - see nowait.h */
#define _GNU_SOURCE
#include "nowait.h"

#include <errno.h>
#include <string.h>

#include "slowexec.h"

const libxl_sigchld_owner xw_reaping[XW_REAPING] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};

const char *const xw_nothing[] = {"/nonexistent/program", NULL};

libxl_childproc_spec xw_spec(const char *const *argv)
{
    libxl_childproc_spec spec = xt_spec(argv);

    spec.flags |= LIBXL_SPAWN_NOWAIT;
    return spec;
}

void xw_hold(void)
{
    if (!xe_hold())
        XT_SKIP("seccomp has no supervisor here: %s", strerror(errno));
}

libxl_childproc_id xw_held_at_exec(libxl_ctx *ctx,
                                   const libxl_childproc_spec *spec,
                                   const libxl_childproc_report *report,
                                   pid_t *ret_pid)
{
    libxl_childproc_id id = xt_spawn(ctx, spec, report, ret_pid);

    xe_await(1);
    return id;
}

void xw_not_started(const libxl_childproc_result *r,
                    libxl_childproc_stage stage, int errnoval)
{
    XT_EQ_INT(r->lost, LIBXL_LOST_NEVER_RAN);
    XT_EQ_INT(r->status, 0);
    XT_EQ_INT(r->stage, stage);
    XT_EQ_INT(r->errnoval, errnoval);
}

libxl_event *xw_next_event(libxl_ctx *ctx)
{
    libxl_event *event;

    XT_EQ_INT(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL,
                                    LIBXL_WAIT_FOREVER, 0),
              1);
    return event;
}
