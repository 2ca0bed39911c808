/* sweep_ctx.c - failing calls under the ctx, its mode, its loops
 *
 * Proves X1, X5 and O3 call by call; sweep_child.c has the children.
 */
#define _GNU_SOURCE
#include "hostloop.h"
#include "sweep.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

static void quiet_log(void *user, libxl_log_level level, int errnoval,
                      const char *message)
{
    (void)user;
    (void)level;
    (void)errnoval;
    (void)message;
}

static const libxl_logger quiet = {sizeof(quiet), LIBXL_LOG_CRITICAL,
                                   quiet_log, NULL};

/* ---- ctx_alloc ---------------------------------------------------------- */

struct alloc_state {
    libxl_ctx *ctx;
};

static void *alloc_setup(void)
{
    return calloc(1, sizeof(struct alloc_state));
}

static int alloc_run(void *state)
{
    struct alloc_state *s = state;
    int rc;

    s->ctx = (libxl_ctx *)s;
    rc = libxl_ctx_alloc(&s->ctx, LIBXL_VERSION, 0, &quiet);
    if (rc)
        XT_EQ_PTR(s->ctx, NULL);
    return rc;
}

static void alloc_undo(void *state)
{
    struct alloc_state *s = state;

    XT_OK(libxl_ctx_free(s->ctx));
    s->ctx = NULL;
}

XT_TEST(ctx_alloc, "X1")
{
    struct xs_op op = {.name = "ctx_alloc", .setup = alloc_setup,
                       .run = alloc_run, .undo = alloc_undo, .teardown = free,
                       .warm = 1};

    xs_sweep(&op);
}

/* ---- one ctx each ------------------------------------------------------- */

static void *ctx_setup(void)
{
    libxl_ctx *ctx;

    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &quiet));
    return ctx;
}

static void ctx_teardown(void *state)
{
    XT_OK(libxl_ctx_free(state));
}

static int fileno_run(void *state)
{
    int fd = libxl_ctx_fileno(state);

    return fd < 0 ? fd : 0;
}

XT_TEST(ctx_fileno, "X5 O5")
{
    struct xs_op op = {.name = "ctx_fileno", .setup = ctx_setup,
                       .run = fileno_run, .teardown = ctx_teardown};

    xs_sweep(&op);
}

static libxl_sigchld_owner swept_owner;

static int mode_run(void *state)
{
    libxl_childproc_hooks hooks = {swept_owner, NULL, NULL, sizeof(hooks)};

    return libxl_childproc_setmode_checked(state, &hooks, NULL);
}

static void mode_undo(void *state)
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, NULL, NULL,
                                   sizeof(hooks)};

    XT_OK(libxl_childproc_setmode_checked(state, &hooks, NULL));
}

XT_TEST_SLOW(setmode, "X5 C3", 60)
{
    static const int also[] = {ERROR_SIGCHLD_UNAVAILABLE, 0};

    for (int o = libxl_sigchld_owner_libxl_always;
         o <= (int)libxl_sigchld_owner_libxl_always_selective_reap; o++) {
        struct xs_op op = {.name = "setmode", .setup = ctx_setup,
                           .run = mode_run, .undo = mode_undo,
                           .teardown = ctx_teardown, .also = also};

        swept_owner = (libxl_sigchld_owner)o;
        xs_sweep(&op);
    }
}

static int diagnose_run(void *state)
{
    libxl_childproc_diagnosis d = {.size = sizeof(d)};
    char *words = (char *)&d;
    int rc = libxl_childproc_diagnose(state, &d, &words);

    if (rc)
        XT_EQ_PTR(words, &d);
    else
        free(words);
    return rc;
}

XT_TEST(diagnose, "X5")
{
    struct xs_op op = {.name = "diagnose", .setup = ctx_setup,
                       .run = diagnose_run, .teardown = ctx_teardown,
                       .warm = 1};

    xs_sweep(&op);
}

static int evenable_run(void *state)
{
    libxl_evgen_childproc_exit *evgen = (void *)&evgen;
    int rc = libxl_evenable_childproc_exit(state, 0, 1, &evgen);

    if (rc)
        XT_EQ_PTR(evgen, (void *)&evgen);
    else
        libxl_evdisable_childproc_exit(state, evgen);
    return rc;
}

XT_TEST(evenable, "X5 E6")
{
    struct xs_op op = {.name = "evenable", .setup = ctx_setup,
                       .run = evenable_run, .teardown = ctx_teardown,
                       .warm = 1};

    xs_sweep(&op);
}

static int beforepoll_run(void *state)
{
    struct pollfd fds[16];
    struct timeval now;
    int n = 16, timeout = 5;

    gettimeofday(&now, NULL);
    return libxl_osevent_beforepoll(state, &n, fds, &timeout, now);
}

XT_TEST(beforepoll, "X5 O1")
{
    struct xs_op op = {.name = "beforepoll", .setup = ctx_setup,
                       .run = beforepoll_run, .teardown = ctx_teardown};

    xs_sweep(&op);
}

static int wait_run(void *state)
{
    libxl_event *event = NULL;
    int rc = libxl_event_wait_many(state, &event, 1, LIBXL_EVENTMASK_ALL, 5, 0);

    XT_EQ_PTR(event, NULL);
    return rc == ERROR_TIMEDOUT ? 0 : rc;
}

XT_TEST(event_wait, "X5 E2")
{
    struct xs_op op = {.name = "event_wait", .setup = ctx_setup,
                       .run = wait_run, .teardown = ctx_teardown, .warm = 1};

    xs_sweep(&op);
}

static int starters_run(void *state)
{
    return libxl_childproc_set_starters(state, 3);
}

static void starters_undo(void *state)
{
    XT_OK(libxl_childproc_set_starters(state, 0));
}

XT_TEST(set_starters, "X5")
{
    struct xs_op op = {.name = "set_starters", .setup = ctx_setup,
                       .run = starters_run, .undo = starters_undo,
                       .teardown = ctx_teardown, .warm = 1};

    xs_sweep(&op);
}

/* ---- hooks -------------------------------------------------------------- */

struct hooked {
    libxl_ctx *ctx;
    struct hl_loop loop;
};

static void *hooked_setup(void)
{
    struct hooked *h = calloc(1, sizeof(*h));

    XT_TRUE(h != NULL);
    h->ctx = ctx_setup();
    hl_init(&h->loop);
    h->loop.ctx = h->ctx;
    return h;
}

static int hooked_run(void *state)
{
    struct hooked *h = state;
    int rc = libxl_osevent_register_hooks(h->ctx, &hl_hooks, &h->loop);

    if (rc)
        XT_EQ_INT(h->loop.nfds, 0);
    return rc;
}

static void hooked_undo(void *state)
{
    struct hooked *h = state;

    XT_OK(libxl_osevent_register_hooks(h->ctx, NULL, NULL));
}

static void hooked_teardown(void *state)
{
    struct hooked *h = state;

    XT_OK(libxl_ctx_free(h->ctx));
    hl_dispose(&h->loop);
    free(h);
}

XT_TEST(register_hooks, "X5 O3")
{
    struct xs_op op = {.name = "register_hooks", .setup = hooked_setup,
                       .run = hooked_run, .undo = hooked_undo,
                       .teardown = hooked_teardown, .needs_nothing = 1};

    xs_sweep(&op);
}
