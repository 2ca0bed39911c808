/* bench/peers/libev.c - fork and ev_child
 *
 * libev watches children but starts none; fork is what its manual shows.
 * Called through bench.h.
 */
#define _GNU_SOURCE
#include <ev.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

static struct ev_loop *loop;
static long ends;

static const char *version(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "%d.%d", ev_version_major(),
             ev_version_minor());
    return text;
}

static void ended(struct ev_loop *in, ev_child *watcher, int revents)
{
    (void)revents;
    ev_child_stop(in, watcher);
    ends++;
    bench_exited(watcher->rpid, watcher->rstatus);
    free(watcher);
}

static void open_loop(const struct bench_options *options)
{
    (void)options;
    loop = ev_default_loop(0);
    if (!loop)
        bench_die("libev's loop");
}

static pid_t start(char *const argv[])
{
    ev_child *watcher = malloc(sizeof(*watcher));
    pid_t pid;

    if (!watcher)
        return -1;
    pid = fork();
    if (!pid) {
        execve(argv[0], argv, environ);
        _exit(127);
    }
    if (pid < 0) {
        free(watcher);
        return -1;
    }
    ev_child_init(watcher, ended, pid, 0);
    ev_child_start(loop, watcher);
    return pid;
}

static void pump(void)
{
    long before = ends;

    while (ends == before)
        ev_run(loop, EVRUN_ONCE);
}

static const struct bench_peer peer = {
    .name = "libev",
    .version = version,
    .open = open_loop,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
