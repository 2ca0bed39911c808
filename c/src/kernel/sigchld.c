/* sigchld.c - THE handler of SIGCHLD, and the self-pipes that it writes to
 *
 * The handler takes no lock: subscribers are atomic fds in chunks that are
 * never freed. One that unsubscribes takes its fd out and waits until no
 * handler is between reading the list and having written, so that the fd may
 * be closed. What was installed before is kept in an atomic pointer to one of
 * two records; a record is only rewritten when the handler is not installed
 * and none is running.
 *
 * Called by: the kernel; mode.c subscribes. Next: pump.c reads the pipe.
 */
#define _GNU_SOURCE
#include "kernel/sigchld.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/sys.h"

#define SLOTS_PER_CHUNK 32

struct xl_sigchld_slot {
    atomic_int fd; /* -1: unused */
    int reserved;  /* under the lock */
};

struct chunk {
    struct xl_sigchld_slot slots[SLOTS_PER_CHUNK];
    _Atomic(struct chunk *) next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct chunk first_chunk;
static int subscribers;

static atomic_int running; /* handlers between entry and their last write */
static struct sigaction previous_records[2];
static int previous_at;
static _Atomic(const struct sigaction *) previous;

/* The host may chain to us from a handler that we chain to. glibc would
 * allocate at the first use otherwise; musl does so when the object is loaded,
 * and loads none with this. */
#ifdef __GLIBC__
#define AT_ONCE __attribute__((tls_model("initial-exec")))
#else
#define AT_ONCE
#endif
static __thread volatile sig_atomic_t depth AT_ONCE;

static void handler(int signo, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    const struct sigaction *before;
    struct chunk *c;
    int i;

    atomic_fetch_add(&running, 1);
    for (c = &first_chunk; c != NULL; c = atomic_load(&c->next)) {
        for (i = 0; i < SLOTS_PER_CHUNK; i++) {
            int fd = atomic_load(&c->slots[i].fd) - 1;

            /* a full pipe is readable: nothing is lost */
            if (fd >= 0)
                (void)!write(fd, "", 1);
        }
    }
    before = atomic_load(&previous);
    if (before != NULL && depth == 0) {
        struct sigaction copy = *before;

        atomic_fetch_sub(&running, 1);
        depth++;
        errno = saved_errno;
        if (copy.sa_handler != SIG_DFL && copy.sa_handler != SIG_IGN) {
            if (copy.sa_flags & SA_SIGINFO)
                copy.sa_sigaction(signo, info, context);
            else
                copy.sa_handler(signo);
        }
        depth--;
    } else {
        atomic_fetch_sub(&running, 1);
    }
    errno = saved_errno;
}

static void wait_for_handlers(void)
{
    /* A handler on this thread would have ended before we got here. */
    while (atomic_load(&running) != 0)
        sched_yield();
}

/* Slots hold fd + 1, so that zeroed memory means unused. */
static void slot_set(struct xl_sigchld_slot *slot, int fd)
{
    atomic_store(&slot->fd, fd + 1);
}

/* ---- self-pipes --------------------------------------------------------- */

int xl_selfpipe_open(struct xl_selfpipe *p)
{
    int fds[2];

    if (xl_sys.pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    p->read_fd = fds[0];
    p->write_fd = fds[1];
    return 0;
}

void xl_selfpipe_close(struct xl_selfpipe *p)
{
    if (p->slot != NULL) {
        pthread_mutex_lock(&lock);
        p->slot->reserved = 0;
        pthread_mutex_unlock(&lock);
        p->slot = NULL;
    }
    xl_close(p->read_fd);
    xl_close(p->write_fd);
    p->read_fd = -1;
    p->write_fd = -1;
}

int xl_selfpipe_drain(struct xl_selfpipe *p)
{
    char buffer[512];
    int any = 0;

    for (;;) {
        ssize_t n = xl_sys.read(p->read_fd, buffer, sizeof buffer);

        if (n > 0) {
            any = 1;
            if ((size_t)n < sizeof buffer)
                return any;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            return any;
        }
    }
}

/* ---- subscribing -------------------------------------------------------- */

void xl_sigchld_lock(void)
{
    pthread_mutex_lock(&lock);
}

void xl_sigchld_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

int xl_sigchld_reserve(struct xl_selfpipe *p)
{
    struct chunk *c;
    struct chunk *last = NULL;
    int r = 0;
    int i;

    pthread_mutex_lock(&lock);
    for (c = &first_chunk; c != NULL; last = c, c = atomic_load(&c->next))
        for (i = 0; i < SLOTS_PER_CHUNK; i++)
            if (!c->slots[i].reserved) {
                p->slot = &c->slots[i];
                goto out;
            }
    c = xl_sys.calloc(1, sizeof *c);
    if (c == NULL) {
        r = -1;
        goto unlock;
    }
    atomic_store(&last->next, c);
    p->slot = &c->slots[0];
out:
    p->slot->reserved = 1;
unlock:
    pthread_mutex_unlock(&lock);
    return r;
}

static int is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == handler;
}

static int install(void)
{
    struct sigaction ours;
    struct sigaction found;
    struct sigaction *record;

    if (xl_sys.sigaction(SIGCHLD, NULL, &found) != 0)
        return -1;
    if (is_ours(&found))
        return 0; /* left behind by a displacer who put us back */
    wait_for_handlers();
    record = &previous_records[previous_at ^= 1];
    *record = found;

    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = handler;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (found.sa_handler == SIG_DFL || found.sa_handler == SIG_IGN) {
        /* by default SIGCHLD interrupts nothing */
        ours.sa_flags |= SA_RESTART;
        sigemptyset(&ours.sa_mask);
    } else {
        /* the host's handler goes on seeing what it asked for */
        ours.sa_flags |= found.sa_flags & (SA_RESTART | SA_NODEFER);
        ours.sa_mask = found.sa_mask;
    }
    atomic_store(&previous, record);
    return xl_sys.sigaction(SIGCHLD, &ours, NULL);
}

/* Returns 1 if somebody has displaced us: theirs is left alone. */
static int uninstall(void)
{
    const struct sigaction *before = atomic_load(&previous);
    struct sigaction found;

    if (xl_sys.sigaction(SIGCHLD, NULL, &found) != 0 || !is_ours(&found)) {
        return 1;
    }
    if (before != NULL)
        (void)xl_sigaction_restore(SIGCHLD, before);
    return 0;
}

int xl_sigchld_subscribe(struct xl_selfpipe *p)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (subscribers == 0)
        r = install();
    if (r == 0) {
        subscribers++;
        slot_set(p->slot, p->write_fd);
    }
    pthread_mutex_unlock(&lock);
    return r;
}

int xl_sigchld_unsubscribe(struct xl_selfpipe *p)
{
    int displaced = 0;

    pthread_mutex_lock(&lock);
    slot_set(p->slot, -1);
    if (--subscribers == 0)
        displaced = uninstall();
    wait_for_handlers();
    pthread_mutex_unlock(&lock);
    return displaced;
}

int xl_sigchld_subscribed(const struct xl_selfpipe *p)
{
    return p->slot != NULL && atomic_load(&p->slot->fd) != 0;
}

/* ---- looking ------------------------------------------------------------ */

int xl_sigchld_look(struct xl_sigchld_state *ret_state)
{
    struct sigaction found;
    xl_sigset mask;

    if (xl_sys.sigaction(SIGCHLD, NULL, &found) != 0 ||
        xl_sys.sigprocmask(SIG_SETMASK, NULL, &mask) != 0)
        return -1;
    memset(ret_state, 0, sizeof *ret_state);
    ret_state->installed = is_ours(&found);
    pthread_mutex_lock(&lock);
    ret_state->displaced = subscribers > 0 && !ret_state->installed;
    pthread_mutex_unlock(&lock);
    ret_state->ignored =
        found.sa_handler == SIG_IGN || (found.sa_flags & SA_NOCLDWAIT);
    ret_state->blocked = xl_sigset_has(&mask, SIGCHLD);
    if (found.sa_handler != SIG_DFL && found.sa_handler != SIG_IGN)
        memcpy(&ret_state->handler, &found.sa_handler,
               sizeof ret_state->handler);
    return 0;
}

/* 1 blocked, 0 not, -1 the thread has gone or cannot be read */
static int thread_blocks(const char *tid)
{
    char path[64];
    char line[256];
    FILE *f;
    int r = -1;

    snprintf(path, sizeof path, "/proc/self/task/%.20s/status", tid);
    f = xl_sys.fopen(path, "re");
    if (f == NULL)
        return -1;
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "SigBlk:", 7) == 0) {
            unsigned long long bits = strtoull(line + 7, NULL, 16);

            r = (int)(bits >> (SIGCHLD - 1) & 1);
            break;
        }
    }
    (void)fclose(f);
    return r;
}

int xl_sigchld_blocked_everywhere(void)
{
    xl_sigset mask;
    struct dirent *entry;
    DIR *tasks;
    int all = 1;

    if (xl_sys.sigprocmask(SIG_SETMASK, NULL, &mask) != 0)
        return 0;
    if (!xl_sigset_has(&mask, SIGCHLD))
        return 0;
    tasks = xl_sys.opendir("/proc/self/task");
    if (tasks == NULL)
        return 1;
    while (all && (entry = readdir(tasks)) != NULL)
        if (entry->d_name[0] != '.' && thread_blocks(entry->d_name) == 0)
            all = 0;
    (void)closedir(tasks);
    return all;
}

/* ---- after a fork ------------------------------------------------------- */

void xl_sigchld_atfork_child(void)
{
    struct chunk *c;
    int i;

    /* the pipes are the parent's too: our children must not wake it */
    for (c = &first_chunk; c != NULL; c = atomic_load(&c->next))
        for (i = 0; i < SLOTS_PER_CHUNK; i++)
            atomic_store(&c->slots[i].fd, 0);
    atomic_store(&running, 0);
}

void xl_sigchld_postfork(void)
{
    struct chunk *c;
    int i;

    pthread_mutex_lock(&lock);
    if (subscribers > 0) {
        subscribers = 0;
        (void)uninstall();
    }
    for (c = &first_chunk; c != NULL; c = atomic_load(&c->next))
        for (i = 0; i < SLOTS_PER_CHUNK; i++)
            c->slots[i].reserved = 0;
    pthread_mutex_unlock(&lock);
}
