/* numbers.h - pids, which are believed only with proof
 *
 * Whatever frees a number, or acts on one, is done here, and is one step with
 * the look before it, against every other wait of this library: under the
 * registry's lock. Other people's waits cannot be held off; where pidfds are
 * to be had they are harmless, and elsewhere a process is known by its age.
 */
#ifndef XL_NUMBERS_H
#define XL_NUMBERS_H

#include <signal.h>

#include "kernel/registry.h"

/* As waitpid gives it, from what waitid gave. */
int xl_wait_status(const siginfo_t *info);

/* What was found by a wait for anybody. */
enum xl_number_answer {
    XL_NUMBER_NONE,     /* nobody has ended, or somebody was quicker */
    XL_NUMBER_OURS,     /* a child of the asking owner: *ret_entry */
    XL_NUMBER_HANDED,   /* another ctx's, an orphan, or a start's: told */
    XL_NUMBER_KEPT,     /* had been told of before, and has been reaped now */
    XL_NUMBER_LIMBO,    /* perhaps that of a blind start: kept */
    XL_NUMBER_STRANGER, /* nobody's here */
};

/* Reaps one child of this process, if any has ended: for owner, who waits for
 * all. info and rusage as waitid gives them. */
enum xl_number_answer xl_numbers_reap_anybody(
    struct xl_wakeup *owner, struct xl_registry_entry **ret_entry,
    siginfo_t *info, struct rusage *rusage);

/* A wait of owner's for another process has brought the end of this one: it
 * goes to whose child it is, or is the end of a stranger that owner reaped. */
void xl_numbers_hand_on(struct xl_wakeup *owner, const siginfo_t *info,
                        const struct rusage *rusage);

/* An option: it is proved that the process is the child also while it lives. */
#define XL_WAIT_PROVED 0x00100000

/* waitid by number for a child that has no pidfd (or none that may be waited
 * by), with options and WNOHANG. 1 and *info; 0: not yet; -1 and errno. */
int xl_numbers_wait(struct xl_registry_entry *entry, int options,
                    siginfo_t *info, struct rusage *rusage);
/* A signal by number, to it or to the group that it leads. 0, or -1 and errno:
 * ESRCH where it is not there, unreaped, any more. */
int xl_numbers_kill(const struct xl_registry_entry *entry, int signo,
                    int group);

/* A signal to the child of a start in flight. 0; or -1: there is no such start,
 * or its child is not there yet. */
int xl_numbers_kill_starting(const struct xl_registry_entry *entry, int signo);

/* The child has ended, and stays unreaped: the entry stays in the table,
 * without its pidfd if that is to be closed. */
void xl_numbers_keep(struct xl_registry_entry *entry, int without_pidfd);
/* The host has closed its pidfd; there is another, or none: -1. */
void xl_numbers_pidfd_is(struct xl_registry_entry *entry, int pidfd);
/* What it is known by beside its pidfd. */
void xl_numbers_mark(struct xl_registry_entry *entry, uint64_t mark);
/* Reaps it, if it is there still; the entry leaves the table. */
void xl_numbers_reap_kept(struct xl_registry_entry *entry);

/* A wait of this library's, or the host, has taken its end already. */
int xl_numbers_start_ended(const struct xl_registry_start *start);
/* The child of a start is gone before its time: was it killed? Waits for its
 * end, which is near, and leaves it unreaped. */
int xl_numbers_start_killed(const struct xl_registry_start *start, pid_t pid,
                            int pidfd);
/* The child of a start that came to nothing: waits for its end, which is near,
 * and reaps it. pidfd -1: there is none; else it is closed. */
void xl_numbers_bury(struct xl_registry_start *start, pid_t pid, int pidfd);

#endif
