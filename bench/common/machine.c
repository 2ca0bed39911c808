/* bench/common/machine.c - the parent as asked for, and the machine's guard
 *
 * Called by main.c before and after a measurement. Idle children end when
 * the pipe on their fd 0 reaches end of file, which also happens when this
 * process dies: nothing here ever sends a signal.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PROCESSES_AT_MOST 12000

static int gate = -1;   /* write end of the pipe on fd 0 */
static int stamps = -1; /* read end of the pipe on fd 1 */

static long processes_now(void)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    long n = 0;

    if (!proc)
        bench_die("/proc");
    while ((entry = readdir(proc)))
        n += isdigit((unsigned char)entry->d_name[0]) != 0;
    closedir(proc);
    return n;
}

static void guard_processes(const struct bench_options *options)
{
    long wanted = options->live + options->concurrency;

    if (!strcmp(options->measure, "burst") ||
        !strcmp(options->measure, "memory"))
        wanted = options->live + options->children;
    if (processes_now() + wanted > PROCESSES_AT_MOST)
        bench_refuse("more than 12,000 processes would live");
}

static void raise_fd_limit(const struct bench_options *options)
{
    struct rlimit limit;
    long wanted = options->fds + options->live + options->concurrency + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        bench_die("RLIMIT_NOFILE");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        bench_die("RLIMIT_NOFILE");
    if (limit.rlim_max < (rlim_t)wanted)
        bench_refuse("RLIMIT_NOFILE is too low for these options");
}

static void open_fds(long n)
{
    int first = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (first < 0)
        bench_die("/dev/null");
    for (long i = 1; i < n; i++)
        if (fcntl(first, F_DUPFD_CLOEXEC, 0) < 0)
            bench_die("opening fds");
    if (!n)
        close(first);
}

/* Small pages, as an ordinary heap has them: fork copies their tables. */
static void map_memory(long mib)
{
    size_t bytes = (size_t)mib << 20;
    char *memory;

    if (!mib)
        return;
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_die("mapping memory");
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
}

void bench_new_gate(void)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) || dup2(fds[0], 0) < 0)
        bench_die("pipe for idle children");
    close(fds[0]);
    gate = fds[1];
}

void bench_release_gate(void)
{
    close(gate);
    gate = -1;
}

int bench_stamps_fd(void)
{
    return stamps;
}

static void open_stamps(void)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) || dup2(fds[1], 1) < 0)
        bench_die("pipe for stamps");
    close(fds[1]);
    stamps = fds[0];
    /* room for 11,000 stamps */
    if (fcntl(stamps, F_SETPIPE_SZ, 1 << 20) < 0)
        bench_die("size of the pipe for stamps");
}

void bench_machine_prepare(const struct bench_options *options)
{
    guard_processes(options);
    raise_fd_limit(options);
    bench_new_gate();
    open_stamps();
    open_fds(options->fds);
    map_memory(options->map);
}

void bench_idle_children(const struct bench_peer *peer, long n)
{
    char *const argv[] = {(char *)bench_options.child, "idle", NULL};
    long before = bench_in_flight();

    for (long i = 0; i < n; i++)
        bench_start_one(peer, argv);
    if (bench_in_flight() != before + n)
        bench_refuse("an idle child ended early");
}

/* Ends and reaps whatever is left without the peer's help. */
void bench_end_everything(void)
{
    signal(SIGCHLD, SIG_DFL);
    if (gate >= 0)
        bench_release_gate();
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        errno = 0;
}
