/* own.c - which fds are the library's own
 *
 * Called by whoever makes or closes one that lasts, and by atfork.c. A bit a
 * number, without a lock: the fork handlers find it right at any moment. A bit
 * is set after the fd is made (under the process lock, which a fork waits for,
 * or it is of a start under way and stays open in the forked child, close-on-
 * exec), and cleared before the fd is closed.
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

#define BITS (CHAR_BIT * sizeof(unsigned long))
#define WORDS 512 /* a chunk: 32768 numbers */
#define PER_CHUNK (WORDS * (int)BITS)
#define CHECKED 1024 /* numbers that are looked at before a child closes them */
#define CHUNKS 128   /* more numbers than a process may have: 4 million */

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

static atomic_ulong *word_of(struct chunk *c, int fd, unsigned long *ret_bit)
{
    *ret_bit = 1UL << ((unsigned)fd % BITS);
    return &c->words[(unsigned)(fd % PER_CHUNK) / BITS];
}

int xl_own(int fd)
{
    int saved = errno;
    struct chunk *c = chunk_of(fd, 1);
    atomic_ulong *word;
    unsigned long bit;

    if (c != NULL) {
        word = word_of(c, fd, &bit);
        atomic_fetch_or(word, bit);
    }
    errno = saved;
    return fd;
}

int xl_own_is(int fd)
{
    struct chunk *c = chunk_of(fd, 0);
    unsigned long bit;
    atomic_ulong *word;

    if (c == NULL)
        return 0;
    word = word_of(c, fd, &bit);
    return (atomic_load(word) & bit) != 0;
}

static atomic_int disturbed;
static atomic_int copied;

void xl_own_disturbed(void)
{
    atomic_store(&disturbed, 1);
}

int xl_own_is_disturbed(void)
{
    return atomic_load_explicit(&disturbed, memory_order_relaxed);
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
    unsigned long bit;
    atomic_ulong *word;

    if (c == NULL)
        return;
    word = word_of(c, fd, &bit);
    if (atomic_load(word) & bit)
        atomic_fetch_and(word, ~bit);
}

void xl_own_close(int fd)
{
    struct chunk *c = chunk_of(fd, 0);
    atomic_ulong *word;
    unsigned long bit;

    /* without a chunk there was no memory to mark it with */
    if (c != NULL) {
        word = word_of(c, fd, &bit);
        if (!(atomic_fetch_and(word, ~bit) & bit))
            return;
    }
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
            unsigned long bits = atomic_exchange(&c->words[w], 0);
            int base = i * PER_CHUNK + w * (int)BITS;
            int bit;

            if (!sure || (bits == 0 && begun < 0))
                continue;
            for (bit = 0; bit < (int)BITS; bit++) {
                if (bits >> bit & 1 && may_be_ours(base + bit)) {
                    begun = begun < 0 ? base + bit : begun;
                } else if (begun >= 0) {
                    close_run(begun, base + bit - 1);
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
