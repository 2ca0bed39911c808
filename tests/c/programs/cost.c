/* cost.c - starts and reaps children between two marks in its system calls
 *
 *     cost serial LIVE N HELPER OWNER   N children one after the other
 *     cost burst LIVE N HELPER OWNER    N that have ended all at once
 *
 * LIVE further children live all the while. Around the part that counts it
 * writes "<" and ">" to descriptor 2, where a trace shows them. OWNER is a
 * mode's number. Run under strace by child_cost.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xlchild.h"

static void die(const char *what, int rc)
{
    fprintf(stderr, "cost: %s: %s\n", what,
            rc ? libxl_strerror(rc) : strerror(errno));
    exit(2);
}

static void mark(const char *text)
{
    if (write(2, text, 1) != 1)
        exit(2);
}

static pid_t start(libxl_ctx *ctx, const char *helper, const char *verb,
                   int gate, libxl_childproc_report_kind kind)
{
    const char *argv[] = {helper, verb, "0", NULL};
    libxl_childproc_report report = {.kind = kind};
    libxl_childproc_fd fd = {0, gate};
    libxl_childproc_spec spec;
    pid_t pid;
    int rc;

    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    if (gate >= 0) {
        argv[2] = NULL;
        spec.fds = &fd;
        spec.nfds = 1;
    }
    rc = libxl_childproc_spawn(ctx, &spec, &report, NULL, &pid, NULL);
    if (rc)
        die("libxl_childproc_spawn", rc);
    return pid;
}

static void await_end(pid_t pid)
{
    siginfo_t info;

    while (waitid(P_PID, pid, &info, WEXITED | WNOWAIT))
        if (errno != EINTR)
            die("waitid", 0);
}

static void take(libxl_ctx *ctx, int n)
{
    while (n) {
        libxl_event *event[64];
        int got = libxl_event_wait_many(ctx, event, 64, LIBXL_EVENTMASK_ALL,
                                        LIBXL_WAIT_FOREVER, 0);

        if (got < 0)
            die("libxl_event_wait_many", got);
        for (int i = 0; i < got; i++) {
            if (event[i]->u.childproc_exit.lost ||
                event[i]->u.childproc_exit.status)
                die("a status is wrong", ERROR_FAIL);
            libxl_event_free(ctx, event[i]);
        }
        n -= got;
    }
}

int main(int argc, char **argv)
{
    libxl_childproc_hooks hooks = {.size = sizeof(hooks)};
    int live, n, idle_gate[2], gate[2];
    libxl_ctx *ctx = NULL;
    int burst;
    pid_t *pid;

    if (argc != 6) {
        fprintf(stderr, "usage: cost serial|burst LIVE N HELPER OWNER\n");
        return 2;
    }
    burst = !strcmp(argv[1], "burst");
    live = atoi(argv[2]);
    n = atoi(argv[3]);
    hooks.chldowner = (libxl_sigchld_owner)atoi(argv[5]);
    pid = calloc(n + 1, sizeof(*pid));
    if (!pid || pipe2(idle_gate, O_CLOEXEC) || pipe2(gate, O_CLOEXEC))
        die("setting up", 0);
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL))
        die("libxl_ctx_alloc", 0);
    if (libxl_childproc_setmode_checked(ctx, &hooks, NULL))
        die("libxl_childproc_setmode_checked", 0);
    /* One more than asked, so that there is a live child in any case. */
    for (int i = 0; i <= live; i++)
        start(ctx, argv[4], "hold", idle_gate[0], LIBXL_REPORT_NONE);
    if (burst) {
        for (int i = 0; i < n; i++)
            pid[i] = start(ctx, argv[4], "hold", gate[0], LIBXL_REPORT_EVENT);
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < n; i++)
            await_end(pid[i]);
        mark("<");
        take(ctx, n);
    } else {
        /* What is only done once is no part of it. */
        for (int i = 0; i < 3; i++) {
            await_end(start(ctx, argv[4], "exit", -1, LIBXL_REPORT_EVENT));
            take(ctx, 1);
        }
        mark("<");
        for (int i = 0; i < n; i++) {
            await_end(start(ctx, argv[4], "exit", -1, LIBXL_REPORT_EVENT));
            take(ctx, 1);
        }
    }
    mark(">");
    close(idle_gate[1]);
    while (libxl_childproc_count(ctx) > 0) {
        libxl_event *event;

        libxl_event_wait_many(ctx, &event, 1, 0, 10, 0);
    }
    libxl_ctx_free(ctx);
    free(pid);
    return 0;
}
