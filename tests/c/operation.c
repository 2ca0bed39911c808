/* operation.c - see operation.h */
#include "operation.h"

#include <string.h>

libxl_childproc_exec_opts xo_capturing(void)
{
    libxl_childproc_exec_opts opts;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_CAPTURE;
    return opts;
}

static void completed(libxl_ctx *ctx, int rc, void *user)
{
    struct xo_completion *c = user;

    (void)ctx;
    c->calls++;
    c->rc = rc;
    XT_GT_INT(c->result.child.pid, 1); /* filled before the completion */
}

libxl_asyncop_how xo_to(struct xo_completion *c)
{
    libxl_asyncop_how how = {completed, {.for_callback = c}};

    memset(c, 0, sizeof(*c));
    return how;
}

void xo_pump_until(libxl_ctx *ctx, const int *flag)
{
    libxl_event *event;

    while (!*flag)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 20, 0), ERROR_TIMEDOUT);
}
