/* race_fork.c - a host that forks at any moment, in any thread
 *
 * Contract line C14: no deadlock in parent or child, no descriptor of ours in
 * any program that the host's children execute, and a child that goes on
 * without exec can use the library again. XT_SOAK_SECONDS makes the long case
 * longer (make soak-c-fork).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

/* ---- a child that goes on ----------------------------------------------- */

/* In a forked child: no assertion may end it by way of the harness's checks,
 * so each step has an exit code of its own. */
static int use_library_again(libxl_ctx *inherited, libxl_sigchld_owner owner)
{
    libxl_childproc_hooks hooks = {.chldowner = owner, .size = sizeof(hooks)};
    struct xh_argv words;
    libxl_childproc_spec spec = xt_spec(xh_end_argv(&words, XH_EXIT(29)));
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_ctx *ctx = NULL;
    pid_t pid;

    libxl_postfork_child_noexec(inherited);
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL))
        return 101;
    if (libxl_childproc_setmode_checked(ctx, &hooks, NULL))
        return 102;
    if (libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL))
        return 103;
    if (owner == libxl_sigchld_owner_mainloop) {
        int status;

        if (waitpid(pid, &status, 0) != pid ||
            libxl_childproc_exited(ctx, pid, status))
            return 104;
    }
    if (libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &r))
        return 105;
    if (r.lost || r.status != 29 << 8 || r.pid != pid)
        return 106;
    if (libxl_ctx_free(ctx))
        return 107;
    return 0;
}

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

static void finish(libxl_ctx *ctx, libxl_sigchld_owner owner,
                   libxl_childproc_id id, pid_t pid, int code)
{
    libxl_childproc_result r;

    if (owner == libxl_sigchld_owner_mainloop)
        XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
    r = xt_wait(ctx, id);
    XT_EXITED(&r, code);
}

/* A host's child, to be reaped in whatever mode its ctx is: in a mode that
 * reaps everything the host may only look. */
static int take_stranger(pid_t pid, int status, void *user)
{
    int *told = user;

    told[0] = pid;
    told[1] = status;
    return 0;
}

static int status_of_own(libxl_ctx *ctx, libxl_sigchld_owner owner, pid_t pid,
                         const int *told)
{
    libxl_event *event;

    if (owner != libxl_sigchld_owner_libxl &&
        owner != libxl_sigchld_owner_libxl_always)
        return xh_reap(pid);
    while (told[0] != pid)
        XT_RC(libxl_event_wait_many(ctx, &event, 1, 0, 5, 0), ERROR_TIMEDOUT);
    return told[1];
}

/* Every mode in the parent, every mode in the child. */
XT_TEST_SLOW(a_forked_child_can_use_a_new_ctx, "C14 defect-17", 60)
{
    for (size_t i = 0; i < N_OWNERS; i++)
        for (size_t k = 0; k < N_OWNERS; k++) {
            int told[2] = {0, 0}, gate, status;
            libxl_ctx *ctx =
                xh_ctx_new(all[i], NULL,
                           all[i] == libxl_sigchld_owner_libxl ||
                                   all[i] == libxl_sigchld_owner_libxl_always
                               ? take_stranger
                               : NULL,
                           told);
            libxl_childproc_id id;
            pid_t pid, child;

            XT_SYS(libxl_ctx_fileno(ctx));
            id = xh_spawn_held(ctx, XH_EXIT(4), NULL, NULL, &gate, &pid);
            child = XT_SYS(fork());
            if (!child) {
                close(gate);
                _exit(use_library_again(k % 2 ? ctx : NULL, all[k]));
            }
            status = status_of_own(ctx, all[i], child, told);
            XT_EQ_INT(status, 0);
            xt_close(&gate);
            finish(ctx, all[i], id, pid, 4);
            xt_ctx_free(ctx);
        }
}

/* After postfork: the parent's fds are gone from the child, SIGCHLD is the
 * host's again, the parent's ctx is refused everywhere but in ctx_free. */
static int look_around(libxl_ctx *ctx, libxl_childproc_id id,
                       const struct xh_action *hosts, int before_fd)
{
    struct xh_action now;
    libxl_event *event;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_result r;

    libxl_postfork_child_noexec(ctx);
    now = xh_action_get(SIGCHLD);
    if (!xh_action_equal(&now, hosts))
        return 111;
    for (int fd = before_fd; fd < 200; fd++) {
        char path[64], target[256];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target)) >= 0)
            return 112;
    }
    if (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) !=
        ERROR_INVAL)
        return 113;
    if (libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL) !=
        ERROR_INVAL)
        return 114;
    if (libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS) !=
        ERROR_INVAL)
        return 115;
    if (libxl_childproc_wait(ctx, id, 0, 0, &r) != ERROR_INVAL)
        return 116;
    if (libxl_ctx_fileno(ctx) != ERROR_INVAL ||
        libxl_childproc_count(ctx) != ERROR_INVAL)
        return 117;
    if (libxl_ctx_free(ctx))
        return 118;
    return 0;
}

static void hosts_handler(int signo)
{
    (void)signo;
}

XT_TEST(postfork_leaves_nothing_of_the_parent, "C14 X2 C13")
{
    struct xh_action dfl = xh_action_get(SIGCHLD), hosts;

    hosts = xh_sigchld_install(hosts_handler, SA_RESTART | SA_NODEFER, NULL);
    for (size_t i = 0; i < N_OWNERS; i++) {
        int told[2] = {0, 0}, gate, lowest, fence;
        libxl_childproc_id id;
        libxl_ctx *ctx;
        pid_t pid, child;

        gate = XT_SYS(dup(0));
        lowest = gate;
        xt_close(&gate);
        ctx = xh_ctx_new(all[i], NULL,
                         all[i] == libxl_sigchld_owner_libxl ||
                                 all[i] == libxl_sigchld_owner_libxl_always
                             ? take_stranger
                             : NULL,
                         told);
        XT_SYS(libxl_ctx_fileno(ctx));
        id = xh_spawn_held(ctx, XH_EXIT(4), NULL, NULL, &gate, &pid);
        fence = gate;
        child = XT_SYS(fork());
        if (!child) {
            close(fence);
            _exit(look_around(ctx, id, &hosts, lowest));
        }
        XT_EQ_INT(status_of_own(ctx, all[i], child, told), 0);
        /* The parent is not affected. */
        XT_EQ_INT(libxl_childproc_count(ctx), 1);
        xt_close(&gate);
        finish(ctx, all[i], id, pid, 4);
        xt_ctx_free(ctx);
    }
    xh_action_set(SIGCHLD, &dfl);
}

/* What happens to the parent's children is not the child's business: its end
 * neither kills nor reaps them. */
XT_TEST(the_forked_child_cannot_harm_the_parents_children, "C14 C13 X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(NULL);
    libxl_childproc_id id;
    pid_t pid, child;
    int gate;

    spec.on_free = LIBXL_FREE_KILL;
    id = xh_spawn_held(ctx, XH_EXIT(4), &spec, NULL, &gate, &pid);
    child = XT_SYS(fork());
    if (!child) {
        close(gate);
        /* With and without the call that is due. */
        if (libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS) !=
            ERROR_INVAL)
            _exit(120);
        if (libxl_ctx_free(ctx))
            _exit(121);
        _exit(0);
    }
    XT_EQ_INT(xh_reap(child), 0);
    XT_EQ_INT(xh_is_zombie(pid), 0);
    XT_RC(libxl_childproc_wait(ctx, id, 20, 0, NULL), ERROR_INVAL);
    XT_EQ_INT(libxl_childproc_count(ctx), 1);
    xt_close(&gate);
    finish(ctx, libxl_sigchld_owner_none, id, pid, 4);
    xt_ctx_free(ctx);
}

/* ---- forks without pause ------------------------------------------------ */

static atomic_int stop;
static atomic_long forked, leaked, used;

/* Three kinds of children: one that only ends, one that executes a program
 * which tells what it inherited, and one that uses the library itself. */
static void *fork_all_the_time(void *arg)
{
    int number = *(int *)arg;

    for (long i = number; !atomic_load(&stop); i++) {
        int out[2], status, kind = 0;
        pid_t pid;

        if (i % 8 == 0)
            kind = 1;
        else if (i % 8 == 4 && XH_MALLOC_SURVIVES_FORK)
            kind = 2;
        if (kind == 1)
            xt_pipe(out);
        pid = fork();
        if (!pid) {
            if (kind == 0)
                _exit(0);
            if (kind == 2)
                _exit(use_library_again(NULL, libxl_sigchld_owner_none));
            dup2(out[1], 1);
            execl(xt_child_path(), xt_child_path(), "fds", (char *)NULL);
            _exit(127);
        }
        XT_SYS(pid);
        atomic_fetch_add(&forked, 1);
        if (kind == 1) {
            char *text;
            int lines = 0;

            xt_close(&out[1]);
            text = xt_read_all(out[0], NULL);
            for (char *p = text; *p; p++)
                lines += *p == '\n';
            if (lines != 3) {
                xt_note("inherited:\n%s", text);
                atomic_fetch_add(&leaked, 1);
            }
            free(text);
            xt_close(&out[0]);
        }
        status = xh_reap(pid);
        XT_EQ_INT(status, 0);
        if (kind == 2)
            atomic_fetch_add(&used, 1);
    }
    return NULL;
}

static atomic_long started;

/* An operation needs the end of file of pipes that a fork could hold open. */
static void run_one(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;

    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream = (libxl_stream){.kind = LIBXL_STREAM_BUFFER,
                                       .data = "all of it",
                                       .length = 9};
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.linger = LIBXL_LINGER_EOF;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 0);
    XT_EQ_STR(result.out.data, "all of it");
    libxl_childproc_exec_result_dispose(&result);
}

/* By the kernel's quickest way, and by the host's fork, in turn. */
static void *start_all_the_time(void *arg)
{
    libxl_sigchld_owner owner = *(libxl_sigchld_owner *)arg;

    for (int turn = 0; !atomic_load(&stop); turn++) {
        libxl_ctx *ctx = xt_ctx_forking(owner, turn % 2);

        if (owner != libxl_sigchld_owner_mainloop)
            run_one(ctx);
        for (int round = 0; round < 10 && !atomic_load(&stop); round++) {
            libxl_childproc_id id[8];
            pid_t pid[8];

            for (int i = 0; i < 8; i++) {
                struct xh_argv words;

                id[i] = xt_spawn_argv(ctx, xh_end_argv(&words, XH_EXIT(i)),
                                      NULL, &pid[i]);
            }
            for (int i = 0; i < 8; i++)
                finish(ctx, owner, id[i], pid[i], i);
            atomic_fetch_add(&started, 8);
        }
        xt_ctx_free(ctx);
    }
    return NULL;
}

static int seconds_of_soak(void)
{
    const char *text = getenv("XT_SOAK_SECONDS");
    int n = text ? atoi(text) : 3;

    return n < 1 ? 1 : n;
}

XT_TEST_SLOW(a_host_that_forks_without_pause, "C14 defect-17", 90)
{
    static libxl_sigchld_owner owner[] = {
        libxl_sigchld_owner_none,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_mainloop};
    static int number[] = {0, 1, 2};
    pthread_t forker[3], starter[3];
    long long until = xt_now_ms() + 1000LL * seconds_of_soak();
    long last = -1;

    if (xt_on_valgrind())
        XT_SKIP("valgrind calls lost what the other threads had at the fork");

    for (int i = 0; i < 3; i++) {
        XT_EQ_INT(
            pthread_create(&forker[i], NULL, fork_all_the_time, &number[i]), 0);
        XT_EQ_INT(
            pthread_create(&starter[i], NULL, start_all_the_time, &owner[i]),
            0);
    }
    /* Both sides get on, all the time: watched a second at a time. */
    while (xt_now_ms() < until ||
           (XH_MALLOC_SURVIVES_FORK && atomic_load(&used) < 3)) {
        long long next = xt_now_ms() + 1000 * xt_time_scale();
        struct timespec tenth = {0, 100000000};
        long now;

        while (xt_now_ms() < next) /* SIGCHLD cuts each sleep short */
            nanosleep(&tenth, NULL);
        now = atomic_load(&started) + atomic_load(&forked);
        XT_GT_INT(now, last);
        last = now;
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) {
        XT_EQ_INT(pthread_join(forker[i], NULL), 0);
        XT_EQ_INT(pthread_join(starter[i], NULL), 0);
    }
    xt_note("%ld forks, %ld of them used the library; %ld children started",
            atomic_load(&forked), atomic_load(&used), atomic_load(&started));
    XT_GT_INT(atomic_load(&forked), 100);
    XT_GT_INT(atomic_load(&started), 100);
    if (XH_MALLOC_SURVIVES_FORK)
        XT_GT_INT(atomic_load(&used), 0);
    XT_EQ_INT(atomic_load(&leaked), 0);
    XH_NO_CHILDREN();
}
