/* bench/common/distribution.c - medians and tails, for latency.c and burst.c */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double at(const double *sorted, long n, double part)
{
    long i = (long)(part * (double)n);

    return sorted[i < n ? i : n - 1];
}

double bench_median(double *values, long n)
{
    qsort(values, (size_t)n, sizeof(*values), by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void bench_distribution(const char *prefix, double *values, long n)
{
    static const struct {
        const char *name;
        double part;
    } points[] = {{"median", 0.5}, {"p90", 0.9}, {"p99", 0.99},
                  {"p999", 0.999}, {"max", 1.0}};
    char name[64];

    if (n < 1)
        bench_refuse("no values");
    qsort(values, (size_t)n, sizeof(*values), by_value);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        snprintf(name, sizeof(name), "%s_%s", prefix, points[i].name);
        bench_field(name, at(values, n, points[i].part));
    }
}
