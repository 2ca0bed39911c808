/* kept.c - a keeper's child, as a test looks at it
 *
 * Used by family_keeper.c and keeper_ends.c. See kept.h.
 */
#define _GNU_SOURCE
#include "kept.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

libxl_family_id xk_kept_or_skip(libxl_ctx *ctx, libxl_family_when when)
{
    return xk_family_or_skip(ctx, LIBXL_HOLD_KEEPER, when);
}

pid_t xk_parent_of(pid_t pid)
{
    char path[40], text[300], *at;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    at = strrchr(text, ')');
    return at ? atoi(at + 4) : -1;
}

/* 0: nobody has that number. */
static char state_of(pid_t pid)
{
    char path[40], text[300], *at;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strrchr(text, ')');
    return at ? at[2] : 0;
}

int xk_is_gone(void *pid)
{
    char state = state_of(*(pid_t *)pid);

    return !state || state == 'Z';
}

int xk_is_stopped(void *pid)
{
    return state_of(*(pid_t *)pid) == 'T';
}

/* Starts one that lives until *ret_hold is closed; its id. */
libxl_childproc_id xk_start_held(libxl_ctx *ctx, libxl_family_id family,
                                 const char *status, int *ret_hold,
                                 pid_t *ret_pid)
{
    libxl_childproc_fd map[] = {{.target = 0}};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", status));
    libxl_childproc_id id;
    int hold[2];

    xt_pipe(hold);
    map[0].source = hold[0];
    spec.fds = map;
    spec.nfds = 1;
    spec.family = family;
    id = xt_spawn(ctx, &spec, NULL, ret_pid);
    close(hold[0]);
    *ret_hold = hold[1];
    return id;
}

void xk_kill_keeper(pid_t child)
{
    pid_t keeper = xk_parent_of(child);

    XT_GT_INT(keeper, 1);
    XT_NE_INT(keeper, getpid());
    XT_EQ_INT(xk_parent_of(keeper), getpid());
    XT_SYS(kill(keeper, SIGKILL));
}

/* Runs the body as a process of its own, below an init that reaps at once: the
 * tests' own does so at the end of a case. */
void xk_below_an_init(void (*body)(void))
{
    pid_t pid, it;
    int status, its = -1;

    XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    it = fork();
    if (it == 0) {
        XT_SYS(prctl(PR_SET_CHILD_SUBREAPER, 0));
        body();
        _exit(0);
    }
    XT_GT_INT(it, 1);
    while ((pid = waitpid(-1, &status, 0)) > 0)
        if (pid == it)
            its = status;
    if (WIFEXITED(its) && WEXITSTATUS(its) == XT_EXIT_SKIPPED)
        XT_SKIP("no hold by keeper here");
    XT_EQ_INT(its, 0);
}
