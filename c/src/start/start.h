/* start.h - the parent's half of a start
 *
 * spawn.c calls both halves without any lock; the child's half is
 * child_setup.c. What is needed is allocated before the child is made;
 * afterwards nothing here can fail.
 */
#ifndef XL_START_H
#define XL_START_H

#include "start/start_forked.h"
#include "start/start_shared.h"

enum xl_start_way { XL_START_NOWHERE, XL_START_SHARED, XL_START_FORKED };

struct xl_start {
    struct xl_start_request request; /* in and out */
    union {
        struct xl_shared_start shared;
        struct xl_forked_start forked;
    } u;
    enum xl_start_way way; /* NOWHERE: rc is the answer already */
    int rc;
    int unsettled; /* the child has not become its program yet, and may fail */
};

/* How long the second half may wait for the child to become its program. */
struct xl_start_limits {
    int patience_ms;               /* -1: until it has */
    int (*give_up)(void *user);    /* asked when a signal came, and from time to
                                      time; 1: ends the child. NULL: never */
    void *user;
};

/* start is zero but for the request's part that goes in. With request.apart,
 * the child may be on its way when this returns. */
void xl_start_begin(struct xl_start *start);
/* 0 or ERROR_*; has used up entry's reservation in the registry either way.
 * With 0 the child may be unsettled: then start stays in use until it has
 * settled. ERROR_INTERRUPTED: it was given up, and is gone (or, unsettled,
 * about to go: the registry knows it). limits NULL: none. */
int xl_start_end(struct xl_start *start, const struct xl_start_limits *limits);

/* Of an unsettled one: 1 when the child has become its program, or ended. */
int xl_start_settled(struct xl_start *start);
/* It has ended: 1 if it never became its program, and request.failure says
 * why. */
int xl_start_came_to_nothing(struct xl_start *start);
/* What the child needed of us. */
void xl_start_release(struct xl_start *start);

#endif
