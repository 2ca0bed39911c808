/* events_queue.c - events: masks, predicates, order, hooks
 *
 * Proves E1, E3, E4 and E5 on one thread; events_threads.c has E2 and
 * events_evenable.c has E6.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

XT_TEST(check_says_not_ready, "E1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_event *event = (libxl_event *)&ctx;

    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_EQ_PTR(event, &ctx);
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 0, 0),
          ERROR_TIMEDOUT);
    XT_EQ_PTR(event, &ctx);
    XT_RC(libxl_event_check(ctx, NULL, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_event_wait_many(ctx, &event, 0, LIBXL_EVENTMASK_ALL, 0, 0),
          ERROR_INVAL);
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 0, 64),
          ERROR_INVAL);
    XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, -2, 0),
          ERROR_INVAL);
    xt_ctx_free(ctx);
}

static int is_user(const libxl_event *event, void *user)
{
    return event->for_user == *(libxl_ev_user *)user;
}

XT_TEST(mask_and_predicate_both_filter, "E1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    uint64_t exits = LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    libxl_childproc_report one = xt_by_event(1), two = xt_by_event(2);
    libxl_ev_user wanted = 2, absent = 3;
    libxl_event *event = NULL;

    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &one, NULL);
    xt_spawn_argv(ctx, XT_CHILD("exit", "2"), &two, NULL);
    xt_pump_until_childless(ctx);
    XT_RC(libxl_event_check(ctx, &event, ~exits, NULL, NULL), ERROR_NOT_READY);
    XT_RC(libxl_event_check(ctx, &event, ~exits, is_user, &wanted),
          ERROR_NOT_READY);
    XT_RC(libxl_event_check(ctx, &event, exits, is_user, &absent),
          ERROR_NOT_READY);
    XT_OK(libxl_event_check(ctx, &event, exits, is_user, &wanted));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
    XT_EQ_INT(event->for_user, 2);
    XT_EXITED(&event->u.childproc_exit, 2);
    libxl_event_free(ctx, event);
    XT_RC(libxl_event_check(ctx, &event, exits, is_user, &wanted),
          ERROR_NOT_READY);
    XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->for_user, 1);
    XT_EXITED(&event->u.childproc_exit, 1);
    libxl_event_free(ctx, event);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    xt_ctx_free(ctx);
}

#define MANY 200

/* Every event once, with the status of its own child. */
XT_TEST(each_event_once, "E1 C5 C6 C8")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_libxl_always_selective_reap};

    for (int o = 0; o < 3; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        pid_t pid[MANY];
        int seen[MANY] = {0};
        libxl_event *event;

        for (int i = 0; i < MANY; i++) {
            libxl_childproc_report report = xt_by_event(i);
            char code[8];

            snprintf(code, sizeof(code), "%d", i);
            xt_spawn_argv(ctx, XT_CHILD("exit", code), &report, &pid[i]);
        }
        for (int i = 0; i < MANY; i++) {
            XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                   NULL));
            XT_LT_INT(event->for_user, MANY);
            XT_EQ_INT(seen[event->for_user]++, 0);
            XT_EQ_INT(event->u.childproc_exit.pid, pid[event->for_user]);
            XT_EXITED(&event->u.childproc_exit, (int)event->for_user);
            libxl_event_free(ctx, event);
        }
        XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_NOT_READY);
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xt_ctx_free(ctx);
    }
}

XT_TEST(wait_many_takes_up_to_max, "E1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_event *events[64];
    uint64_t seen = 0;
    int total = 0;

    for (int i = 0; i < 50; i++) {
        libxl_childproc_report report = xt_by_event(i);

        xt_spawn_argv(ctx, (const char *const[]){xt_tiny_path(), NULL},
                      &report, NULL);
    }
    xt_pump_until_childless(ctx);
    while (total < 50) {
        int n = libxl_event_wait_many(ctx, events, total ? 64 : 7,
                                      LIBXL_EVENTMASK_ALL, -1, 0);

        XT_GE_INT(n, 1);
        XT_LE_INT(n, total ? 43 : 7);
        for (int i = 0; i < n; i++) {
            XT_EQ_INT(seen >> events[i]->for_user & 1, 0);
            seen |= UINT64_C(1) << events[i]->for_user;
            libxl_event_free(ctx, events[i]);
        }
        total += n;
    }
    XT_EQ_INT(total, 50);
    XT_EQ_INT(libxl_event_wait_many(ctx, events, 64, LIBXL_EVENTMASK_ALL, 0, 0),
              ERROR_TIMEDOUT);
    xt_ctx_free(ctx);
}

struct queue {
    libxl_ctx *ctx;
    libxl_event_type wanted;
    int seen;
};

static int see(const libxl_event *event, void *user)
{
    struct queue *q = user;

    q->seen |= event->type == q->wanted;
    return 0; /* it stays */
}

static int queued(void *user)
{
    struct queue *q = user;
    libxl_event *event;

    XT_RC(libxl_event_check(q->ctx, &event, LIBXL_EVENTMASK_ALL, see, q),
          ERROR_NOT_READY);
    return q->seen;
}

static void take_next(libxl_ctx *ctx, libxl_event_type type)
{
    libxl_event *event;

    XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, type);
    libxl_event_free(ctx, event);
}

/* Stopped, continued, killed: they come in the order in which they happened,
 * though nobody took one before the last. */
XT_TEST(order_of_one_child, "E1")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_report report = xt_by_event(1);
    static const int signals[] = {SIGSTOP, SIGCONT, SIGKILL};
    static const libxl_event_type types[] = {
        LIBXL_EVENT_TYPE_CHILDPROC_STOPPED,
        LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED, LIBXL_EVENT_TYPE_CHILDPROC_EXIT};
    libxl_childproc_id id;

    spec.flags |= LIBXL_SPAWN_REPORT_STOPS;
    id = xt_spawn(ctx, &spec, &report, NULL);
    for (int i = 0; i < 3; i++) {
        struct queue q = {ctx, types[i], 0};

        XT_OK(libxl_childproc_kill(ctx, id, signals[i], LIBXL_KILL_PROCESS));
        XT_EVENTUALLY(queued, &q);
    }
    for (int i = 0; i < 3; i++)
        take_next(ctx, types[i]);
    xt_ctx_free(ctx);
}

/* ---- hooks -------------------------------------------------------------- */

struct hooked {
    libxl_ctx *ctx;
    int occurred;
    libxl_ev_user last;
    pthread_t thread;
    int start_more; /* children to start from inside the hook */
    int disasters;
    int disaster_errno;
    libxl_event_type disaster_type;
};

static void occurs(void *user, libxl_event *event)
{
    struct hooked *h = user;

    h->occurred++;
    h->last = event->for_user;
    h->thread = pthread_self();
    libxl_event_free(h->ctx, event);
    if (h->start_more > 0) {
        libxl_childproc_report report = xt_by_event(100 + h->start_more);
        libxl_event *none;

        h->start_more--;
        xt_spawn_argv(h->ctx, XT_CHILD("exit", "0"), &report, NULL);
        XT_RC(libxl_event_check(h->ctx, &none, 0, NULL, NULL),
              ERROR_NOT_READY);
    }
}

static void disaster(void *user, libxl_event_type type, const char *msg,
                     int errnoval)
{
    struct hooked *h = user;

    XT_NOTE("disaster: %s", msg);
    h->disasters++;
    h->disaster_errno = errnoval;
    h->disaster_type = type;
}

static void hook(struct hooked *h, libxl_ctx *ctx, uint64_t mask)
{
    libxl_event_hooks hooks = {mask, occurs, disaster, sizeof(hooks)};

    memset(h, 0, sizeof(*h));
    h->ctx = ctx;
    XT_OK(libxl_event_register_callbacks(ctx, &hooks, h));
}

XT_TEST(masked_events_go_to_the_hook, "E3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("stop", "exit", "6"));
    libxl_childproc_report report = xt_by_event(7);
    libxl_childproc_id id;
    struct hooked h;
    libxl_event *event;

    hook(&h, ctx, LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_CHILDPROC_EXIT));
    spec.flags |= LIBXL_SPAWN_REPORT_STOPS;
    id = xt_spawn(ctx, &spec, &report, NULL);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_STOPPED);
    libxl_event_free(ctx, event);
    XT_EQ_INT(h.occurred, 0);
    XT_OK(libxl_childproc_kill(ctx, id, SIGCONT, LIBXL_KILL_PROCESS));
    xt_pump_until_childless(ctx);
    while (!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL)) {
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED);
        libxl_event_free(ctx, event);
    }
    XT_EQ_INT(h.occurred, 1);
    XT_EQ_INT(h.last, 7);
    XT_TRUE(pthread_equal(h.thread, pthread_self()));
    xt_ctx_free(ctx);
}

/* Queued events stay queued when the mask changes. */
XT_TEST(rerouting_leaves_the_queue, "E3")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = xt_by_event(1);
    struct hooked h;
    libxl_event *event;
    libxl_event_hooks bad = {1, NULL, NULL, sizeof(bad)};

    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
    xt_pump_until_childless(ctx);
    hook(&h, ctx, LIBXL_EVENTMASK_ALL);
    XT_RC(libxl_event_register_callbacks(ctx, &bad, NULL), ERROR_INVAL);
    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
    xt_pump_until_childless(ctx);
    XT_EQ_INT(h.occurred, 1); /* the refused call changed nothing */
    XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    libxl_event_free(ctx, event);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    XT_OK(libxl_event_register_callbacks(ctx, NULL, NULL));
    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
    xt_pump_until_childless(ctx);
    XT_EQ_INT(h.occurred, 1);
    XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    libxl_event_free(ctx, event);
    xt_ctx_free(ctx);
}

XT_TEST(hooks_may_reenter, "E4 C5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_report report = xt_by_event(1);
    struct hooked h;

    hook(&h, ctx, LIBXL_EVENTMASK_ALL);
    h.start_more = 5;
    xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
    xt_pump_until_childless(ctx);
    XT_EQ_INT(h.occurred, 6);
    xt_ctx_free(ctx);
}

/* The child's callback may start, kill and ask for children; its own is
 * forgotten already. */
struct chain {
    int left, calls;
};

static void start_next(libxl_ctx *ctx, const libxl_childproc_result *result,
                       void *user)
{
    struct chain *c = user;
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, start_next,
                                     {.for_callback = c}};
    libxl_childproc_id id = 0, found = 0;
    pid_t pid;

    c->calls++;
    XT_RC(libxl_childproc_kill(ctx, result->id, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    XT_RC(libxl_childproc_detach(ctx, result->id), ERROR_NOTFOUND);
    XT_RC(libxl_childproc_lookup(ctx, result->pid, &found), ERROR_NOTFOUND);
    if (!c->left--)
        return;
    id = xt_spawn_argv(ctx, XT_CHILD("pause"), &report, &pid);
    XT_OK(libxl_childproc_lookup(ctx, pid, &found));
    XT_EQ_INT(found, id);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
}

XT_TEST(callbacks_may_do_anything, "E4 C5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct chain c = {10, 0};
    libxl_childproc_report report = {LIBXL_REPORT_CALLBACK, start_next,
                                     {.for_callback = &c}};

    xt_spawn_argv(ctx, XT_CHILD("exit", "0"), &report, NULL);
    xt_pump_until_childless(ctx);
    XT_EQ_INT(c.calls, 11);
    xt_ctx_free(ctx);
}

/* ---- disasters ---------------------------------------------------------- */

static int answer_nonsense(pid_t pid, int status, void *user)
{
    int *calls = user;

    (void)pid;
    (void)status;
    ++*calls;
    return ERROR_FAIL;
}

/* A stranger is reaped, and the callback answers what it must not. */
static void make_disaster(libxl_ctx *ctx, const int *calls)
{
    libxl_childproc_id id;
    libxl_childproc_result r;
    pid_t pid;

    id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
    pid = fork();
    XT_SYS(pid);
    if (!pid)
        _exit(3);
    while (!*calls)
        XT_RC(libxl_childproc_wait(ctx, id, 10, 0, &r), ERROR_TIMEDOUT);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
}

static libxl_ctx *nonsense_ctx(struct xt_log *log, int *calls)
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_libxl, NULL,
                                   answer_nonsense, sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, log);

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, calls));
    return ctx;
}

XT_TEST(disaster_reaches_the_hook, "E4 E5 C1")
{
    struct xt_log log;
    struct hooked h;
    int calls = 0;
    libxl_ctx *ctx = nonsense_ctx(&log, &calls);

    hook(&h, ctx, 0);
    make_disaster(ctx, &calls);
    XT_EQ_INT(calls, 1);
    XT_EQ_INT(h.disasters, 1);
    XT_EQ_INT(libxl_ctx_disaster_latched(ctx), 0);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

XT_TEST(disaster_without_hook_is_latched, "E5")
{
    struct xt_log log;
    int calls = 0;
    libxl_ctx *ctx = nonsense_ctx(&log, &calls);
    libxl_childproc_result r;

    XT_EQ_INT(libxl_ctx_disaster_latched(ctx), 0);
    make_disaster(ctx, &calls);
    XT_LT_INT(libxl_ctx_disaster_latched(ctx), 0);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_CRITICAL, NULL), 1);
    /* and the library keeps running */
    r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "4"), NULL, NULL));
    XT_EXITED(&r, 4);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}

/* disaster must not re-enter: the call is refused, and nothing hangs. */
static void reentering_disaster(void *user, libxl_event_type type,
                                const char *msg, int errnoval)
{
    struct hooked *h = user;
    libxl_event *event;

    (void)type;
    (void)msg;
    (void)errnoval;
    h->disasters++;
    XT_RC(libxl_event_check(h->ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_INVAL);
}

XT_TEST(disaster_may_not_reenter, "E4 X5")
{
    struct xt_log log;
    int calls = 0;
    libxl_ctx *ctx = nonsense_ctx(&log, &calls);
    struct hooked h = {.ctx = ctx};
    libxl_event_hooks hooks = {0, NULL, reentering_disaster, sizeof(hooks)};

    XT_OK(libxl_event_register_callbacks(ctx, &hooks, &h));
    make_disaster(ctx, &calls);
    XT_EQ_INT(h.disasters, 1);
    xt_ctx_free(ctx);
    xt_log_dispose(&log);
}
