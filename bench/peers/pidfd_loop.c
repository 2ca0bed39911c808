/* bench/peers/pidfd_loop.c - see pidfd_loop.h
 *
 * Called by clone_pidfd.c and clone_files.c.
 */
#define _GNU_SOURCE
#include "pidfd_loop.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define STACK_SIZE 65536
#define AT_ONCE 64

struct image {
    char *const *argv;
    int share_files;
};

static int child(void *data)
{
    const struct image *image = data;

    if (image->share_files &&
        syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_UNSHARE))
        _exit(126);
    execve(image->argv[0], image->argv, environ);
    _exit(127);
}

void pidfd_loop_open(struct pidfd_loop *loop, int share_files)
{
    loop->share_files = share_files;
    loop->copied = !share_files;
    loop->stack_size = STACK_SIZE;
    loop->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->stack == MAP_FAILED || loop->epoll < 0)
        bench_die("opening a pidfd loop");
}

pid_t pidfd_loop_start(struct pidfd_loop *loop, char *const argv[])
{
    struct image image = {argv, loop->share_files};
    struct epoll_event event = {.events = EPOLLIN};
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    int pidfd;
    pid_t pid;

    if (loop->share_files)
        flags |= CLONE_FILES;
    pid = clone(child, loop->stack + loop->stack_size, flags, &image, &pidfd);
    if (pid < 0)
        return -1;
    event.data.u64 = (uint64_t)(uint32_t)pidfd << 32 | (uint32_t)pid;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, pidfd, &event))
        return -1;
    return pid;
}

static int status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return info->si_status << 8;
    return info->si_status;
}

/* A child that copied the fd table holds every pidfd until its exec closes
 * them, which is after the parent has gone on: closing ours alone would leave
 * the epoll watching it. So does one of another thread, for a moment: the
 * kernel copies the first 64 before it leaves out what was not wanted. */
static void forget(struct pidfd_loop *loop, int pidfd)
{
    if (loop->copied &&
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, pidfd, NULL))
        bench_die("epoll_ctl");
    close(pidfd);
}

void pidfd_loop_wait(struct pidfd_loop *loop,
                     void (*ended)(void *user, pid_t pid, int status),
                     void *user)
{
    struct epoll_event events[AT_ONCE];
    int n;

    do
        n = epoll_wait(loop->epoll, events, AT_ONCE, -1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        bench_die("epoll_wait");
    for (int i = 0; i < n; i++) {
        int pidfd = (int)(events[i].data.u64 >> 32);
        siginfo_t info;
        if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED))
            bench_die("waitid");
        forget(loop, pidfd);
        ended(user, (pid_t)(uint32_t)events[i].data.u64, status_of(&info));
    }
}
