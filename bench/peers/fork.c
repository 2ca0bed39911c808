/* bench/peers/fork.c - the bare loop: fork and waitpid(-1)
 *
 * As vfork.c, but the page tables are copied for every child. Called
 * through bench.h.
 */
#define _GNU_SOURCE
#include <gnu/libc-version.h>
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
    pid_t pid = fork();

    if (!pid) {
        execve(argv[0], argv, environ);
        _exit(127);
    }
    return pid;
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
    .name = "fork",
    .version = version,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
