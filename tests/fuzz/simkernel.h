/* simkernel.h - a simulated kernel, as far as children are concerned
 *
 * Stands behind the seam of c/src/sys.h: processes that are only rows of a
 * table, with pidfds that are pipes (readable at the end, hung up once
 * reaped). It aborts when the library reaps or signals what it must not.
 * Used by sequence.c and spec.c. Everything else of the seam stays real.
 */
#ifndef FZ_SIMKERNEL_H
#define FZ_SIMKERNEL_H

#include <sys/types.h>

#include "image.h"

#define SIM_PROCESSES 48

enum sim_reaper { SIM_UNREAPED, SIM_LIBRARY, SIM_HOST };

struct sim_process {
    pid_t pid; /* beyond every real one */
    int alive;
    int status;
    enum sim_reaper reaped;
    int failed_start; /* the library may always reap it */
    int pidfd;        /* the number that was given out; -1 */
    int ending;       /* the pipe's other end; -1 */
    int kept;         /* a copy: the library may have closed its own */
};

struct sim {
    struct sim_process process[SIM_PROCESSES];
    int n;
    int exit_info; /* the kernel remembers how reaped ones ended */
    /* what the library may do now */
    int may_wait_any;
    int may_reap;
    /* the next start */
    int clone_errno;                            /* 0: works */
    int exec_errno;                             /* 0: works */
    void (*look)(const struct xl_image *image); /* at each start; or NULL */
};
extern struct sim sim;

/* A logger for the contexts of a simulated world. */
extern const libxl_logger sim_silent;

void sim_begin(void); /* an empty table; the seam is ours from here */
void sim_end(void);   /* the seam is the real one again */

void sim_exit(struct sim_process *process, int status); /* and SIGCHLD */
void sim_host_reaps(struct sim_process *process);

#endif
