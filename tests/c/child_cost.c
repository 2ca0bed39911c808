/* child_cost.c - what a child costs does not depend on the others
 *
 * Contract line C19, its structure: the number of system calls for a start
 * and a reaping, and the memory of a live child. (How long they take is what
 * the benchmarks measure.) Traces tests/c/programs/cost with strace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

struct counts {
    int calls; /* all system calls between the marks */
    int waits;
};

static int strace_works(void)
{
    pid_t pid = XT_SYS(fork());
    int status;

    if (!pid) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, 1);
        dup2(null, 2);
        execlp("strace", "strace", "-o", "/dev/null", "true", (char *)NULL);
        _exit(127);
    }
    status = xh_reap(pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static struct counts between_marks(const char *file)
{
    struct counts c = {0, 0};
    int inside = 0, fd = XT_SYS(open(file, O_RDONLY | O_CLOEXEC));
    char *text = xt_read_all(fd, NULL), *rest = text, *line;

    xt_close(&fd);
    while ((line = strsep(&rest, "\n"))) {
        if (strstr(line, "write(2, \"<\", 1)")) {
            inside = 1;
        } else if (strstr(line, "write(2, \">\", 1)")) {
            inside = 2;
        } else if (inside == 1 && strchr(line, '(') &&
                   !strstr(line, "resumed>") && line[0] != '-' &&
                   line[0] != '+') {
            c.calls++;
            c.waits +=
                !strncmp(line, "waitid(", 7) || !strncmp(line, "wait4(", 6);
        }
    }
    XT_EQ_INT(inside, 2);
    free(text);
    return c;
}

static struct counts traced(const char *how, int live, int n,
                            libxl_sigchld_owner owner)
{
    char self[4096], *program, *dir = xt_tmpdir(), *file;
    ssize_t length = XT_SYS(readlink("/proc/self/exe", self, sizeof(self) - 1));
    char a[16], b[16], c[16];
    struct counts counts;
    pid_t pid;

    self[length] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(self, '/') = 0;
    if (asprintf(&program, "%s/programs/cost", self) < 0 ||
        asprintf(&file, "%s/trace", dir) < 0)
        XT_FAIL("out of memory");
    snprintf(a, sizeof(a), "%d", live);
    snprintf(b, sizeof(b), "%d", n);
    snprintf(c, sizeof(c), "%d", (int)owner);
    pid = XT_SYS(fork());
    if (!pid) {
        /* A leak detector cannot work under a tracer. */
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        execlp("strace", "strace", "-o", file, program, how, a, b,
               xt_child_path(), c, (char *)NULL);
        _exit(127);
    }
    XT_EQ_INT(xh_reap(pid), 0);
    counts = between_marks(file);
    xt_note("%s, %s: %d live, %d children: %d system calls, %d waits",
            libxl_childproc_owner_name(owner), how, live, n, counts.calls,
            counts.waits);
    xt_tmpdir_remove(dir);
    free(file);
    free(program);
    return counts;
}

static const libxl_sigchld_owner reaping[] = {
    libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
    libxl_sigchld_owner_libxl_always_selective_reap};

XT_TEST_SLOW(calls_for_a_child_do_not_depend_on_the_others, "C19 defect-2", 90)
{
    enum { N = 100 };

    if (!strace_works())
        XT_SKIP("strace cannot be used here");
    if (!xp_pidfds())
        XT_SKIP("without pidfds a signal has to be answered by a look at every"
                " child");
    for (size_t i = 0; i < 3; i++) {
        struct counts none = traced("serial", 0, N, reaping[i]);
        struct counts many = traced("serial", 400, N, reaping[i]);

        /* One is the program's own, one the library's. */
        XT_EQ_INT(none.waits, 2 * N);
        XT_EQ_INT(many.waits, 2 * N);
        /* Ticks, the looks of 10 ms at the ignored signals, an allocator. */
        XT_LE_INT(many.calls, none.calls + N / 2);
    }
}

XT_TEST_SLOW(a_burst_costs_one_wait_a_child, "C19 C8 defect-2", 90)
{
    enum { N = 300 };

    if (!strace_works())
        XT_SKIP("strace cannot be used here");
    if (!xp_pidfds())
        XT_SKIP("without pidfds a signal has to be answered by a look at every"
                " child");
    for (size_t i = 0; i < 3; i++) {
        struct counts few = traced("burst", 0, N, reaping[i]);
        struct counts many = traced("burst", N, N, reaping[i]);

        /* The last few started are looked at once more. */
        XT_LE_INT(few.waits, N + 20);
        XT_LE_INT(many.waits, N + 20);
        XT_LE_INT(many.calls, few.calls + N / 4);
    }
}

/* ---- memory ------------------------------------------------------------- */

XT_TEST_SLOW(a_live_child_takes_little_memory, "C19", 90)
{
#if !defined(__GLIBC__) || defined(__SANITIZE_ADDRESS__) || \
    defined(__SANITIZE_THREAD__)
    XT_SKIP("the allocator cannot be asked here");
#else
    enum { N = 1000 };
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct mallinfo2 before, after;
    libxl_childproc_fd fd = {0, -1};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold"));
    libxl_childproc_report none = {.kind = LIBXL_REPORT_NONE};
    libxl_event *event;
    long each;
    int gate[2];

    xt_pipe(gate);
    fd.source = gate[0];
    spec.fds = &fd;
    spec.nfds = 1;
    xt_spawn(ctx, &spec, &none, NULL);
    before = mallinfo2();
    for (int i = 0; i < N; i++)
        xt_spawn(ctx, &spec, &none, NULL);
    after = mallinfo2();
    each = (long)(after.uordblks + after.hblkhd - before.uordblks -
                  before.hblkhd) /
           N;
    xt_note("%ld bytes a live child", each);
    XT_LE_INT(each, 512);
    xt_close(&gate[0]);
    xt_close(&gate[1]);
    while (libxl_childproc_count(ctx) > 0)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 10, 0), ERROR_TIMEDOUT);
    xt_ctx_free(ctx);
#endif
}
