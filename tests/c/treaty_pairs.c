/* treaty_pairs.c - several contexts, each in its own mode
 *
 * Contract line X3: every pair of owners, in both orders. Allowed pairs run
 * children of both at once, and get every status right; refused ones answer
 * ERROR_SIGCHLD_CONFLICT and change nothing. And many contexts in many
 * threads.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

static int reaps_everything(libxl_sigchld_owner owner)
{
    return owner == libxl_sigchld_owner_libxl ||
           owner == libxl_sigchld_owner_libxl_always;
}

static int compatible(libxl_sigchld_owner a, libxl_sigchld_owner b)
{
    return !((a == libxl_sigchld_owner_mainloop && reaps_everything(b)) ||
             (b == libxl_sigchld_owner_mainloop && reaps_everything(a)));
}

static int set(libxl_ctx *ctx, libxl_sigchld_owner owner)
{
    libxl_childproc_hooks hooks = {.chldowner = owner, .size = sizeof(hooks)};

    return libxl_childproc_setmode_checked(ctx, &hooks, NULL);
}

/* For mainloop contexts the host reaps this child and passes it on. */
static void finish(libxl_ctx *ctx, libxl_sigchld_owner owner,
                   libxl_childproc_id id, pid_t pid, struct xh_end end)
{
    libxl_childproc_result r;

    if (owner == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
    r = xt_wait(ctx, id);
    XT_EQ_INT(r.pid, pid);
    XH_ENDED(&r, end);
}

static void children_in_both(libxl_ctx *a, libxl_sigchld_owner owner_a,
                             libxl_ctx *b, libxl_sigchld_owner owner_b)
{
    enum { N = 12 };
    libxl_childproc_id id_a[N], id_b[N];
    pid_t pid_a[N], pid_b[N];
    struct xh_argv words;

    for (int i = 0; i < N; i++) {
        id_a[i] = xt_spawn_argv(a, xh_end_argv(&words, xh_end_of(i * 23)), NULL,
                                &pid_a[i]);
        id_b[i] = xt_spawn_argv(b, xh_end_argv(&words, xh_end_of(i * 23 + 9)),
                                NULL, &pid_b[i]);
    }
    for (int i = 0; i < N; i++) {
        finish(b, owner_b, id_b[i], pid_b[i], xh_end_of(i * 23 + 9));
        finish(a, owner_a, id_a[i], pid_a[i], xh_end_of(i * 23));
    }
    XH_NO_CHILDREN();
}

XT_TEST(every_pair_of_owners, "X3 C1 C2 C3 C4 defect-7")
{
    struct xh_action before = xh_action_get(SIGCHLD), during;
    int allowed = 0, refused = 0;

    for (size_t i = 0; i < N_OWNERS; i++)
        for (size_t k = 0; k < N_OWNERS; k++) {
            libxl_ctx *a = xt_ctx_new(all[i], NULL), *b = NULL;

            xt_note("%s beside %s", libxl_childproc_owner_name(all[k]),
                    libxl_childproc_owner_name(all[i]));
            during = xh_action_get(SIGCHLD);
            XT_OK(libxl_ctx_alloc(&b, LIBXL_VERSION, 0, NULL));
            /* From a mode that goes with all the others. */
            XT_OK(set(b, libxl_sigchld_owner_none));
            if (compatible(all[i], all[k])) {
                XT_OK(set(b, all[k]));
                children_in_both(a, all[i], b, all[k]);
                allowed++;
            } else {
                XT_RC(set(b, all[k]), ERROR_SIGCHLD_CONFLICT);
                XT_EQ_INT(xh_diagnose(b).mode_asked, libxl_sigchld_owner_none);
                XT_EQ_INT(xh_diagnose(a).mode_asked, all[i]);
                if (xp_pidfds())
                    XH_SIGCHLD_IS(&during);
                children_in_both(a, all[i], b, libxl_sigchld_owner_none);
                refused++;
            }
            xt_ctx_free(b);
            xt_ctx_free(a);
            XH_SIGCHLD_IS(&before);
        }
    XT_EQ_INT(refused, 4);
    XT_EQ_INT(allowed, 21);
}

/* A ctx that nobody gave a mode is in the default mode. It is no obstacle
 * while it is idle, but it cannot have children beside a mainloop. */
XT_TEST(an_idle_default_ctx_is_no_obstacle, "X3 C2")
{
    libxl_ctx *idle = NULL, *loop;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;
    libxl_childproc_id id = 0;
    pid_t pid = -1;

    XT_OK(libxl_ctx_alloc(&idle, LIBXL_VERSION, 0, NULL));
    loop = xt_ctx_new(libxl_sigchld_owner_mainloop, NULL);
    XT_RC(libxl_childproc_spawn(idle, &spec, NULL, &id, &pid, &failure),
          ERROR_SIGCHLD_CONFLICT);
    XT_EQ_INT(id, 0);
    XT_EQ_INT(pid, -1);
    XH_NO_CHILDREN();
    xt_ctx_free(loop);
    id = xt_spawn(idle, &spec, NULL, &pid);
    finish(idle, libxl_sigchld_owner_libxl, id, pid, XH_EXIT(0));
    xt_ctx_free(idle);
}

/* ... and while it has children, no mainloop can begin. */
XT_TEST(a_default_ctx_with_children_is_an_obstacle, "X3 C2")
{
    libxl_ctx *busy = NULL, *loop = NULL;
    libxl_childproc_id id;
    pid_t pid;
    int gate;

    XT_OK(libxl_ctx_alloc(&busy, LIBXL_VERSION, 0, NULL));
    XT_OK(libxl_ctx_alloc(&loop, LIBXL_VERSION, 0, NULL));
    id = xh_spawn_held(busy, XH_EXIT(3), NULL, NULL, &gate, &pid);
    XT_RC(set(loop, libxl_sigchld_owner_mainloop), ERROR_SIGCHLD_CONFLICT);
    XT_EQ_INT(xh_diagnose(loop).mode_asked, libxl_sigchld_owner_libxl);
    xt_close(&gate);
    finish(busy, libxl_sigchld_owner_libxl, id, pid, XH_EXIT(3));
    xt_ctx_free(busy);
    XT_OK(set(loop, libxl_sigchld_owner_mainloop));
    xt_ctx_free(loop);
}

/* The conflict ends with the ctx that caused it, or with its mode. */
XT_TEST(a_conflict_ends_with_its_cause, "X3")
{
    libxl_ctx *a = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    libxl_ctx *b = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    XT_RC(set(b, libxl_sigchld_owner_mainloop), ERROR_SIGCHLD_CONFLICT);
    XT_OK(set(a, libxl_sigchld_owner_libxl_always_selective_reap));
    XT_OK(set(b, libxl_sigchld_owner_mainloop));
    XT_RC(set(a, libxl_sigchld_owner_libxl_always), ERROR_SIGCHLD_CONFLICT);
    XT_EQ_INT(xh_diagnose(a).mode_asked,
              libxl_sigchld_owner_libxl_always_selective_reap);
    xt_ctx_free(b);
    XT_OK(set(a, libxl_sigchld_owner_libxl_always));
    xt_ctx_free(a);
}

/* ---- a child of another ctx is no stranger ------------------------------ */

static int count_strangers(pid_t pid, int status, void *user)
{
    (void)pid;
    (void)status;
    ++*(int *)user;
    return 0;
}

/* One ctx reaps everything while others, in every mode that goes with it,
 * have children: it must not take theirs for the host's. */
XT_TEST(the_reaper_of_everything_spares_the_others, "X3 C1 C3 C5 defect-7")
{
    enum { N = 25 };
    int strangers = 0;
    libxl_ctx *reaper = xh_ctx_new(libxl_sigchld_owner_libxl_always, NULL,
                                   count_strangers, &strangers);
    libxl_ctx *other[] = {
        xt_ctx_new(libxl_sigchld_owner_libxl, NULL),
        xt_ctx_new(libxl_sigchld_owner_libxl_always_selective_reap, NULL),
        xt_ctx_new(libxl_sigchld_owner_none, NULL)};
    libxl_childproc_id id[3][N];
    pid_t pid[3][N];
    libxl_event *event;

    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++) {
            struct xh_argv words;

            id[k][i] = xt_spawn_argv(
                other[k], xh_end_argv(&words, xh_end_of(i * 3 + k * 50)), NULL,
                &pid[k][i]);
        }
    xh_fork_exit(0);
    /* Only the reaper is pumped until it has seen the host's child. */
    while (!strangers)
        XT_RC(libxl_event_wait_many(reaper, &event, 1, 0, 5, 0),
              ERROR_TIMEDOUT);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++) {
            libxl_childproc_result r = xt_wait(other[k], id[k][i]);

            XT_EQ_INT(r.pid, pid[k][i]);
            XH_ENDED(&r, xh_end_of(i * 3 + k * 50));
        }
    XT_EQ_INT(strangers, 1);
    for (int k = 0; k < 3; k++)
        xt_ctx_free(other[k]);
    xt_ctx_free(reaper);
}

/* ---- threads ------------------------------------------------------------ */

#define N_THREADS 4
#define EACH 60

struct worker {
    libxl_sigchld_owner owner;
    int number;
};

/* A ctx of its own, created, used and freed over and over, while the others
 * do the same: the handler comes and goes under everybody's feet. */
static void *work(void *arg)
{
    struct worker *w = arg;

    for (int round = 0; round < 3; round++) {
        libxl_ctx *ctx = xt_ctx_new(w->owner, NULL);
        libxl_childproc_id id[EACH];
        pid_t pid[EACH];

        for (int i = 0; i < EACH; i++) {
            struct xh_argv words;
            struct xh_end end = xh_end_of(i * 7 + w->number + round);

            id[i] = xt_spawn_argv(ctx, xh_end_argv(&words, end), NULL, &pid[i]);
            if (i % 10 == 9)
                for (int k = i - 9; k <= i; k++)
                    finish(ctx, w->owner, id[k], pid[k],
                           xh_end_of(k * 7 + w->number + round));
        }
        xt_ctx_free(ctx);
    }
    return NULL;
}

static void in_threads(const libxl_sigchld_owner owner[N_THREADS])
{
    struct xh_action before = xh_action_get(SIGCHLD);
    struct worker w[N_THREADS];
    pthread_t thread[N_THREADS];

    for (int i = 0; i < N_THREADS; i++) {
        w[i].owner = owner[i];
        w[i].number = i;
        XT_EQ_INT(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        XT_EQ_INT(pthread_join(thread[i], NULL), 0);
    XH_SIGCHLD_IS(&before);
    XH_NO_CHILDREN();
}

XT_TEST(threads_each_with_a_default_ctx, "X3 C1 C5 defect-7")
{
    const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl};

    in_threads(owner);
}

XT_TEST(threads_in_all_modes_that_reap_by_themselves, "X3 C1 C3 C4 C5 defect-7")
{
    const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    in_threads(owner);
}

XT_TEST(threads_beside_a_mainloop, "X3 C2 C3 C4 C5")
{
    const libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_mainloop, libxl_sigchld_owner_mainloop,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    in_threads(owner);
}

/* More than the handler has room for at first: each hears of its child. */
XT_TEST(forty_contexts_with_one_handler, "X3 C3 C8")
{
    libxl_ctx *ctx[40];
    libxl_childproc_id id[40];

    for (int i = 0; i < 40; i++) {
        char code[16];

        snprintf(code, sizeof(code), "%d", i);
        ctx[i] = xt_ctx_new(libxl_sigchld_owner_libxl_always_selective_reap,
                            NULL);
        id[i] = xt_spawn_argv(ctx[i], XT_CHILD("exit", code), NULL, NULL);
    }
    for (int i = 39; i >= 0; i--) {
        libxl_childproc_result r = xt_wait(ctx[i], id[i]);

        XT_EXITED(&r, i);
        xt_ctx_free(ctx[i]);
    }
}

/* ---- strangers, and who knows them -------------------------------------- */

struct knower {
    int calls, answer;
    pid_t pid;
    int status;
};

static int know(pid_t pid, int status, void *user)
{
    struct knower *k = user;

    k->calls++;
    k->pid = pid;
    k->status = status;
    return k->answer;
}

struct asking {
    libxl_ctx *ctx;
    struct knower *knower;
};

static int asked(void *user)
{
    struct asking *a = user;

    xh_pump(a->ctx);
    return a->knower->calls > 0;
}

/* The ctx that reaps it does not know it: the next one is asked. */
XT_TEST(a_stranger_is_offered_to_every_ctx, "X3 C1")
{
    struct knower no = {.answer = ERROR_NOT_READY}, yes = {.answer = 0};
    struct xt_log log;
    libxl_ctx *first =
        xh_ctx_new(libxl_sigchld_owner_libxl_always, &log, know, &no);
    libxl_ctx *second =
        xh_ctx_new(libxl_sigchld_owner_libxl_always, NULL, know, &yes);
    pid_t pid;

    pid = xh_fork_exit(9);
    xh_await_zombie(pid);
    XT_EVENTUALLY(asked, (&(struct asking){first, &no}));
    XT_EQ_INT(no.pid, pid);
    XT_EVENTUALLY(asked, (&(struct asking){second, &yes}));
    XT_EQ_INT(yes.pid, pid);
    XT_EQ_INT(WEXITSTATUS(yes.status), 9);
    XT_EQ_INT(xt_log_count(&log, LIBXL_LOG_WARNING, "unknown child"), 0);
    xt_ctx_free(first);
    xt_ctx_free(second);
    xt_log_dispose(&log);
}

struct slow_start {
    int inside[2], go_on[2];
    libxl_ctx *ctx;
    libxl_childproc_id id;
};

static pid_t fork_late(void *user)
{
    struct slow_start *s = user;

    xt_write_all(s->inside[1], "!", 1);
    xt_await_byte(s->go_on[0]);
    return fork();
}

static void *start_slowly(void *user)
{
    struct slow_start *s = user;

    s->id = xt_spawn_argv(s->ctx, XT_CHILD("exit", "2"), NULL, NULL);
    return NULL;
}

/* While a start is under way nobody can say whose a pid is: it is a stranger
 * only when the start has ended and was not it. */
XT_TEST(a_stranger_waits_for_the_starts_under_way, "X3 C1 C5")
{
    struct knower knower = {.answer = 0};
    libxl_childproc_hooks late = {libxl_sigchld_owner_none, fork_late, NULL,
                                  sizeof(late)};
    libxl_ctx *reaper =
        xh_ctx_new(libxl_sigchld_owner_libxl_always, NULL, know, &knower);
    struct slow_start s = {.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL)};
    libxl_childproc_result r;
    pthread_t thread;
    pid_t pid;

    xt_pipe(s.inside);
    xt_pipe(s.go_on);
    XT_OK(libxl_childproc_setmode_checked(s.ctx, &late, &s));
    XT_EQ_INT(pthread_create(&thread, NULL, start_slowly, &s), 0);
    xt_await_byte(s.inside[0]);
    /* By a signal: valgrind gives an exit its own code, for what the fork has
     * cut off from the other thread's stack. */
    pid = xh_fork(XH_SIGNAL(SIGUSR1));
    while (xh_is_zombie(pid) >= 0) /* until it is reaped */
        xh_pump(reaper);
    XT_EQ_INT(knower.calls, 0);
    xt_write_all(s.go_on[1], "!", 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    XT_EVENTUALLY(asked, (&(struct asking){reaper, &knower}));
    XT_EQ_INT(knower.pid, pid);
    XT_EQ_INT(knower.status, SIGUSR1);
    r = xt_wait(s.ctx, s.id);
    XT_EXITED(&r, 2);
    XT_EQ_INT(knower.calls, 1);
    for (int i = 0; i < 2; i++) {
        xt_close(&s.inside[i]);
        xt_close(&s.go_on[i]);
    }
    xt_ctx_free(s.ctx);
    xt_ctx_free(reaper);
}
