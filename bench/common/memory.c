/* bench/common/memory.c - user-space memory for a live child
 *
 * Called by main.c. What the heap (malloc's own count) and the process
 * (resident private pages, which also sees memory that is not malloc's) grow
 * by while --children idle children are started, for each of them.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

static double heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return (double)info.uordblks + (double)info.hblkhd;
}

static double resident_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char text[256];
    double kib = -1;

    if (!f)
        bench_die("/proc/self/status");
    while (fgets(text, sizeof(text), f))
        if (sscanf(text, "RssAnon: %lf kB", &kib) == 1)
            break;
    fclose(f);
    if (kib < 0)
        bench_refuse("/proc/self/status has no RssAnon");
    return kib * 1024;
}

void bench_memory(const struct bench_peer *peer, const struct bench_options *o)
{
    double heap;
    double resident;

    bench_idle_children(peer, o->live);
    resident_bytes(); /* what the reading itself takes */
    heap = heap_bytes();
    resident = resident_bytes();
    bench_idle_children(peer, o->children);
    heap = heap_bytes() - heap;
    resident = resident_bytes() - resident;
    bench_field("heap_bytes_per_child", heap / (double)o->children);
    bench_field("resident_bytes_per_child", resident / (double)o->children);
}
