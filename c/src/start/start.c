/* start.c - the parent's half of a start: which way
 *
 * Called by spawn.c. Two ways: a child that shares memory with the parent
 * (start_shared.c), and fork, for fork_replacement and for kernels that refuse
 * (start_forked.c). Next: child_setup.c in the child, child.c in the parent.
 */
#define _GNU_SOURCE
#include "start/start.h"

#include <errno.h>

#include "kernel/facility.h"
#include "start/start_forked.h"

void xl_start_begin(struct xl_start *start)
{
    struct xl_start_request *request = &start->request;

    if (request->stack == NULL || request->fork_replacement != NULL) {
        start->rc = xl_start_forked(request);
    } else {
        start->rc = xl_start_shared_begin(request, &start->shared);
        start->halfway = start->rc == 0;
    }
}

int xl_start_end(struct xl_start *start)
{
    struct xl_start_request *request = &start->request;
    int rc;

    if (!start->halfway)
        return start->rc;
    rc = xl_start_shared_end(request, &start->shared);
    if (rc == ERROR_SYSTEM && request->failure.stage == LIBXL_STAGE_FORK &&
        (request->failure.errnoval == ENOSYS ||
         request->failure.errnoval == EPERM)) {
        /* this kind of clone is refused; fork may not be */
        if (xl_registry_reserve() != 0)
            return xl_start_failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
        xl_facility_refused(LIBXL_FACILITY_VFORK);
        rc = xl_start_forked(request);
    }
    return rc;
}
