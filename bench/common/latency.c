/* bench/common/latency.c - from a child's exit to the report of it
 *
 * Called by main.c. One child at a time beside --live idle ones: it sleeps
 * so long that the parent is blocked in its loop, stamps the time, and exits.
 * The figure is the time of the report less the stamp; the kernel's own work
 * of ending a process is in it, the same for every peer.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

static double one(const struct bench_peer *peer, char *const argv[], long idle)
{
    struct bench_stamp stamp;

    bench_start_one(peer, argv);
    while (bench_in_flight() > idle)
        peer->pump();
    if (read(bench_stamps_fd(), &stamp, sizeof(stamp)) != sizeof(stamp))
        bench_die("reading a stamp");
    return (double)(bench_exit_time((pid_t)stamp.pid) - stamp.ns) / 1e3;
}

void bench_latency(const struct bench_peer *peer, const struct bench_options *o)
{
    char *const argv[] = {(char *)o->child, "stamp", NULL};
    double *values = calloc((size_t)o->children, sizeof(*values));

    if (!values)
        bench_die("memory for latencies");
    bench_note_exit_times(1);
    bench_idle_children(peer, o->live);
    for (long i = 0; i < o->warmup; i++)
        one(peer, argv, o->live);
    for (long i = 0; i < o->children; i++)
        values[i] = one(peer, argv, o->live);
    bench_distribution("latency_us", values, o->children);
    free(values);
}
