/* state.c - the state of the process that a case leaves as it was
 *
 * Called by harness.c around each case, and by cases at moments of their own
 * (XT_STATE_SAME): fds, threads, signals, children.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

/* The kernel's own struct sigaction: what glibc shows of it is edited. */
struct raw_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long long mask;
};

#define NSIG_RAW 64
/* The C library keeps 32 to 34 for its own use and installs them lazily. */
#define IS_LIBC_SIGNAL(n) ((n) >= 32 && (n) <= 34)

struct fd_state {
    int fd;
    int fdflags, flflags;
    char target[256];
};

struct xt_state {
    struct fd_state *fd;
    int nfds;
    int nthreads;
    unsigned long long mask, pending;
    int children; /* 0: none; 1: alive; 2: a zombie among them */
    struct raw_sigaction action[NSIG_RAW + 1];
};

static int by_fd(const void *a, const void *b)
{
    return ((const struct fd_state *)a)->fd - ((const struct fd_state *)b)->fd;
}

static void take_fds(struct xt_state *s)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    int room = 0;

    if (!d)
        XT_FAIL("/proc/self/fd: %s", strerror(errno));
    while ((e = readdir(d))) {
        char path[64];
        ssize_t n;
        int fd;

        if (e->d_name[0] == '.')
            continue;
        fd = atoi(e->d_name);
        if (fd == dirfd(d))
            continue;
        if (s->nfds == room) {
            room = room ? room * 2 : 16;
            s->fd = realloc(s->fd, room * sizeof(s->fd[0]));
            if (!s->fd)
                XT_FAIL("out of memory");
        }
        s->fd[s->nfds].fd = fd;
        s->fd[s->nfds].fdflags = fcntl(fd, F_GETFD);
        s->fd[s->nfds].flflags = fcntl(fd, F_GETFL);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, s->fd[s->nfds].target, sizeof(s->fd[0].target) - 1);
        s->fd[s->nfds].target[n < 0 ? 0 : n] = 0;
        s->nfds++;
    }
    closedir(d);
    qsort(s->fd, s->nfds, sizeof(s->fd[0]), by_fd);
}

int xt_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    int n = 0;

    if (!d)
        XT_FAIL("/proc/self/task: %s", strerror(errno));
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int look_for_children(pid_t *ret_zombie)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT))
        return 0;
    *ret_zombie = info.si_pid;
    return info.si_pid ? 2 : 1;
}

struct xt_state *xt_state_take(void)
{
    struct xt_state *s = calloc(1, sizeof(*s));
    pid_t zombie;

    if (!s)
        XT_FAIL("out of memory");
    take_fds(s);
    s->children = look_for_children(&zombie);
    s->nthreads = xt_threads();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &s->mask, 8);
    syscall(SYS_rt_sigpending, &s->pending, 8);
    for (int n = 1; n <= NSIG_RAW; n++)
        if (!IS_LIBC_SIGNAL(n))
            syscall(SYS_rt_sigaction, n, NULL, &s->action[n], 8);
    return s;
}

void xt_state_free(struct xt_state *s)
{
    if (s)
        free(s->fd);
    free(s);
}

struct text {
    char *data;
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t,
                                                      const char *format, ...)
{
    char line[1024];
    va_list args;
    size_t n;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    n = strlen(line);
    t->data = realloc(t->data, t->length + n + 1);
    if (!t->data)
        XT_FAIL("out of memory");
    memcpy(t->data + t->length, line, n + 1);
    t->length += n;
}

static void diff_fds(struct text *t, const struct xt_state *a,
                     const struct xt_state *b)
{
    int i = 0, k = 0;

    while (i < a->nfds || k < b->nfds) {
        const struct fd_state *x = i < a->nfds ? &a->fd[i] : NULL;
        const struct fd_state *y = k < b->nfds ? &b->fd[k] : NULL;

        if (y && (!x || y->fd < x->fd)) {
            add(t, "fd %d was left open: %s\n", y->fd, y->target);
            k++;
        } else if (x && (!y || x->fd < y->fd)) {
            add(t, "fd %d was closed: %s\n", x->fd, x->target);
            i++;
        } else {
            if (strcmp(x->target, y->target))
                add(t, "fd %d was %s, is %s\n", x->fd, x->target, y->target);
            else if (x->fdflags != y->fdflags || x->flflags != y->flflags)
                add(t, "fd %d had flags %#x %#x, has %#x %#x\n", x->fd,
                    x->fdflags, x->flflags, y->fdflags, y->flflags);
            i++;
            k++;
        }
    }
}

/* A joined thread is gone from /proc a moment later: allow it that. */
static int settled_threads(int expected)
{
    struct timespec ms = {0, 1000000};
    int n = xt_threads();

    for (int i = 0; n > expected && i < 2000; i++) {
        nanosleep(&ms, NULL);
        n = xt_threads();
    }
    return n;
}

char *xt_state_diff(const struct xt_state *before)
{
    struct text t = {NULL, 0};
    int nthreads = settled_threads(before->nthreads);
    struct xt_state *now = xt_state_take();
    pid_t zombie = 0;

    diff_fds(&t, before, now);
    if (nthreads != before->nthreads)
        add(&t, "there were %d threads, there are %d\n", before->nthreads,
            nthreads);
    if (before->mask != now->mask)
        add(&t, "the signal mask was %llx, is %llx\n", before->mask, now->mask);
    if (before->pending != now->pending)
        add(&t, "pending signals were %llx, are %llx\n", before->pending,
            now->pending);
    for (int n = 1; n <= NSIG_RAW; n++) {
        const struct raw_sigaction *x = &before->action[n];
        const struct raw_sigaction *y = &now->action[n];

        if (x->handler != y->handler || x->flags != y->flags ||
            x->restorer != y->restorer || x->mask != y->mask)
            add(&t,
                "signal %d: handler %p flags %lx mask %llx, is"
                " handler %p flags %lx mask %llx\n",
                n, x->handler, x->flags, x->mask, y->handler, y->flags,
                y->mask);
    }
    if (look_for_children(&zombie) > before->children)
        add(&t, "a child was left: %s (%d)\n", zombie ? "a zombie" : "alive",
            (int)zombie);
    xt_state_free(now);
    return t.data;
}

void xt_state_same(const char *file, int line, const struct xt_state *before)
{
    char *diff = xt_state_diff(before);

    if (diff)
        xt_fail(file, line, "the process is not as it was:\n%s", diff);
}
