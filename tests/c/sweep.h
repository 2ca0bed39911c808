/* sweep.h - makes the Nth call of each kind fail, for every N that is reached
 *
 * An operation is tried once a call that it makes through xl_sys
 * (c/src/kernel/sys.h), each time in a forked process of its own. A try that
 * fails must have a documented code, leave outputs, fds, masks, dispositions,
 * children and registrations as they were, and work when it is repeated.
 */
#ifndef XT_SWEEP_H
#define XT_SWEEP_H

#include "fixture.h"

struct xs_op {
    const char *name;
    /* Makes what the operation needs; its result goes to the others. */
    void *(*setup)(void);
    /* The operation: 0, or the library's code, with outputs untouched (which
     * it asserts itself). */
    int (*run)(void *state);
    /* Undoes a successful run, as far as the next run needs it; or NULL. */
    void (*undo)(void *state);
    void (*teardown)(void *state);
    /* Codes besides ERROR_NOMEM and ERROR_SYSTEM that may come, 0-ended. */
    const int *also;
    /* Caches are filled by one successful run before the try, so that even
     * fds must be the same right after a failure. */
    int warm;
    /* The run itself says from when on calls fail (xs_arm_now). */
    int late;
    /* Kinds that do not fail here, with spaces between: after them nothing
     * could be as before. */
    const char *spare;
    /* It may turn out that the operation makes no call that can fail. */
    int needs_nothing;
};

/* See xs_op.late. */
void xs_arm_now(void);

/* Sweeps over all kinds of calls. */
void xs_sweep(const struct xs_op *op);

/* From now on every call that gets memory or an fd fails, until nothing is
 * asked for: for what must not need any. */
void xs_starve(void);
void xs_feed(void);

/* How many calls of the table went through since xs_watch, and how many of
 * them in another process than this one. */
void xs_watch(void);
int xs_calls(void);
int xs_foreign_calls(void);

#endif
