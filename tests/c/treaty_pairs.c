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

/* ---- a child of another ctx is no stranger ------------------------------- */

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

/* ---- threads ------------------------------------------------------------- */

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
