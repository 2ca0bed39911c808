/* fork_noexec.c - the host forks, with and without exec, at any moment
 *
 * Proves C14: a child that goes on without exec cannot disturb the parent and
 * can use a ctx of its own; forks in other threads never deadlock.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap,
    libxl_sigchld_owner_none,
};

static int end_of(pid_t pid)
{
    int status;
    pid_t r;

    do
        r = waitpid(pid, &status, 0);
    while (r < 0 && errno == EINTR);
    XT_EQ_INT(r, pid);
    XT_EQ_INT(status, 0);
    return status;
}

static void use_new_ctx(void)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;

    for (int i = 0; i < 5; i++) {
        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "6"), NULL, NULL));
        XT_EXITED(&r, 6);
    }
    xt_ctx_free(ctx);
}

/* On the ctx of the parent everything is refused. */
static void parent_ctx_is_dead(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_result r;
    libxl_event *event;

    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, NULL),
          ERROR_INVAL);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_INVAL);
    XT_RC(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS),
          ERROR_INVAL);
    XT_RC(libxl_childproc_detach(ctx, id), ERROR_INVAL);
    XT_RC(libxl_childproc_count(ctx), ERROR_INVAL);
    XT_RC(libxl_ctx_fileno(ctx), ERROR_INVAL);
    XT_RC(libxl_childproc_setmode_checked(ctx, NULL, NULL), ERROR_INVAL);
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    XT_TRUE(d != NULL);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

XT_TEST(a_child_without_exec, "C14")
{
    for (int o = 0; o < 4; o++) {
        int fds_before = count_fds();
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("hold", "exit", "4"));
        libxl_childproc_result r;
        libxl_childproc_id id;
        libxl_childproc_fd fd;
        pid_t pid, child;
        int gate[2];

        xt_pipe(gate);
        fd = (libxl_childproc_fd){0, gate[0]};
        spec.fds = &fd;
        spec.nfds = 1;
        libxl_ctx_fileno(ctx);
        id = xt_spawn(ctx, &spec, NULL, &child);
        pid = fork();
        XT_SYS(pid);
        if (!pid) {
            struct sigaction now;

            libxl_postfork_child_noexec(ctx);
            /* the host's disposition, none of our fds */
            XT_SYS(sigaction(SIGCHLD, NULL, &now));
            XT_TRUE(now.sa_handler == SIG_DFL);
            XT_EQ_INT(count_fds(), fds_before + 2); /* the gate */
            parent_ctx_is_dead(ctx, id);
            use_new_ctx();
            XT_OK(libxl_ctx_free(ctx));
            use_new_ctx();
            XT_SYS(kill(child, 0)); /* unharmed */
            _exit(0);
        }
        if (owners[o] == libxl_sigchld_owner_libxl ||
            owners[o] == libxl_sigchld_owner_libxl_always) {
            /* These reap every child; the host asks differently. */
            while (!kill(pid, 0))
                XT_RC(libxl_childproc_wait(ctx, id, 5, 0, &r),
                      ERROR_TIMEDOUT);
        } else {
            end_of(pid);
        }
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        r = xt_wait(ctx, id);
        XT_EXITED(&r, 4);
        xt_ctx_free(ctx);
    }
}

/* Without the call, and freeing only. */
XT_TEST(a_child_that_only_frees, "C14 X2")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_id id = xt_spawn_argv(ctx, XT_CHILD("pause"), NULL, NULL);
    libxl_childproc_result r;
    pid_t pid = fork();

    XT_SYS(pid);
    if (!pid) {
        parent_ctx_is_dead(ctx, id);
        XT_OK(libxl_ctx_free(ctx));
        use_new_ctx();
        _exit(0);
    }
    end_of(pid);
    XT_RC(libxl_childproc_wait(ctx, id, 0, 0, &r), ERROR_TIMEDOUT);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_ctx_free(ctx);
}

/* The numbers of the parent's are free in the child, and a ctx of its own may
 * have them by the time that the parent's is given up. */
static void gives_it_up_late(libxl_ctx *ctx, int how)
{
    libxl_ctx *own = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "5"));
    libxl_childproc_id id, kept;
    libxl_childproc_result r;
    pid_t pid;
    int before;

    spec.flags |= LIBXL_SPAWN_HOLD_PID;
    kept = xt_spawn(own, &spec, NULL, NULL);
    id = xt_spawn_argv(own, XT_CHILD("exit", "6"), NULL, &pid);
    libxl_ctx_fileno(own);
    before = count_fds();
    if (how != 1)
        libxl_postfork_child_noexec(ctx);
    if (how != 0)
        xt_ctx_free(ctx);
    XT_EQ_INT(count_fds(), before);
    r = xt_wait(own, id);
    XT_EXITED(&r, 6);
    r = xt_wait(own, kept);
    XT_EXITED(&r, 5);
    if (how == 0)
        xt_ctx_free(ctx);
    xt_ctx_free(own);
}

XT_TEST(a_child_that_gives_up_the_parents_late, "C14 C26")
{
    for (int how = 0; how < 3; how++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "4"));
        libxl_childproc_id id[6];
        int gate;
        pid_t pid;

        /* live, and ended: held, lingering, each with a pidfd */
        id[0] = xh_spawn_held(ctx, XH_EXIT(3), NULL, NULL, &gate, NULL);
        spec.flags |= LIBXL_SPAWN_HOLD_PID;
        for (int k = 1; k < 6; k++) {
            id[k] = xt_spawn(ctx, &spec, NULL, &pid);
            xh_await_zombie(pid);
        }
        xh_pump(ctx);
        XT_OK(libxl_childproc_linger(ctx, id[5]));
        libxl_ctx_fileno(ctx);
        pid = fork();
        XT_SYS(pid);
        if (!pid) {
            gives_it_up_late(ctx, how);
            _exit(0);
        }
        end_of(pid);
        xt_close(&gate);
        for (int k = 0; k < 5; k++)
            xt_wait(ctx, id[k]);
        xt_ctx_free(ctx);
    }
}


/* A child that neither tells nor frees shares nothing that could be drained
 * or closed to the parent's harm. */
XT_TEST(a_child_that_just_lives, "C14")
{
    for (int o = 0; o < 4; o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {1}};
        libxl_event *event;
        int gate[2];
        pid_t pid;

        xt_pipe(gate);
        libxl_ctx_fileno(ctx);
        xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
        pid = fork();
        XT_SYS(pid);
        if (!pid) {
            char c;

            close(gate[1]);
            /* SIGCHLD of its own children, handler still ours */
            for (int i = 0; i < 3; i++) {
                pid_t own = fork();

                if (!own)
                    _exit(0);
                while (waitpid(own, NULL, 0) < 0 && errno == EINTR)
                    ;
            }
            while (read(gate[0], &c, 1) < 0 && errno == EINTR)
                ;
            _exit(0);
        }
        for (int i = 0; i < 20; i++)
            xt_spawn_argv(ctx, XT_CHILD("exit", "1"), &report, NULL);
        for (int i = 0; i < 21; i++) {
            XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                   NULL));
            XT_EXITED(&event->u.childproc_exit, 1);
            libxl_event_free(ctx, event);
        }
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        if (owners[o] == libxl_sigchld_owner_libxl_always) {
            while (!kill(pid, 0))
                XT_RC(libxl_event_wait_many(ctx, &event, 1,
                                            LIBXL_EVENTMASK_ALL, 5, 0),
                      ERROR_TIMEDOUT);
        } else {
            end_of(pid);
        }
        xt_ctx_free(ctx);
    }
}

/* A signal in such a child, before it has said a word, is no work for the
 * parent's ctx. */
XT_TEST(a_signal_in_a_child_wakes_no_parent, "C14 O5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    struct pollfd p = {libxl_ctx_fileno(ctx), POLLIN, 0};
    int told[2], go_on[2];
    libxl_event *event;
    pid_t pid;

    xt_pipe(told);
    xt_pipe(go_on);
    while (poll(&p, 1, 0) == 1) /* what there was at the start */
        XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_NOT_READY);
    pid = fork();
    XT_SYS(pid);
    if (!pid) {
        raise(SIGCHLD);
        xt_write_all(told[1], "!", 1);
        xt_await_byte(go_on[0]);
        _exit(0);
    }
    xt_await_byte(told[0]);
    XT_EQ_INT(poll(&p, 1, 0), 0);
    xt_write_all(go_on[1], "!", 1);
    while (!kill(pid, 0)) /* the ctx reaps it */
        XT_RC(libxl_event_wait_many(ctx, &event, 1, LIBXL_EVENTMASK_ALL, 5, 0),
              ERROR_TIMEDOUT);
    for (int i = 0; i < 2; i++) {
        xt_close(&told[i]);
        xt_close(&go_on[i]);
    }
    xt_ctx_free(ctx);
}

/* Starter threads are made again in a child's own ctx. */
XT_TEST(starters_after_a_fork, "C14")
{
    libxl_ctx *ctx;
    pid_t pid;

#ifdef __SANITIZE_THREAD__
    XT_SKIP("TSan starts no threads in the forked child of a threaded program");
#endif
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    XT_OK(libxl_childproc_set_starters(ctx, 2));
    for (int round = 0; round < 2; round++) {
        pid = fork();
        XT_SYS(pid);
        if (!pid) {
            libxl_ctx *own;
            libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
            libxl_childproc_batch_entry e[10];

            libxl_postfork_child_noexec(ctx);
            own = xt_ctx_new(libxl_sigchld_owner_none, NULL);
            XT_OK(libxl_childproc_set_starters(own, 2));
            memset(e, 0, sizeof(e));
            for (int i = 0; i < 10; i++)
                e[i].spec = &spec;
            XT_EQ_INT(libxl_childproc_spawn_many(own, e, 10), 10);
            for (int i = 0; i < 10; i++) {
                libxl_childproc_result r = xt_wait(own, e[i].id);

                XT_EXITED(&r, 3);
            }
            xt_ctx_free(own);
            XT_OK(libxl_ctx_free(ctx));
            _exit(0);
        }
        end_of(pid);
    }
    xt_ctx_free(ctx);
}

/* ---- forks in other threads --------------------------------------------- */

struct forking {
    atomic_int stop;
    atomic_int forks;
};

/* The child finds only fds of the host's, close-on-exec ones closed. */
static void *fork_and_look(void *user)
{
    struct forking *f = user;

    while (!atomic_load(&f->stop)) {
        pid_t pid = fork();

        XT_SYS(pid);
        if (!pid) {
            execl(xt_child_path(), "child", "close", "0", "close", "1",
                  "close", "2", "fds", (char *)NULL);
            _exit(127);
        }
        end_of(pid);
        atomic_fetch_add(&f->forks, 1);
    }
    return NULL;
}

/* The child uses the library: nothing is locked for ever. */
static void *fork_and_use(void *user)
{
    struct forking *f = user;

    while (!atomic_load(&f->stop)) {
        pid_t pid = fork();

        XT_SYS(pid);
        if (!pid) {
            alarm(20 * xt_time_scale());
            libxl_postfork_child_noexec(NULL);
            if (XH_MALLOC_SURVIVES_FORK)
                use_new_ctx();
            _exit(0);
        }
        end_of(pid);
        atomic_fetch_add(&f->forks, 1);
    }
    return NULL;
}

XT_TEST(forks_at_any_moment, "C14")
{
    struct forking f = {0};
    pthread_t thread[2];
    libxl_ctx *ctx;

    XT_EQ_INT(pthread_create(&thread[0], NULL, fork_and_look, &f), 0);
    XT_EQ_INT(pthread_create(&thread[1], NULL, fork_and_use, &f), 0);
    for (int i = 0; i < 30 || atomic_load(&f.forks) < 20; i++) {
        ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        for (int k = 0; k < 10; k++) {
            libxl_childproc_result r = xt_wait(
                ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL));

            XT_EXITED(&r, 3);
        }
        xt_ctx_free(ctx);
    }
    atomic_store(&f.stop, 1);
    XT_EQ_INT(pthread_join(thread[0], NULL), 0);
    XT_EQ_INT(pthread_join(thread[1], NULL), 0);
    XT_NOTE("%d forks", atomic_load(&f.forks));
}
