/* cgroup_blocks.c - a kill through a cgroup's files that takes its time
 *
 * Contract lines C13, C24, A2: the folder has a cgroup's files by name, and
 * its cgroup.kill is a FIFO without a peer, which is the simplest thing that
 * never opens. Whoever kills through it sleeps, and holds up nobody: not the
 * ctx's other calls, not a fork. What the kill belongs to completes after it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "kernel/sys.h"
#include "operation.h"

/* ---- the folder --------------------------------------------------------- */

struct folder {
    char *path;
    char procs[300], kill[300];
};

static void make_file(const char *path)
{
    close(XT_SYS(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
}

static void make_folder(struct folder *f, int fifo)
{
    f->path = xt_tmpdir();
    snprintf(f->procs, sizeof(f->procs), "%s/cgroup.procs", f->path);
    snprintf(f->kill, sizeof(f->kill), "%s/cgroup.kill", f->path);
    make_file(f->procs);
    if (fifo)
        XT_SYS(mkfifo(f->kill, 0600));
    else
        make_file(f->kill);
}

static int killed(const struct folder *f)
{
    struct stat st;

    XT_SYS(stat(f->kill, &st));
    return st.st_size > 0;
}

/* Said by whoever is about to open cgroup.kill. */
static int (*real_open)(const char *, int, mode_t);
static int about_to_open[2];

static int open_told(const char *path, int flags, mode_t mode)
{
    if (strstr(path, "/cgroup.kill"))
        xt_write_all(about_to_open[1], "k", 1);
    return real_open(path, flags, mode);
}

static void tell_opens(void)
{
    xt_pipe(about_to_open);
    real_open = xl_sys.open;
    xl_sys.open = open_told;
}

static void tell_no_more(void)
{
    xl_sys.open = real_open;
    xt_close(&about_to_open[0]);
    xt_close(&about_to_open[1]);
}

/* The peer comes: the kill goes on, and says its word. */
static void let_it_open(const struct folder *f)
{
    int fd = XT_SYS(open(f->kill, O_RDONLY | O_CLOEXEC));
    char *text = xt_read_all(fd, NULL);

    XT_EQ_STR(text, "1");
    free(text);
    xt_close(&fd);
}

/* ---- a thread that kills, and the rest of the program ------------------- */

struct scene {
    struct folder folder;
    libxl_ctx *ctx;
    libxl_childproc_id id;
    int gate; /* the child exits with 5 when it is closed */
    int policy;
    int rc;
    pthread_t thread;
};

static void *kill_it(void *arg)
{
    struct scene *s = arg;
    libxl_kill_policy policy = {SIGKILL, 0, LIBXL_KILL_CGROUP};

    s->rc = s->policy
                ? libxl_childproc_terminate(s->ctx, s->id, &policy)
                : libxl_childproc_kill(s->ctx, s->id, SIGKILL,
                                       LIBXL_KILL_CGROUP);
    return NULL;
}

static void start_scene(struct scene *s, int policy)
{
    libxl_childproc_spec spec = xt_spec(NULL);

    make_folder(&s->folder, 1);
    tell_opens();
    s->ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    s->policy = policy;
    spec.cgroup = s->folder.path;
    s->id = xh_spawn_held(s->ctx, XH_EXIT(5), &spec, NULL, &s->gate, NULL);
    XT_EQ_INT(pthread_create(&s->thread, NULL, kill_it, s), 0);
    xt_await_byte(about_to_open[0]);
}

static void end_scene(struct scene *s)
{
    xt_ctx_free(s->ctx);
    tell_no_more();
    xt_tmpdir_remove(s->folder.path);
}

/* Whatever else a program does meanwhile. */
static void others_go_on(libxl_ctx *ctx, int living)
{
    libxl_event *event;
    libxl_childproc_id id;
    pid_t pid;

    XT_EQ_INT(libxl_childproc_count(ctx), living);
    XT_RC(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
          ERROR_NOT_READY);
    id = xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL);
    {
        libxl_childproc_result r = xt_wait(ctx, id);

        XT_EXITED(&r, 3);
    }
    pid = XT_SYS(fork());
    if (pid == 0)
        _exit(4);
    XT_EQ_INT(xh_reap(pid), 4 << 8);
}

static void kill_holds_up_nobody(int policy)
{
    libxl_childproc_result r;
    struct scene s;

    start_scene(&s, policy);
    others_go_on(s.ctx, 1);
    XT_RC(libxl_childproc_wait(s.ctx, s.id, 0, 0, &r), ERROR_TIMEDOUT);
    XT_RC(libxl_ctx_free(s.ctx), ERROR_BUSY);
    let_it_open(&s.folder);
    XT_EQ_INT(pthread_join(s.thread, NULL), 0);
    XT_OK(s.rc);
    xt_close(&s.gate);
    r = xt_wait(s.ctx, s.id);
    XT_EXITED(&r, 5);
    end_scene(&s);
}

XT_TEST(a_kill_holds_up_nobody, "C24 C13")
{
    kill_holds_up_nobody(0);
}

XT_TEST(a_policy_holds_up_nobody, "C24 C13")
{
    kill_holds_up_nobody(1);
}

/* The child ends, and its result is taken, before the kill comes through. */
static void gone_meanwhile(int policy)
{
    libxl_childproc_result r;
    struct scene s;

    start_scene(&s, policy);
    xt_close(&s.gate);
    r = xt_wait(s.ctx, s.id);
    XT_EXITED(&r, 5);
    XT_RC(libxl_childproc_wait(s.ctx, s.id, 0, 0, &r), ERROR_NOTFOUND);
    others_go_on(s.ctx, 0);
    let_it_open(&s.folder);
    XT_EQ_INT(pthread_join(s.thread, NULL), 0);
    XT_OK(s.rc);
    end_scene(&s);
}

XT_TEST(its_child_may_be_gone_by_then, "C24 C20")
{
    gone_meanwhile(0);
    gone_meanwhile(1);
}

/* ---- what the kill belongs to ------------------------------------------- */

struct pumping {
    libxl_ctx *ctx;
    struct xo_completion c;
    libxl_asyncop_how to_c;
    int told[2]; /* the completion was called */
};

static void told(libxl_ctx *ctx, int rc, void *user)
{
    struct pumping *p = user;

    p->to_c.callback(ctx, rc, p->to_c.u.for_callback);
    xt_write_all(p->told[1], "c", 1);
}

static void *pump(void *arg)
{
    struct pumping *p = arg;

    xo_pump_until(p->ctx, &p->c.calls);
    return NULL;
}

/* A time-out ends the child, which has said that it is there, by its cgroup. */
static libxl_childproc_spec spec_in(const struct folder *f,
                                    const char *const *argv)
{
    libxl_childproc_spec spec = xt_spec(argv);

    spec.cgroup = f->path;
    spec.kill = (libxl_kill_policy){SIGKILL, 0, LIBXL_KILL_CGROUP};
    return spec;
}

XT_TEST(a_time_out_completes_after_its_kill, "C24 A2 C18")
{
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_spec spec;
    struct folder folder;
    struct pumping p;
    libxl_asyncop_how how = {told, {.for_callback = &p}};
    struct pollfd call;
    pthread_t thread;
    int out[2], gate[2];
    libxl_childproc_fd fds[2];

    make_folder(&folder, 1);
    tell_opens();
    xt_pipe(out);
    xt_pipe(gate);
    spec = spec_in(&folder, XT_CHILD("put", "r", "await", "5", "exit", "6"));
    fds[0] = (libxl_childproc_fd){4, out[1]};
    fds[1] = (libxl_childproc_fd){5, gate[0]};
    spec.fds = fds;
    spec.nfds = 2;
    opts.timeout_ms = 50;
    p.ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    p.to_c = xo_to(&p.c);
    xt_pipe(p.told);
    call = (struct pollfd){.fd = p.told[0], .events = POLLIN};
    XT_OK(libxl_childproc_exec(p.ctx, &spec, &opts, &p.c.result, NULL, &how));
    xt_close(&out[1]);
    xt_close(&gate[0]);
    XT_EQ_INT(pthread_create(&thread, NULL, pump, &p), 0);
    xt_await_byte(about_to_open[0]);
    others_go_on(p.ctx, 1);

    /* it ends by itself, and is looked at: what is due waits for the kill */
    xt_close(&gate[1]);
    free(xt_read_all(out[0], NULL));
    xt_close(&out[0]);
    while (libxl_childproc_count(p.ctx) > 0)
        xh_pump(p.ctx);
    xh_pump(p.ctx);
    XT_EQ_INT(poll(&call, 1, 0), 0);
    let_it_open(&folder);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    XT_EQ_INT(p.c.calls, 1);
    XT_RC(p.c.rc, ERROR_TIMEDOUT);
    XT_EQ_INT(p.c.result.timed_out, 1);
    XT_EXITED(&p.c.result.child, 6);
    libxl_childproc_exec_result_dispose(&p.c.result);
    xt_ctx_free(p.ctx);
    xt_close(&p.told[0]);
    xt_close(&p.told[1]);
    tell_no_more();
    xt_tmpdir_remove(folder.path);
}

/* An abort that comes when the child has ended, and nobody has looked yet:
 * its own end counts, and who is left in the cgroup goes. */
XT_TEST(an_abort_after_the_end_ends_the_rest, "A2 C27 C13")
{
    libxl_childproc_exec_opts opts = xo_capturing();
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    libxl_childproc_spec spec;
    struct folder folder;
    siginfo_t info;
    libxl_ctx *ctx;

    make_folder(&folder, 0);
    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    spec = spec_in(&folder, XT_CHILD("exit", "7"));
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    XT_SYS(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    XT_OK(libxl_ao_abort(ctx, &how));
    XT_TRUE(killed(&folder));
    xo_pump_until(ctx, &c.calls);
    XT_OK(c.rc);
    XT_EXITED(&c.result.child, 7);
    libxl_childproc_exec_result_dispose(&c.result);
    xt_ctx_free(ctx);
    xt_tmpdir_remove(folder.path);
}

/* ---- files that are not there any more ---------------------------------- */

/* Nobody in it can be reached, but the child itself can. */
XT_TEST(without_its_files_the_child_is_killed, "C13 C18")
{
    libxl_kill_policy policy = {SIGTERM, 600000, LIBXL_KILL_CGROUP};
    libxl_childproc_exec_opts opts = xo_capturing();
    libxl_childproc_exec_result result;
    libxl_childproc_spec spec = xt_spec(NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    struct xo_completion c;
    libxl_asyncop_how how = xo_to(&c);
    struct folder folder;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int gate, out[2];

    make_folder(&folder, 0);
    XT_SYS(unlink(folder.kill));
    spec.cgroup = folder.path;
    id = xh_spawn_held(ctx, XH_EXIT(5), &spec, NULL, &gate, NULL);
    XT_SYS(unlink(folder.procs));
    XT_RC(libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP),
          ERROR_SYSTEM);
    XT_OK(libxl_childproc_terminate(ctx, id, &policy));
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGKILL);
    xt_close(&gate);

    make_file(folder.procs);
    spec = spec_in(&folder, XT_CHILD("put", "r", "pause"));
    spec.kill = policy;
    xt_pipe(out);
    opts.stdout_stream = (libxl_stream){.kind = LIBXL_STREAM_FD, .fd = out[1]};
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &c.result, NULL, &how));
    xt_close(&out[1]);
    xt_await_byte(out[0]); /* it has come into its cgroup */
    xt_close(&out[0]);
    XT_SYS(unlink(folder.procs));
    XT_OK(libxl_ao_abort(ctx, &how));
    xo_pump_until(ctx, &c.calls);
    XT_RC(c.rc, ERROR_ABORTED);
    result = c.result;
    XT_SIGNALED(&result.child, SIGKILL);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
    xt_tmpdir_remove(folder.path);
}

/* A ctx that is freed kills through the cgroup, with no lock held, either. */
struct freeing {
    libxl_ctx *ctx;
};

static void *free_it(void *arg)
{
    struct freeing *f = arg;

    xt_ctx_free(f->ctx);
    return NULL;
}

XT_TEST(a_free_that_kills_holds_up_no_other_ctx, "C24 X2")
{
    struct freeing f = {xt_ctx_new(libxl_sigchld_owner_none, NULL)};
    libxl_ctx *other = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec;
    struct folder folder;
    pthread_t thread;

    make_folder(&folder, 1);
    tell_opens();
    spec = spec_in(&folder, XT_CHILD("exit", "0"));
    spec.on_free = LIBXL_FREE_KILL;
    (void)xt_spawn(f.ctx, &spec, NULL, NULL);
    XT_EQ_INT(pthread_create(&thread, NULL, free_it, &f), 0);
    xt_await_byte(about_to_open[0]);
    others_go_on(other, 0);
    let_it_open(&folder);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    xt_ctx_free(other);
    tell_no_more();
    xt_tmpdir_remove(folder.path);
}
