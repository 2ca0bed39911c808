/* keeper.h - a process that keeps a family, as its parent sees it
 *
 *      families.c        xl_keeper_new: its memory
 *      start_shared.c    xl_keeper_clone: it is made, and makes the child
 *      family.c          asks it, and looks whether it has ended
 *      families.c        xl_keeper_free, without a lock: it may wait a moment
 *
 * The child is the keeper's, and not ours: it is no child that this process
 * could wait for, and is treated as one that is adopted. The kernel tells its
 * status by our pidfd of it.
 */
#ifndef XL_KEEPER_H
#define XL_KEEPER_H

#include <sys/resource.h>
#include <sys/types.h>

#include "ctx/forkfd.h"
#include "kernel/keeper_child.h"

struct xl_keeper {
    struct xl_keeper_note *note; /* in the mapping that its stack is in */
    struct xl_forkfd leash;      /* closed when it is to go */
    ino_t leash_ino;
    int pid;                     /* 0: there is none; written by the kernel */
    int pidfd;                   /* -1 */
    ino_t pidfd_ino;
    int runs; /* it could not be killed in time: its memory stays for ever */
};

/* What a keeper needs is there, as far as is known: NULL, or why not. stat_fd:
 * /proc/self/status; -1. */
const char *xl_keeper_missing(int stat_fd);
/* NULL: no memory. */
struct xl_keeper *xl_keeper_new(void);
/* As xl_sys.clone3, for a child of a new keeper; one that was there before has
 * to go. parent: where the child is told who that is; NULL. */
pid_t xl_keeper_clone(struct xl_keeper *keeper, int (*fn)(void *), void *stack,
                      size_t stack_size, uint64_t flags, void *arg,
                      int *ret_pidfd, int *ret_pid, atomic_int *until_exec,
                      pid_t *parent);
/* Has it ended? 1: and there is nobody left; -1: before its time; 0. */
int xl_keeper_over(struct xl_keeper *keeper);
/* It goes on, if somebody has stopped it. */
void xl_keeper_wake(struct xl_keeper *keeper);
/* It is to send signo to everybody. 0, or -1: it is over. */
int xl_keeper_ask(struct xl_keeper *keeper, int signo);
/* How the child has ended, as the kernel told the keeper. 1, or 0. */
int xl_keeper_told(const struct xl_keeper *keeper, int *ret_status,
                   struct rusage *ret_rusage);
/* It is over: what is left of the process goes. */
void xl_keeper_bury(struct xl_keeper *keeper);
/* It goes, though somebody be left; with patience_ms it may do first what it
 * was asked for. NULL: nothing. */
void xl_keeper_free(struct xl_keeper *keeper, int patience_ms);
/* In a forked child: it is the parent's. The fds are closed, or not ours. */
void xl_keeper_forget(struct xl_keeper *keeper);

#endif
