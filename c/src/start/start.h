/* start.h - the parent's half of a start
 *
 * spawn.c calls both halves without any lock; the child's half is
 * child_setup.c. What is needed is allocated before the child is made;
 * afterwards nothing here can fail.
 */
#ifndef XL_START_H
#define XL_START_H

#include "start/start_shared.h"

struct xl_start {
    struct xl_start_request request; /* in and out */
    struct xl_shared_start shared;
    int halfway; /* the second half is still to come; else rc is the answer */
    int rc;
};

/* start is zero but for the request's part that goes in. With overlap, the
 * child may be on its way when this returns. */
void xl_start_begin(struct xl_start *start);
/* Waits until the child has executed its program, or failed. 0 or ERROR_*;
 * has used up entry's reservation in the registry either way. */
int xl_start_end(struct xl_start *start);

#endif
