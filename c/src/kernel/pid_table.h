/* pid_table.h - the registry's entries by their pids
 *
 * Used by registry.c alone, under its lock. A chained hash whose entries are
 * embedded in the children; it grows by moving a few buckets at each
 * insertion, so that no insertion stalls.
 */
#ifndef XL_PID_TABLE_H
#define XL_PID_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct xl_wakeup;

/* Embedded in whatever represents a child. */
struct xl_registry_entry {
    struct xl_registry_entry *hash_next;
    struct xl_wakeup *owner;               /* whose ctx's; NULL: nobody's */
    struct xl_registry_entry *handed_next; /* in owner->handed */
    uint64_t mark; /* proof without a pidfd: see identity.h; 0: none */
    pid_t pid;     /* 0: not in the table */
    int pidfd;     /* proof; the child's, open while this is in the table */
    int status;    /* handed over: this is it */
    unsigned handed_over : 1; /* somebody else's wait(-1) took the status */
    unsigned number_gone : 1; /* its pid is not its own any more: it has been
                                 reaped, not always by this library … */
    unsigned number_reused : 1; /* … and is another process's by now */
    unsigned group_goes : 1;  /* who is left of its group is to be killed before
                                 it is reaped, whoever reaps it */
    unsigned kept : 1;        /* has ended and been told of; unreaped all the
                                 same, so that the number stays its own */
};

/* Room for one more, so that insert cannot fail. 0 or -1 (ENOMEM). */
int xl_pid_table_reserve(void);
void xl_pid_table_unreserve(void);
/* Whatever points to the entry of that pid; NULL: there is none. */
struct xl_registry_entry **xl_pid_table_find(pid_t pid);
/* The reservation becomes the entry, whose pid is set. */
void xl_pid_table_insert(struct xl_registry_entry *entry);
/* Of what find returned. */
void xl_pid_table_remove(struct xl_registry_entry **at);
/* Empty, and as at first: the entries are the parent's. */
void xl_pid_table_clear(void);

#endif
