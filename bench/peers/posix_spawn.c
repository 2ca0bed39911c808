/* bench/peers/posix_spawn.c - the bare loop: posix_spawn and waitpid(-1)
 *
 * What the C library offers, without attributes. Called through bench.h.
 */
#define _GNU_SOURCE
#include <gnu/libc-version.h>
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static const char *version(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "glibc %s", gnu_get_libc_version());
    return text;
}

static pid_t start(char *const argv[])
{
    pid_t pid;

    errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    return errno ? -1 : pid;
}

static void pump(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);

    if (pid < 0)
        bench_die("waitpid");
    bench_exited(pid, status);
}

static const struct bench_peer peer = {
    .name = "posix_spawn",
    .version = version,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
