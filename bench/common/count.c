/* bench/common/count.c - how many children were started, ended, and when
 *
 * The measurements start children through here; a peer calls bench_exited
 * for each end that its loop reports.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "bench.h"

static long in_flight;
static long failed;
static int noting;
static int64_t *times; /* by pid */
static pid_t times_size;

int64_t bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void read_pid_max(void)
{
    FILE *f = fopen("/proc/sys/kernel/pid_max", "re");
    int n;

    if (!f || fscanf(f, "%d", &n) != 1)
        bench_die("/proc/sys/kernel/pid_max");
    fclose(f);
    times_size = n + 1;
}

void bench_note_exit_times(int wanted)
{
    noting = wanted;
    if (!wanted || times)
        return;
    read_pid_max();
    times = calloc((size_t)times_size, sizeof(*times));
    if (!times)
        bench_die("memory for times");
}

int64_t bench_exit_time(pid_t pid)
{
    if (!times || pid < 0 || pid >= times_size || !times[pid])
        bench_refuse("a stamp of a child that was not reported");
    return times[pid];
}

void bench_exited(pid_t pid, int status)
{
    if (noting && pid > 0 && pid < times_size)
        times[pid] = bench_now();
    in_flight--;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        failed++;
}

long bench_in_flight(void)
{
    return in_flight;
}

long bench_failed(void)
{
    return failed;
}

void bench_add_failed(long n)
{
    failed += n;
}

/* Counted before it starts: its end may be reported before start returns. */
void bench_start_one(const struct bench_peer *peer, char *const argv[])
{
    in_flight++;
    if (peer->start(argv) <= 0)
        bench_die("starting a child");
}

void bench_start_batch(const struct bench_peer *peer, char *const argv[],
                       long n)
{
    in_flight += n;
    peer->start_many(argv, n);
}
