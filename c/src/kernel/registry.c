/* registry.c - which child of which ctx a pid is, for the whole process
 *
 * Called by both ways of starting (announce, insert), reap.c (look up) and
 * child.c (remove). Chained hash whose entries are embedded in the children;
 * it grows by moving a few buckets at each insertion, so that no insertion
 * stalls.
 */
#define _GNU_SOURCE
#include "kernel/registry.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "kernel/sys.h"
#include "kernel/wakeup.h"

#define FIRST_BUCKETS 64
#define MOVED_PER_INSERT 4
#define LIMBO_MAX 256

struct table {
    struct xl_registry_entry **buckets;
    size_t n; /* a power of two */
};

struct limbo_entry {
    struct xl_wakeup *owner;  /* NULL: gone, but it may be a start's child */
    struct xl_wakeup *origin; /* who reaped it */
    pid_t pid;
    int status;
    uint64_t ticket; /* starts up to this one were under way */
};

static struct {
    pthread_mutex_t lock;
    struct xl_registry_entry *first_buckets[FIRST_BUCKETS];
    struct table now; /* insertions go here */
    struct table old; /* being emptied; n == 0 when it is not there */
    size_t old_at;    /* buckets below it are empty */
    size_t count;     /* entries and reservations */
    struct xl_registry_start *starts; /* newest first */
    uint64_t last_ticket;
    struct limbo_entry limbo[LIMBO_MAX];
    size_t nlimbo;
} reg = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int reaping;
static atomic_int ngroups; /* entries whose group goes with them */

void xl_registry_lock(void)
{
    pthread_mutex_lock(&reg.lock);
}

void xl_registry_unlock(void)
{
    pthread_mutex_unlock(&reg.lock);
}

static size_t slot(const struct table *t, pid_t pid)
{
    return ((uint32_t)pid * UINT32_C(2654435769)) >> 7 & (t->n - 1);
}

static void table_init(void)
{
    if (reg.now.n == 0) {
        reg.now.buckets = reg.first_buckets;
        reg.now.n = FIRST_BUCKETS;
    }
}

static void drop_buckets(struct xl_registry_entry **buckets)
{
    if (buckets != reg.first_buckets)
        xl_free(buckets);
}

static void move_some(size_t n)
{
    while (reg.old.n != 0 && n-- > 0) {
        struct xl_registry_entry *entry = reg.old.buckets[reg.old_at];

        while (entry != NULL) {
            struct xl_registry_entry *next = entry->hash_next;
            struct xl_registry_entry **head =
                &reg.now.buckets[slot(&reg.now, entry->pid)];

            entry->hash_next = *head;
            *head = entry;
            entry = next;
        }
        reg.old.buckets[reg.old_at] = NULL;
        if (++reg.old_at == reg.old.n) {
            drop_buckets(reg.old.buckets);
            memset(&reg.old, 0, sizeof reg.old);
            reg.old_at = 0;
        }
    }
}

int xl_registry_reserve(void)
{
    int r = 0;

    pthread_mutex_lock(&reg.lock);
    table_init();
    if (reg.count + 1 > reg.now.n && reg.old.n == 0) {
        size_t n = reg.now.n * 2;
        struct xl_registry_entry **buckets =
            xl_sys.calloc(n, sizeof(struct xl_registry_entry *));

        if (buckets == NULL) {
            r = -1;
            goto out;
        }
        reg.old = reg.now;
        reg.old_at = 0;
        reg.now.buckets = buckets;
        reg.now.n = n;
    }
    move_some(MOVED_PER_INSERT);
    reg.count++;
out:
    pthread_mutex_unlock(&reg.lock);
    return r;
}

void xl_registry_unreserve(void)
{
    pthread_mutex_lock(&reg.lock);
    reg.count--;
    pthread_mutex_unlock(&reg.lock);
}

static struct xl_registry_entry **find_in(struct table *t, pid_t pid)
{
    struct xl_registry_entry **at;

    if (t->n == 0)
        return NULL;
    for (at = &t->buckets[slot(t, pid)]; *at != NULL; at = &(*at)->hash_next)
        if ((*at)->pid == pid)
            return at;
    return NULL;
}

static struct xl_registry_entry **find(pid_t pid)
{
    struct xl_registry_entry **at = find_in(&reg.now, pid);

    return at != NULL ? at : find_in(&reg.old, pid);
}

static void unlink_handed(struct xl_registry_entry *entry)
{
    struct xl_registry_entry **at;

    if (!(entry->handed_over || entry->number_gone) || entry->owner == NULL)
        return;
    for (at = &entry->owner->handed; *at != NULL; at = &(*at)->handed_next) {
        if (*at == entry) {
            *at = entry->handed_next;
            break;
        }
    }
}

static void set_group_goes(struct xl_registry_entry *entry, int goes)
{
    atomic_fetch_add(&ngroups, goes - entry->group_goes);
    entry->group_goes = goes;
}

static void unlink_at(struct xl_registry_entry **at)
{
    struct xl_registry_entry *entry = *at;

    set_group_goes(entry, 0);
    *at = entry->hash_next;
    entry->hash_next = NULL;
    entry->pid = 0;
    reg.count--;
}

static void hand_over(struct xl_registry_entry *entry)
{
    if (entry->owner == NULL)
        return;
    entry->handed_next = entry->owner->handed;
    entry->owner->handed = entry;
    xl_wakeup_post(entry->owner, XL_WAKE_HANDED);
}

static void insert(struct xl_registry_entry *entry, pid_t pid)
{
    struct xl_registry_entry **at = find(pid);
    struct xl_registry_entry **head;

    /* The kernel gave the pid to a new process, so the old one has been
     * reaped by somebody: its owner may have no pidfd that tells. */
    if (at != NULL) {
        struct xl_registry_entry *old = *at;

        unlink_at(at);
        old->number_gone = 1;
        if (!old->handed_over)
            hand_over(old);
    }
    /* the reservation, counted already, becomes the entry */
    entry->pid = pid;
    head = &reg.now.buckets[slot(&reg.now, pid)];
    entry->hash_next = *head;
    *head = entry;
}

void xl_registry_start_begin(struct xl_registry_start *start)
{
    pthread_mutex_lock(&reg.lock);
    start->ticket = ++reg.last_ticket;
    start->next = reg.starts;
    reg.starts = start;
    pthread_mutex_unlock(&reg.lock);
}

static uint64_t oldest_start(void)
{
    struct xl_registry_start *start;
    uint64_t oldest = UINT64_MAX;

    for (start = reg.starts; start != NULL; start = start->next)
        if (start->ticket < oldest)
            oldest = start->ticket;
    return oldest;
}

int xl_registry_start_end(struct xl_registry_start *start,
                          struct xl_registry_entry *entry, pid_t pid,
                          int *ret_status)
{
    struct xl_registry_start **at;
    size_t i;
    int taken = 0;

    pthread_mutex_lock(&reg.lock);
    for (at = &reg.starts; *at != start; at = &(*at)->next)
        ;
    *at = start->next;
    for (i = 0; i < reg.nlimbo && pid > 0; i++) {
        if (reg.limbo[i].pid == pid && reg.limbo[i].ticket != 0) {
            *ret_status = reg.limbo[i].status;
            taken = 1;
            reg.limbo[i] = reg.limbo[--reg.nlimbo];
            break;
        }
    }
    if (entry != NULL && !taken)
        insert(entry, pid);
    if (entry != NULL && taken) {
        reg.count--; /* no need for the reservation */
    }
    if (reg.nlimbo > 0) {
        uint64_t oldest = oldest_start();

        for (i = 0; i < reg.nlimbo;) {
            if (reg.limbo[i].ticket >= oldest) {
                i++;
            } else if (reg.limbo[i].owner != NULL) {
                xl_wakeup_post(reg.limbo[i].owner, XL_WAKE_LIMBO);
                i++;
            } else { /* a stranger, and nobody left to ask about it */
                reg.limbo[i] = reg.limbo[--reg.nlimbo];
            }
        }
    }
    pthread_mutex_unlock(&reg.lock);
    return taken;
}

int xl_registry_insert(struct xl_registry_entry *entry, pid_t pid)
{
    int r = -1;

    pthread_mutex_lock(&reg.lock);
    if (find(pid) == NULL) {
        insert(entry, pid);
        r = 0;
    }
    pthread_mutex_unlock(&reg.lock);
    return r;
}

void xl_registry_remove(struct xl_registry_entry *entry)
{
    pthread_mutex_lock(&reg.lock);
    unlink_handed(entry);
    if (entry->pid > 0) {
        struct xl_registry_entry **at = find(entry->pid);

        if (at != NULL && *at == entry)
            unlink_at(at);
    }
    pthread_mutex_unlock(&reg.lock);
}

void xl_registry_disown(struct xl_registry_entry *entry)
{
    pthread_mutex_lock(&reg.lock);
    unlink_handed(entry);
    entry->owner = NULL;
    pthread_mutex_unlock(&reg.lock);
}

struct xl_registry_entry *xl_registry_find(struct xl_wakeup *owner, pid_t pid)
{
    struct xl_registry_entry **at;
    struct xl_registry_entry *entry = NULL;

    pthread_mutex_lock(&reg.lock);
    at = find(pid);
    if (at != NULL && (*at)->owner == owner)
        entry = *at;
    pthread_mutex_unlock(&reg.lock);
    return entry;
}

void xl_registry_group_goes(struct xl_registry_entry *entry, int goes)
{
    pthread_mutex_lock(&reg.lock);
    if (entry->pid > 0)
        set_group_goes(entry, goes);
    pthread_mutex_unlock(&reg.lock);
    if (goes)
        xl_registry_settle();
}

int xl_registry_some_group_goes(void)
{
    return atomic_load(&ngroups) > 0;
}

/* Whoever reaps it first comes by here, or by its owner, who takes the mark
 * back: as long as it is there the number is the group's. */
void xl_registry_last_of_group(pid_t pid)
{
    struct xl_registry_entry **at;

    pthread_mutex_lock(&reg.lock);
    at = find(pid);
    if (at != NULL && (*at)->group_goes && pid > 1) {
        (void)xl_sys.kill(-pid, SIGKILL);
        set_group_goes(*at, 0);
    }
    pthread_mutex_unlock(&reg.lock);
}

void xl_registry_reaping(int delta)
{
    atomic_fetch_add(&reaping, delta);
}

enum xl_registry_answer xl_registry_reaped(struct xl_wakeup *owner, pid_t pid,
                                           int status,
                                           struct xl_registry_entry **ret_entry)
{
    enum xl_registry_answer answer;
    struct xl_registry_entry **at;

    pthread_mutex_lock(&reg.lock);
    at = find(pid);
    if (at != NULL && !(*at)->handed_over) {
        struct xl_registry_entry *entry = *at;

        if (entry->owner == owner) {
            *ret_entry = entry;
            answer = XL_PID_OURS;
        } else {
            entry->handed_over = 1;
            entry->status = status;
            answer = XL_PID_HANDED;
            hand_over(entry);
        }
    } else if (reg.starts != NULL && reg.nlimbo < LIMBO_MAX) {
        struct limbo_entry *l = &reg.limbo[reg.nlimbo++];

        l->owner = owner;
        l->origin = owner;
        l->pid = pid;
        l->status = status;
        l->ticket = reg.last_ticket;
        answer = XL_PID_LIMBO;
    } else {
        answer = XL_PID_STRANGER;
    }
    pthread_mutex_unlock(&reg.lock);
    return answer;
}

int xl_registry_handed_over(struct xl_registry_entry *entry, int *ret_status)
{
    int tries;
    int r = 0;

    for (tries = 0;; tries++) {
        /* asked first: whoever has finished by now has left word */
        int under_way = atomic_load(&reaping) != 0;

        pthread_mutex_lock(&reg.lock);
        if (entry->handed_over) {
            *ret_status = entry->status;
            r = 1;
        }
        pthread_mutex_unlock(&reg.lock);
        if (r || !under_way || tries > 10000)
            return r;
        sched_yield();
    }
}

int xl_registry_has_number(const struct xl_registry_entry *entry)
{
    int r;

    pthread_mutex_lock(&reg.lock);
    r = !entry->number_gone;
    pthread_mutex_unlock(&reg.lock);
    return r;
}

void xl_registry_settle(void)
{
    int tries;

    for (tries = 0; atomic_load(&reaping) != 0 && tries < 1000; tries++)
        sched_yield();
}

int xl_registry_limbo_full(void)
{
    int full;

    pthread_mutex_lock(&reg.lock);
    full = reg.nlimbo == LIMBO_MAX;
    pthread_mutex_unlock(&reg.lock);
    return full;
}

struct xl_registry_entry *xl_registry_take_handed(struct xl_wakeup *owner)
{
    struct xl_registry_entry *entry;

    pthread_mutex_lock(&reg.lock);
    entry = owner->handed;
    if (entry != NULL)
        owner->handed = entry->handed_next;
    pthread_mutex_unlock(&reg.lock);
    return entry;
}

int xl_registry_forward(struct xl_wakeup *owner, pid_t pid, int status,
                        struct xl_wakeup *origin)
{
    int r = -1;

    pthread_mutex_lock(&reg.lock);
    if (reg.nlimbo < LIMBO_MAX) {
        struct limbo_entry *l = &reg.limbo[reg.nlimbo++];

        l->owner = owner;
        l->origin = origin;
        l->pid = pid;
        l->status = status;
        l->ticket = 0; /* it is no child of a start under way */
        xl_wakeup_post(owner, XL_WAKE_LIMBO);
        r = 0;
    }
    pthread_mutex_unlock(&reg.lock);
    return r;
}

int xl_registry_limbo_take(struct xl_wakeup *owner, pid_t *ret_pid,
                           int *ret_status, struct xl_wakeup **ret_origin)
{
    size_t i;
    int r = 0;

    pthread_mutex_lock(&reg.lock);
    if (reg.nlimbo > 0) {
        uint64_t oldest = oldest_start();

        for (i = 0; i < reg.nlimbo; i++) {
            if (reg.limbo[i].owner != owner || reg.limbo[i].ticket >= oldest)
                continue;
            *ret_pid = reg.limbo[i].pid;
            *ret_status = reg.limbo[i].status;
            *ret_origin = reg.limbo[i].origin;
            memmove(&reg.limbo[i], &reg.limbo[i + 1],
                    (reg.nlimbo - i - 1) * sizeof reg.limbo[0]);
            reg.nlimbo--;
            r = 1;
            break;
        }
    }
    pthread_mutex_unlock(&reg.lock);
    return r;
}

void xl_registry_limbo_forget(struct xl_wakeup *owner)
{
    size_t i = 0;
    uint64_t oldest;

    pthread_mutex_lock(&reg.lock);
    oldest = oldest_start();
    while (i < reg.nlimbo) {
        if (reg.limbo[i].owner != owner) {
            i++;
        } else if (reg.limbo[i].ticket >= oldest) {
            /* another ctx's start may be waiting for this status */
            reg.limbo[i++].owner = NULL;
        } else {
            reg.limbo[i] = reg.limbo[--reg.nlimbo];
        }
    }
    pthread_mutex_unlock(&reg.lock);
}

void xl_registry_postfork(void)
{
    if (reg.old.n != 0)
        drop_buckets(reg.old.buckets);
    if (reg.now.n != 0)
        drop_buckets(reg.now.buckets);
    memset(&reg.now, 0, sizeof reg.now);
    memset(&reg.old, 0, sizeof reg.old);
    memset(reg.first_buckets, 0, sizeof reg.first_buckets);
    reg.count = 0;
    reg.starts = NULL;
    reg.nlimbo = 0;
    atomic_store(&reaping, 0);
    atomic_store(&ngroups, 0);
}
