/* bench/peers/clone_files.c - as clone_pidfd.c, with a shared fd table
 *
 * The child's first act copies only the fds that it keeps: the bare kernel's
 * limit. With --starters N, N threads do so side by side. Called through
 * bench.h. Next: pidfd_loop.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "bench.h"
#include "pidfd_loop.h"

struct starter {
    pthread_t thread;
    struct pidfd_loop loop;
    long children;
    long concurrency;
    long in_flight;
    long failed;
};

static struct pidfd_loop loop;

static void open_loop(const struct bench_options *options)
{
    (void)options;
    pidfd_loop_open(&loop, 1);
}

static pid_t start(char *const argv[])
{
    return pidfd_loop_start(&loop, argv);
}

static void ended(void *user, pid_t pid, int status)
{
    (void)user;
    bench_exited(pid, status);
}

static void pump(void)
{
    pidfd_loop_wait(&loop, ended, NULL);
}

static void ended_here(void *user, pid_t pid, int status)
{
    struct starter *starter = user;

    (void)pid;
    starter->in_flight--;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        starter->failed++;
}

static void *starter_thread(void *data)
{
    struct starter *s = data;
    char *const argv[] = {(char *)bench_options.child, NULL};

    pidfd_loop_open(&s->loop, 1);
    s->loop.copied = 1; /* by the others' children */
    while (s->children || s->in_flight) {
        while (s->children && s->in_flight < s->concurrency) {
            if (pidfd_loop_start(&s->loop, argv) < 0)
                bench_die("starting a child");
            s->children--;
            s->in_flight++;
        }
        pidfd_loop_wait(&s->loop, ended_here, s);
    }
    return NULL;
}

static void run_all(const struct bench_options *o)
{
    long n = o->starters;
    struct starter *starters = calloc((size_t)n, sizeof(*starters));

    if (!starters)
        bench_die("memory for starters");
    for (long i = 0; i < n; i++) {
        starters[i].children = o->children / n + (i < o->children % n);
        starters[i].concurrency = o->concurrency / n + (o->concurrency < n);
        errno = pthread_create(&starters[i].thread, NULL, starter_thread,
                               &starters[i]);
        if (errno)
            bench_die("starting a thread");
    }
    for (long i = 0; i < n; i++) {
        pthread_join(starters[i].thread, NULL);
        bench_add_failed(starters[i].failed);
    }
    free(starters);
}

int main(int argc, char **argv)
{
    static struct bench_peer peer = {
        .name = "clone_files",
        .open = open_loop,
        .start = start,
        .pump = pump,
        .takes_starters = 1,
        .run_all = run_all,
    };

    return bench_main(argc, argv, &peer);
}
