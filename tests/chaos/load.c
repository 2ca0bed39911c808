/* load.c - ten thousand live children, a thousand ends a second, for long
 *
 *     load [--children N] [--rate N] [--seconds N] [--kept FILE]
 *
 * Contract lines C5, C6, C8, C18, C19: N children live, each with a pipe that
 * is read, and N/RATE seconds later it says when it ends and ends, with a code
 * of its own. First a bare loop does it (posix_spawn, pidfd_open, epoll,
 * waitid) for a tenth of the time, then the library in mode `none`. Every
 * status is right, none is lost, no report comes later than the bare loop's
 * 99.9th percentile and 100 ms, memory and fds do not grow, nothing is left.
 * The figures go to FILE, from which docs/reliability.md is made. `make soak`
 * runs it; it takes as many processes as children.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "xlchild.h"

#define LATE_MS 100
#define BATCH 16
#define BUCKETS 100000 /* of 10 microseconds */
#define GROWTH_KB 2048
#define LISTENER UINT64_MAX /* whose data is the ctx, in the epoll */
#define PIDFD ((uint64_t)1 << 32)

struct slot {
    int live, pipe, pidfd, code;
    pid_t pid;
    long long ended_ns; /* as it said itself; 0: not yet */
    int said;           /* bytes in text */
    char text[64];
    int have, status; /* its report, until its pipe has ended, too */
    int lost;
    long long told_ns;
};

static struct figures {
    long long started, ended, wrong, lost, untold;
    long long late_sum;
    unsigned bucket[BUCKETS + 1];
    double max_ms;
    long rss_first, rss_last;
    int fds_first, fds_last;
} fig;

static struct {
    int children, rate, seconds;
    const char *kept;
} arg = {10000, 1000, 600, NULL};

static struct slot *slots;
static int *vacant, nvacant;
static int epfd = -1;
static libxl_ctx *ctx; /* NULL: the bare loop */
static const char *helper = XT_HELPERS "/lasting";
extern char **environ;

static void die(const char *what, int rc)
{
    fprintf(stderr, "load: %s: %s\n", what,
            rc ? libxl_strerror(rc) : strerror(errno));
    exit(1);
}

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void watch(int fd, uint64_t data)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = data};

    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) != 0)
        die("epoll_ctl", 0);
}

/* A child on its way to its program holds copies a moment longer than
 * posix_spawn takes: closing alone would not take it out of the epoll. */
static void unwatch(int fd)
{
    if (epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL) != 0)
        die("epoll_ctl", 0);
    close(fd);
}

/* ---- starting ----------------------------------------------------------- */

struct birth {
    int slot, out[2];
    char ms[16], code[8];
    const char *argv[4];
    libxl_childproc_fd fd;
    libxl_childproc_spec spec;
    libxl_childproc_report report;
};

static void prepare(struct birth *b, int ms)
{
    b->slot = vacant[--nvacant];
    slots[b->slot] = (struct slot){.live = 1, .pidfd = -1};
    slots[b->slot].code = (int)((fig.started * 7 + 1) % 251);
    fig.started++;
    if (pipe2(b->out, O_CLOEXEC) != 0)
        die("pipe2", 0);
    fcntl(b->out[0], F_SETFL, O_NONBLOCK);
    slots[b->slot].pipe = b->out[0];
    snprintf(b->ms, sizeof(b->ms), "%d", ms);
    snprintf(b->code, sizeof(b->code), "%d", slots[b->slot].code);
    b->argv[0] = helper;
    b->argv[1] = b->ms;
    b->argv[2] = b->code;
    b->argv[3] = NULL;
}

static void start_ours(struct birth *b, int n)
{
    libxl_childproc_batch_entry entry[BATCH];

    memset(entry, 0, sizeof(entry));
    for (int i = 0; i < n; i++) {
        libxl_childproc_spec_init(&b[i].spec);
        b[i].spec.argv = b[i].argv;
        b[i].fd = (libxl_childproc_fd){1, b[i].out[1]};
        b[i].spec.fds = &b[i].fd;
        b[i].spec.nfds = 1;
        b[i].report = (libxl_childproc_report){.kind = LIBXL_REPORT_EVENT};
        b[i].report.u.for_event = (uint64_t)b[i].slot;
        entry[i].spec = &b[i].spec;
        entry[i].report = &b[i].report;
    }
    if (libxl_childproc_spawn_many(ctx, entry, (size_t)n) != n)
        die("libxl_childproc_spawn_many", entry[0].rc);
}

static void start_bare(struct birth *b)
{
    struct slot *s = &slots[b->slot];
    posix_spawn_file_actions_t actions;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, b->out[1], 1);
    errno = posix_spawn(&s->pid, helper, &actions, NULL,
                        (char *const *)(uintptr_t)b->argv, environ);
    if (errno != 0)
        die("posix_spawn", 0);
    posix_spawn_file_actions_destroy(&actions);
    s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (s->pidfd < 0)
        die("pidfd_open", 0);
    watch(s->pidfd, PIDFD | (uint64_t)b->slot);
}

static void start(int n)
{
    struct birth b[BATCH];
    int ms = (int)(1000LL * arg.children / arg.rate);

    for (int i = 0; i < n; i++)
        prepare(&b[i], ms);
    if (ctx)
        start_ours(b, n);
    for (int i = 0; i < n; i++) {
        if (!ctx)
            start_bare(&b[i]);
        close(b[i].out[1]);
        watch(b[i].out[0], (uint64_t)b[i].slot);
    }
}

/* ---- ends --------------------------------------------------------------- */

static void maybe_over(int slot)
{
    struct slot *s = &slots[slot];
    double ms;

    if (!s->have || s->pipe >= 0)
        return;
    s->live = 0;
    vacant[nvacant++] = slot;
    fig.ended++;
    if (s->lost) {
        fig.lost++;
        return;
    }
    if (!WIFEXITED(s->status) || WEXITSTATUS(s->status) != s->code)
        fig.wrong++;
    if (sscanf(s->text, "up\n%lld", &s->ended_ns) != 1) {
        fig.untold++;
        return;
    }
    ms = (double)(s->told_ns - s->ended_ns) / 1e6;
    if (ms > fig.max_ms)
        fig.max_ms = ms;
    fig.bucket[ms * 100 >= BUCKETS ? BUCKETS : ms < 0 ? 0 : (int)(ms * 100)]++;
}

static void told(int slot, int status, int lost)
{
    struct slot *s = &slots[slot];

    if (!s->live || s->have)
        fig.wrong++; /* twice, or another's */
    s->have = 1;
    s->status = status;
    s->lost = lost;
    s->told_ns = now_ns();
    maybe_over(slot);
}

static void reap_bare(int slot)
{
    struct slot *s = &slots[slot];
    siginfo_t info;

    info.si_pid = 0;
    if (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG) != 0)
        die("waitid", 0);
    if (info.si_pid == 0)
        return;
    unwatch(s->pidfd);
    told(slot, info.si_status << 8, info.si_code != CLD_EXITED);
}

static void read_pipe(int slot)
{
    struct slot *s = &slots[slot];
    ssize_t n =
        read(s->pipe, s->text + s->said, sizeof(s->text) - 1 - (size_t)s->said);

    if (n > 0) {
        s->said += (int)n;
    } else if (n == 0) {
        unwatch(s->pipe);
        s->pipe = -1;
        maybe_over(slot);
    }
}

static void take_events(void)
{
    libxl_event *event;

    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) ==
           0) {
        const libxl_childproc_result *r = &event->u.childproc_exit;

        told((int)event->for_user, r->status, r->lost != LIBXL_LOST_NONE);
        libxl_event_free(ctx, event);
    }
}

/* ---- the loop ----------------------------------------------------------- */

static void turn(int ms)
{
    struct epoll_event e[256];
    int n = epoll_wait(epfd, e, 256, ms);

    for (int i = 0; i < n; i++)
        if (e[i].data.u64 == LISTENER)
            take_events();
        else if (e[i].data.u64 & PIDFD)
            reap_bare((int)(uint32_t)e[i].data.u64);
        else
            read_pipe((int)e[i].data.u64);
}

static long rss_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

/* Up to all of them at the rate, then one for one that has ended. */
static void run(int seconds)
{
    long long begin = now_ns(), end = begin + 1000000000LL * seconds;
    long long full = begin + 1000000000LL * arg.children / arg.rate;
    long long settled = full + (end - full) / 5;

    memset(&fig, 0, sizeof(fig));
    fig.fds_first = count_fds();
    for (long long now = begin; now < end; now = now_ns()) {
        long long due = (now - begin) * arg.rate / 1000000000 - fig.started;
        int n = due < nvacant ? (int)due : nvacant;

        if (n > 0)
            start(n < BATCH ? n : BATCH);
        turn(n > BATCH ? 0 : 1);
        if (fig.rss_first == 0 && now > settled)
            fig.rss_first = rss_kb();
    }
    fig.rss_last = rss_kb();
    while (fig.ended < fig.started)
        turn(100);
    fig.fds_last = count_fds();
}

static double percentile(double part)
{
    long long seen = 0, all = 0;

    for (int i = 0; i <= BUCKETS; i++)
        all += fig.bucket[i];
    for (int i = 0; i <= BUCKETS; i++) {
        seen += fig.bucket[i];
        if ((double)seen >= part * (double)all)
            return i / 100.0;
    }
    return 0;
}

/* ---- what came ---------------------------------------------------------- */

static int passed, failed;

static void check(int good, const char *what)
{
    printf("%sok %d - load/%s\n", good ? "" : "not ", ++passed + failed, what);
    if (!good) {
        passed--;
        failed++;
    }
}

static void keep(double bare)
{
    FILE *f = fopen(arg.kept, "we");
    struct utsname name;

    uname(&name);
    if (!f)
        die(arg.kept, 0);
    fprintf(f,
            "{\n \"kernel\": \"%s\",\n \"seconds\": %d,\n \"live\": %d,\n"
            " \"rate\": %d,\n \"children\": %lld,\n \"wrong\": %lld,\n"
            " \"lost\": %lld,\n \"bare_999_ms\": %.2f,\n \"ms_50\": %.2f,\n"
            " \"ms_999\": %.2f,\n \"ms_max\": %.2f,\n \"grown_kb\": %ld,\n"
            " \"failed\": %d\n}\n",
            name.release, arg.seconds, arg.children, arg.rate, fig.ended,
            fig.wrong, fig.lost, bare, percentile(0.5), percentile(0.999),
            fig.max_ms, fig.rss_last - fig.rss_first, failed);
    fclose(f);
}

static void options(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--children"))
            arg.children = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--rate"))
            arg.rate = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seconds"))
            arg.seconds = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--kept"))
            arg.kept = argv[i + 1];
    }
    if (arg.children < 1 || arg.rate < 1 ||
        arg.seconds <= 2 * arg.children / arg.rate) {
        fprintf(stderr, "load: longer than twice a child's life\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none,
                                   .size = sizeof(hooks)};
    struct rlimit fds;
    double bare;
    int shorter;

    options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    getrlimit(RLIMIT_NOFILE, &fds);
    fds.rlim_cur = fds.rlim_max;
    setrlimit(RLIMIT_NOFILE, &fds);
    if (fds.rlim_cur < (rlim_t)arg.children * 2 + 100)
        die("the limit of fds is too low", ERROR_SYSTEM);
    slots = calloc((size_t)arg.children, sizeof(*slots));
    vacant = calloc((size_t)arg.children, sizeof(*vacant));
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (!slots || !vacant || epfd < 0)
        die("set-up", 0);
    for (int i = 0; i < arg.children; i++)
        vacant[nvacant++] = i;

    shorter = arg.seconds / 10;
    if (shorter <= 2 * arg.children / arg.rate)
        shorter = 2 * arg.children / arg.rate + 1;
    run(shorter);
    bare = percentile(0.999);
    printf("bare loop, %d s: %lld children, report after %.2f ms (half),"
           " %.2f ms (99.9 %%), %.2f ms (last)\n",
           shorter, fig.ended, percentile(0.5), bare, fig.max_ms);

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL) != 0)
        die("libxl_ctx_alloc", ERROR_SYSTEM);
    libxl_childproc_setmode(ctx, &hooks, NULL);
    watch(libxl_ctx_fileno(ctx), LISTENER);
    run(arg.seconds);
    printf("xlchild, %d s: %lld children, report after %.2f ms (half),"
           " %.2f ms (99.9 %%), %.2f ms (last); memory %+ld KiB\n",
           arg.seconds, fig.ended, percentile(0.5), percentile(0.999),
           fig.max_ms, fig.rss_last - fig.rss_first);
    check(fig.wrong == 0 && fig.untold == 0, "every_status_is_its_own");
    check(fig.lost == 0, "none_is_lost");
    check(fig.max_ms <= bare + LATE_MS, "no_report_is_late");
    check(fig.rss_last - fig.rss_first <= GROWTH_KB, "memory_does_not_grow");
    check(fig.fds_last <= fig.fds_first + 4 && libxl_childproc_count(ctx) == 0,
          "nothing_is_left");
    check(libxl_ctx_free(ctx) == 0 && waitpid(-1, NULL, WNOHANG) < 0 &&
              errno == ECHILD,
          "no_child_is_left");
    if (arg.kept)
        keep(bare);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
