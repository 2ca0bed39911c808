/* own.c - which fds are the library's own
 *
 * Called by whoever makes or closes one that lasts, and by atfork.c. Two bits a
 * number, without a lock: the fork handlers find them right at any moment. A
 * mark is set after the fd is made (under the process lock, which a fork waits
 * for, or it is of a start under way and stays open in the forked child,
 * close-on-exec), and taken back before the fd is closed. Several are a file of
 * ours, and others that had its number, were closed by the host, and are not
 * known to be.
 */
#define _GNU_SOURCE
#include "kernel/own.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/sys.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define PER_WORD (CHAR_BIT * (int)sizeof(unsigned long) / 2)
#define WORDS 1024 /* a chunk: 32768 numbers */
#define PER_CHUNK (WORDS * PER_WORD)
#define CHECKED 1024 /* numbers that are looked at before a child closes them */
#define CHUNKS 128   /* more numbers than a process may have: 4 million */
#define MOST 3UL     /* marks that are told apart */

struct chunk {
    atomic_ulong words[WORDS];
};

static struct chunk first;
static _Atomic(struct chunk *) chunks[CHUNKS] = {&first};

/* The chunk of fd; NULL: none, and none could be made. */
static struct chunk *chunk_of(int fd, int make)
{
    struct chunk *none = NULL;
    struct chunk *made;
    struct chunk *c;

    if (fd < 0 || fd / PER_CHUNK >= CHUNKS)
        return NULL;
    c = atomic_load(&chunks[fd / PER_CHUNK]);
    if (c != NULL || !make)
        return c;
    made = xl_sys.calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(&chunks[fd / PER_CHUNK], &none, made))
        return made;
    xl_free(made);
    return none;
}

static atomic_ulong *word_of(struct chunk *c, int fd, int *ret_shift)
{
    *ret_shift = 2 * (fd % PER_WORD);
    return &c->words[fd % PER_CHUNK / PER_WORD];
}

static unsigned long marks(int fd)
{
    struct chunk *c = chunk_of(fd, 0);
    int shift;
    atomic_ulong *word;

    if (c == NULL)
        return 0;
    word = word_of(c, fd, &shift);
    return atomic_load(word) >> shift & MOST;
}

/* One mark less; how many there were. */
static unsigned long unmark(struct chunk *c, int fd)
{
    int shift;
    atomic_ulong *word = word_of(c, fd, &shift);
    unsigned long before = atomic_load(word);

    do {
        if ((before >> shift & MOST) == 0)
            return 0;
    } while (
        !atomic_compare_exchange_weak(word, &before, before - (1UL << shift)));
    return before >> shift & MOST;
}

void xl_own_mark(int fd)
{
    int saved = errno;
    struct chunk *c = chunk_of(fd, 1);
    atomic_ulong *word;
    unsigned long before;
    int shift;

    errno = saved;
    if (c == NULL)
        return;
    word = word_of(c, fd, &shift);
    before = atomic_load(word);
    do {
        if ((before >> shift & MOST) == MOST)
            return;
    } while (
        !atomic_compare_exchange_weak(word, &before, before + (1UL << shift)));
}

int xl_own_avoid(int fd)
{
    int saved = errno;

    while (fd >= 0 && (fd <= 2 || xl_own_is(fd))) {
        int other = fcntl(fd, F_DUPFD_CLOEXEC, fd < 2 ? 3 : fd + 1);

        if (other < 0)
            break;
        if (xl_own_is(fd))
            xl_own_disturbed();
        xl_close(fd);
        fd = other;
    }
    errno = saved;
    return fd;
}

int xl_own(int fd)
{
    fd = xl_own_avoid(fd);
    xl_own_mark(fd);
    return fd;
}

int xl_own_is(int fd)
{
    return marks(fd) != 0;
}

static atomic_uint disturbed;
static atomic_int copied;

void xl_own_disturbed(void)
{
    atomic_fetch_add(&disturbed, 1);
}

unsigned xl_own_disturbances(void)
{
    return atomic_load_explicit(&disturbed, memory_order_relaxed);
}

int xl_own_is_disturbed(void)
{
    return xl_own_disturbances() != 0;
}

void xl_own_copied(void)
{
    atomic_store(&copied, 1);
}

int xl_own_may_be_copied(void)
{
    return atomic_load_explicit(&copied, memory_order_relaxed);
}

void xl_own_forget(int fd)
{
    struct chunk *c = chunk_of(fd, 0);

    if (c != NULL)
        (void)unmark(c, fd);
}

void xl_own_close(int fd)
{
    struct chunk *c = chunk_of(fd, 0);

    /* without a chunk there was no memory to mark it with */
    if (c == NULL || unmark(c, fd) != 0)
        xl_close(fd);
}

/* Ours are close-on-exec, all of them. A host that closes numbers twice, and
 * opens one that was ours, need not have asked for that; such numbers are
 * low. */
static int may_be_ours(int fd)
{
    return fd >= CHECKED || (fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void close_run(int from, int to)
{
    if (from == to) {
        xl_close(from);
        return;
    }
    if (syscall(SYS_close_range, (unsigned)from, (unsigned)to, 0) == 0)
        return;
    for (; from <= to; from++)
        xl_close(from);
}

void xl_own_postfork(int sure)
{
    int begun = -1; /* the first of a run */
    int i, w;

    for (i = 0; i < CHUNKS; i++) {
        struct chunk *c = atomic_load(&chunks[i]);

        for (w = 0; c != NULL && w < WORDS; w++) {
            unsigned long word = atomic_exchange(&c->words[w], 0);
            int base = i * PER_CHUNK + w * PER_WORD;
            int k;

            if (!sure || (word == 0 && begun < 0))
                continue;
            for (k = 0; k < PER_WORD; k++, word >>= 2) {
                if (word & MOST && may_be_ours(base + k)) {
                    begun = begun < 0 ? base + k : begun;
                } else if (begun >= 0) {
                    close_run(begun, base + k - 1);
                    begun = -1;
                }
            }
        }
        if (begun >= 0 && (i + 1 == CHUNKS || chunks[i + 1] == NULL)) {
            close_run(begun, (i + 1) * PER_CHUNK - 1);
            begun = -1;
        }
    }
}
