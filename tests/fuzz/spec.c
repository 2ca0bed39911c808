/* spec.c - fuzz target: what may be asked of a child, and what its half gets
 *
 * The input chooses each member of a libxl_childproc_spec, right or wrong, and
 * sometimes of a libxl_childproc_exec_opts. The model says which members are
 * wrong; the library must refuse a spec with such, naming one of them (X5), and
 * start the others with an image that has every wish in it and a fd plan that
 * fulfils the map (C16). No process is made: the seam's clone only looks
 * (simkernel.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "fdtable.h"
#include "fuzz.h"
#include "simkernel.h"
#include "xlchild.h"

#define MAX_FDS 8
#define MAX_BAD 64

static struct {
    libxl_childproc_spec spec;
    const char *argv[3];
    libxl_childproc_fd fds[MAX_FDS];
    libxl_childproc_rlimit rlimits[2];
    gid_t groups[2];
    sigset_t mask, ignore;
    const char *bad[MAX_BAD]; /* members that are wrong */
    int nbad;
    int closed_source;
    int looked;
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    int as_operation; /* by libxl_childproc_exec */
    int completed;
} made;

static void bad_if(int wrong, const char *member)
{
    if (wrong)
        made.bad[made.nbad++] = member;
}

static int has(unsigned flags)
{
    return (made.spec.flags & flags) != 0;
}

/* One of n numbers, `negative` of them below zero. Zero is from a zero byte,
 * as all that is right: little noise leaves most of a spec right. */
static int from_zero(struct fz_input *in, unsigned n, unsigned negative)
{
    unsigned k = fz_below(in, n);

    return k < n - negative ? (int)k : (int)k - (int)n;
}

/* ---- making one --------------------------------------------------------- */

static void make_program(struct fz_input *in)
{
    static const char *const words[] = {"/bin/simulated", "simulated", "", "a"};
    static const char *const paths[] = {NULL, NULL, "", "/bin/simulated",
                                        "simulated"};
    libxl_childproc_spec *s = &made.spec;
    unsigned n = fz_below(in, 8);

    if (n < 7)
        made.argv[0] = words[fz_below(in, 4)];
    if (n == 1)
        made.argv[1] = words[fz_below(in, 4)];
    s->argv = fz_one_in(in, 16) ? NULL : made.argv;
    s->path = paths[fz_below(in, 5)];
    bad_if(!s->argv || !made.argv[0], "argv");
    if (made.nbad)
        return;
    if (s->path)
        bad_if(!*s->path, "path");
    else
        bad_if(!*made.argv[0], "argv");
}

static void make_flags(struct fz_input *in)
{
    const unsigned session =
        LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION | LIBXL_SPAWN_SET_CTTY;
    libxl_childproc_spec *s = &made.spec;

    s->flags = fz_byte(in) | fz_byte(in) << 8;
    if (fz_one_in(in, 2)) /* few go together with JOIN_GROUP */
        s->flags &= ~(unsigned)LIBXL_SPAWN_JOIN_GROUP;
    if (fz_one_in(in, 16)) {
        s->flags |= 1u << 30;
        bad_if(1, "flags");
    }
    s->group = (pid_t)fz_below(in, 8) - 2;
    bad_if(has(LIBXL_SPAWN_JOIN_GROUP) && has(session), "flags");
    bad_if(has(LIBXL_SPAWN_JOIN_GROUP) && s->group <= 1, "group");
}

static void make_ids(struct fz_input *in)
{
    libxl_childproc_spec *s = &made.spec;

    s->uid = fz_one_in(in, 8) ? (uid_t)-1 : fz_byte(in);
    s->gid = fz_one_in(in, 8) ? (gid_t)-1 : fz_byte(in);
    s->ngroups = fz_below(in, 3);
    s->groups = fz_one_in(in, 8) ? NULL : made.groups;
    s->umask = fz_one_in(in, 8) ? 01777 : fz_byte(in);
    s->nice = from_zero(in, 48, 24);
    s->pdeathsig = from_zero(in, 80, 4);
    bad_if(has(LIBXL_SPAWN_SET_UID) && s->uid == (uid_t)-1, "uid");
    bad_if(has(LIBXL_SPAWN_SET_GID) && s->gid == (gid_t)-1, "gid");
    bad_if(has(LIBXL_SPAWN_SET_GROUPS) && s->ngroups && !s->groups, "groups");
    bad_if(has(LIBXL_SPAWN_SET_UMASK) && s->umask > 0777, "umask");
    bad_if(has(LIBXL_SPAWN_SET_NICE) && (s->nice < -20 || s->nice > 19),
           "nice");
    bad_if(has(LIBXL_SPAWN_SET_PDEATHSIG) &&
               (s->pdeathsig < 0 || s->pdeathsig > 64),
           "pdeathsig");
}

static void make_rest(struct fz_input *in)
{
    static const char *const dirs[] = {NULL, NULL, "", "/", "relative"};
    static const char *const cgroups[] = {NULL, NULL, NULL, "relative", "/cg"};
    libxl_childproc_spec *s = &made.spec;

    s->ctty_fd = (int)fz_below(in, 64) - 1;
    s->nrlimits = fz_below(in, 3);
    s->rlimits = fz_one_in(in, 8) ? NULL : made.rlimits;
    for (int i = 0; i < 2; i++)
        made.rlimits[i].resource = from_zero(in, 20, 2);
    s->cwd = dirs[fz_below(in, 5)];
    s->cgroup = cgroups[fz_below(in, 5)];
    s->on_free = (libxl_free_policy)from_zero(in, 5, 1);
    s->kill.first_signal = from_zero(in, 80, 4);
    s->kill.grace_ms = from_zero(in, 16, 1);
    s->kill.scope = (libxl_kill_scope)from_zero(in, 5, 1);
    s->exited_grace_ms = from_zero(in, 16, 1);
    bad_if(has(LIBXL_SPAWN_SET_CTTY) && fcntl(s->ctty_fd, F_GETFD) < 0,
           "ctty_fd");
    bad_if(s->nrlimits && !s->rlimits, "rlimits");
    for (size_t i = 0; s->rlimits && i < s->nrlimits; i++)
        bad_if(made.rlimits[i].resource < 0 ||
                   made.rlimits[i].resource >= (int)RLIM_NLIMITS,
               "rlimits");
    bad_if(s->cwd && !*s->cwd, "cwd");
    bad_if(s->cgroup && *s->cgroup != '/', "cgroup");
    bad_if((int)s->on_free < 0 || s->on_free > LIBXL_FREE_LEAVE, "on_free");
    bad_if(s->kill.first_signal < 0 || s->kill.first_signal > 64 ||
               s->kill.grace_ms < 0 || (int)s->kill.scope < 0 ||
               s->kill.scope > LIBXL_KILL_CGROUP ||
               (s->kill.scope == LIBXL_KILL_GROUP &&
                !has(LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                     LIBXL_SPAWN_SET_CTTY)) ||
               (s->kill.scope == LIBXL_KILL_CGROUP && !s->cgroup),
           "kill");
    bad_if(s->exited_grace_ms < 0, "exited_grace_ms");
}

static void make_fds(struct fz_input *in)
{
    libxl_childproc_spec *s = &made.spec;
    unsigned range = 3 + fz_below(in, 24);

    s->nfds = fz_below(in, MAX_FDS + 1);
    s->fds = fz_one_in(in, 16) ? NULL : made.fds;
    bad_if(s->nfds && !s->fds, "fds");
    for (size_t i = 0; s->fds && i < s->nfds; i++) {
        libxl_childproc_fd *e = &made.fds[i];

        e->target = fz_one_in(in, 32) ? -1 : (int)fz_below(in, range);
        if (fz_one_in(in, 32))
            e->target = 1 << 20;
        e->source = from_zero(in, range + 4, 4);
        bad_if(e->target < 0 || e->target >= 1 << 20 || e->source == -1 ||
                   e->source < LIBXL_FD_CLOSED,
               "fds");
        for (size_t k = 0; k < i; k++)
            bad_if(made.fds[k].target == e->target, "fds");
        made.closed_source |= e->source >= 0 && fcntl(e->source, F_GETFD) < 0;
    }
}

static void make_signals(struct fz_input *in)
{
    sigemptyset(&made.mask);
    sigemptyset(&made.ignore);
    for (int i = 0; i < 3; i++) {
        sigaddset(&made.mask, 1 + (int)fz_below(in, 31));
        sigaddset(&made.ignore, 1 + (int)fz_below(in, 31));
    }
    made.spec.sigmask = fz_one_in(in, 2) ? &made.mask : NULL;
    made.spec.sigignore = fz_one_in(in, 2) ? &made.ignore : NULL;
}

static void ignore_data(libxl_ctx *ctx, int stream, const void *data,
                        size_t length, void *user)
{
    (void)ctx;
    (void)stream;
    (void)data;
    (void)length;
    (void)user;
}

static void make_stream(struct fz_input *in, libxl_stream *stream, int which)
{
    static const char *const names[] = {"stdin_stream", "stdout_stream",
                                        "stderr_stream"};
    int wrong = 0;

    stream->kind = (libxl_stream_kind)from_zero(in, 12, 1);
    stream->fd = from_zero(in, 24, 2);
    stream->path = fz_one_in(in, 4) ? NULL : "/dev/null";
    stream->length = fz_below(in, 9);
    stream->data = fz_one_in(in, 4) ? NULL : "12345678";
    stream->limit = fz_below(in, 3);
    switch ((int)stream->kind) {
    case LIBXL_STREAM_INHERIT:
    case LIBXL_STREAM_NULL:
        break;
    case LIBXL_STREAM_FD:
        wrong = fcntl(stream->fd, F_GETFD) < 0;
        break;
    case LIBXL_STREAM_FILE:
        wrong = !stream->path;
        break;
    case LIBXL_STREAM_APPEND:
        wrong = !stream->path || which == 0;
        break;
    case LIBXL_STREAM_BUFFER:
        wrong = which != 0 || (!stream->data && stream->length);
        break;
    case LIBXL_STREAM_CAPTURE:
        wrong = which == 0;
        break;
    case LIBXL_STREAM_CALLBACK:
        wrong = which == 0;
        bad_if(!made.opts.stream_data, "stream_data");
        break;
    case LIBXL_STREAM_MERGE:
        wrong = which != 2;
        break;
    default:
        wrong = 1;
    }
    bad_if(wrong, names[which]);
}

static void make_opts(struct fz_input *in)
{
    libxl_childproc_exec_opts *o = &made.opts;

    made.as_operation = fz_one_in(in, 2);
    if (!made.as_operation)
        return;
    libxl_childproc_exec_opts_init(o);
    if (fz_one_in(in, 32)) {
        o->size++;
        bad_if(1, "opts.size");
    }
    o->stream_data = fz_one_in(in, 4) ? NULL : ignore_data;
    make_stream(in, &o->stdin_stream, 0);
    make_stream(in, &o->stdout_stream, 1);
    make_stream(in, &o->stderr_stream, 2);
    o->timeout_ms = fz_one_in(in, 16) ? -2 : (int)fz_below(in, 2) * 1000000 - 1;
    o->linger = (libxl_linger)from_zero(in, 4, 1);
    bad_if(o->timeout_ms < -1, "timeout_ms");
    bad_if((int)o->linger < 0 || o->linger > LIBXL_LINGER_EOF, "linger");
}

/* ---- what the child's half gets ----------------------------------------- */

static void look_at_fds(const struct xl_child_setup *image)
{
    struct fz_trial trial;

    memset(&trial, 0, sizeof(trial));
    trial.map = image->map; /* an operation's streams are in it */
    trial.n = image->nmap;
    trial.hidden = -1;
    for (int fd = 0; fd < FZ_TABLE; fd++) {
        int flags = fcntl(fd, F_GETFD);

        trial.parent[fd].file = flags < 0 ? FZ_CLOSED : fd + 1;
        trial.parent[fd].cloexec = flags > 0;
    }
    for (int fd = 0; fd < 3; fd++) /* as the plan, which does not look */
        trial.parent[fd] = (struct fz_slot){fd + 1, 0};
    fz_check_plan(&trial, &image->fds);
}

static void look_at_signals(const struct xl_child_setup *image)
{
    for (int signo = 1; signo < 32; signo++) {
        if (made.spec.sigmask)
            FZ_EQ(xl_sigset_has(&image->final_mask, signo),
                  sigismember(&made.mask, signo));
        else if (!has(LIBXL_SPAWN_KEEP_SIGMASK))
            FZ_EQ(xl_sigset_has(&image->final_mask, signo), 0);
        if (made.spec.sigignore && sigismember(&made.ignore, signo))
            FZ_TRUE(xl_sigset_has(&image->ignore, signo));
        else if (!has(LIBXL_SPAWN_KEEP_SIGIGN) && signo != SIGPIPE)
            FZ_TRUE(!xl_sigset_has(&image->ignore, signo));
    }
    if (has(LIBXL_SPAWN_IGNORE_SIGPIPE))
        FZ_TRUE(xl_sigset_has(&image->ignore, SIGPIPE));
}

static void look(const struct xl_child_setup *image, struct sim_process *next)
{
    const libxl_childproc_spec *s = &made.spec;
    const char *path = s->path ? s->path : made.argv[0];

    (void)next;
    made.looked++;
    FZ_EQ(made.nbad, 0);
    FZ_TRUE(!made.closed_source);
    /* an asynchronous operation's are copies */
    FZ_EQ(strcmp(image->path, path), 0);
    for (int i = 0; made.argv[i] || image->argv[i]; i++)
        FZ_EQ(strcmp(image->argv[i], made.argv[i]), 0);
    FZ_TRUE(image->envp != NULL);
    FZ_TRUE(!image->search_path ==
            (!has(LIBXL_SPAWN_SEARCH_PATH) || strchr(path, '/') != NULL));
    FZ_TRUE(!image->cwd == !s->cwd);
    if (s->cwd)
        FZ_EQ(strcmp(image->cwd, s->cwd), 0);
    FZ_TRUE(!image->cgroup_procs == !s->cgroup);
    if (s->cgroup)
        FZ_EQ(strcmp(image->cgroup_procs, "/cg/cgroup.procs"), 0);
    FZ_EQ(image->gate_fd, -1);
    FZ_TRUE(!image->shared_files || !has(LIBXL_SPAWN_KEEP_FDS));
    if (!has(LIBXL_SPAWN_KEEP_FDS)) /* those end far above the table */
        look_at_fds(image);
    look_at_signals(image);
}

/* ---- the target --------------------------------------------------------- */

static void check_refusal(int rc, const libxl_childproc_failure *failure)
{
    FZ_EQ(rc, ERROR_INVAL);
    FZ_EQ(failure->stage, LIBXL_STAGE_ARGUMENT);
    FZ_TRUE(failure->argument != NULL);
    for (int i = 0; i < made.nbad; i++)
        if (!strcmp(failure->argument, made.bad[i]))
            return;
    FZ_FAIL("%s was refused, not %s", failure->argument, made.bad[0]);
}

static void operation_ended(libxl_ctx *ctx, int rc, void *user)
{
    (void)ctx;
    (void)user;
    FZ_EQ(rc, 0);
    made.completed++;
}

static void finish(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_result r;
    libxl_event *event;

    sim_exit(&sim.process[0], 7 << 8);
    if (!made.as_operation) {
        FZ_EQ(libxl_childproc_wait(ctx, id, 0, 0, &r), 0);
        FZ_EQ(r.status, 7 << 8);
        return;
    }
    for (int i = 0; i < 8; i++)
        FZ_EQ(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
              ERROR_NOT_READY);
    FZ_EQ(made.completed, 1);
    FZ_EQ(made.result.child.status, 7 << 8);
    FZ_EQ(made.result.out.length + made.result.err.length, 0);
    libxl_childproc_exec_result_dispose(&made.result);
}

static void start(libxl_ctx *ctx)
{
    static const libxl_asyncop_how how = {operation_ended, {0}};
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_id id = 4711;
    pid_t pid = 4712;
    int rc =
        made.as_operation
            ? libxl_childproc_exec(ctx, &made.spec, &made.opts, &made.result,
                                   &failure, &how)
            : libxl_childproc_spawn(ctx, &made.spec, NULL, &id, &pid, &failure);

    if (rc)
        FZ_TRUE(id == 4711 && pid == 4712);
    if (made.nbad) {
        check_refusal(rc, &failure);
        FZ_EQ(made.looked, 0);
    } else if (made.closed_source) {
        FZ_TRUE(rc == ERROR_SPAWN && failure.stage == LIBXL_STAGE_FDS &&
                failure.errnoval == EBADF);
        FZ_EQ(made.looked, 0);
    } else if (rc == ERROR_SPAWN && made.spec.cgroup) {
        FZ_EQ(failure.stage, LIBXL_STAGE_CGROUP); /* there is none */
        FZ_EQ(made.looked, 0);
    } else if (sim.clone_errno) {
        FZ_EQ(rc, ERROR_SYSTEM);
        FZ_EQ(failure.stage, LIBXL_STAGE_FORK);
        FZ_EQ(failure.errnoval, sim.clone_errno);
        FZ_EQ(made.looked, 1);
    } else {
        FZ_EQ(rc, 0);
        FZ_EQ(made.looked, 1);
        FZ_TRUE(made.as_operation || pid == sim.process[0].pid);
        finish(ctx, id);
    }
    FZ_EQ(libxl_childproc_count(ctx), 0);
}

void fz_spec(const uint8_t *data, size_t size)
{
    static const libxl_childproc_hooks none = {libxl_sigchld_owner_none, NULL,
                                               NULL, sizeof(none)};
    struct fz_input in = {data, size};
    int first_free = dup(0);
    libxl_ctx *ctx;

    close(first_free);
    if (!(xl_facilities() & LIBXL_FACILITY_VFORK) ||
        !(xl_facilities() & LIBXL_FACILITY_PIDFD))
        return; /* here children are made by fork, which cannot be looked at */
    sim_begin();
    memset(&made, 0, sizeof(made));
    sim.may_reap = 1;
    sim.look = look;
    FZ_EQ(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &sim_silent), 0);
    FZ_EQ(libxl_childproc_setmode_checked(ctx, &none, NULL), 0);
    libxl_childproc_spec_init(&made.spec);
    if (fz_one_in(&in, 32)) {
        made.spec.size--;
        bad_if(1, "size");
    }
    sim.clone_errno = fz_one_in(&in, 4) ? EAGAIN : 0;
    make_program(&in);
    make_flags(&in);
    make_fds(&in);
    make_signals(&in);
    make_ids(&in);
    make_rest(&in);
    make_opts(&in);
    start(ctx);
    FZ_EQ(libxl_ctx_free(ctx), 0);
    sim_end();
    sim_gone();
    FZ_EQ(dup(0), first_free);
    close(first_free);
}
