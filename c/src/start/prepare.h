/* prepare.h - what the child's half needs, and ending what came to nothing
 *
 * start_shared.c and start_forked.c share this.
 */
#ifndef XL_PREPARE_H
#define XL_PREPARE_H

#include "start/start_request.h"

/* Everything in one block: the plan's arrays and the cgroup's path. */
struct xl_prepared {
    struct xl_child_setup image;
    void *block;
};

/* image.gate_fd and error_fd are set by the caller before. 0, or -1: no
 * memory. p->block is the caller's to free. */
int xl_prepare(const struct xl_start_request *request, struct xl_prepared *p);
/* The child runs: the registry has it from now on. */
void xl_start_runs(struct xl_start_request *request,
                   struct xl_registry_start *registered, pid_t pid, int pidfd);
/* Notes the failure, sets errno, and returns the ERROR_* for it. */
int xl_start_failed(struct xl_start_request *request,
                    libxl_childproc_stage stage, int errnoval);

#endif
