/* lasting.c - a child that lasts: says so, waits, says when it ends, and ends
 *
 *     lasting MILLISECONDS CODE
 *
 * Writes a line to stdout, and another one before it exits with CODE: the
 * nanoseconds of CLOCK_MONOTONIC. Statically linked, for ten thousand of them.
 * Started by tests/chaos/load.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec left, now;
    char text[64];
    long ms;
    int n;

    if (argc != 3)
        return 125;
    ms = atol(argv[1]);
    left.tv_sec = ms / 1000;
    left.tv_nsec = ms % 1000 * 1000000;
    if (write(1, "up\n", 3) != 3)
        return 125;
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    clock_gettime(CLOCK_MONOTONIC, &now);
    n = snprintf(text, sizeof(text), "%lld\n",
                 (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    if (write(1, text, (size_t)n) != n)
        return 125;
    _exit(atoi(argv[2]));
}
