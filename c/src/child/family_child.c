/* family_child.c - the one child that a family is started with
 *
 * Called by spawn.c: before the start, what the family's hold and policy make
 * of the description; then that its child is expected, and is there, or is not.
 * Next: family.c.
 */
#include "child/family.h"

#include <signal.h>

#include "child/exit_watch.h"
#include "child/send.h"
#include "kernel/identity.h"
#include "kernel/numbers.h"

const char *xl_family_shapes(const struct xl_family *family,
                             libxl_childproc_spec *spec)
{
    const unsigned leads =
        LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION | LIBXL_SPAWN_SET_CTTY;
    const unsigned our_child = LIBXL_SPAWN_HOLD_PID | LIBXL_SPAWN_REPORT_STOPS;

    if (family->hold == LIBXL_HOLD_CGROUP) {
        if (spec->cgroup != NULL)
            return "cgroup";
        spec->cgroup = family->cgroup->path;
    } else {
        if (family->hold == LIBXL_HOLD_KEEPER && (spec->flags & our_child))
            return "flags";
        if (spec->flags & LIBXL_SPAWN_JOIN_GROUP)
            return "family";
        if (!(spec->flags & leads))
            spec->flags |= LIBXL_SPAWN_NEW_GROUP;
    }
    if (family->end_when != LIBXL_FAMILY_NEVER)
        spec->kill.scope = xl_family_scope(family);
    return NULL;
}

void xl_family_expects(struct xl_family *family, struct xl_child *child)
{
    family->expects = 1;
    family->child = child;
    child->more->kin = &family->kin;
    child->adopted = family->hold == LIBXL_HOLD_KEEPER;
}

void xl_family_expects_none(struct xl_family *family)
{
    family->expects = 0;
    family->child = NULL;
}

void xl_family_started(libxl_ctx *ctx, struct xl_child *child)
{
    struct xl_family *family =
        xl_container(child->more->kin, struct xl_family, kin);

    family->started = 1;
    family->pid = child->pid;
    if (family->hold == LIBXL_HOLD_KEEPER) {
        (void)xl_family_watch(ctx, family); /* else it is looked at */
        /* no child of ours, it has no number to go by */
        xl_numbers_mark(&child->reg, xl_identity_of_pidfd(child->pidfd));
    }
    /* by its number the rest can be reached before it is reaped, not later */
    if (family->hold == LIBXL_HOLD_GROUP &&
        family->end_when == LIBXL_FAMILY_ALWAYS && family->first_signal == 0)
        (void)xl_send_goes_with(child, LIBXL_KILL_GROUP);
}
