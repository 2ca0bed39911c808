/* bench/common/burst.c - many children that end at the same moment
 *
 * Called by main.c. --children children block on one pipe; it is closed and
 * all of them end. Measured --bursts times
 *   burst  from the closing to the last report, the loop running all along;
 *          and the latency of each report
 *   drain  all are dead before the loop runs: the cost of a report alone
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static pid_t *pids;

static void start_all(const struct bench_peer *peer,
                      const struct bench_options *o)
{
    char *const argv[] = {(char *)o->child, "burst", NULL};

    bench_new_gate();
    for (long i = 0; i < o->children; i++)
        bench_start_one(peer, argv);
}

/* Reads the stamps of all children; the latencies go to values if wanted.
 * Their pids are kept: the drain needs them. */
static void read_stamps(long n, double *values)
{
    struct bench_stamp stamp;

    for (long i = 0; i < n; i++) {
        if (read(bench_stamps_fd(), &stamp, sizeof(stamp)) != sizeof(stamp))
            bench_die("reading a stamp");
        pids[i] = (pid_t)stamp.pid;
        if (values)
            values[i] =
                (double)(bench_exit_time(pids[i]) - stamp.ns) / 1e3;
    }
}

/* Waits for the end of the children without reaping them. */
static void until_all_dead(long n)
{
    siginfo_t info;

    for (long i = 0; i < n; i++)
        while (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT))
            if (errno != EINTR)
                bench_die("waiting for a burst");
}

static void until_reported(const struct bench_peer *peer)
{
    while (bench_in_flight() > 0)
        peer->pump();
}

static double burst(const struct bench_peer *peer,
                    const struct bench_options *o, double *latencies)
{
    int64_t start;
    int64_t took;

    start_all(peer, o);
    start = bench_now();
    bench_release_gate();
    until_reported(peer);
    took = bench_now() - start;
    read_stamps(o->children, latencies);
    return (double)took / 1e3 / (double)o->children;
}

static double drain(const struct bench_peer *peer,
                    const struct bench_options *o)
{
    int64_t start;

    start_all(peer, o);
    bench_release_gate();
    read_stamps(o->children, NULL);
    until_all_dead(o->children);
    start = bench_now();
    until_reported(peer);
    return (double)(bench_now() - start) / 1e3 / (double)o->children;
}

void bench_burst(const struct bench_peer *peer, const struct bench_options *o)
{
    size_t n = (size_t)o->children;
    double *bursts = calloc((size_t)o->bursts, sizeof(*bursts));
    double *drains = calloc((size_t)o->drains + 1, sizeof(*drains));
    double *latencies = calloc(n * (size_t)o->bursts, sizeof(*latencies));

    if (o->live)
        bench_refuse("a burst is of all children: no --live");
    pids = calloc(n, sizeof(*pids));
    if (!bursts || !drains || !latencies || !pids)
        bench_die("memory for a burst");
    bench_note_exit_times(1);
    bench_release_gate();
    for (long i = 0; i < o->bursts; i++) {
        bursts[i] = burst(peer, o, latencies + (size_t)i * n);
        if (i < o->drains)
            drains[i] = drain(peer, o);
    }
    for (long i = o->bursts; i < o->drains; i++)
        drains[i] = drain(peer, o);
    bench_field("burst_us_per_report", bench_median(bursts, o->bursts));
    if (o->drains)
        bench_field("drain_us_per_report", bench_median(drains, o->drains));
    bench_distribution("latency_us", latencies, (long)n * o->bursts);
    free(bursts);
    free(drains);
    free(latencies);
    free(pids);
}
