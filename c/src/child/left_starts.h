/* left_starts.h - what a child needs of us until it is its program
 *
 * Made by spawn.c, looked at by flights.c, left by child.c and by a ctx that
 * goes.
 */
#ifndef XL_LEFT_STARTS_H
#define XL_LEFT_STARTS_H

#include "ctx/ctx_impl.h"

/* A child that has not become its program yet, and may still fail to: what it
 * needs of us, and finding out. First member of whatever it is. See
 * flights.h. */
struct xl_setting_up {
    /* It has become its program, or ended. */
    int (*settled)(struct xl_setting_up *setting_up);
    /* That having been so: 1 if it never became its program, and why. */
    int (*failed)(struct xl_setting_up *setting_up,
                  libxl_childproc_failure *ret_failure);
    /* The child reads nothing of ours (any more). */
    int (*apart)(struct xl_setting_up *setting_up);
    /* ctx NULL: it has gone, or is another process's. */
    void (*free)(struct xl_setting_up *setting_up, libxl_ctx *ctx);
    struct xl_list link;        /* ctx->flights */
    struct xl_setting_up *left; /* the next that nobody will end */
    struct xl_child *child;
    int64_t began;
    struct xl_box *started; /* prepared; NULL: nobody wants to be told */
};

/* Its child is the host's alone from now on, and may read it for as long as it
 * takes: it goes some time later. */
void xl_child_leave_start(struct xl_setting_up *setting_up);

#endif
