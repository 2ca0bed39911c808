/* runner.c - runs cases, each in a process of its own, and reports as TAP
 *
 * Called by main() in harness.c. Between the runner and a case stands a
 * supervisor: it gives the case clean fds, signals and a session, enforces
 * the time limit, and is the subreaper that finds processes left behind.
 *
 *     PROGRAM [OPTIONS] [FILTER...]            the cases of this program
 *     runner [OPTIONS] PROGRAM... [-- FILTER...]   those of several
 *
 * A filter is a part of "program/case". Options: --jobs N, --repeat N,
 * --verbose. Uses fork, pipes and wait only, so that it works in worlds
 * where newer system calls are refused.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FILTERS 64
#define MAX_JOBS 64

/* A time-out is noticed inside the case; this is for one that is deaf. */
#define DEAF_SECONDS 10

struct item {
    const char *program;
    char *name;  /* of the case */
    char *lines; /* of the contract */
    int seconds;
    pid_t supervisor;
    int output;
    struct timespec started;
};

struct run {
    struct item *item;
    int nitems, room;
    const char *filter[MAX_FILTERS];
    int nfilters;
    int jobs, repeat, verbose;
    int done, passed, failed, skipped;
};

static void die(const char *what)
{
    fprintf(stderr, "runner: %s: %s\n", what, strerror(errno));
    exit(2);
}

static const char *base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- which cases -------------------------------------------------------- */

static int wanted(const struct run *run, const char *program, const char *name)
{
    char full[512];

    if (!run->nfilters)
        return 1;
    snprintf(full, sizeof(full), "%s/%s", base(program), name);
    for (int i = 0; i < run->nfilters; i++)
        if (strstr(full, run->filter[i]))
            return 1;
    return 0;
}

static void add_item(struct run *run, const char *program, const char *name,
                     const char *lines, int seconds)
{
    struct item *item;

    if (!wanted(run, program, name))
        return;
    if (run->nitems == run->room) {
        run->room = run->room ? run->room * 2 : 64;
        run->item = realloc(run->item, run->room * sizeof(*item));
        if (!run->item)
            die("realloc");
    }
    item = &run->item[run->nitems++];
    memset(item, 0, sizeof(*item));
    item->program = program;
    item->name = strdup(name);
    item->lines = strdup(lines);
    item->seconds = seconds;
    item->output = -1;
}

/* A program that cannot list its cases is one failed case. */
static void list_program(struct run *run, const char *program)
{
    char command[4096];
    char *line = NULL;
    size_t room = 0;
    FILE *f;
    int n = 0;

    snprintf(command, sizeof(command), "exec '%s' --list", program);
    f = popen(command, "re");
    if (!f)
        die(program);
    while (getline(&line, &room, f) >= 0) {
        char *p = line;
        char *name = strsep(&p, "\t"), *lines = strsep(&p, "\t");

        if (!lines || !p)
            break;
        add_item(run, program, name, lines, atoi(p));
        n++;
    }
    free(line);
    if (pclose(f) || !n)
        add_item(run, program, "(list)", "", XT_DEFAULT_SECONDS);
}

/* ---- the supervisor of one case ----------------------------------------- */

static void clean_process(int output)
{
    static const unsigned long dfl[4]; /* SIG_DFL, no flags, no mask */
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    dup2(null, 0);
    dup2(output, 1);
    dup2(output, 2);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    /* the kernel's own call: a libc leaves its own signals alone */
    for (int n = 1; n <= 64; n++)
        syscall(SYS_rt_sigaction, n, dfl, NULL, 8);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static pid_t start_case(const struct item *item)
{
    pid_t pid = fork();

    if (pid)
        return pid;
    clean_process(item->output);
    setsid();
    if (getenv("XT_UNDER")) { /* valgrind and the like, with options */
        char command[4096];

        snprintf(command, sizeof(command), "exec %s '%s' --case '%s'",
                 getenv("XT_UNDER"), item->program, item->name);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    execl(item->program, item->program, "--case", item->name, (char *)NULL);
    dprintf(2, "%s: %s\n", item->program, strerror(errno));
    _exit(127);
}

static void seconds_from_now(struct timespec *at, int seconds)
{
    clock_gettime(CLOCK_MONOTONIC, at);
    at->tv_sec += seconds;
}

/* Waits for a child, at most until then; 0 in time, -1 none left, 1 late. */
static int wait_until(pid_t pid, int *status, const struct timespec *until)
{
    sigset_t chld;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    for (;;) {
        struct timespec now, left;
        pid_t r = waitpid(pid, status, WNOHANG);

        if (r > 0)
            return 0;
        if (r < 0 && errno == ECHILD)
            return -1;
        clock_gettime(CLOCK_MONOTONIC, &now);
        left.tv_sec = until->tv_sec - now.tv_sec;
        left.tv_nsec = until->tv_nsec - now.tv_nsec;
        if (left.tv_nsec < 0) {
            left.tv_sec--;
            left.tv_nsec += 1000000000;
        }
        if (left.tv_sec < 0)
            return 1;
        sigtimedwait(&chld, NULL, &left);
    }
}

static void describe(pid_t pid)
{
    char path[64], text[512];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = ' ';
    text[n > 0 ? n : 0] = 0;
    dprintf(2, "left running: pid %d: %s\n", (int)pid, text);
}

/* Ends what the case left to its subreaper. Returns how many there were. */
static int end_strays(void)
{
    int total = 0;

    for (;;) {
        struct timespec until;
        char path[64];
        int status, pid;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/self/task/%d/children",
                 (int)getpid());
        f = fopen(path, "re");
        if (!f)
            return total;
        while (fscanf(f, "%d", &pid) == 1)
            if (pid > 1) {
                describe(pid);
                kill(pid, SIGKILL);
                total++;
            }
        fclose(f);
        seconds_from_now(&until, 10);
        if (wait_until(-1, &status, &until))
            return total;
    }
}

/* Orphans that are ending get a moment to do so. */
static int reap_orphans(void)
{
    struct timespec until;
    int status, r;

    seconds_from_now(&until, 2 * xt_time_scale());
    do
        r = wait_until(-1, &status, &until);
    while (!r);
    return r > 0 ? end_strays() : 0;
}

static int supervise(const struct item *item)
{
    struct timespec until;
    sigset_t chld;
    int status = 0, r;
    pid_t pid;

    dup2(item->output, 2);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    pid = start_case(item);
    if (pid < 0) {
        dprintf(2, "fork: %s\n", strerror(errno));
        return XT_EXIT_FAILED;
    }
    seconds_from_now(&until, item->seconds * xt_time_scale() + DEAF_SECONDS);
    r = wait_until(pid, &status, &until);
    if (r > 0 && pid > 1) {
        dprintf(2, "out of time and deaf to SIGALRM\n");
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    } else if (WIFSIGNALED(status)) {
        dprintf(2, "%s (signal %d)\n",
                WTERMSIG(status) == SIGALRM ? "out of time" : "crashed",
                WTERMSIG(status));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == XT_EXIT_SKIPPED) {
        reap_orphans();
        return XT_EXIT_SKIPPED;
    }
    r = reap_orphans();
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        if (WIFEXITED(status) && WEXITSTATUS(status) != XT_EXIT_FAILED)
            dprintf(2, "exit status %d\n", WEXITSTATUS(status));
        return XT_EXIT_FAILED;
    }
    return r ? XT_EXIT_FAILED : 0;
}

/* ---- reports ------------------------------------------------------------ */

static void start_item(struct item *item)
{
    fflush(stdout);
    item->output = memfd_create("xt-output", MFD_CLOEXEC);
    if (item->output < 0)
        die("memfd_create");
    fcntl(item->output, F_SETFL, O_APPEND);
    clock_gettime(CLOCK_MONOTONIC, &item->started);
    item->supervisor = fork();
    if (item->supervisor < 0)
        die("fork");
    if (!item->supervisor)
        _exit(supervise(item));
}

static char *output_of(struct item *item)
{
    struct stat st;
    char *text;

    if (fstat(item->output, &st))
        die("fstat");
    text = malloc(st.st_size + 1);
    if (!text)
        die("malloc");
    text[0] = 0;
    if (st.st_size) {
        ssize_t n = pread(item->output, text, st.st_size, 0);
        text[n < 0 ? 0 : n] = 0;
    }
    close(item->output);
    item->output = -1;
    return text;
}

static void print_output(char *text)
{
    char *line;

    while ((line = strsep(&text, "\n")))
        if (line[0] || text)
            printf("#   %s\n", line);
}

static void report(struct run *run, struct item *item, int status)
{
    struct timespec now;
    char *text = output_of(item);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : XT_EXIT_FAILED;
    const char *skip = strstr(text, "SKIP: ");
    double ms;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms = (now.tv_sec - item->started.tv_sec) * 1e3 +
         (now.tv_nsec - item->started.tv_nsec) / 1e6;
    run->done++;
    if (code == 0 || code == XT_EXIT_SKIPPED) {
        printf("ok %d - %s/%s", run->done, base(item->program), item->name);
        if (code) {
            run->skipped++;
            printf(" # SKIP %.*s", skip ? (int)strcspn(skip + 6, "\n") : 1,
                   skip ? skip + 6 : "?");
        } else {
            run->passed++;
        }
    } else {
        run->failed++;
        printf("not ok %d - %s/%s", run->done, base(item->program),
               item->name);
    }
    printf(" # [%s] %.0f ms\n", item->lines, ms);
    if ((code && code != XT_EXIT_SKIPPED) || run->verbose)
        print_output(text);
    free(text);
    fflush(stdout);
}

static void run_all(struct run *run)
{
    int next = 0, running = 0;

    printf("1..%d\n", run->nitems);
    while (next < run->nitems || running) {
        int status;
        pid_t pid;

        while (running < run->jobs && next < run->nitems) {
            start_item(&run->item[next++]);
            running++;
        }
        pid = waitpid(-1, &status, 0);
        if (pid < 0) {
            if (errno == EINTR)
                continue;
            die("waitpid");
        }
        for (int i = 0; i < next; i++)
            if (run->item[i].supervisor == pid && run->item[i].output >= 0) {
                report(run, &run->item[i], status);
                running--;
            }
    }
}

int xt_runner(int argc, char **argv)
{
    struct run run = {.jobs = 1, .repeat = 1};
    int own = xt_cases() != NULL, nprograms = 0;
    const char **program = calloc(argc + 1, sizeof(*program));

    if (!program)
        die("calloc");
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--jobs") && i + 1 < argc)
            run.jobs = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--repeat") && i + 1 < argc)
            run.repeat = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--verbose"))
            run.verbose = 1;
        else if (!own && !strcmp(argv[i], "--"))
            own = 1;
        else if (argv[i][0] == '-') {
            fprintf(stderr,
                    "usage: %s [--jobs N] [--repeat N] [--verbose]"
                    " [FILTER...]\n"
                    "       %s --list | --list-contract | --case NAME\n",
                    argv[0], argv[0]);
            return 2;
        } else if (!own)
            program[nprograms++] = argv[i];
        else if (run.nfilters < MAX_FILTERS)
            run.filter[run.nfilters++] = argv[i];
    }
    if (xt_cases())
        program[nprograms++] = argv[0];
    if (run.jobs < 1 || run.jobs > MAX_JOBS)
        run.jobs = 1;
    for (int i = 0; i < nprograms; i++)
        for (int k = 0; k < run.repeat; k++)
            list_program(&run, program[i]);
    run_all(&run);
    printf("%d passed, %d failed, %d skipped\n", run.passed, run.failed,
           run.skipped);
    for (int i = 0; i < run.nitems; i++) {
        free(run.item[i].name);
        free(run.item[i].lines);
    }
    free(run.item);
    free(program);
    return run.failed ? 1 : run.passed || run.skipped ? 0 : 1;
}
