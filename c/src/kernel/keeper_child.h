/* keeper_child.h - the process that keeps a family: what it is told, and tells
 *
 * ctx/keeper.c makes it. It shares our memory and nothing else, makes the child
 * that the family is of, and is where the orphans of that child's family come
 * to (a sub-reaper); it ends when there is nobody left, or when we are gone.
 */
#ifndef XL_KEEPER_CHILD_H
#define XL_KEEPER_CHILD_H

#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "kernel/rawclone.h"

/* Below its stack, in one mapping. */
struct xl_keeper_note {
    /* in: its child … */
    struct xl_clone3_args child;
    int (*fn)(void *);
    void *arg;
    pid_t *parent; /* of the child: where to say so; NULL */
    const int *self; /* our number, as our parent has it */
    /* … and a pipe of which nobody but this process has the other end: that
     * closes when we end, execute a program, or let go */
    int leash;
    atomic_ulong asked; /* bit signo - 1: to be sent to everybody */
    /* out */
    atomic_int made;   /* 1: the child is there; -errno: it is not */
    atomic_int told;   /* the child has ended, and is about to be reaped: */
    int status;        /* as waitpid gives it */
    struct rusage rusage;
    atomic_int empty;  /* there is nobody left */
};

/* /proc/self/status, so far, of a process of that number says that /proc is of
 * its own pid namespace. */
#define XL_KEEPER_STATUS 2048
int xl_keeper_reads_proc(const char *status, pid_t self);

/* Runs in the keeper; does not return. arg is a struct xl_keeper_note. */
int xl_keeper_run(void *arg);

#endif
