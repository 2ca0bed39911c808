/* start_replaced.c - fork_replacement
 *
 * Proves C10: the replacement makes every child and its failure is reported;
 * its child is held until it is registered. What may run where in a start is
 * start_home.c's.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "operation.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/sys.h"

struct forker {
    int calls;
    int fail_errno; /* nonzero: fail */
    pid_t last;
    int slow_fd; /* >= 0: read a byte from it before returning in the parent */
};

static pid_t do_fork(void *user)
{
    struct forker *f = user;
    pid_t pid;

    f->calls++;
    if (f->fail_errno) {
        errno = f->fail_errno;
        return -1;
    }
    pid = fork();
    if (pid > 0) {
        f->last = pid;
        if (f->slow_fd >= 0)
            xt_await_byte(f->slow_fd);
    }
    return pid;
}

static const libxl_sigchld_owner owners[] = {
    libxl_sigchld_owner_libxl,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap,
    libxl_sigchld_owner_none,
    libxl_sigchld_owner_mainloop,
};

static libxl_ctx *forking_ctx(libxl_sigchld_owner owner, struct forker *f)
{
    libxl_childproc_hooks hooks = {owner, do_fork, NULL, sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);

    memset(f, 0, sizeof(*f));
    f->slow_fd = -1;
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, f));
    return ctx;
}

static libxl_childproc_result finish(libxl_ctx *ctx, libxl_sigchld_owner owner,
                                     libxl_childproc_id id)
{
    libxl_childproc_result r;
    int rc;

    if (owner != libxl_sigchld_owner_mainloop)
        return xt_wait(ctx, id);
    do {
        libxl_childproc_sigchld_occurred(ctx);
        rc = libxl_childproc_wait(ctx, id, 1, 0, &r);
    } while (rc == ERROR_TIMEDOUT);
    XT_OK(rc);
    return r;
}

XT_TEST(every_child_is_made_by_it, "C10")
{
    for (int o = 0; o < 5; o++) {
        struct forker f;
        libxl_ctx *ctx = forking_ctx(owners[o], &f);
        libxl_childproc_exec_opts opts;
        libxl_childproc_exec_result e;
        libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "x", "exit", "2"));

        for (int i = 1; i <= 20; i++) {
            pid_t pid;
            libxl_childproc_id id =
                xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, &pid);
            libxl_childproc_result r = finish(ctx, owners[o], id);

            XT_EXITED(&r, 3);
            XT_EQ_INT(f.calls, i);
            XT_EQ_INT(f.last, pid);
            XT_EQ_INT(r.pid, pid);
        }
        if (owners[o] != libxl_sigchld_owner_mainloop) {
            libxl_childproc_exec_opts_init(&opts);
            opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
            XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &e, NULL, NULL));
            XT_EXITED(&e.child, 2);
            XT_EQ_STR(e.out.data, "x");
            XT_EQ_INT(f.calls, 21);
            libxl_childproc_exec_result_dispose(&e);
        }
        xt_ctx_free(ctx);
    }
}

XT_TEST(its_failure_is_reported, "C10 C15")
{
    static const int errors[] = {EAGAIN, ENOMEM, EPERM, ENOSYS};

    for (int o = 0; o < 5; o++)
        for (int e = 0; e < 4; e++) {
            struct forker f;
            libxl_ctx *ctx = forking_ctx(owners[o], &f);
            struct xt_state *before;
            libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
            libxl_childproc_failure failure;
            libxl_childproc_result r;
            libxl_childproc_id id;
            int rc;

            r = finish(ctx, owners[o],
                       xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, NULL));
            XT_EXITED(&r, 1);
            before = xt_state_take();
            f.fail_errno = errors[e];
            rc = libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure);
            XT_TRUE(rc == ERROR_SYSTEM || rc == ERROR_NOMEM);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_FORK);
            XT_EQ_INT(failure.errnoval, errors[e]);
            XT_STATE_SAME(before);
            xt_state_free(before);
            f.fail_errno = 0;
            r = finish(ctx, owners[o],
                       xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, NULL));
            XT_EXITED(&r, 1);
            XT_EQ_INT(libxl_childproc_count(ctx), 0);
            xt_ctx_free(ctx);
        }
}

/* A failing set-up or exec is told apart through it, too. */
XT_TEST(set_up_failures_come_through, "C10 C15")
{
    struct forker f;
    libxl_ctx *ctx = forking_ctx(libxl_sigchld_owner_none, &f);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "127"));
    libxl_childproc_failure failure;
    libxl_childproc_result r;

    spec.path = "/nonexistent/program";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
    XT_EQ_INT(failure.errnoval, ENOENT);
    spec.path = NULL;
    spec.cwd = "/nonexistent/directory";
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_CHDIR);
    spec.cwd = NULL;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 127); /* a real 127 */
    xt_ctx_free(ctx);
}

/* Makes a grandchild, whose parent has ended when this returns. */
static pid_t fork_an_orphan(void *user)
{
    pid_t pid, child;
    int told[2];

    (void)user;
    xt_pipe(told);
    pid = fork();
    XT_SYS(pid);
    if (!pid) {
        child = fork();
        if (!child) {
            close(told[0]);
            close(told[1]);
            return 0;
        }
        _exit(write(told[1], &child, sizeof(child)) != sizeof(child));
    }
    XT_EQ_INT(read(told[0], &child, sizeof(child)), sizeof(child));
    XT_EQ_INT(waitpid(pid, NULL, 0), pid);
    xt_close(&told[0]);
    xt_close(&told[1]);
    return child;
}

/* The signal for the death of a parent that is dead already never comes: the
 * child sees that, and does not run unguarded. */
XT_TEST(a_parent_that_died_before_is_noticed, "C16 C15")
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, fork_an_orphan,
                                   NULL, sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    spec.flags |= LIBXL_SPAWN_SET_PDEATHSIG;
    spec.pdeathsig = SIGKILL;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_PDEATHSIG);
    XT_EQ_INT(failure.errnoval, ESRCH);
    xt_ctx_free(ctx);
}

/* While the parent is still inside the replacement, the child waits: it has
 * not executed, so nothing has been written. */
struct held {
    int out, go_on;
};

static void *look_then_release(void *user)
{
    struct held *h = user;
    char c;

    XT_EQ_INT(read(h->out, &c, 1), -1);
    XT_EQ_INT(errno, EAGAIN);
    xt_write_all(h->go_on, "!", 1);
    return NULL;
}

XT_TEST(its_child_is_held_until_registered, "C10 C12")
{
    struct forker f;
    libxl_ctx *ctx = forking_ctx(libxl_sigchld_owner_none, &f);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("put", "!"));
    libxl_childproc_fd fd;
    libxl_childproc_result r;
    struct held h;
    pthread_t thread;
    int out[2], go_on[2];

    xt_pipe(out);
    xt_pipe(go_on);
    XT_SYS(fcntl(out[0], F_SETFL, O_NONBLOCK));
    fd = (libxl_childproc_fd){1, out[1]};
    spec.fds = &fd;
    spec.nfds = 1;
    f.slow_fd = go_on[0];
    h = (struct held){out[0], go_on[1]};
    XT_EQ_INT(pthread_create(&thread, NULL, look_then_release, &h), 0);
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 0);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xt_await_byte(out[0]);
    xt_close(&out[0]);
    xt_close(&out[1]);
    xt_close(&go_on[0]);
    xt_close(&go_on[1]);
    xt_ctx_free(ctx);
}

static libxl_ctx *reentered;
static int reentry_rc;

static pid_t reentering_fork(void *user)
{
    libxl_event *event;

    (void)user;
    reentry_rc = libxl_event_check(reentered, &event, LIBXL_EVENTMASK_ALL,
                                   NULL, NULL);
    return fork();
}

XT_TEST(it_may_not_reenter, "C10 E4 X5")
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, reentering_fork,
                                   NULL, sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;

    reentered = ctx;
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "1"), NULL, NULL));
    XT_EXITED(&r, 1);
    XT_EQ_INT(reentry_rc, ERROR_INVAL);
    xt_ctx_free(ctx);
}

/* A child that ends before the library has it is a failed start, and no
 * SIGPIPE for the host. */
static pid_t stillborn_fork(void *user)
{
    pid_t pid = fork();

    (void)user;
    if (!pid)
        _exit(0);
    return pid;
}

XT_TEST(its_child_may_die_at_once, "C10 C15 C5")
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, stillborn_fork,
                                   NULL, 0};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;
    libxl_childproc_id id = 5;

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    for (int i = 0; i < 50; i++) {
        XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, &failure),
              ERROR_SPAWN);
        XT_EQ_INT(failure.stage, LIBXL_STAGE_GATE);
        XT_EQ_INT(failure.errnoval, EPIPE);
        XT_EQ_INT(id, 5);
    }
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    xt_ctx_free(ctx);
}

/* One that is killed there has been started: its end is told as any other. */
static pid_t killed_fork(void *user)
{
    pid_t pid = fork();

    (void)user;
    if (!pid)
        raise(SIGKILL);
    return pid;
}

XT_TEST(its_child_may_be_killed_at_once, "C10 C5 C6 C22")
{
    for (size_t o = 0; o < sizeof(owners) / sizeof(owners[0]); o++) {
        libxl_childproc_hooks hooks = {owners[o], killed_fork, NULL, 0};
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_result r;
        libxl_childproc_id id;
        pid_t pid;

        XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
        for (int i = 0; i < 20; i++) {
            id = xt_spawn_argv(ctx, XT_CHILD("exit", "0"), NULL, &pid);
            if (owners[o] == libxl_sigchld_owner_mainloop)
                XT_OK(libxl_childproc_exited(ctx, pid, xh_reap(pid)));
            r = xt_wait(ctx, id);
            XT_SIGNALED(&r, SIGKILL);
        }
        XT_EQ_INT(libxl_childproc_count(ctx), 0);
        xt_ctx_free(ctx);
    }
}

/* A time-out that comes while the child waits to be let go is a time-out. */
struct slow_start {
    struct forker forker;
    libxl_ctx *ctx;
    struct xo_completion c;
    int rc;
    pthread_t thread;
    int at_gate[2], go_on[2];
};

/* The child's number is known, and it is about to be let go. */
static ssize_t (*real_write)(int, const void *, size_t);
static struct slow_start *slow;
static atomic_int nwrites;
static __thread int in_exec;

static ssize_t write_slowly(int fd, const void *data, size_t size)
{
    if (in_exec && size == 1 &&
        atomic_fetch_add(&nwrites, 1) == 0) {
        xt_write_all(slow->at_gate[1], "g", 1);
        xt_await_byte(slow->go_on[0]);
    }
    return real_write(fd, data, size);
}

static void *exec_slowly(void *arg)
{
    struct slow_start *s = arg;
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_asyncop_how how = xo_to(&s->c);

    in_exec = 1;
    opts.timeout_ms = 1;
    s->rc =
        libxl_childproc_exec(s->ctx, &spec, &opts, &s->c.result, NULL, &how);
    return NULL;
}

static int some_zombie(void *user)
{
    siginfo_t info;

    xh_pump(user);
    info.si_pid = 0;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid;
}

XT_TEST(its_child_may_time_out_before_it_is_let_go, "C10 C22 C18")
{
    struct slow_start s;

    memset(&s, 0, sizeof(s));
    xt_pipe(s.at_gate);
    xt_pipe(s.go_on);
    s.ctx = forking_ctx(libxl_sigchld_owner_none, &s.forker);
    slow = &s;
    real_write = xl_sys.write;
    xl_sys.write = write_slowly;
    XT_EQ_INT(pthread_create(&s.thread, NULL, exec_slowly, &s), 0);
    xt_await_byte(s.at_gate[0]);
    XT_EVENTUALLY(some_zombie, s.ctx);
    xt_write_all(s.go_on[1], "g", 1);
    XT_EQ_INT(pthread_join(s.thread, NULL), 0);
    xl_sys.write = real_write;
    XT_OK(s.rc);
    xo_pump_until(s.ctx, &s.c.calls);
    XT_RC(s.c.rc, ERROR_TIMEDOUT);
    XT_EQ_INT(s.c.result.timed_out, 1);
    XT_SIGNALED(&s.c.result.child, SIGKILL);
    libxl_childproc_exec_result_dispose(&s.c.result);
    xt_ctx_free(s.ctx);
    for (int i = 0; i < 2; i++) {
        xt_close(&s.at_gate[i]);
        xt_close(&s.go_on[i]);
    }
}

/* Its child comes back when nobody holds the other end any more. */
static pid_t fork_one_that_is_late(void *user)
{
    int *gate = user;
    pid_t pid = fork();
    char byte;

    if (pid == 0) {
        close(gate[1]);
        while (read(gate[0], &byte, 1) > 0)
            ;
    }
    return pid;
}

/* Nobody waits for the start; the child has not come to its gate yet. */
XT_TEST(its_child_may_be_killed_on_its_way, "C6 C10 C22 C30")
{
    for (int o = 0; o < 5; o++) {
        libxl_childproc_hooks hooks = {owners[o], fork_one_that_is_late, NULL,
                                       sizeof(hooks)};
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
        libxl_childproc_result r;
        libxl_childproc_id id;
        int gate[2];

        xt_pipe(gate);
        XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, gate));
        spec.flags = LIBXL_SPAWN_NOWAIT;
        XT_OK(libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, NULL));
        XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
        r = finish(ctx, owners[o], id);
        XH_ENDED(&r, XH_SIGNAL(SIGKILL));
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        xt_ctx_free(ctx);
    }
}

XT_TEST(it_excludes_starter_threads, "C10 X5")
{
    struct forker f;
    libxl_ctx *ctx = forking_ctx(libxl_sigchld_owner_none, &f);

    XT_RC(libxl_childproc_set_starters(ctx, 2), ERROR_INVAL);
    XT_OK(libxl_childproc_set_starters(ctx, 0));
    xt_ctx_free(ctx);
}
