/* registry.h - which child of which ctx a pid is, for the whole process
 *
 * One table for all ctxs, so that whoever reaps a pid (C1: the one ctx that
 * waits for all) can tell whose it is. A start announces itself before it
 * forks; a pid that is reaped by somebody before its starter has registered
 * it waits in limbo until every start that was under way has ended, and only
 * then counts as a stranger.
 *
 * The lock here is a leaf: nothing else of the library's is called while it is
 * held.
 */
#ifndef XL_REGISTRY_H
#define XL_REGISTRY_H

#include <stdint.h>
#include <sys/types.h>

struct xl_wakeup;

/* Embedded in whatever represents a child. */
struct xl_registry_entry {
    struct xl_registry_entry *hash_next;
    struct xl_wakeup *owner; /* whose ctx's; NULL: nobody's (orphan) */
    pid_t pid;               /* 0: not in the table */
    struct xl_registry_entry *handed_next; /* in owner->handed */
    int handed_over; /* somebody else's wait(-1) took the status … */
    int status;      /* … and this is it */
    int number_gone; /* its pid is another child's by now: it has been reaped */
    int group_goes;  /* who is left of its group is to be killed before it is
                        reaped, whoever reaps it */
};

/* On the stack of a start in progress. */
struct xl_registry_start {
    struct xl_registry_start *next;
    uint64_t ticket;
};

enum xl_registry_answer {
    XL_PID_OURS,     /* a child of the asking owner: *ret_entry */
    XL_PID_HANDED,   /* another ctx's, or an orphan; it has been told */
    XL_PID_LIMBO,    /* perhaps that of a start in progress: kept */
    XL_PID_STRANGER, /* nobody's here */
};

void xl_registry_lock(void); /* for atfork.c */
void xl_registry_unlock(void);

/* Room for one more entry, so that insert cannot fail. 0 or -1 (ENOMEM). */
int xl_registry_reserve(void);
void xl_registry_unreserve(void);

void xl_registry_start_begin(struct xl_registry_start *start);
/* The start is over. With an entry, it is inserted under pid, using up a
 * reservation. Returns 1 if the pid was reaped in the meantime: *ret_status. */
int xl_registry_start_end(struct xl_registry_start *start,
                          struct xl_registry_entry *entry, pid_t pid,
                          int *ret_status);

/* Without a start: for adopted processes. Returns -1 if pid is there. */
int xl_registry_insert(struct xl_registry_entry *entry, pid_t pid);
void xl_registry_remove(struct xl_registry_entry *entry);
void xl_registry_disown(struct xl_registry_entry *entry); /* owner = NULL */
struct xl_registry_entry *xl_registry_find(struct xl_wakeup *owner, pid_t pid);

/* From now on (or no longer) its group goes with it. Once this returns no
 * wait(-1) is under way that does not know. */
void xl_registry_group_goes(struct xl_registry_entry *entry, int goes);
/* Is there any such? Then a wait(-1) has to look first whom it would reap … */
int xl_registry_some_group_goes(void);
/* … and before it does so call this, which kills that one's group. */
void xl_registry_last_of_group(pid_t pid);

/* Brackets a wait(-1) and its lookup. */
void xl_registry_reaping(int delta);
/* owner (who waits for all) reaped pid. A limbo entry remembers owner. */
enum xl_registry_answer
xl_registry_reaped(struct xl_wakeup *owner, pid_t pid, int status,
                   struct xl_registry_entry **ret_entry);
/* Was our status taken by a wait(-1) of this library? Waits for those under
 * way. 1: *ret_status is it. */
int xl_registry_handed_over(struct xl_registry_entry *entry, int *ret_status);

/* Waits for the wait(-1)s under way to have looked up what they took. */
void xl_registry_settle(void);

/* May its process be asked for by its pid? */
int xl_registry_has_number(const struct xl_registry_entry *entry);

/* The next entry of owner's whose status was handed over, or whose number is
 * gone; or NULL. */
struct xl_registry_entry *xl_registry_take_handed(struct xl_wakeup *owner);

/* Room in limbo; when there is none, wait(-1) must pause. */
int xl_registry_limbo_full(void);
/* Takes a limbo entry of owner that has turned out a stranger. */
int xl_registry_limbo_take(struct xl_wakeup *owner, pid_t *ret_pid,
                           int *ret_status, struct xl_wakeup **ret_origin);
/* A stranger that origin reaped and does not know: owner is asked. -1: full. */
int xl_registry_forward(struct xl_wakeup *owner, pid_t pid, int status,
                        struct xl_wakeup *origin);
void xl_registry_limbo_forget(struct xl_wakeup *owner);

/* In a forked child: the parent's children are not ours. */
void xl_registry_postfork(void);

#endif
