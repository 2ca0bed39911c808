/* bench/common/rate.c - wall and processor time for a child started and reaped
 *
 * Called by main.c. Keeps --concurrency children in flight beside --live idle
 * ones until --children have been reaped or --for-ms have passed.
 */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

static double microseconds(struct timeval t)
{
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

/* All of this process's threads, not its children. Exact where the kernel's
 * user and system times are sampled. */
static double processor_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static long room_for_batch(const struct bench_options *o, long idle)
{
    return o->concurrency - (bench_in_flight() - idle);
}

/* Returns how many were started. */
static long start_and_reap(const struct bench_peer *peer,
                           const struct bench_options *o, long children,
                           int64_t until)
{
    char *const argv[] = {(char *)o->child, NULL};
    long idle = o->live;
    long started = 0;
    int over = 0;

    while (!over && started < children) {
        long step = o->batch ? o->batch : 1;
        while (started < children && room_for_batch(o, idle) >= step) {
            if (o->batch)
                bench_start_batch(peer, argv, step);
            else
                bench_start_one(peer, argv);
            started += step;
        }
        peer->pump();
        over = until && bench_now() >= until;
    }
    while (bench_in_flight() > idle)
        peer->pump();
    return started;
}

void bench_rate(const struct bench_peer *peer, const struct bench_options *o)
{
    struct rusage before;
    struct rusage after;
    double processor;
    int64_t start;
    int64_t took;
    long n;

    bench_idle_children(peer, o->live);
    if (peer->run_all && o->starters) {
        n = o->children;
        getrusage(RUSAGE_SELF, &before);
        processor = processor_ns();
        start = bench_now();
        peer->run_all(o);
    } else {
        if (o->warmup)
            start_and_reap(peer, o, o->warmup, 0);
        getrusage(RUSAGE_SELF, &before);
        processor = processor_ns();
        start = bench_now();
        n = start_and_reap(peer, o, o->children,
                           o->for_ms ? start + o->for_ms * 1000000 : 0);
    }
    took = bench_now() - start;
    processor = processor_ns() - processor;
    getrusage(RUSAGE_SELF, &after);
    bench_field("reaped", (double)n);
    bench_field("us_per_child", (double)took / 1e3 / (double)n);
    bench_field("cpu_us", processor / 1e3 / (double)n);
    bench_field("user_us", (microseconds(after.ru_utime) -
                            microseconds(before.ru_utime)) / (double)n);
    bench_field("sys_us", (microseconds(after.ru_stime) -
                           microseconds(before.ru_stime)) / (double)n);
}
