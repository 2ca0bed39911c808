/* wiring.h - pipes and files for an operation's standard streams
 *
 * exec.c makes them before the child.
 */
#ifndef XL_WIRING_H
#define XL_WIRING_H

#include "ctx/forkfd.h"
#include "start/child_setup.h"
#include "xlchild/exec.h"

/* What the child's three streams become, while the operation is made. */
struct xl_wiring {
    /* for the child: an fd, LIBXL_FD_…, XL_SOURCE_…; -1: inherit */
    int source[3];
    struct xl_child_file files[XL_CHILD_FILES];
    int opens; /* there are files */
    struct xl_forkfd opened[3]; /* to be closed once the child has it */
    struct xl_forkfd ours[3];   /* the parent's end of a pipe */
};

void xl_wiring_init(struct xl_wiring *w);
/* 0, or -1 and errno; xl_wiring_close in either case. */
int xl_wiring_make(struct xl_wiring *w, const libxl_childproc_exec_opts *opts);
/* The spec's map, with our three streams in place of its own. map has room for
 * three more than the spec's; returns how many there are. merged: stderr goes
 * where stdout goes. */
size_t xl_wiring_merge(struct xl_wiring *w, const libxl_childproc_spec *spec,
                       int merged, libxl_childproc_fd *map);
/* Which stream a file is of, as exec.h has it; -1: NULL. */
const char *xl_wiring_name(int file);
/* Closes what has not been taken. */
void xl_wiring_close(struct xl_wiring *w);

#endif
