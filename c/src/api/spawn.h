/* spawn.h - starting a child for a ctx
 *
 * libxl_childproc_spawn, exec.c and starters.c go through here; start.c is
 * next.
 */
#ifndef XL_SPAWN_H
#define XL_SPAWN_H

#include "api/operation.h"
#include "start/start.h"

struct xl_spawn {
    /* in */
    const libxl_childproc_spec *spec;
    const libxl_childproc_report *report;
    struct xl_operation *ao;
    int64_t due;                  /* a timeout to arm for; XL_NEVER */
    const xl_sigset *caller_mask; /* NULL: the calling thread's */
    /* the fds of an operation, in place of the spec's; NULL: none */
    const libxl_childproc_fd *map;
    size_t nmap;
    const struct xl_child_file *files;
    int opens;       /* one of them may block for ever when it is opened */
    int patience_ms; /* for the child to become its program; -1: until it has */
    /* out; the child may have been reported when this returns */
    libxl_childproc_id id;
    pid_t pid;
    libxl_childproc_failure failure;
    /* between the halves */
    libxl_childproc_spec room; /* of a spec that has another release's size */
    struct xl_pending_start *pending; /* where start is, if it may outlive us */
    struct xl_start own;
    struct xl_start *start;
    struct xl_child *child;
    struct xl_family *family; /* of the child; NULL */
    unsigned occurred; /* ctx->mode.occurred, when the start began */
    unsigned looked;   /* the same of ctx->mode.looked */
};

/* Under the lock, which it gives up while the child starts. */
int xl_spawn(libxl_ctx *ctx, struct xl_spawn *spawn);
/* The same in halves, so that starts overlap. Without 0 from the first there
 * is no second one. */
int xl_spawn_begin(libxl_ctx *ctx, struct xl_spawn *spawn);
int xl_spawn_end(libxl_ctx *ctx, struct xl_spawn *spawn);
void xl_spawn_free_stacks(libxl_ctx *ctx);

#endif
