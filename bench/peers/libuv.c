/* bench/peers/libuv.c - uv_spawn and its loop
 *
 * Called through bench.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <uv.h>

#include "bench.h"

static uv_loop_t *loop;
static long ends;

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void ended(uv_process_t *process, int64_t code, int signo)
{
    ends++;
    bench_exited(process->pid, signo ? signo : (int)code << 8);
    uv_close((uv_handle_t *)process, closed);
}

static void open_loop(const struct bench_options *options)
{
    (void)options;
    loop = uv_default_loop();
    if (!loop)
        bench_die("libuv's loop");
}

static pid_t start(char *const argv[])
{
    uv_stdio_container_t inherit[3];
    uv_process_options_t options = {
        .exit_cb = ended,
        .file = argv[0],
        .args = (char **)argv,
        .stdio_count = 3,
        .stdio = inherit,
    };
    uv_process_t *process = malloc(sizeof(*process));
    int r;

    if (!process)
        return -1;
    for (int i = 0; i < 3; i++) {
        inherit[i].flags = UV_INHERIT_FD;
        inherit[i].data.fd = i;
    }
    r = uv_spawn(loop, process, &options);
    if (r) {
        errno = -r;
        return -1;
    }
    return process->pid;
}

static void pump(void)
{
    long before = ends;

    while (ends == before)
        uv_run(loop, UV_RUN_ONCE);
}

static const struct bench_peer peer = {
    .name = "libuv",
    .version = uv_version_string,
    .open = open_loop,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
