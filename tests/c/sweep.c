/* sweep.c - makes the Nth call of each kind fail, for every N that is reached
 *
 * See sweep.h. Replaces the entries of xl_sys by ones that count, and fail
 * when their turn has come. Called by sweep_*.c.
 */
#define _GNU_SOURCE
#include "sweep.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/sys.h"

/* What can fail, and how. */
#define KINDS(X)                                                               \
    X(malloc, ENOMEM)                                                          \
    X(calloc, ENOMEM)                                                          \
    X(realloc, ENOMEM)                                                         \
    X(pipe2, EMFILE)                                                           \
    X(eventfd, EMFILE)                                                         \
    X(epoll_create1, EMFILE)                                                   \
    X(epoll_ctl, ENOMEM)                                                       \
    X(epoll_wait, EINTR)                                                       \
    X(poll, EINTR)                                                             \
    X(timerfd_create, EMFILE)                                                  \
    X(open, EMFILE)                                                            \
    X(dupfd, EMFILE)                                                           \
    X(fopen, EMFILE)                                                           \
    X(opendir, EMFILE)                                                         \
    X(open_memstream, ENOMEM)                                                  \
    X(pread, EINTR)                                                            \
    X(read, EINTR)                                                             \
    X(write, EINTR)                                                            \
    X(mmap, ENOMEM)                                                            \
    X(sigaction, EPERM)                                                        \
    X(fork, EAGAIN)                                                            \
    X(clone, EAGAIN)                                                           \
    X(clone3, EAGAIN)                                                          \
    X(futex_wait, EINTR)                                                       \
    X(waitid, EINTR)                                                           \
    X(pidfd_open, EMFILE)                                                      \
    X(pidfd_send_signal, EPERM)                                                \
    X(pidfd_exit_info, ENOTTY)                                                 \
    X(kill, EPERM)                                                             \
    X(setpgid, ENOSYS)                                                         \
    X(pthread_create, EAGAIN)

enum kind {
#define KIND_ENUM(name, err) KIND_##name,
    KINDS(KIND_ENUM) NKINDS
#undef KIND_ENUM
};

static const struct {
    const char *name;
    int err;
} kinds[] = {
#define KIND_ROW(name, err) {#name, err},
    KINDS(KIND_ROW)
#undef KIND_ROW
};

static struct xl_sys real;
static atomic_int armed;   /* the kind, + 1; 0: none */
static int to_arm;
static atomic_int countdown;
static atomic_int starving;
static atomic_int errval;

/* Shared with forked processes. */
static struct counts {
    atomic_int calls, foreign, hits;
    pid_t owner;
} *counts;

static int gives_resources(enum kind k)
{
    switch (k) {
    case KIND_malloc:
    case KIND_calloc:
    case KIND_realloc:
    case KIND_pipe2:
    case KIND_eventfd:
    case KIND_epoll_create1:
    case KIND_timerfd_create:
    case KIND_open:
    case KIND_dupfd:
    case KIND_fopen:
    case KIND_opendir:
    case KIND_open_memstream:
    case KIND_mmap:
    case KIND_pidfd_open:
        return 1;
    default:
        return 0;
    }
}

/* Whether this call is to fail; errno is set then. */
static int fails(enum kind k)
{
    if (counts) {
        atomic_fetch_add(&counts->calls, 1);
        if (getpid() != counts->owner)
            atomic_fetch_add(&counts->foreign, 1);
    }
    if (atomic_load(&starving) && gives_resources(k)) {
        errno = kinds[k].err;
        return 1;
    }
    if (atomic_load(&armed) != (int)k + 1 ||
        atomic_fetch_sub(&countdown, 1) != 1)
        return 0;
    atomic_fetch_add(&counts->hits, 1);
    errno = atomic_load(&errval);
    return 1;
}

/* ---- the table ---------------------------------------------------------- */

static void *try_malloc(size_t size)
{
    return fails(KIND_malloc) ? NULL : real.malloc(size);
}

static void *try_calloc(size_t n, size_t size)
{
    return fails(KIND_calloc) ? NULL : real.calloc(n, size);
}

static void *try_realloc(void *old, size_t size)
{
    return fails(KIND_realloc) ? NULL : real.realloc(old, size);
}

static void *try_mmap(size_t size)
{
    return fails(KIND_mmap) ? MAP_FAILED : real.mmap(size);
}

static FILE *try_fopen(const char *path, const char *mode)
{
    return fails(KIND_fopen) ? NULL : real.fopen(path, mode);
}

static DIR *try_opendir(const char *path)
{
    return fails(KIND_opendir) ? NULL : real.opendir(path);
}

static FILE *try_open_memstream(char **text, size_t *size)
{
    return fails(KIND_open_memstream) ? NULL : real.open_memstream(text, size);
}

static int try_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                              void *(*fn)(void *), void *arg)
{
    return fails(KIND_pthread_create)
               ? errno
               : real.pthread_create(thread, attr, fn, arg);
}

static int try_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    /* Removing cannot fail, and changing only with flags that we do not use. */
    if (op == EPOLL_CTL_ADD && fails(KIND_epoll_ctl))
        return -1;
    return real.epoll_ctl(epfd, op, fd, event);
}

#define TRY(type, name, params, args)                                          \
    static type try_##name params                                              \
    {                                                                          \
        return fails(KIND_##name) ? (type)-1 : real.name args;                 \
    }

TRY(int, pipe2, (int fds[2], int flags), (fds, flags))
TRY(int, eventfd, (unsigned initial, int flags), (initial, flags))
TRY(int, epoll_create1, (int flags), (flags))
TRY(int, epoll_wait,
    (int epfd, struct epoll_event *events, int max, int timeout),
    (epfd, events, max, timeout))
TRY(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
TRY(int, timerfd_create, (int clock, int flags), (clock, flags))
TRY(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode))
TRY(int, dupfd, (int fd, int min), (fd, min))
TRY(ssize_t, pread, (int fd, void *buffer, size_t size, off_t at),
    (fd, buffer, size, at))
TRY(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size))
TRY(ssize_t, write, (int fd, const void *buffer, size_t size),
    (fd, buffer, size))
TRY(int, sigaction,
    (int signo, const struct sigaction *action, struct sigaction *old),
    (signo, action, old))
TRY(pid_t, fork, (void), ())
TRY(pid_t, clone,
    (int (*fn)(void *), void *stack, int flags, void *arg, int *pidfd,
     void *tls, int *word),
    (fn, stack, flags, arg, pidfd, tls, word))
TRY(pid_t, clone3,
    (int (*fn)(void *), void *stack, size_t size, uint64_t flags, void *arg,
     int *pidfd, int *pid, atomic_int *until_exec, int cgroup),
    (fn, stack, size, flags, arg, pidfd, pid, until_exec, cgroup))
TRY(int, futex_wait, (atomic_int *word, int value, int timeout_ms),
    (word, value, timeout_ms))
TRY(int, waitid,
    (int idtype, id_t id, siginfo_t *info, int options, struct rusage *usage),
    (idtype, id, info, options, usage))
TRY(int, pidfd_open, (pid_t pid, unsigned flags), (pid, flags))
TRY(int, pidfd_send_signal, (int pidfd, int signo, unsigned flags),
    (pidfd, signo, flags))
TRY(int, pidfd_exit_info, (int pidfd, struct xl_exit_info *info), (pidfd, info))
TRY(int, kill, (pid_t pid, int signo), (pid, signo))
TRY(int, setpgid, (pid_t pid, pid_t group), (pid, group))

static void install(void)
{
    if (real.malloc)
        return;
    real = xl_sys;
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    XT_TRUE(counts != MAP_FAILED);
#define KIND_INSTALL(name, err) xl_sys.name = try_##name;
    KINDS(KIND_INSTALL)
#undef KIND_INSTALL
}

/* ---- starving and watching ---------------------------------------------- */

void xs_starve(void)
{
    install();
    atomic_store(&starving, 1);
}

void xs_feed(void)
{
    atomic_store(&starving, 0);
}

void xs_watch(void)
{
    install();
    counts->owner = getpid();
    atomic_store(&counts->calls, 0);
    atomic_store(&counts->foreign, 0);
}

int xs_calls(void)
{
    return atomic_load(&counts->calls);
}

int xs_foreign_calls(void)
{
    return atomic_load(&counts->foreign);
}

/* ---- one try ------------------------------------------------------------ */

void xs_arm_now(void)
{
    atomic_store(&armed, to_arm);
}

#define NOT_REACHED 42 /* exit status: there are fewer calls than that */

static int documented(const struct xs_op *op, int rc)
{
    if (rc == ERROR_NOMEM || rc == ERROR_SYSTEM)
        return 1;
    for (const int *also = op->also; also && *also; also++)
        if (rc == *also)
            return 1;
    return 0;
}

/* A thread that the warm run has ended may be in /proc a moment longer, and
 * would be missed after the try. */
static void let_threads_go(int expected)
{
    struct timespec ms = {0, 1000000};

    for (int i = 20 * xt_time_scale(); i > 0 && xt_threads() > expected; i--)
        nanosleep(&ms, NULL);
}

/* Static: a leak checker in what the operation forks finds them, too. */
static struct xt_state *at_start, *before;

static int try_once(const struct xs_op *op, enum kind k, int n, int err)
{
    int rc, threads = xt_threads();
    void *state;

    at_start = xt_state_take();
    state = op->setup();

    if (op->warm) {
        XT_OK(op->run(state));
        if (op->undo)
            op->undo(state);
        let_threads_go(threads);
    }
    before = xt_state_take();
    atomic_store(&counts->hits, 0);
    atomic_store(&countdown, n);
    atomic_store(&errval, err);
    to_arm = (int)k + 1;
    if (!op->late)
        xs_arm_now();
    rc = op->run(state);
    atomic_store(&armed, 0);
    if (rc) {
        XT_EQ_INT(atomic_load(&counts->hits), 1);
        if (!documented(op, rc))
            XT_FAIL("undocumented code %d (%s)", rc, libxl_strerror(rc));
        if (op->warm)
            XT_STATE_SAME(before);
        XT_OK(op->run(state));
    }
    if (op->undo)
        op->undo(state);
    op->teardown(state);
    xt_state_free(before);
    XT_STATE_SAME(at_start);
    xt_state_free(at_start);
    return atomic_load(&counts->hits) ? 0 : NOT_REACHED;
}

/* 0: go on; 1: that was the last call of this kind. */
static int try_forked(const struct xs_op *op, enum kind k, int n, int err)
{
    int status;
    pid_t pid = fork();

    XT_SYS(pid);
    if (!pid) {
        alarm(20 * xt_time_scale());
        exit(try_once(op, k, n, err));
    }
    XT_EQ_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED)
        return 1;
    if (status)
        XT_FAIL("%s: with %s number %d failing with %s: status %#x", op->name,
                kinds[k].name, n, strerror(err), (unsigned)status);
    return 0;
}

/* name is one of the words in list. */
static int spared(const char *list, const char *name)
{
    size_t length = strlen(name);
    const char *at = list;

    while ((at = strstr(at, name)) != NULL) {
        if ((at == list || at[-1] == ' ') &&
            (at[length] == '\0' || at[length] == ' '))
            return 1;
        at += length;
    }
    return 0;
}

void xs_sweep(const struct xs_op *op)
{
    int total = 0;

    install();
    for (int k = 0; k < NKINDS; k++) {
        int n = 1;

        if (op->spare && spared(op->spare, kinds[k].name))
            continue;
        while (n < 500 && !try_forked(op, (enum kind)k, n, kinds[k].err))
            n++;
        XT_LT_INT(n, 500);
        total += n - 1;
    }
    XT_NOTE("%s: %d failures tried", op->name, total);
    XT_TRUE(total > 0 || op->needs_nothing);
}
