/* simpidfd.c - the simulated kernel's pidfds, and what /proc says of its
 * processes; see simkernel.h
 *
 * A pidfd is one end of a pipe: readable when the process has ended, hung up
 * once it has been reaped; each that is opened is the same pipe's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "simkernel.h"

#define FDS 1024

static struct xl_sys real;
/* Whose pidfd a number is, or was last. */
static struct sim_process *of_fd[FDS];

struct sim_process *sim_by_pidfd(int fd)
{
    return fd >= 0 && fd < FDS ? of_fd[fd] : NULL;
}

static int own_pidfd(struct sim_process *p, int fd)
{
    FZ_TRUE(fd >= 0 && fd < FDS);
    of_fd[fd] = p;
    return fd;
}

/* Another description of the same pipe: an epoll takes copies for one. */
static int opened_again(int fd)
{
    char path[32];
    int again;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDONLY | O_CLOEXEC);
    FZ_TRUE(again >= 0);
    return again;
}

int sim_make_pidfd(struct sim_process *p)
{
    int ends[2];

    FZ_EQ(pipe2(ends, O_CLOEXEC), 0);
    p->ending = ends[1];
    p->kept = opened_again(ends[0]);
    return own_pidfd(p, ends[0]);
}

static int sim_pidfd_open(pid_t pid, unsigned flags)
{
    struct sim_process *p = sim_by_pid(pid);

    FZ_EQ(flags, 0);
    if (!p || p->reaped != SIM_UNREAPED) {
        errno = ESRCH;
        return -1;
    }
    FZ_TRUE(p->kept >= 0); /* where there are none, none is opened */
    return own_pidfd(p, opened_again(p->kept));
}

static int sim_dupfd(int fd, int min)
{
    struct sim_process *p = NULL;
    int copy = real.dupfd(fd, min);

    for (int i = 0; i < sim.n; i++)
        if (fd >= 0 && sim.process[i].kept == fd)
            p = &sim.process[i];
    if (p && copy >= 0)
        own_pidfd(p, copy);
    return copy;
}

static int sim_pidfd_exit_info(int pidfd, struct xl_exit_info *ret_info)
{
    struct sim_process *p = sim_by_pidfd(pidfd);

    FZ_TRUE(p != NULL);
    if (!sim.exit_info) {
        errno = ENOTTY;
        return -1;
    }
    ret_info->known = p->reaped != SIM_UNREAPED;
    ret_info->status = p->status;
    ret_info->pid = ret_info->known ? 0 : p->pid;
    return 0;
}

/* ---- /proc -------------------------------------------------------------- */

uint64_t sim_start_ticks(const struct sim_process *p)
{
    return (uint64_t)(p - sim.process) * 2 + 1000;
}

/* An fd from which this is read. */
__attribute__((format(printf, 1, 2))) static int text_fd(const char *format,
                                                         ...)
{
    char text[256];
    va_list args;
    int ends[2], n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    FZ_EQ(pipe2(ends, O_CLOEXEC), 0);
    FZ_EQ(write(ends[1], text, (size_t)n), n);
    close(ends[1]);
    return ends[0];
}

static int sim_open(const char *path, int flags, mode_t mode)
{
    struct sim_process *p;
    int number;

    if (sscanf(path, "/proc/%d/stat", &number) == 1 &&
        number >= SIM_FIRST_PID) {
        p = sim_by_pid(number);
        if (!p || p->reaped != SIM_UNREAPED) {
            errno = ENOENT;
            return -1;
        }
        return text_fd("%d (a ) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 "
                       "%llu 0 0\n",
                       number, (unsigned long long)sim_start_ticks(p));
    }
    if (sscanf(path, "/proc/self/fdinfo/%d", &number) == 1 &&
        (p = sim_by_pidfd(number)) != NULL)
        return text_fd("pos:\t0\nflags:\t02000002\nPid:\t%d\n",
                       p->reaped == SIM_UNREAPED ? (int)p->pid : -1);
    return real.open(path, flags, mode);
}

/* ---- the seam ----------------------------------------------------------- */

void sim_pidfd_begin(void)
{
    real = xl_sys;
    memset(of_fd, 0, sizeof(of_fd));
    xl_sys.pidfd_open = sim_pidfd_open;
    xl_sys.pidfd_exit_info = sim_pidfd_exit_info;
    xl_sys.dupfd = sim_dupfd;
    xl_sys.open = sim_open;
}
