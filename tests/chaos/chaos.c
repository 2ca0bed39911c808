/* chaos.c - contexts, threads, thieves and signals at random, on the kernel
 *
 *     chaos [--mode NAME] [--seed N] [--seconds N] [--ms N] [--runs N]
 *
 * Contract lines C1-C9, C13, C14, C20-C23: many short runs, each a process of
 * its own with a seed of its own, which chooses the contexts and their modes,
 * the threads, and what the host does beside them. What each thread does
 * follows from the seed; how the kernel mixes them does not. Every child of
 * the library's is reported once, as it is to be, with its own status, or
 * lost for a reason that there is; every child of the host's is told or
 * reaped with its own; no stranger is hit; nothing is left over; nothing
 * hangs. --mode sets the mode of the first context, --seed plays one run.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "evenables.h"
#include "host.h"
#include "stacks.h"

#define THREADS 24

static struct {
    pthread_t thread[THREADS];
    struct xc_chance chance[THREADS];
    int n;
} crew;

static int only_mode = -1, run_ms = 1000;

/* ---- what a run is like ------------------------------------------------- */

static void choose(uint64_t seed)
{
    struct xc_chance ch;
    struct xc_run *r = &xc_run;

    xc_chance_init(&ch, seed, 0);
    r->seed = seed;
    r->ms = run_ms;
    r->places = 1 + (int)xc_below(&ch, XC_FIXED);
    r->mode[0] = (int)xc_below(&ch, XC_MODES);
    if (only_mode >= 0)
        r->mode[0] = only_mode;
    r->mainloop = r->mode[0] == libxl_sigchld_owner_mainloop;
    for (int i = 1; i < r->places; i++) {
        do
            r->mode[i] = (int)xc_below(&ch, XC_MODES);
        while (r->mainloop ? r->mode[i] == libxl_sigchld_owner_libxl ||
                                 r->mode[i] == libxl_sigchld_owner_libxl_always
                           : r->mode[i] == libxl_sigchld_owner_mainloop);
    }
    r->pidfds = xc_has_pidfds();
    r->exit_info = xc_has_exit_info();
    r->occurs = r->mainloop && xc_percent(&ch, 50);
    r->thief = xc_percent(&ch, 35);
    r->signals = xc_percent(&ch, 35);
    r->ignores = r->signals && xc_percent(&ch, 30);
    r->storms = xc_percent(&ch, 40);
    r->starters = xc_percent(&ch, 30) ? 2 : 0;
    r->forks = !r->starters && xc_percent(&ch, 15);
#ifndef __SANITIZE_THREAD__ /* which does not follow a cancelled thread */
    r->cancels = xc_percent(&ch, 40);
#endif
    r->workers = 1 + (int)xc_below(&ch, 4);
    /* without pidfds nobody would tell of what the host throws away, and in
     * doubt a whole second goes by */
    if (r->mainloop && !r->pidfds)
        r->thief = r->signals = r->ignores = 0;
    /* a host that promises to say when it sees a SIGCHLD sees it */
    if (r->occurs)
        r->thief = r->ignores = 0;
}

static void describe(char *text, size_t size)
{
    const struct xc_run *r = &xc_run;
    size_t n = 0;

    for (int i = 0; i < r->places; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? " + " : "",
                              xc_mode_name(r->mode[i]));
    snprintf(text + n, size - n, "%s%s%s%s%s%s%s, %d workers",
             !r->mainloop ? ""
             : r->occurs  ? ", says"
                          : ", passes",
             r->thief ? ", thief" : "", r->signals ? ", signals" : "",
             r->ignores ? ", ignores" : "", r->storms ? ", storms" : "",
             r->starters ? ", starters"
             : r->forks  ? ", forks"
                         : "",
             r->cancels ? ", cancels" : "",
             r->workers);
}

/* ---- before and after --------------------------------------------------- */

static int count_in(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int n = 0;

    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void show_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;

    while (d && (e = readdir(d))) {
        char path[300], target[256];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        if (n > 0)
            xc_say("fd %s: %.*s", e->d_name, (int)n, target);
    }
    if (d)
        closedir(d);
}

/* What they are, and what they wait for. */
static void show_children(void)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;

    while (d && (e = readdir(d))) {
        char path[300];
        FILE *f;
        int pid;

        snprintf(path, sizeof(path), "/proc/self/task/%s/children", e->d_name);
        f = fopen(path, "re");
        while (f && fscanf(f, "%d", &pid) == 1)
            xt_stacks(pid);
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
}

static void start(void *(*fn)(void *))
{
    int i = crew.n++;

    xc_chance_init(&crew.chance[i], xc_run.seed, (uint64_t)i + 1);
    if (pthread_create(&crew.thread[i], NULL, fn, &crew.chance[i]))
        xc_fail("pthread_create");
}

static void *pump(void *arg)
{
    return xc_calls_pump(arg);
}

/* ---- one run ------------------------------------------------------------ */

/* The children that nobody reports any more end by themselves within half a
 * second, and are reaped within another, though nobody calls the library. */
static void nothing_is_left(int fds, int threads)
{
    int64_t until = xc_now_ms() + 5000LL * xc_time_scale();
    siginfo_t info;
    char who[256];

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
            errno == ECHILD)
            break;
        if (xc_now_ms() > until) {
            show_children();
            xc_model_who(info.si_pid, who, sizeof(who));
            xc_fail("a child is left: %s %s", info.si_pid ? "the zombie" : "",
                    who);
        }
        xc_host_reap_own();
        xc_pause_ms(2);
    }
    while (count_in("/proc/self/task") > threads ||
           count_in("/proc/self/fd") > fds) {
        if (xc_now_ms() > until) {
            show_fds();
            xc_fail("%d threads, there were %d; %d fds, there were %d",
                    count_in("/proc/self/task"), threads,
                    count_in("/proc/self/fd"), fds);
        }
        xc_pause_ms(2);
    }
}

static void settle(void)
{
    int64_t until = xc_now_ms() + 10000LL * xc_time_scale();

    xc_host_end_all();
    while (!xc_model_over(0) || !xc_evenables_over(0)) {
        if (xc_now_ms() > until) {
            (void)xc_model_over(1);
            (void)xc_evenables_over(1);
            show_children();
            xc_fail("10 seconds after the end");
        }
        xc_calls_settle();
        xc_pause_ms(1);
    }
}

/* A line a run, for who adds them up: children reported, lost with a reason. */
static void keep_figures(void)
{
    const char *path = getenv("XC_FIGURES");
    FILE *f = path ? fopen(path, "ae") : NULL;
    int reported, lost;

    if (!f)
        return;
    xc_model_counts(&reported, &lost);
    fprintf(f, "%d %d\n", reported, lost);
    fclose(f);
}

static int one_run(void *user)
{
    struct xc_chance for_reaper;
    pthread_t reaper;
    char text[256], figures[256];
    int fds, threads;

    choose(*(uint64_t *)user);
    describe(text, sizeof(text));
    if (getenv("XC_VERBOSE"))
        xc_say("%s", text);
    xc_ours = calloc(XC_OURS, sizeof(*xc_ours));
    xc_hosts = calloc(XC_HOSTS, sizeof(*xc_hosts));
    xc_watchdog_start(xc_run.ms / 1000 + 30);
    fds = count_in("/proc/self/fd");
    threads = count_in("/proc/self/task");
    xc_host_set_up();
    for (int i = 0; i < xc_run.places; i++)
        xc_ctx[i] = xc_calls_ctx(xc_run.mode[i], xc_run.starters);
    xc_chance_init(&for_reaper, xc_run.seed, 99);
    if (pthread_create(&reaper, NULL, xc_host_reaps, &for_reaper))
        xc_fail("pthread_create");
    for (int i = 0; i < xc_run.workers; i++)
        start(xc_calls_work);
    for (int i = 0; i < xc_run.places; i++)
        start(pump);
    start(xc_calls_wander);
    start(xc_host_forks);
    if (xc_run.cancels)
        start(xc_cancels);
    if (xc_run.signals)
        start(xc_host_signals);
    if (xc_run.thief)
        start(xc_host_steals); /* the last: see below */
    xc_pause_ms(xc_run.ms);
    atomic_store(&xc_stop, 1);
    for (int i = 0; i < crew.n; i++) {
        if (i == crew.n - 1)
            xc_host_end_all(); /* a thief may be waiting for any of them */
        pthread_join(crew.thread[i], NULL);
    }
    if (xc_run.signals && !xc_run.occurs)
        signal(SIGCHLD, SIG_DFL);
    settle();
    xc_host_free_contexts();
    xc_model_check();
    atomic_store(&xc_host_reaper_stop, 1);
    pthread_join(reaper, NULL);
    xc_model_figures(figures, sizeof(figures));
    nothing_is_left(fds, threads);
    xc_watchdog_stop();
    xc_host_tear_down();
    keep_figures();
    for (int i = 0; i < atomic_load(&xc_nours); i++)
        if (xc_ours[i].kind == XC_ASYNC)
            libxl_childproc_exec_result_dispose(&xc_ours[i].result);
    free(xc_ours);
    free(xc_hosts);
    if (getenv("XC_VERBOSE"))
        printf("seed %llu: %s: %s\n", (unsigned long long)xc_run.seed, text,
               figures);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)xc_now_ms() * 1000;
    struct xc_tally tally = {0, 0, 0};
    int64_t until;
    int seconds = 0, runs = 0, seeded = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--mode")) {
            only_mode = xc_mode_by_name(argv[i + 1]);
        } else if (!strcmp(argv[i], "--seed")) {
            seed = strtoull(argv[i + 1], NULL, 0);
            seeded = 1;
        } else if (!strcmp(argv[i], "--seconds")) {
            seconds = atoi(argv[i + 1]);
        } else if (!strcmp(argv[i], "--ms")) {
            run_ms = atoi(argv[i + 1]);
        } else if (!strcmp(argv[i], "--runs")) {
            runs = atoi(argv[i + 1]);
        } else {
            return 2;
        }
    }
    if (seeded && !seconds && !runs)
        runs = 1;
    if (!seconds && !runs)
        seconds = 10;
    setvbuf(stdout, NULL, _IOLBF, 0);
    until = xc_now_ms() + 1000LL * seconds;
    for (int i = 0; runs ? i < runs : xc_now_ms() < until; i++, seed++) {
        char name[64];

        snprintf(name, sizeof(name), "seed %llu", (unsigned long long)seed);
        snprintf(xc_replay, sizeof(xc_replay), "%s --ms %d%s%s --seed %llu",
                 argv[0], run_ms, only_mode >= 0 ? " --mode " : "",
                 only_mode >= 0 ? xc_mode_name(only_mode) : "",
                 (unsigned long long)seed);
        xc_count(&tally, xc_run_apart(one_run, &seed, run_ms / 1000 + 90),
                 name);
    }
    return xc_close(&tally);
}
