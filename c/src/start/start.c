/* start.c - the parent's half of a start: which way, and for how long
 *
 * Called by spawn.c. Two ways: a child that shares memory with the parent
 * (start_shared.c), and fork, for fork_replacement and for kernels that refuse
 * (start_forked.c). Next: child_setup.c in the child, child.c in the parent.
 */
#define _GNU_SOURCE
#include "start/start.h"

#include <errno.h>
#include <sys/stat.h>

#include "kernel/facility.h"
#include "kernel/numbers.h"
#include "kernel/stop_point.h"
#include "kernel/timers.h"
#include "start/sigplan.h"

#define SLICE_MS 100     /* between looks at whether to give up */
#define LAST_WAIT_MS 500 /* for a child that has been given up */

static void begin_forked(struct xl_start *start)
{
    if (start->request.keeper != NULL) { /* which a fork cannot have */
        xl_registry_unreserve();
        start->way = XL_START_NOWHERE;
        start->rc =
            xl_start_failed(&start->request, LIBXL_STAGE_FORK, EOPNOTSUPP);
        return;
    }
    start->rc = xl_start_forked_begin(&start->request, &start->u.forked);
    start->way = start->rc == 0 ? XL_START_FORKED : XL_START_NOWHERE;
}

/* The child may have to be given up, or opens something that may block for
 * ever, or nobody is to sleep for it anyway, and only by a fork can it be made
 * in such a way here. A debugger's stops are no reason to give up. */
static int must_not_sleep(const struct xl_start_request *request)
{
    struct stat st;
    int i;

    if (xl_start_shared_apart(request))
        return 0;
    if (request->nowait ||
        (request->impatient && !xl_sigplan_traced(request->stat_fd)))
        return 1;
    if (!request->opens)
        return 0;
    for (i = 0; i < XL_CHILD_FILES; i++) {
        const char *path = request->files[i].path;

        if (path != NULL &&
            (stat(path, &st) == 0 ? !S_ISREG(st.st_mode) : errno != ENOENT))
            return 1;
    }
    return 0;
}

void xl_start_begin(struct xl_start *start)
{
    struct xl_start_request *request = &start->request;

    request->failed_file = -1;
    if (request->stack == NULL || request->fork_replacement != NULL ||
        must_not_sleep(request) ||
        (request->keeper != NULL && !xl_start_shared_apart(request))) {
        begin_forked(start);
        return;
    }
    start->rc = xl_start_shared_begin(request, &start->u.shared);
    start->way = start->rc == 0 ? XL_START_SHARED : XL_START_NOWHERE;
}

static int await(struct xl_start *start, int ms)
{
    if (start->way == XL_START_FORKED)
        return xl_start_forked_await(&start->u.forked, ms);
    return xl_start_shared_await(&start->request, &start->u.shared, ms);
}

static int end(struct xl_start *start)
{
    if (start->way == XL_START_FORKED)
        return xl_start_forked_end(&start->request, &start->u.forked);
    return xl_start_shared_end(&start->request, &start->u.shared);
}

/* From here on whatever goes wrong is the child's end. */
static int far_enough(const struct xl_start *start)
{
    return start->way == XL_START_FORKED ||
           xl_start_shared_has_its_fds(&start->u.shared);
}

/* Waits until the child has become its program, or failed, or is not waited
 * for any longer. */
static enum {
    HAS,
    HAS_NOT,
    GIVEN_UP
} wait_for(struct xl_start *start, const struct xl_start_limits *limits)
{
    int64_t until = xl_after_ms(limits != NULL ? limits->patience_ms : -1);

    if (start->request.nowait) {
        while (!await(start, 0)) {
            if (far_enough(start))
                return HAS_NOT;
            xl_start_shared_await_fds(&start->u.shared);
        }
        return HAS;
    }
    for (;;) {
        int left = xl_ms_until(until);

        if (await(start, left >= 0 && left < SLICE_MS ? left : SLICE_MS))
            return HAS;
        if (limits == NULL)
            continue;
        if (limits->give_up != NULL && limits->give_up(limits->user) != 0)
            return GIVEN_UP;
        if (until != XL_NEVER && xl_now() >= until && far_enough(start))
            return HAS_NOT;
    }
}

/* Ends the child. ERROR_INTERRUPTED. */
static int abandon(struct xl_start *start)
{
    struct xl_start_request *request = &start->request;
    struct xl_registry_start *registered;
    int64_t until = xl_after_ms(LAST_WAIT_MS);
    pid_t pid;
    int pidfd;

    (void)xl_numbers_kill_starting(request->entry, SIGKILL);
    while (!await(start, SLICE_MS) && xl_now() < until)
        ;
    (void)xl_start_failed(request, LIBXL_STAGE_EXEC, EINTR);
    if (!await(start, 0)) {
        /* it sleeps where not even SIGKILL wakes it */
        (void)end(start);
        start->unsettled = 1;
        return ERROR_INTERRUPTED;
    }
    if (start->way == XL_START_FORKED) {
        registered = &start->u.forked.registered;
        pid = start->u.forked.pid;
        pidfd = start->u.forked.pidfd;
    } else {
        registered = &start->u.shared.registered;
        pid = start->u.shared.pid;
        pidfd = atomic_load(&registered->pidfd);
    }
    if (pid > 1)
        xl_numbers_bury(registered, pid, pidfd);
    xl_registry_start_failed(registered);
    xl_start_release(start);
    errno = EINTR;
    return ERROR_INTERRUPTED;
}

int xl_start_end(struct xl_start *start, const struct xl_start_limits *limits)
{
    struct xl_start_request *request = &start->request;
    int rc;

    for (;;) {
        if (start->way == XL_START_NOWHERE)
            return start->rc;
        switch (wait_for(start, limits)) {
        case GIVEN_UP:
            return abandon(start);
        case HAS_NOT:
            XL_STOP_POINT("start: not waited for");
            rc = end(start);
            start->unsettled = rc == 0; /* it may have failed meanwhile */
            return rc;
        case HAS:
            break;
        }
        rc = end(start);
        if (rc != ERROR_SYSTEM || start->way != XL_START_SHARED ||
            request->keeper != NULL ||
            request->failure.stage != LIBXL_STAGE_FORK ||
            (request->failure.errnoval != ENOSYS &&
             request->failure.errnoval != EPERM))
            return rc;
        /* this kind of clone is refused; fork may not be */
        if (xl_registry_reserve() != 0)
            return xl_start_failed(request, LIBXL_STAGE_PREPARE, ENOMEM);
        xl_facility_refused(LIBXL_FACILITY_VFORK);
        begin_forked(start);
    }
}

int xl_start_settled(struct xl_start *start)
{
    return !start->unsettled || await(start, 0);
}

int xl_start_came_to_nothing(struct xl_start *start)
{
    const struct xl_child_setup *im = &start->u.shared.prepared.image;
    int stage = im->stage;
    int errnoval = im->errnoval;
    int file = im->file;

    if (start->way == XL_START_FORKED) {
        (void)await(start, 0);
        stage = start->u.forked.failure.stage;
        errnoval = start->u.forked.failure.errnoval;
        file = start->u.forked.failure.file;
    }
    if (stage == LIBXL_STAGE_NONE)
        return 0;
    start->request.failed_file = file;
    (void)xl_start_failed(&start->request, (libxl_childproc_stage)stage,
                          errnoval);
    return 1;
}

void xl_start_release(struct xl_start *start)
{
    if (start->way == XL_START_FORKED)
        xl_start_forked_release(&start->u.forked);
    else if (start->way == XL_START_SHARED)
        xl_start_shared_release(&start->u.shared);
}
