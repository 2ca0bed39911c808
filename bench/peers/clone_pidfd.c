/* bench/peers/clone_pidfd.c - the bare loop: clone, epoll over pidfds, waitid
 *
 * Reaping costs the same however many children live; starting does not: the
 * kernel copies the fd table, one pidfd a live child. Called through bench.h.
 * Next: pidfd_loop.c.
 */
#define _GNU_SOURCE
#include "bench.h"
#include "pidfd_loop.h"

static struct pidfd_loop loop;

static void open_loop(const struct bench_options *options)
{
    (void)options;
    pidfd_loop_open(&loop, 0);
}

static pid_t start(char *const argv[])
{
    return pidfd_loop_start(&loop, argv);
}

static void ended(void *user, pid_t pid, int status)
{
    (void)user;
    bench_exited(pid, status);
}

static void pump(void)
{
    pidfd_loop_wait(&loop, ended, NULL);
}

static const struct bench_peer peer = {
    .name = "clone_pidfd",
    .open = open_loop,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
