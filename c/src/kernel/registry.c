/* registry.c - which child of which ctx a pid is, for the whole process
 *
 * Called by both ways of starting (announce, insert), numbers.c (whose is it)
 * and child.c (remove). Next: pid_table.c.
 */
#define _GNU_SOURCE
#include "kernel/registry.h"

#include <pthread.h>
#include <string.h>

#include "kernel/sys.h"
#include "kernel/wakeup.h"

#define LIMBO_MAX 256
#define WORDS_MAX 64

struct limbo_entry {
    struct xl_wakeup *owner;  /* who is to be told */
    struct xl_wakeup *origin; /* who reaped it */
    pid_t pid;
    int status;
    uint64_t ticket; /* starts up to this one were under way */
};

/* What a host said of a pid that may turn out to be a blind start's. */
struct word {
    struct xl_wakeup *owner; /* NULL: unused */
    pid_t pid;
    int status;
};

static struct {
    pthread_mutex_t lock;
    struct xl_registry_start *starts; /* newest first */
    uint64_t last_ticket;
    struct limbo_entry limbo[LIMBO_MAX];
    size_t nlimbo;
    struct word words[WORDS_MAX]; /* the oldest is overwritten */
    unsigned words_at;
} reg = {.lock = PTHREAD_MUTEX_INITIALIZER};

void xl_registry_lock(void)
{
    pthread_mutex_lock(&reg.lock);
}

void xl_registry_unlock(void)
{
    pthread_mutex_unlock(&reg.lock);
}

int xl_registry_reserve(void)
{
    int r;

    pthread_mutex_lock(&reg.lock);
    r = xl_pid_table_reserve();
    pthread_mutex_unlock(&reg.lock);
    return r;
}

void xl_registry_unreserve(void)
{
    pthread_mutex_lock(&reg.lock);
    xl_pid_table_unreserve();
    pthread_mutex_unlock(&reg.lock);
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

static void unlink_at(struct xl_registry_entry **at)
{
    struct xl_registry_entry *entry = *at;

    entry->group_goes = 0;
    entry->kept = 0;
    xl_pid_table_remove(at);
    entry->pid = 0;
    entry->pidfd = -1;
}

static void hand_over(struct xl_registry_entry *entry)
{
    if (entry->owner == NULL)
        return;
    entry->handed_next = entry->owner->handed;
    entry->owner->handed = entry;
    xl_wakeup_post(entry->owner, XL_WAKE_HANDED);
}

static void retire(struct xl_registry_entry **at)
{
    struct xl_registry_entry *entry = *at;
    int told = entry->kept;

    unlink_at(at);
    entry->number_gone = 1;
    if (!entry->handed_over && !told)
        hand_over(entry);
}

static void insert(struct xl_registry_entry *entry, pid_t pid, int pidfd)
{
    struct xl_registry_entry **at = xl_pid_table_find(pid);

    /* The kernel gave the pid to a new process, so the old one has been
     * reaped by somebody: its owner may have no pidfd that tells. */
    if (at != NULL) {
        (*at)->number_reused = 1;
        retire(at);
    }
    entry->pid = pid;
    entry->pidfd = pidfd;
    xl_pid_table_insert(entry);
}

/* ---- starts in flight --------------------------------------------------- */

void xl_registry_start_begin(struct xl_registry_start *start,
                             struct xl_registry_entry *entry)
{
    start->entry = entry;
    atomic_init(&start->pid, 0);
    atomic_init(&start->pidfd, -1);
    start->blind = 0;
    start->reaped = 0;
    start->passed = 0;
    pthread_mutex_lock(&reg.lock);
    start->ticket = ++reg.last_ticket;
    start->next = reg.starts;
    reg.starts = start;
    pthread_mutex_unlock(&reg.lock);
}

void xl_registry_start_blind(struct xl_registry_start *start)
{
    pthread_mutex_lock(&reg.lock);
    start->blind = 1;
    pthread_mutex_unlock(&reg.lock);
}

/* The ticket of the oldest start whose child may be there unseen. */
static uint64_t oldest_blind(void)
{
    struct xl_registry_start *start;
    uint64_t oldest = UINT64_MAX;

    for (start = reg.starts; start != NULL; start = start->next)
        if (start->blind && start->ticket < oldest)
            oldest = start->ticket;
    return oldest;
}

static int some_blind(const struct xl_wakeup *owner)
{
    struct xl_registry_start *start;

    for (start = reg.starts; start != NULL; start = start->next)
        if (start->blind && start->entry->owner == owner)
            return 1;
    return 0;
}

/* Those whose turn has come to be strangers are told of. */
static void wake_limbo(void)
{
    uint64_t oldest;
    size_t i;

    if (reg.nlimbo == 0)
        return;
    oldest = oldest_blind();
    for (i = 0; i < reg.nlimbo; i++)
        if (reg.limbo[i].ticket < oldest)
            xl_wakeup_post(reg.limbo[i].owner, XL_WAKE_LIMBO);
}

static void drop_word(size_t i)
{
    reg.words[i].owner = NULL;
}

/* A blind start's child is pid: has anything been heard of it? */
static void hear_of(struct xl_registry_start *start, pid_t pid)
{
    size_t i;

    for (i = 0; i < reg.nlimbo; i++) {
        if (reg.limbo[i].pid == pid && reg.limbo[i].ticket != 0) {
            start->reaped = 1;
            start->status = reg.limbo[i].status;
            memset(&start->rusage, 0, sizeof start->rusage);
            reg.limbo[i] = reg.limbo[--reg.nlimbo];
            break;
        }
    }
    for (i = 0; i < WORDS_MAX; i++) {
        if (reg.words[i].owner == start->entry->owner &&
            reg.words[i].owner != NULL && reg.words[i].pid == pid) {
            start->passed = 1;
            start->status = reg.words[i].status;
            drop_word(i);
        }
    }
}

void xl_registry_start_sees(struct xl_registry_start *start, pid_t pid)
{
    size_t i;

    pthread_mutex_lock(&reg.lock);
    if (start->blind && pid > 1) {
        atomic_store(&start->pid, pid);
        hear_of(start, pid);
    }
    start->blind = 0;
    for (i = 0; i < WORDS_MAX; i++)
        if (reg.words[i].owner != NULL && !some_blind(reg.words[i].owner))
            drop_word(i);
    wake_limbo();
    pthread_mutex_unlock(&reg.lock);
}

static void remove_start(struct xl_registry_start *start)
{
    struct xl_registry_start **at;

    for (at = &reg.starts; *at != start; at = &(*at)->next)
        ;
    *at = start->next;
}

void xl_registry_start_failed(struct xl_registry_start *start)
{
    pthread_mutex_lock(&reg.lock);
    remove_start(start);
    xl_pid_table_unreserve();
    wake_limbo();
    pthread_mutex_unlock(&reg.lock);
}

enum xl_start_news xl_registry_start_end(struct xl_registry_start *start,
                                         pid_t pid, int pidfd)
{
    enum xl_start_news news = XL_START_RUNS;

    pthread_mutex_lock(&reg.lock);
    remove_start(start);
    if (start->reaped)
        news = XL_START_REAPED;
    else if (start->passed)
        news = XL_START_PASSED;
    if (news == XL_START_RUNS)
        insert(start->entry, pid, pidfd);
    else
        xl_pid_table_unreserve();
    wake_limbo();
    pthread_mutex_unlock(&reg.lock);
    return news;
}

int xl_registry_start_passed(struct xl_wakeup *owner, pid_t pid, int status)
{
    struct xl_registry_start *start;
    int r = 0;

    pthread_mutex_lock(&reg.lock);
    start = xl_registry_start_of(pid);
    if (start != NULL && start->entry->owner == owner && !start->passed &&
        !start->reaped) {
        start->passed = 1;
        start->status = status;
        r = 1;
    } else if (some_blind(owner)) {
        struct word *word = &reg.words[reg.words_at++ % WORDS_MAX];

        word->owner = owner;
        word->pid = pid;
        word->status = status;
    }
    pthread_mutex_unlock(&reg.lock);
    return r;
}

/* ---- entries ------------------------------------------------------------ */

int xl_registry_insert(struct xl_registry_entry *entry, pid_t pid, int pidfd)
{
    int r = -1;

    pthread_mutex_lock(&reg.lock);
    if (xl_pid_table_find(pid) == NULL) {
        insert(entry, pid, pidfd);
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
        struct xl_registry_entry **at = xl_pid_table_find(entry->pid);

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
    struct xl_registry_entry *entry;

    pthread_mutex_lock(&reg.lock);
    entry = xl_registry_entry_of(pid);
    if (entry == NULL || entry->owner != owner) {
        struct xl_registry_start *start = xl_registry_start_of(pid);

        entry = start != NULL ? start->entry : NULL;
    }
    if (entry != NULL && entry->owner != owner)
        entry = NULL;
    pthread_mutex_unlock(&reg.lock);
    return entry;
}

void xl_registry_group_goes(struct xl_registry_entry *entry, int goes)
{
    pthread_mutex_lock(&reg.lock);
    if (entry->pid > 0)
        entry->group_goes = goes != 0;
    pthread_mutex_unlock(&reg.lock);
}

int xl_registry_handed_over(struct xl_registry_entry *entry, int *ret_status)
{
    int r = 0;

    pthread_mutex_lock(&reg.lock);
    if (entry->handed_over) {
        *ret_status = entry->status;
        r = 1;
    }
    pthread_mutex_unlock(&reg.lock);
    return r;
}

int xl_registry_is_unreaped(const struct xl_registry_entry *entry)
{
    int r;

    pthread_mutex_lock(&reg.lock);
    r = entry->pid > 0 && !entry->handed_over;
    pthread_mutex_unlock(&reg.lock);
    return r;
}

int xl_registry_has_number(const struct xl_registry_entry *entry)
{
    int r;

    pthread_mutex_lock(&reg.lock);
    r = !entry->number_gone;
    pthread_mutex_unlock(&reg.lock);
    return r;
}

int xl_registry_number_reused(const struct xl_registry_entry *entry)
{
    int r;

    pthread_mutex_lock(&reg.lock);
    r = entry->number_reused;
    pthread_mutex_unlock(&reg.lock);
    return r;
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

/* ---- strangers ---------------------------------------------------------- */

int xl_registry_limbo_full(void)
{
    int full;

    pthread_mutex_lock(&reg.lock);
    full = reg.nlimbo == LIMBO_MAX;
    pthread_mutex_unlock(&reg.lock);
    return full;
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
        uint64_t oldest = oldest_blind();

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

/* Whose child it may be: the ctx of a blind start, which is inside the library
 * for as long as the start is. */
static struct xl_wakeup *heir(const struct limbo_entry *l)
{
    struct xl_registry_start *start;

    for (start = reg.starts; start != NULL; start = start->next)
        if (start->blind && start->ticket <= l->ticket &&
            start->entry->owner != NULL)
            return start->entry->owner;
    return NULL;
}

void xl_registry_limbo_leave(struct xl_wakeup *owner)
{
    size_t i;

    pthread_mutex_lock(&reg.lock);
    for (i = 0; i < reg.nlimbo; i++) {
        struct limbo_entry *l = &reg.limbo[i];
        struct xl_wakeup *next;

        if (l->owner != owner)
            continue;
        next = heir(l);
        if (next != NULL)
            l->owner = l->origin = next;
        else
            l->ticket = 0; /* nobody's who could be told */
    }
    pthread_mutex_unlock(&reg.lock);
}

void xl_registry_postfork(void)
{
    xl_pid_table_clear();
    memset(reg.words, 0, sizeof reg.words);
    reg.starts = NULL;
    reg.nlimbo = 0;
}

/* ---- under the lock, for numbers.c -------------------------------------- */

struct xl_registry_entry *xl_registry_entry_of(pid_t pid)
{
    struct xl_registry_entry **at = xl_pid_table_find(pid);

    return at != NULL ? *at : NULL;
}

struct xl_registry_start *xl_registry_start_of(pid_t pid)
{
    struct xl_registry_start *start;

    for (start = reg.starts; start != NULL; start = start->next)
        if (atomic_load(&start->pid) == pid)
            return start;
    return NULL;
}

struct xl_registry_start *
xl_registry_start_by_entry(const struct xl_registry_entry *entry)
{
    struct xl_registry_start *start;

    for (start = reg.starts; start != NULL; start = start->next)
        if (start->entry == entry)
            return start;
    return NULL;
}

void xl_registry_retire(struct xl_registry_entry *entry)
{
    struct xl_registry_entry **at = xl_pid_table_find(entry->pid);

    if (at != NULL && *at == entry)
        retire(at);
}

void xl_registry_hand_over(struct xl_registry_entry *entry, int status)
{
    entry->handed_over = 1;
    entry->status = status;
    hand_over(entry);
}

int xl_registry_limbo_add(struct xl_wakeup *owner, pid_t pid, int status)
{
    struct limbo_entry *l;

    if (oldest_blind() == UINT64_MAX || reg.nlimbo == LIMBO_MAX)
        return 0;
    l = &reg.limbo[reg.nlimbo++];
    l->owner = owner;
    l->origin = owner;
    l->pid = pid;
    l->status = status;
    l->ticket = reg.last_ticket;
    return 1;
}
