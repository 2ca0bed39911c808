/* xen.c - a program of Xen's toolstack: libxenlight is in the process, and what
 * is called by its names must be its own. See ../README.md.
 *
 * Where there is no hypervisor its libxl_ctx_alloc fails, and says through its
 * own logger why; where there is one the host's children are reaped beside its
 * context in its default mode.
 */
#include <libxl.h>
#include <xentoollog.h>

#include "../host.h"

static int libxenlight_spoke;

struct logger {
    xentoollog_logger vtable;
};

static void vmessage(xentoollog_logger *logger, xentoollog_level level,
                     int errnoval, const char *context, const char *format,
                     va_list values)
{
    (void)logger, (void)level, (void)errnoval, (void)context, (void)format;
    (void)values;
    libxenlight_spoke++;
}

static void progress(xentoollog_logger *logger, const char *context,
                     const char *doing, int percent, unsigned long done,
                     unsigned long total)
{
    (void)logger, (void)context, (void)doing, (void)percent, (void)done;
    (void)total;
}

static void destroy(xentoollog_logger *logger)
{
    (void)logger;
}

int main(void)
{
    static struct logger logger = {{vmessage, progress, destroy}};
    pid_t pids[HOST_CHILDREN];
    libxl_ctx *ctx = NULL;
    int rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger.vtable);

    if (rc && !libxenlight_spoke) {
        fprintf(stderr, "xen: libxl_ctx_alloc was somebody else's: %d\n", rc);
        return 1;
    }
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++)
        pids[i] = host_fork(i);
    for (int i = 0; i < HOST_CHILDREN; i++) {
        int status;

        if (waitpid(pids[i], &status, 0) == pids[i])
            host_status(i, status);
        else
            host_lost(i, strerror(errno));
    }
    host_done();
    if (ctx)
        libxl_ctx_free(ctx);
    return 0;
}
