/* bench/peers/sdevent.c - fork and sd_event_add_child
 *
 * sd-event watches children but starts none, and wants SIGCHLD blocked.
 * Called through bench.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "bench.h"

static sd_event *loop;
static sigset_t chld;
static long ends;

static int ended(sd_event_source *source, const siginfo_t *info, void *user)
{
    (void)user;
    ends++;
    bench_exited(info->si_pid, info->si_code == CLD_EXITED
                                   ? info->si_status << 8
                                   : info->si_status);
    sd_event_source_unref(source);
    return 0;
}

/* The library cannot be asked; pkg-config said it when this was built. */
static const char *version(void)
{
    return BENCH_LIBRARY_VERSION;
}

static void open_loop(const struct bench_options *options)
{
    (void)options;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &chld, NULL))
        bench_die("sigprocmask");
    errno = -sd_event_default(&loop);
    if (errno > 0)
        bench_die("sd-event's loop");
}

static pid_t start(char *const argv[])
{
    sd_event_source *source;
    pid_t pid = fork();
    int r;

    if (!pid) {
        sigprocmask(SIG_UNBLOCK, &chld, NULL);
        execve(argv[0], argv, environ);
        _exit(127);
    }
    if (pid < 0)
        return -1;
    r = sd_event_add_child(loop, &source, pid, WEXITED, ended, NULL);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    return pid;
}

static void pump(void)
{
    long before = ends;
    int r = 0;

    while (ends == before && r >= 0)
        r = sd_event_run(loop, UINT64_MAX);
    if (r < 0) {
        errno = -r;
        bench_die("sd_event_run");
    }
}

static const struct bench_peer peer = {
    .name = "sdevent",
    .version = version,
    .open = open_loop,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
