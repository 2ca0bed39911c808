/* bench/common/rate.c - wall and processor time for a child started and reaped
 *
 * Called by main.c. Keeps --concurrency children in flight beside --live idle
 * ones until --children have been reaped or --for-ms have passed; --slices
 * times.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "bench.h"

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

struct slice {
    double *us;  /* wall time a child, of each slice */
    double *cpu; /* the parent's processor time */
    long reaped;
};

static void measure(const struct bench_peer *peer,
                    const struct bench_options *o, struct slice *s, long i)
{
    double processor = processor_ns();
    int64_t start = bench_now();
    long n = o->children;

    if (peer->run_all && o->starters)
        peer->run_all(o);
    else
        n = start_and_reap(peer, o, o->children,
                           o->for_ms ? start + o->for_ms * 1000000 : 0);
    s->us[i] = (double)(bench_now() - start) / 1e3 / (double)n;
    s->cpu[i] = (processor_ns() - processor) / 1e3 / (double)n;
    s->reaped += n;
}

void bench_rate(const struct bench_peer *peer, const struct bench_options *o)
{
    size_t slices = (size_t)o->slices;
    struct slice s = {calloc(slices, sizeof(double)),
                      calloc(slices, sizeof(double)), 0};

    if (!s.us || !s.cpu)
        bench_die("memory for slices");
    bench_idle_children(peer, o->live);
    if (o->warmup && !(peer->run_all && o->starters))
        start_and_reap(peer, o, o->warmup, 0);
    for (long i = 0; i < o->slices; i++)
        measure(peer, o, &s, i);
    bench_field("reaped", (double)s.reaped);
    bench_fields("us_per_child", s.us, o->slices);
    bench_fields("cpu_us", s.cpu, o->slices);
    free(s.us);
    free(s.cpu);
}
