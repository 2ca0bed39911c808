/* registry.h - which child of which ctx a pid is, for the whole process
 *
 * One table for all ctxs, so that whoever reaps a pid (C1: the one ctx that
 * waits for all) can tell whose it is. A start announces itself before it
 * forks, and the kernel writes the new child's number into that announcement
 * before the child can run: a start in flight is known by its number as a
 * child is. Where the kernel cannot (a fork), the start is blind until the
 * fork has returned; a pid that is reaped meanwhile and is nobody's waits in
 * limbo, and counts as a stranger when no blind start is left.
 *
 * Whether a number is believed is decided in numbers.c, under this lock. The
 * lock is a leaf: nothing else of the library's is called while it is held.
 */
#ifndef XL_REGISTRY_H
#define XL_REGISTRY_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "kernel/pid_table.h"

struct xl_wakeup;

/* On the stack of a start in progress. */
struct xl_registry_start {
    struct xl_registry_start *next;
    struct xl_registry_entry *entry;
    uint64_t ticket;
    atomic_int pid;   /* written by the kernel; 0: not made yet */
    atomic_int pidfd; /* the same; -1 */
    int foreign;      /* it is no child of ours: its number is not kept */
    int blind;        /* a child of it may exist that pid does not tell of */
    int reaped;       /* a wait of ours has taken its end: */
    int passed;       /* the host has taken and passed it on: */
    int status;
    struct rusage rusage; /* with reaped */
};

/* What has become of a child while it was being started. */
enum xl_start_news {
    XL_START_RUNS,
    XL_START_REAPED, /* it has ended; a wait of this library took its status */
    XL_START_PASSED, /* the host said that it has ended, and how */
};

/* Also for atfork.c, and for numbers.c, which decides under it. */
void xl_registry_lock(void);
void xl_registry_unlock(void);

/* Room for one more entry, so that insert cannot fail. 0 or -1 (ENOMEM). */
int xl_registry_reserve(void);
void xl_registry_unreserve(void);

/* ---- starts in flight --------------------------------------------------- */

void xl_registry_start_begin(struct xl_registry_start *start,
                             struct xl_registry_entry *entry);
/* Its child is about to be made, and its number may be told only later … */
void xl_registry_start_blind(struct xl_registry_start *start);
/* … now: pid, or -1. */
void xl_registry_start_sees(struct xl_registry_start *start, pid_t pid);
/* The start is over, and its child is not to be known. */
void xl_registry_start_failed(struct xl_registry_start *start);
/* The start is over: its entry is inserted under pid, using up a reservation,
 * unless the news are that the child has ended: then start tells how. */
enum xl_start_news xl_registry_start_end(struct xl_registry_start *start,
                                         pid_t pid, int pidfd);
/* The host of owner's ctx says that pid has ended. 1: it is the child of one
 * of owner's starts, which has been told. 0: not known; if it should turn out
 * to be a blind start's, that will be told. */
int xl_registry_start_passed(struct xl_wakeup *owner, pid_t pid, int status);

/* ---- entries ------------------------------------------------------------ */

/* Without a start: for adopted processes. Returns -1 if pid is there. */
int xl_registry_insert(struct xl_registry_entry *entry, pid_t pid, int pidfd);
void xl_registry_remove(struct xl_registry_entry *entry);
void xl_registry_disown(struct xl_registry_entry *entry); /* owner = NULL */
/* A child of owner's, also one whose start is in flight. */
struct xl_registry_entry *xl_registry_find(struct xl_wakeup *owner, pid_t pid);
/* It is there, and no wait of this library has taken it. */
int xl_registry_is_unreaped(const struct xl_registry_entry *entry);
/* May its process be asked for by its pid? */
int xl_registry_has_number(const struct xl_registry_entry *entry);
/* It may not, and the pid was seen to be another's. */
int xl_registry_number_reused(const struct xl_registry_entry *entry);

/* From now on (or no longer) its group goes with it. */
void xl_registry_group_goes(struct xl_registry_entry *entry, int goes);

/* Was our status taken by a wait of this library? 1: *ret_status is it. */
int xl_registry_handed_over(struct xl_registry_entry *entry, int *ret_status);
/* The next entry of owner's whose status was handed over, or whose number is
 * gone; or NULL. */
struct xl_registry_entry *xl_registry_take_handed(struct xl_wakeup *owner);

/* ---- strangers ---------------------------------------------------------- */

/* Room in limbo; when there is none, wait(-1) must pause. */
int xl_registry_limbo_full(void);
/* Takes a limbo entry of owner that has turned out a stranger. */
int xl_registry_limbo_take(struct xl_wakeup *owner, pid_t *ret_pid,
                           int *ret_status, struct xl_wakeup **ret_origin);
/* owner's ctx goes: what may still be a blind start's is for that start's ctx
 * to tell of, should it turn out a stranger. What has already is left. */
void xl_registry_limbo_leave(struct xl_wakeup *owner);
/* A stranger that origin reaped and does not know: owner is asked. -1: full. */
int xl_registry_forward(struct xl_wakeup *owner, pid_t pid, int status,
                        struct xl_wakeup *origin);

/* In a forked child: the parent's children are not ours. */
void xl_registry_postfork(void);

/* ---- under the lock, for numbers.c -------------------------------------- */

struct xl_registry_entry *xl_registry_entry_of(pid_t pid); /* or NULL */
struct xl_registry_start *xl_registry_start_of(pid_t pid); /* or NULL */
struct xl_registry_start *
xl_registry_start_by_entry(const struct xl_registry_entry *entry);
/* Its process has been reaped by somebody: the number is not its own. */
void xl_registry_retire(struct xl_registry_entry *entry);
/* Its status has been taken for it. */
void xl_registry_hand_over(struct xl_registry_entry *entry, int status);
/* 1: the stranger may be a blind start's child, and is kept. */
int xl_registry_limbo_add(struct xl_wakeup *owner, pid_t pid, int status);

#endif
