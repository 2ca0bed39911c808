/* start_killed.c - the starting child is killed at each of its system calls
 *
 * Proves C5, C6, C12 and C15: whatever takes the child between its birth and
 * its program, the parent learns it (killed by signal 9, or the stage), keeps
 * nothing of it, and starts the next one. A process that makes a start is
 * traced; its child is killed as it enters its Nth call, for every N there is,
 * before its first instruction, and as it has become its program. The start
 * asks for everything that there is to be done in the child. In one mode, and
 * with XT_EVERY_MODE in the environment in all of them.
 */
#define _GNU_SOURCE
#include "cgroupdir.h"
#include "hostchild.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "kernel/rawcall.h"
#include "kernel/sys.h"

#define AT_BIRTH 0
#define AS_PROGRAM (-1) /* it has become it, and run nothing of it */
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define MOST_CALLS 400
/* Sanitizers make a process dear: there only every seventh call. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEP 7
#else
#define STEP 1
#endif

enum way { SHARED, PLAIN_CLONE, APART, APART_PLAIN, FORKED, REPLACED };
static const char *const way_name[] = {"shared", "by plain clone",
                                       "apart",  "apart by plain clone",
                                       "forked", "by fork_replacement"};

/* What the traced process has to say: in memory that it shares. */
struct told {
    int rc, stage, errnoval;
    libxl_childproc_result result;
};

static struct told *told;
static struct xg_group group;
static int with_group;

/* ---- the traced process ------------------------------------------------- */

static ssize_t (*real_pread)(int, void *, size_t, off_t);

/* A traced process makes no children apart (a debugger could not follow them):
 * this one does not know that it is. */
static ssize_t pread_untraced(int fd, void *buffer, size_t size, off_t at)
{
    ssize_t n = real_pread(fd, buffer, size, at);
    char *text = n > 0 ? memmem(buffer, (size_t)n, "TracerPid:\t", 11) : NULL;

    for (text = text ? text + 11 : NULL;
         text && text < (char *)buffer + n && *text >= '0' && *text <= '9';
         text++)
        *text = '0';
    return n;
}

static void take_way(libxl_ctx *ctx, libxl_sigchld_owner owner, enum way way)
{
    libxl_childproc_hooks hooks = {owner, xt_plain_fork, NULL, sizeof(hooks)};

    if (way == PLAIN_CLONE || way == APART_PLAIN)
        xl_facility_limit(~XL_FACILITY_CLONE3);
    if (way == FORKED)
        xl_facility_limit(~(unsigned)LIBXL_FACILITY_VFORK);
    if (way == REPLACED)
        XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    if (way == APART || way == APART_PLAIN) {
        real_pread = xl_sys.pread;
        xl_sys.pread = pread_untraced;
    }
}

static libxl_childproc_result await(libxl_ctx *ctx, libxl_sigchld_owner owner,
                                    libxl_childproc_id id)
{
    libxl_childproc_result r;
    int rc;

    do {
        if (owner == libxl_sigchld_owner_mainloop)
            libxl_childproc_sigchld_occurred(ctx);
        rc = libxl_childproc_wait(
            ctx, id, owner == libxl_sigchld_owner_mainloop ? 5 : -1, 0, &r);
    } while (rc == ERROR_TIMEDOUT);
    XT_OK(rc);
    return r;
}

/* All that can be asked for. */
struct asked {
    libxl_childproc_fd fds[5];
    libxl_childproc_rlimit limits[2];
    gid_t groups[1];
    int master, slave, out[2];
};

static void ask(struct asked *a, libxl_childproc_spec *spec)
{
    a->master = XT_SYS(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    XT_SYS(grantpt(a->master));
    XT_SYS(unlockpt(a->master));
    a->slave = XT_SYS(open(ptsname(a->master), O_RDWR | O_NOCTTY | O_CLOEXEC));
    xt_pipe(a->out);
    a->fds[0] = (libxl_childproc_fd){0, a->slave};
    a->fds[1] = (libxl_childproc_fd){1, a->out[1]};
    a->fds[2] = (libxl_childproc_fd){2, LIBXL_FD_NULL};
    a->fds[3] = (libxl_childproc_fd){a->out[1], a->slave}; /* a swap */
    a->fds[4] = (libxl_childproc_fd){a->slave, a->out[1]};
    a->limits[0] = (libxl_childproc_rlimit){RLIMIT_CORE, {0, 0}};
    a->limits[1] = (libxl_childproc_rlimit){RLIMIT_NOFILE, {200, 200}};
    a->groups[0] = getgid();
    spec->fds = a->fds;
    spec->nfds = 5;
    spec->rlimits = a->limits;
    spec->nrlimits = 2;
    spec->cwd = "/";
    spec->ctty_fd = a->slave;
    spec->umask = 077;
    spec->nice = getpriority(PRIO_PROCESS, 0);
    spec->pdeathsig = SIGTERM;
    spec->cgroup = with_group ? group.path : NULL;
    spec->search_path = "/nonexistent:/";
    spec->flags |= LIBXL_SPAWN_NEW_SESSION | LIBXL_SPAWN_SET_CTTY |
                   LIBXL_SPAWN_SET_UMASK | LIBXL_SPAWN_SET_NICE |
                   LIBXL_SPAWN_SET_PDEATHSIG | LIBXL_SPAWN_SEARCH_PATH;
    if (geteuid() == 0) {
        spec->uid = 0;
        spec->gid = getgid();
        spec->groups = a->groups;
        spec->ngroups = 1;
        spec->flags |=
            LIBXL_SPAWN_SET_UID | LIBXL_SPAWN_SET_GID | LIBXL_SPAWN_SET_GROUPS;
    }
}

static void unask(struct asked *a)
{
    xt_close(&a->out[0]);
    xt_close(&a->out[1]);
    xt_close(&a->slave);
    xt_close(&a->master);
}

/* One start; or a batch, of which the first child is the one. */
static void start(libxl_ctx *ctx, libxl_sigchld_owner owner, enum way way,
                  const libxl_childproc_spec *spec)
{
    libxl_childproc_spec other = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_batch_entry entry[3];
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_id id;

    if (way != APART && way != APART_PLAIN) {
        told->rc = libxl_childproc_spawn(ctx, spec, NULL, &id, NULL, &failure);
        told->stage = failure.stage;
        told->errnoval = failure.errnoval;
    } else {
        memset(entry, 0, sizeof(entry));
        entry[0].spec = spec;
        entry[1].spec = entry[2].spec = &other;
        (void)libxl_childproc_spawn_many(ctx, entry, 3);
        told->rc = entry[0].rc;
        told->stage = entry[0].failure.stage;
        told->errnoval = entry[0].failure.errnoval;
        id = entry[0].id;
        for (int i = 1; i < 3; i++) {
            libxl_childproc_result r;

            XT_OK(entry[i].rc);
            r = await(ctx, owner, entry[i].id);
            XT_EXITED(&r, 3);
        }
    }
    if (told->rc == 0)
        told->result = await(ctx, owner, id);
}

static void be_traced(libxl_sigchld_owner owner, enum way way)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_spec next = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_result r;
    struct xt_state *before;
    struct asked asked;
    libxl_ctx *ctx = xt_ctx_new(owner, NULL);

    r = await(ctx, owner, xt_spawn(ctx, &next, NULL, NULL));
    XT_EXITED(&r, 3);
    take_way(ctx, owner, way);
    ask(&asked, &spec);
    before = xt_state_take();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(XT_EXIT_SKIPPED);
    raise(SIGSTOP);
    start(ctx, owner, way, &spec);
    XT_EQ_INT(libxl_childproc_count(ctx), 0);
    XT_STATE_SAME(before);
    xt_state_free(before);
    r = await(ctx, owner, xt_spawn(ctx, &next, NULL, NULL));
    XT_EXITED(&r, 3);
    unask(&asked);
    xt_ctx_free(ctx);
    XH_NO_CHILDREN();
    _exit(0);
}

/* ---- the one that traces ------------------------------------------------ */

struct hunt {
    pid_t traced, child;
    int at;     /* which call; AT_BIRTH, AS_PROGRAM */
    int calls;  /* so far */
    int inside; /* one of them */
    int killed;
    pid_t
        early[4]; /* stopped at their births, before we know whose turn it is */
    int nearly;
};

static int is_thread_of(pid_t tid, pid_t pid)
{
    char path[64], line[128];
    int tgid = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f) &&
           sscanf(line, "Tgid: %d", &tgid) != 1)
        ;
    if (f)
        fclose(f);
    return tgid == pid;
}

/* A stopped one goes on, or is gone meanwhile. */
static void go_on(int how, pid_t pid, int signo)
{
    if (ptrace(how, pid, NULL, (void *)(long)signo) != 0 && errno != ESRCH)
        XT_FAIL("ptrace: %s", strerror(errno));
}

static void kill_it(struct hunt *h)
{
    XT_GT_INT(h->child, 1);
    XT_SYS(kill(h->child, SIGKILL));
    h->killed = 1;
}

static void child_stopped(struct hunt *h, int event, int signo)
{
    if (event == PTRACE_EVENT_EXEC) {
        if (h->at == AS_PROGRAM)
            kill_it(h);
        else
            go_on(PTRACE_DETACH, h->child, 0);
    } else if (signo == SYSCALL_STOP) {
        h->inside = !h->inside;
        if (h->inside && ++h->calls == h->at)
            kill_it(h);
        else
            go_on(PTRACE_SYSCALL, h->child, 0);
    } else if (h->at == AT_BIRTH && !h->killed) {
        kill_it(h);
    } else {
        go_on(PTRACE_SYSCALL, h->child, signo == SIGSTOP ? 0 : signo);
    }
}

static void stopped(struct hunt *h, pid_t pid, int event, int signo)
{
    if (pid == h->child)
        child_stopped(h, event, signo);
    else
        go_on(PTRACE_DETACH, pid, 0);
}

/* The first that it has made is the one. */
static void has_made(struct hunt *h, pid_t pid)
{
    unsigned long made = 0;

    XT_SYS(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &made));
    if (h->child || is_thread_of((pid_t)made, h->traced))
        return;
    h->child = (pid_t)made;
    while (h->nearly > 0)
        stopped(h, h->early[--h->nearly], 0, SIGSTOP);
}

static void traced_stopped(struct hunt *h, pid_t pid, int event, int signo)
{
    const long options = PTRACE_O_TRACEVFORK | PTRACE_O_TRACEFORK |
                         PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                         PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;

    if (signo == SIGSTOP && pid == h->traced)
        XT_SYS(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options));
    if (event)
        has_made(h, pid);
    go_on(PTRACE_CONT, pid, event || signo == SIGSTOP ? 0 : signo);
}

/* Follows the process until it ends; its status. */
static int follow(struct hunt *h)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        int event = status >> 16, signo;

        if (pid < 0 && errno == EINTR)
            continue;
        XT_GT_INT(pid, 1);
        if (!WIFSTOPPED(status)) {
            if (pid == h->traced)
                return status;
            continue;
        }
        signo = WSTOPSIG(status);
        if (pid == h->traced || is_thread_of(pid, h->traced)) {
            traced_stopped(h, pid, event, signo);
            continue;
        }
        if (h->child)
            stopped(h, pid, event, signo);
        else if (h->nearly < 4)
            h->early[h->nearly++] = pid;
    }
}

/* The child was killed there: what the parent was told is right. */
static void judge(const struct hunt *h, enum way way)
{
    const libxl_childproc_result *r = &told->result;

    if (!h->killed) {
        XT_OK(told->rc);
        XT_EXITED(r, 0);
    } else if (told->rc != 0) {
        /* only one that is waited for at a gate has a stage of its own */
        XT_TRUE(way == FORKED || way == REPLACED);
        XT_EQ_INT(told->stage, LIBXL_STAGE_GATE);
        XT_EQ_INT(told->errnoval, EPIPE);
    } else if (h->at == AT_BIRTH && with_group && r->status == 0) {
        /* some kernels kill there whoever is born in a group that was killed:
         * it is made once more */
        XT_TRUE(way == SHARED || way == APART);
        XT_EXITED(r, 0);
    } else {
        XT_SIGNALED(r, SIGKILL);
    }
}

static int hunt(libxl_sigchld_owner owner, enum way way, int at)
{
    struct hunt h = {.at = at};
    int status;

    memset(told, 0, sizeof(*told));
    h.traced = XT_SYS(fork());
    if (!h.traced)
        be_traced(owner, way);
    status = follow(&h);
    if (WIFEXITED(status) && WEXITSTATUS(status) == XT_EXIT_SKIPPED)
        XT_SKIP("tracing is refused here");
    if (status)
        XT_FAIL("%s, mode %d, killed at %d: status %#x", way_name[way],
                (int)owner, at, (unsigned)status);
    judge(&h, way);
    return h.killed;
}

static void hunt_all(enum way way)
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_none, libxl_sigchld_owner_libxl,
        libxl_sigchld_owner_mainloop,
        libxl_sigchld_owner_libxl_always_selective_reap};
    size_t nowners = getenv("XT_EVERY_MODE") ? 4 : 1;
    int tries = 0;

    if (xt_on_valgrind())
        XT_SKIP("valgrind traces by itself");
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    XT_TRUE(told != MAP_FAILED);
    with_group = xg_try_new(&group) == 0;
    for (size_t i = 0; i < nowners; i++) {
        int at;

        for (at = AS_PROGRAM; at < MOST_CALLS && hunt(owners[i], way, at);
             at += STEP)
            tries++;
        XT_LT_INT(at, MOST_CALLS);
        XT_GT_INT(at, 15); /* it does what it is asked for */
        XT_NOTE("%s, mode %d: %d calls%s", way_name[way], (int)owners[i],
                at - 1, with_group ? ", in a group" : "");
    }
    XT_NOTE("%d children killed", tries);
    if (with_group)
        xg_end(&group);
    XT_SYS(munmap(told, sizeof(*told)));
}

XT_TEST_SLOW(killed_at_each_call_shared, "C5 C6 C12 C15", 120)
{
    hunt_all(SHARED);
}

XT_TEST_SLOW(killed_at_each_call_by_plain_clone, "C5 C6 C12 C15", 120)
{
    hunt_all(PLAIN_CLONE);
}

#ifndef __SANITIZE_ADDRESS__ /* under which none is made apart */
XT_TEST_SLOW(killed_at_each_call_apart, "C5 C6 C12 C15", 120)
{
    if (!XL_RAWCALL_APART || !xp_clone3() || !xp_pidfds())
        XT_SKIP("children are not made apart here");
    hunt_all(APART);
}

XT_TEST_SLOW(killed_at_each_call_apart_by_plain_clone, "C5 C6 C12 C15", 120)
{
    if (!XL_RAWCALL_APART || !xp_pidfds())
        XT_SKIP("children are not made apart here");
    hunt_all(APART_PLAIN);
}
#endif

XT_TEST_SLOW(killed_at_each_call_forked, "C5 C6 C12 C15", 120)
{
    hunt_all(FORKED);
}

XT_TEST_SLOW(killed_at_each_call_replaced, "C5 C6 C10 C12 C15", 120)
{
    hunt_all(REPLACED);
}
