/* pid_table.c - the registry's entries by their pids
 *
 * See pid_table.h.
 */
#include "kernel/pid_table.h"

#include <string.h>

#include "kernel/sys.h"

#define FIRST_BUCKETS 64
#define MOVED_PER_INSERT 4

struct buckets {
    struct xl_registry_entry **heads;
    size_t n; /* a power of two */
};

static struct xl_registry_entry *first_heads[FIRST_BUCKETS];
static struct buckets now; /* insertions go here */
static struct buckets old; /* being emptied; n == 0 when it is not there */
static size_t old_at;      /* buckets below it are empty */
static size_t count;       /* entries and reservations */

static struct xl_registry_entry **head_of(const struct buckets *b, pid_t pid)
{
    return &b->heads[((uint32_t)pid * UINT32_C(2654435769)) >> 7 & (b->n - 1)];
}

static void drop(struct xl_registry_entry **heads)
{
    if (heads != first_heads)
        xl_free(heads);
}

static void put(struct xl_registry_entry *entry)
{
    struct xl_registry_entry **head = head_of(&now, entry->pid);

    entry->hash_next = *head;
    *head = entry;
}

static void move_some(size_t n)
{
    while (old.n != 0 && n-- > 0) {
        struct xl_registry_entry *entry = old.heads[old_at];

        while (entry != NULL) {
            struct xl_registry_entry *next = entry->hash_next;

            put(entry);
            entry = next;
        }
        old.heads[old_at] = NULL;
        if (++old_at == old.n) {
            drop(old.heads);
            memset(&old, 0, sizeof old);
            old_at = 0;
        }
    }
}

int xl_pid_table_reserve(void)
{
    if (now.n == 0) {
        now.heads = first_heads;
        now.n = FIRST_BUCKETS;
    }
    if (count + 1 > now.n && old.n == 0) {
        size_t n = now.n * 2;
        struct xl_registry_entry **heads =
            xl_sys.calloc(n, sizeof(struct xl_registry_entry *));

        if (heads == NULL)
            return -1;
        old = now;
        old_at = 0;
        now.heads = heads;
        now.n = n;
    }
    move_some(MOVED_PER_INSERT);
    count++;
    return 0;
}

void xl_pid_table_unreserve(void)
{
    count--;
}

static struct xl_registry_entry **find_in(const struct buckets *b, pid_t pid)
{
    struct xl_registry_entry **at;

    if (b->n == 0)
        return NULL;
    for (at = head_of(b, pid); *at != NULL; at = &(*at)->hash_next)
        if ((*at)->pid == pid)
            return at;
    return NULL;
}

struct xl_registry_entry **xl_pid_table_find(pid_t pid)
{
    struct xl_registry_entry **at = find_in(&now, pid);

    return at != NULL ? at : find_in(&old, pid);
}

void xl_pid_table_insert(struct xl_registry_entry *entry)
{
    put(entry);
}

void xl_pid_table_remove(struct xl_registry_entry **at)
{
    struct xl_registry_entry *entry = *at;

    *at = entry->hash_next;
    entry->hash_next = NULL;
    count--;
}

void xl_pid_table_clear(void)
{
    if (old.n != 0)
        drop(old.heads);
    if (now.n != 0)
        drop(now.heads);
    memset(&now, 0, sizeof now);
    memset(&old, 0, sizeof old);
    memset(first_heads, 0, sizeof first_heads);
    count = 0;
}
