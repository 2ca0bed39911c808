/* child_setup.h - the child's half of a start
 *
 * prepare.c and sigplan.c fill struct xl_child_setup in the parent;
 * xl_child_setup_run turns the child into what was asked and executes the
 * program. In a shared-memory child the failure is written into the struct
 * itself; in a forked child it is also sent through error_fd.
 */
#ifndef XL_CHILD_SETUP_H
#define XL_CHILD_SETUP_H

#include <stdatomic.h>

#include "start/fdplan.h"
#include "kernel/sys.h"

#define XL_PATH_MAX 4096

#define XL_CHILD_FILES 3 /* as many as an operation has streams */

/* A file that the child opens. */
struct xl_child_file {
    const char *path;
    int flags;
};

struct xl_child_setup {
    /* what to execute */
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *search_path; /* NULL: path is used as it is */
    const char *cwd;
    const char *cgroup_procs; /* file to write "0" to; NULL */
    const libxl_childproc_spec *spec;

    /* fds */
    struct xl_fd_plan fds;
    const libxl_childproc_fd *map; /* what it was made of: not the child's */
    size_t nmap;
    int shared_files; /* the fd table is the parent's until we unshare it */
    int no_close_range;
    const struct xl_child_file *files; /* for XL_FD_OPEN */
    int gate_fd;                       /* wait for a byte here first; -1 */
    int error_fd; /* tell failures here; -1. Planned as the hidden fd */

    /* signals */
    xl_sigset reset;  /* dispositions to put back to default */
    xl_sigset ignore; /* and these to ignore, after that */
    xl_sigset final_mask;

    pid_t parent;             /* for the parent-death signal */
    int wake;                 /* whoever waits for under_way, by futex */
    volatile int *own_number; /* where the child writes it first; NULL */

    int tell_fd; /* the child's: where error_fd is now */

    /* out */
    volatile int stage; /* LIBXL_STAGE_NONE unless a step failed */
    volatile int errnoval;
    volatile int file;            /* … and it was this one's open */
    volatile int ran;             /* the child came as far as to say so */
    volatile int unshare_refused; /* errno; nothing was done: start again */
    atomic_int under_way;         /* neither is to be feared any more */
};

/* What goes through error_fd. */
struct xl_child_setup_failure {
    int stage;
    int errnoval;
    int file; /* the one that could not be opened; -1 */
};

/* Runs in the child; does not return. arg is a struct xl_child_setup. */
int xl_child_setup_run(void *arg);

#endif
