/* sweep_family.c - failing calls under a family, from its making to its end
 *
 * Proves X5 and F1 call by call, for each hold that is to be had.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "probe.h"
#include "sweep.h"

struct state {
    libxl_ctx *ctx;
    libxl_family_hold hold;
};

static libxl_family_hold holds;

static void *setup(void)
{
    struct state *s = calloc(1, sizeof(*s));

    XT_TRUE(s != NULL);
    s->ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    s->hold = holds;
    return s;
}

static void teardown(void *state)
{
    struct state *s = state;

    XT_OK(libxl_ctx_free(s->ctx));
    free(s);
}

static int new_family(struct state *s, libxl_family_id *ret_id)
{
    libxl_family_opts opts = {.size = sizeof(opts)};

    opts.holds = 1u << s->hold;
    return libxl_family_new(s->ctx, &opts, ret_id);
}

/* Every call is repeated until it works; the first failure is told. */
static int whole_life(struct state *s, libxl_family_id family)
{
    static const char *const argv[] = {XT_HELPERS "/stray", "and", "swept",
                                       NULL};
    libxl_asyncop_how how = {NULL, {.for_event = 5}};
    libxl_childproc_result result;
    libxl_childproc_spec spec;
    libxl_family_state told;
    libxl_childproc_id id;
    libxl_event *event;
    int first = 0, rc;

    spec = xt_spec(argv);
    spec.family = family;
    rc = libxl_childproc_spawn(s->ctx, &spec, NULL, &id, NULL, NULL);
    if (rc != 0)
        return rc;
    while ((rc = libxl_childproc_wait(s->ctx, id, LIBXL_WAIT_FOREVER, 0,
                                      &result)) != 0)
        first = rc;
    while ((rc = libxl_family_when_empty(s->ctx, family, &how)) != 0)
        first = rc;
    while ((rc = libxl_family_signal(s->ctx, family, 0)) != 0 &&
           rc != ERROR_NOTFOUND)
        first = rc;
    while ((rc = libxl_family_end(s->ctx, family, 0, 0)) != 0 &&
           rc != ERROR_NOTFOUND)
        first = rc;
    while ((rc = libxl_family_wait(s->ctx, family, LIBXL_WAIT_FOREVER, 0)) != 0)
        first = rc;
    told.size = sizeof(told);
    XT_OK(libxl_family_look(s->ctx, family, &told));
    XT_EQ_INT(told.empty, 1);
    while ((rc = libxl_event_check(s->ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                   NULL)) != 0)
        first = rc;
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    libxl_event_free(s->ctx, event);
    return first;
}

static int run(void *state)
{
    struct state *s = state;
    libxl_family_id family = 0;
    int rc = new_family(s, &family);

    if (rc != 0) {
        XT_EQ_INT(family, 0);
        return rc;
    }
    rc = whole_life(s, family);
    XT_OK(libxl_family_free(s->ctx, family));
    return rc;
}

static void sweep(libxl_family_hold hold)
{
    static const int also[] = {ERROR_NI, ERROR_SPAWN, ERROR_PERMISSION, 0};
    struct xs_op op = {.name = "family", .setup = setup, .run = run,
                       .teardown = teardown, .also = also, .warm = 1,
                       .spare = "sigaction"};
    libxl_family_id id;
    struct state *s;
    int rc;

    if (hold == LIBXL_HOLD_GROUP) /* /proc has as many as it has */
        op.spare = "sigaction fopen";
    if (hold == LIBXL_HOLD_GROUP && !xp_pidfd_group())
        XT_SKIP("no pidfd names a group here (Linux 6.9)");
    holds = hold;
    s = setup();
    rc = new_family(s, &id);
    teardown(s);
    if (rc == ERROR_NI)
        XT_SKIP("no hold %d here", (int)hold);
    xs_sweep(&op);
}

XT_TEST_SLOW(by_group, "X5 F1", 120)
{
    sweep(LIBXL_HOLD_GROUP);
}

XT_TEST_SLOW(by_keeper, "X5 F1", 120)
{
    sweep(LIBXL_HOLD_KEEPER);
}

XT_TEST_SLOW(by_cgroup, "X5 F1", 120)
{
    sweep(LIBXL_HOLD_CGROUP);
}
