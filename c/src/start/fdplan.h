/* fdplan.h - in which order to move file descriptors (pure)
 *
 * prepare.c plans in the parent; child_setup.c carries the plan out in the
 * child.
 */
#ifndef XL_FDPLAN_H
#define XL_FDPLAN_H

#include <stddef.h>

#include "xlchild/childproc.h"

enum xl_fd_op_kind {
    XL_FD_DUP,        /* a becomes b, without close-on-exec */
    XL_FD_DUP_HIDDEN, /* a becomes b, close-on-exec */
    XL_FD_KEEP,       /* a loses close-on-exec */
    XL_FD_NULL,       /* /dev/null becomes b */
    XL_FD_OPEN,       /* the file of number a becomes b */
    XL_FD_CLOSE,      /* a .. b are closed */
};

/* Sources that are files for the child to open, so that an open that blocks
 * holds up nobody else: number 0, 1, … of a list. */
#define XL_SOURCE_FILE(number) (-16 - (number))
#define XL_SOURCE_IS_FILE(source) ((source) <= -16)
/* What target 1 has become by then. */
#define XL_SOURCE_AS_STDOUT (-8)

struct xl_fd_op {
    enum xl_fd_op_kind kind;
    int a;
    int b;
};

struct xl_fd_plan {
    struct xl_fd_op *ops;
    size_t nops;
    int highest_needed; /* every fd of the parent above it is unneeded */
    int hidden;         /* where the private fd ended up; -1 if there is none */
};

/* How many ops and how many scratch entries a plan for n entries may need. */
size_t xl_fdplan_max_ops(size_t n);

/* Plans for map[0..n-1], targets distinct and >= 0. 0, 1 and 2 are inherited
 * where no entry names them. `hidden` is an fd of the parent's that the child
 * needs until its exec and nobody may see after it (-1: none). With
 * spare_below < 0 every other fd is closed; otherwise none is, and the numbers
 * below spare_below, downwards, are free to be used in passing.
 * scratch has room for n + 3 entries, ops for xl_fdplan_max_ops(n). */
void xl_fdplan_make(const libxl_childproc_fd *map, size_t n, int hidden,
                    int spare_below, libxl_childproc_fd *scratch,
                    struct xl_fd_op *ops, struct xl_fd_plan *ret_plan);

#endif
