/* uv.c - a libuv program: uv_spawn. See ../README.md. */
#include <uv.h>

#include "../host.h"

static uv_process_t child[HOST_CHILDREN + 1];

static void ended(uv_process_t *handle, int64_t code, int signo)
{
    int i = (int)(handle - child);

    if (i < HOST_CHILDREN)
        host_exited(i, signo ? -signo : (int)code);
    uv_close((uv_handle_t *)handle, NULL);
}

static void start(uv_loop_t *loop, int number, int i)
{
    uv_process_options_t options;
    char **argv = host_argv(i);
    int r;

    memset(&options, 0, sizeof(options));
    options.file = argv[0];
    options.args = argv;
    options.exit_cb = ended;
    r = uv_spawn(loop, &child[number], &options);
    if (r)
        host_lost(i, uv_strerror(r));
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();

    start(loop, HOST_CHILDREN, 0);
    uv_run(loop, UV_RUN_DEFAULT);
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++)
        start(loop, i, i);
    uv_run(loop, UV_RUN_DEFAULT);
    host_done();
    return 0;
}
