/* fdtable.h - a simulated fd table, and what a fd map should make of it
 *
 * The naive model that fdplan.c and spec.c hold plans of c/src/start/fdplan.c
 * against: the plan is carried out on the table, exec closes what is
 * close-on-exec, and every fd must be what the map says.
 */
#ifndef FZ_FDTABLE_H
#define FZ_FDTABLE_H

#include "start/fdplan.h"

#define FZ_TABLE 128
#define FZ_CLOSED 0
#define FZ_NULL_FILE 1000
#define FZ_OPENED_FILE 1001 /* and those after it: by their numbers */

struct fz_slot {
    int file; /* FZ_CLOSED, FZ_NULL_FILE, FZ_OPENED_FILE + number, or the
                 parent's fd + 1 */
    int cloexec;
};

struct fz_trial {
    struct fz_slot parent[FZ_TABLE];
    const libxl_childproc_fd *map;
    size_t n;
    int hidden; /* -1: none */
    int keep_others;
};

/* Aborts unless the plan does what the trial asks. */
void fz_check_plan(const struct fz_trial *trial, const struct xl_fd_plan *plan);

#endif
