/* mainloop.c - a program that owns SIGCHLD and reaps for the library
 *
 *     mainloop N HELPER [passed|occurred]
 *
 * Its own handler, its own loop, N children of the library's and N of its
 * own. `passed`: it reaps everything and passes statuses on with
 * libxl_childproc_exited. `occurred`: it waits for its own children by pid,
 * and says libxl_childproc_sigchld_occurred. It prints a line for each thing
 * that a trace of its system calls must show and explain:
 *
 *     own PID      a child of its own
 *     ours PID     a child of the library's
 *     waits N      it called wait for any child so often
 *     right N      so many statuses were right
 *
 * treaty_programs.c runs it under strace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xlchild.h"

static int wake[2];

static void die(const char *what, int rc)
{
    fprintf(stderr, "mainloop: %s: %s\n", what,
            rc ? libxl_strerror(rc) : strerror(errno));
    exit(2);
}

static void on_sigchld(int signo)
{
    int saved = errno;
    ssize_t n = write(wake[1], "", 1);

    (void)signo;
    (void)n;
    errno = saved;
}

static void start_ours(libxl_ctx *ctx, const char *helper, int n, FILE *out)
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_failure failure;
    libxl_childproc_spec spec;
    const char *argv[4] = {helper, "exit", NULL, NULL};
    char text[16];
    pid_t pid;
    int rc;

    snprintf(text, sizeof(text), "%d", n % 256);
    argv[2] = text;
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    report.u.for_event = n;
    rc = libxl_childproc_spawn(ctx, &spec, &report, NULL, &pid, &failure);
    if (rc)
        die("libxl_childproc_spawn", rc);
    fprintf(out, "ours %d\n", (int)pid);
}

static int take_events(libxl_ctx *ctx, int *right)
{
    libxl_event *event = NULL;
    int n = 0;

    while (!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL)) {
        const libxl_childproc_result *r = &event->u.childproc_exit;

        *right += r->lost == LIBXL_LOST_NONE &&
                  r->status == (int)(event->for_user % 256) << 8;
        libxl_event_free(ctx, event);
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_mainloop,
                                   .size = sizeof(hooks)};
    int n = argc == 4 ? atoi(argv[1]) : 0;
    int passed = argc == 4 && !strcmp(argv[3], "passed");
    int right = 0, own_left = n, ours_left = n, waits = 0;
    struct sigaction mine;
    libxl_ctx *ctx = NULL;
    pid_t *own;

    if (n < 1) {
        fprintf(stderr, "usage: mainloop N HELPER passed|occurred\n");
        return 2;
    }
    own = calloc(n, sizeof(*own));
    if (!own || pipe2(wake, O_CLOEXEC | O_NONBLOCK))
        die("setting up", 0);
    memset(&mine, 0, sizeof(mine));
    mine.sa_handler = on_sigchld;
    mine.sa_flags = SA_RESTART;
    if (sigaction(SIGCHLD, &mine, NULL))
        die("sigaction", 0);
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL))
        die("libxl_ctx_alloc", 0);
    libxl_childproc_setmode(ctx, &hooks, NULL);

    for (int i = 0; i < n; i++) {
        start_ours(ctx, argv[2], i, stdout);
        fflush(stdout);
        own[i] = fork();
        if (own[i] < 0)
            die("fork", 0);
        if (!own[i])
            _exit(i % 256);
        printf("own %d\n", (int)own[i]);
        fflush(stdout);
    }
    while (own_left || ours_left) {
        struct pollfd fds[2] = {{wake[0], POLLIN, 0},
                                {libxl_ctx_fileno(ctx), POLLIN, 0}};
        char drain[256];
        int status;
        pid_t pid;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            die("poll", 0);
        while (read(wake[0], drain, sizeof(drain)) > 0)
            ;
        if (passed) {
            while (waits++, (pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (!libxl_childproc_exited(ctx, pid, status))
                    continue;
                for (int i = 0; i < n; i++)
                    if (own[i] == pid) {
                        right += status == (i % 256) << 8;
                        own[i] = 0;
                        own_left--;
                        break;
                    }
            }
        } else {
            libxl_childproc_sigchld_occurred(ctx);
            for (int i = 0; i < n; i++)
                if (own[i] > 1 && waitpid(own[i], &status, WNOHANG) > 0) {
                    right += status == (i % 256) << 8;
                    own[i] = 0;
                    own_left--;
                }
        }
        ours_left -= take_events(ctx, &right);
    }
    libxl_ctx_free(ctx);
    printf("waits %d\nright %d\n", waits, right);
    free(own);
    return right == 2 * n ? 0 : 1;
}
