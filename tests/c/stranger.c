/* stranger.c - processes that somebody else started
 *
 * See stranger.h. Called by the adopt_ tests and host_pidfds.c; builds on
 * hostchild.c and probe.c.
 */
#define _GNU_SOURCE
#include "stranger.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int xf_pidfds(void)
{
    return xp_pidfds() && xp_pidfd_open();
}

void xf_needs_pidfds(void)
{
    if (!xf_pidfds())
        XT_SKIP("adoption is by pidfd, which is refused here");
}

int xf_pidfd(pid_t pid)
{
    return (int)XT_SYS(syscall(SYS_pidfd_open, pid, 0));
}

int xf_pidfd_number(pid_t pid)
{
    int found = -1;

    for (int fd = 3; fd < 256; fd++) {
        char path[64], words[128];
        FILE *info;
        int its;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        info = fopen(path, "re");
        while (info && fgets(words, sizeof(words), info))
            if (sscanf(words, "Pid: %d", &its) == 1 && its == pid)
                found = fd;
        if (info)
            fclose(info);
    }
    return found;
}

void xf_await_byte_or_end(int fd)
{
    char c;

    while (read(fd, &c, 1) < 0 && errno == EINTR)
        ;
}

struct xf_process xf_process_new(struct xh_end end)
{
    int ends[2], reaps[2], tells[2];
    struct xf_process f;

    xt_pipe(ends);
    xt_pipe(reaps);
    xt_pipe(tells);
    f.parent = XT_SYS(fork());
    if (!f.parent) {
        pid_t child;

        close(ends[1]);
        close(reaps[1]);
        child = fork();
        if (!child) {
            close(reaps[0]);
            xf_await_byte_or_end(ends[0]);
            xh_end_now(end);
        }
        close(ends[0]);
        if (write(tells[1], &child, sizeof(child)) != sizeof(child))
            _exit(1);
        xf_await_byte_or_end(reaps[0]);
        waitpid(child, NULL, 0);
        _exit(0);
    }
    xt_close(&ends[0]);
    xt_close(&reaps[0]);
    xt_close(&tells[1]);
    XT_EQ_INT(read(tells[0], &f.child, sizeof(f.child)), sizeof(f.child));
    XT_GT_INT(f.child, 1);
    xt_close(&tells[0]);
    f.end_gate = ends[1];
    f.reap_gate = reaps[1];
    return f;
}
