/* treaty_programs.c - whole programs, watched from outside
 *
 * Runs tests/c/programs/both, mainloop and xen. The second runs under strace,
 * so that what the library does to the signals and waits of a mainloop program
 * is the kernel's word, not ours. Contract lines C1, C2, C5, C6.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

/* The programs are built beside this test: ../programs/NAME. */
static char *program_path(const char *name)
{
    char self[4096], *path;
    ssize_t n = XT_SYS(readlink("/proc/self/exe", self, sizeof(self) - 1));

    self[n] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(self, '/') = 0;
    if (asprintf(&path, "%s/programs/%s", self, name) < 0)
        XT_FAIL("out of memory");
    return path;
}

/* Runs it; its exit code. *ret_out is what it printed. */
static int run(char *const *argv, char **ret_out)
{
    int out[2], status;
    pid_t pid;

    xt_pipe(out);
    pid = XT_SYS(fork());
    if (!pid) {
        dup2(out[1], 1);
        execvp(argv[0], argv);
        dprintf(2, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    xt_close(&out[1]);
    *ret_out = xt_read_all(out[0], NULL);
    xt_close(&out[0]);
    status = xh_reap(pid);
    if (!WIFEXITED(status))
        XT_FAIL("%s ended with status %#x", argv[0], (unsigned)status);
    return WEXITSTATUS(status);
}

XT_TEST_SLOW(four_thousand_statuses, "C1 C5 C6 C7 defect-5 defect-16", 120)
{
    char *path = program_path("both"), *out;
    char *argv[] = {path, "2000", (char *)xt_child_path(), NULL};
    int code = run(argv, &out);

    xt_note("%s", out);
    XT_CONTAINS(out, "library: 2000 of 2000 right, 0 more than once");
    XT_CONTAINS(out,
                "program: 2000 of 2000 right, 0 unknown or more than once");
    XT_CONTAINS(out, "SIGCHLD: as it was; own handler called as well");
    XT_EQ_INT(code, 0);
    free(out);
    free(path);
}

/* ---- strace -------------------------------------------------------------- */

struct trace {
    char *text;
    int nactions;    /* rt_sigaction(SIGCHLD), asking included */
    int nany;        /* waits for any child */
    int nours, nown; /* waits for one of the library's, the program's */
};

static int listed(const char *printed, const char *word, long pid)
{
    char line[64];

    snprintf(line, sizeof(line), "\n%s %ld\n", word, pid);
    return strstr(printed, line) != NULL;
}

/* The first argument of a wait call is the id, or, for waitid, the second. */
static void count_wait(struct trace *t, const char *call, const char *printed)
{
    const char *p = strchr(call, '(');
    long pid = 0;

    XT_TRUE(p);
    p++;
    if (!strncmp(call, "waitid(", 7)) {
        if (!strncmp(p, "P_ALL", 5)) {
            t->nany++;
            return;
        }
        /* P_PIDFD, 7<pid:1234> or P_PID, 1234 */
        if (!strncmp(p, "P_PIDFD", 7)) {
            p = strstr(p, "<pid:");
            if (!p)
                return; /* asked what the kernel offers: no fd of a child */
            p += 5;
        } else if (!strncmp(p, "P_PID,", 6)) {
            p += 6;
        } else {
            XT_FAIL("an odd wait: %s", call);
        }
    }
    pid = strtol(p, NULL, 10);
    if (pid <= 0)
        t->nany++;
    else if (listed(printed, "own", pid))
        t->nown++;
    else
        t->nours++;
}

static void read_trace(struct trace *t, const char *file, const char *printed)
{
    char *rest, *line;
    int fd = XT_SYS(open(file, O_RDONLY | O_CLOEXEC));

    memset(t, 0, sizeof(*t));
    t->text = xt_read_all(fd, NULL);
    xt_close(&fd);
    rest = t->text;
    while ((line = strsep(&rest, "\n"))) {
        if (strstr(line, "rt_sigaction(SIGCHLD,"))
            t->nactions++;
        else if (!strncmp(line, "wait4(", 6) || !strncmp(line, "waitid(", 7) ||
                 !strncmp(line, "waitpid(", 8))
            count_wait(t, line, printed);
    }
}

static int have_strace(void)
{
    char *const argv[] = {"strace", "-o", "/dev/null", "true", NULL};
    pid_t pid = XT_SYS(fork());
    int status;

    if (!pid) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    status = xh_reap(pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void traced(const char *how, int n, struct trace *t, char **ret_out)
{
    char *path = program_path("mainloop"), *dir = xt_tmpdir(), *file, *out;
    char number[16];
    char *argv[] = {"strace",
                    "-o",
                    NULL,
                    "-e",
                    "trace=rt_sigaction,wait4,waitid",
                    "--decode-fds=pidfd",
                    path,
                    number,
                    (char *)xt_child_path(),
                    (char *)how,
                    NULL};
    int code;

    if (asprintf(&file, "%s/trace", dir) < 0)
        XT_FAIL("out of memory");
    snprintf(number, sizeof(number), "%d", n);
    argv[2] = file;
    /* A leak detector cannot work under a tracer. */
    XT_SYS(setenv("ASAN_OPTIONS", "detect_leaks=0", 1));
    code = run(argv, &out);
    XT_EQ_INT(code, 0);
    read_trace(t, file, out);
    *ret_out = out;
    xt_tmpdir_remove(dir);
    free(file);
    free(path);
}

static int printed_number(const char *out, const char *word)
{
    const char *p = strstr(out, word);

    XT_TRUE(p);
    return atoi(p + strlen(word));
}

XT_TEST_SLOW(mainloop_passing_statuses_on_traced, "C2 C16", 60)
{
    struct trace t;
    char *out;

    if (!have_strace())
        XT_SKIP("strace cannot be used here");
    traced("passed", 200, &t, &out);
    XT_EQ_INT(printed_number(out, "\nright "), 400);
    /* The program's own handler, and no other. */
    XT_EQ_INT(t.nactions, 1);
    /* Every wait for any child was the program's own. */
    XT_EQ_INT(t.nany, printed_number(out, "\nwaits "));
    XT_EQ_INT(t.nown, 0);
    xt_note("%d waits for any child, %d for the library's own", t.nany,
            t.nours);
    free(t.text);
    free(out);
}

XT_TEST_SLOW(mainloop_saying_sigchld_occurred_traced, "C2 C3 C16", 60)
{
    struct trace t;
    char *out;

    if (!have_strace())
        XT_SKIP("strace cannot be used here");
    traced("occurred", 200, &t, &out);
    XT_EQ_INT(printed_number(out, "\nright "), 400);
    XT_EQ_INT(t.nactions, 1);
    XT_EQ_INT(t.nany, 0);
    XT_GE_INT(t.nown, 200);
    XT_GE_INT(t.nours, 200);
    free(t.text);
    free(out);
}

/* Owners, events and loops in the names of Xen's released interface. */
XT_TEST(a_program_in_xens_names, "C1 C2 C3 C14 E1 E3 O1 O2 O6")
{
    char *path = program_path("xen"), *out;
    char *argv[] = {path, NULL};

    XT_EQ_INT(run(argv, &out), 0);
    XT_EQ_STR(out, "loop: 5 exits\n"
                   "loop: 3 timeouts fired\n"
                   "loop: nothing left registered\n"
                   "mainloop: both ways\n"
                   "always: 1 exit, 1 of the application's\n"
                   "postfork: 9\n"
                   "loggers: one's own, and stdio's\n"
                   "utilities: as Xen's\n");
    free(out);
    free(path);
}
