/* numberspace.c - a pid namespace with few numbers
 *
 * See numberspace.h.
 */
#define _GNU_SOURCE
#include "numberspace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int skip(const char *what)
{
    printf("skipped: number reuse: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    return 77;
}

/* Before Linux 6.14 a namespace's pid_max was everybody's. */
static int pid_max_is_ours(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    return uname(&name) == 0 &&
           sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 14));
}

static int limit_numbers(int most)
{
    char text[16];
    ssize_t n;
    int fd;

    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("proc", "/proc", "proc", 0, NULL))
        return -1;
    fd = open("/proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = write(fd, text, (size_t)snprintf(text, sizeof(text), "%d", most));
    close(fd);
    return n > 0 ? 0 : -1;
}

/* The namespace's init: reaps what comes to it, until the tester is over. */
static int be_init(int most, int (*run)(int), int children)
{
    int status;
    pid_t tester, pid;

    if (limit_numbers(most))
        return skip("/proc and its pid_max");
    tester = fork();
    if (tester == 0)
        _exit(run(children));
    if (tester < 0)
        return skip("fork");
    do
        pid = waitpid(-1, &status, 0);
    while (pid != tester && (pid > 0 || errno == EINTR));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int xc_numberspace(int most, int (*run)(int), int children)
{
    int status;
    pid_t init;

    if (!pid_max_is_ours()) {
        errno = 0;
        printf("skipped: number reuse: pid_max is no namespace's own before"
               " Linux 6.14\n");
        return 77;
    }
    if (unshare(CLONE_NEWPID | CLONE_NEWNS))
        return skip("unshare");
    init = fork();
    if (init < 0)
        return skip("fork");
    if (init == 0)
        _exit(be_init(most, run, children));
    while (waitpid(init, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
