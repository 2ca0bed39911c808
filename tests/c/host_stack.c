/* host_stack.c - threads with the smallest stack that there is
 *
 * Proves C26: a thread with PTHREAD_STACK_MIN, 16 KiB, may start, pump, wait,
 * kill, adopt and free in every mode, and whatever comes its way is worked off
 * there: captured output, callbacks, timeouts, groups, cgroups, strangers,
 * messages. How much was used is measured, so that a frame which grows is
 * noticed while there is still room.
 */
#define _GNU_SOURCE
#include "hostchild.h"
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "kernel/sys.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIZE (2 * 1024 * 1024) /* a sanitizer's frames are of its own making */
#else
#define SIZE (16 * 1024)
#endif
#define GUARD (256 * 1024)
#define PAINT 0x5a
#define LEAST 1024 /* the largest frames of a signal are of 3.5 KiB */

struct job {
    void (*fn)(void *arg);
    void *arg;
};

static void *run(void *arg)
{
    struct job *job = arg;

    job->fn(job->arg);
    return NULL;
}

/* fn on a stack of SIZE bytes; how many were never touched. */
static size_t on_a_small_stack(void (*fn)(void *), void *arg)
{
    unsigned char *memory =
        mmap(NULL, GUARD + SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    struct job job = {fn, arg};
    pthread_attr_t attr;
    pthread_t thread;
    size_t spare = 0;

    XT_TRUE(memory != MAP_FAILED);
    memset(memory, PAINT, GUARD + SIZE);
    XT_SYS(mprotect(memory, GUARD, PROT_NONE));
    XT_EQ_INT(pthread_attr_init(&attr), 0);
    XT_EQ_INT(pthread_attr_setstack(&attr, memory + GUARD, SIZE), 0);
    XT_EQ_INT(pthread_create(&thread, &attr, run, &job), 0);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    (void)pthread_attr_destroy(&attr);
    xt_memory_readable(memory + GUARD, SIZE);
    while (spare < SIZE && memory[GUARD + spare] == PAINT)
        spare++;
    XT_SYS(munmap(memory, GUARD + SIZE));
    return spare;
}

/* ---- what a host's thread may do ----------------------------------------- */

/* Results and the like are the host's to keep elsewhere. */
static struct {
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    libxl_childproc_result end;
    libxl_childproc_batch_entry batch[24];
    libxl_childproc_diagnosis diagnosis;
    libxl_childproc_spec spec;
    size_t told;
} host;

static void count_data(libxl_ctx *ctx, int stream, const void *data,
                       size_t length, void *user)
{
    host.told += length;
}

static int by_exec(libxl_ctx *ctx, const char *const *argv)
{
    host.spec = xt_spec(argv);
    memset(&host.result, 0, sizeof(host.result));
    return libxl_childproc_exec(ctx, &host.spec, &host.opts, &host.result, NULL,
                                NULL);
}

static void streams(libxl_ctx *ctx)
{
    static char input[150000];

    libxl_childproc_exec_opts_init(&host.opts);
    host.opts.stdin_stream.kind = LIBXL_STREAM_BUFFER;
    host.opts.stdin_stream.data = input;
    host.opts.stdin_stream.length = sizeof(input);
    host.opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    host.opts.stderr_stream.kind = LIBXL_STREAM_CALLBACK;
    host.opts.stream_data = count_data;
    host.told = 0;
    XT_OK(by_exec(ctx, XT_CHILD("cat", "err", "100000")));
    XT_EQ_INT(host.result.out.length, sizeof(input));
    XT_EQ_INT(host.told, 100000);
    libxl_childproc_exec_result_dispose(&host.result);

    host.opts.stdout_stream.limit = 1000;
    XT_OK(by_exec(ctx, XT_CHILD("cat")));
    XT_EQ_INT(host.result.out.length, 1000);
    XT_EQ_INT(host.result.out.dropped, sizeof(input) - 1000);
    libxl_childproc_exec_result_dispose(&host.result);
}

static void timeouts(libxl_ctx *ctx)
{
    libxl_childproc_exec_opts_init(&host.opts);
    host.opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    host.opts.timeout_ms = 20;
    host.spec = xt_spec(XT_CHILD("ignore", "SIGTERM", "pause"));
    host.spec.flags = LIBXL_SPAWN_NEW_GROUP;
    host.spec.kill = (libxl_kill_policy){SIGTERM, 10, LIBXL_KILL_GROUP};
    memset(&host.result, 0, sizeof(host.result));
    XT_RC(libxl_childproc_exec(ctx, &host.spec, &host.opts, &host.result, NULL,
                               NULL),
          ERROR_TIMEDOUT);
    libxl_childproc_exec_result_dispose(&host.result);
}

/* A directory that is no cgroup: all is tried, to the last resort. */
static void cgroups(libxl_ctx *ctx)
{
    char *dir = xt_tmpdir();
    char *procs;
    libxl_childproc_id id;
    FILE *f;
    int rc;

    XT_TRUE(asprintf(&procs, "%s/cgroup.procs", dir) > 0);
    f = fopen(procs, "we");
    XT_TRUE(f != NULL);
    fclose(f);
    host.spec = xt_spec(XT_CHILD("pause"));
    host.spec.cgroup = dir;
    id = xt_spawn(ctx, &host.spec, NULL, NULL);
    rc = libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_CGROUP);
    XT_TRUE(rc == ERROR_NOTFOUND || rc == ERROR_SYSTEM);
    rc = libxl_childproc_kill(ctx, id, SIGTERM, LIBXL_KILL_CGROUP);
    XT_TRUE(rc == ERROR_NOTFOUND || rc == ERROR_SYSTEM);
    XT_OK(libxl_childproc_kill(ctx, id, SIGKILL, LIBXL_KILL_PROCESS));
    XT_OK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &host.end));
    free(procs);
    xt_tmpdir_remove(dir);
}

static void batch(libxl_ctx *ctx)
{
    const int n = sizeof(host.batch) / sizeof(host.batch[0]);

    host.spec = xt_spec(XT_CHILD("exit", "0"));
    memset(host.batch, 0, sizeof(host.batch));
    for (int i = 0; i < n; i++)
        host.batch[i].spec = &host.spec;
    XT_EQ_INT(libxl_childproc_spawn_many(ctx, host.batch, n), n);
    for (int i = 0; i < n; i++)
        XT_OK(libxl_childproc_wait(ctx, host.batch[i].id, LIBXL_WAIT_FOREVER, 0,
                                   &host.end));
}

/* Messages, without a logger: to stderr. */
static void words(libxl_ctx *ctx, libxl_sigchld_owner owner)
{
    const char *const nowhere[] = {"/nonexistent/program", NULL};
    char *text;

    XT_RC(libxl_childproc_spawn(ctx, NULL, NULL, NULL, NULL, NULL),
          ERROR_INVAL);
    host.spec = xt_spec(nowhere);
    XT_RC(libxl_childproc_spawn(ctx, &host.spec, NULL, NULL, NULL, NULL),
          ERROR_SPAWN);
    host.diagnosis.size = sizeof(host.diagnosis);
    XT_OK(libxl_childproc_diagnose(ctx, &host.diagnosis, &text));
    free(text);
    if (owner == libxl_sigchld_owner_libxl ||
        owner == libxl_sigchld_owner_libxl_always) {
        /* a stranger ends, and is warned of */
        pid_t pid = xh_fork_exit(3);

        host.spec = xt_spec(XT_CHILD("exit", "0"));
        xh_await_zombie(pid);
        XT_OK(libxl_childproc_wait(ctx, xt_spawn(ctx, &host.spec, NULL, NULL),
                                   LIBXL_WAIT_FOREVER, 0, &host.end));
        while (xh_is_zombie(pid) == 1)
            xh_pump(ctx);
    }
}

static void events(libxl_ctx *ctx)
{
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {1}};
    libxl_event *event[4];

    host.spec = xt_spec(XT_CHILD("exit", "4"));
    (void)xt_spawn(ctx, &host.spec, &report, NULL);
    XT_EQ_INT(libxl_event_wait_many(ctx, event, 4, LIBXL_EVENTMASK_ALL,
                                    LIBXL_WAIT_FOREVER, 0),
              1);
    XT_EXITED(&event[0]->u.childproc_exit, 4);
    libxl_event_free(ctx, event[0]);
}

static void adoption(libxl_ctx *ctx)
{
    libxl_childproc_id id;
    uint64_t ticks;
    pid_t pid;
    int gate, rc;

    pid = xh_fork_held(XH_EXIT(6), &gate);
    XT_OK(libxl_childproc_start_time(pid, &ticks));
    rc = libxl_childproc_adopt(ctx, pid, ticks, -1, NULL, &id);
    xt_close(&gate);
    if (rc == 0)
        XT_OK(libxl_childproc_wait(ctx, id, LIBXL_WAIT_FOREVER, 0, &host.end));
    else
        XT_EQ_INT(xh_reap(pid), 6 << 8);
}

struct world {
    libxl_sigchld_owner owner;
    unsigned facilities;
};

static void a_hosts_life(void *arg)
{
    const struct world *w = arg;
    static libxl_childproc_hooks hooks;
    libxl_ctx *ctx;

    hooks = (libxl_childproc_hooks){w->owner, NULL, NULL, sizeof(hooks)};
    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    streams(ctx);
    timeouts(ctx);
    cgroups(ctx);
    batch(ctx);
    XT_OK(libxl_childproc_set_starters(ctx, 1));
    batch(ctx);
    words(ctx, w->owner);
    events(ctx);
    adoption(ctx);
    host.spec = xt_spec(XT_CHILD("pause"));
    host.spec.on_free = LIBXL_FREE_KILL;
    (void)xt_spawn(ctx, &host.spec, NULL, NULL);
    XT_OK(libxl_ctx_free(ctx));
}

static void live(unsigned facilities)
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    xl_facility_limit(facilities);
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        struct world w = {owners[i], facilities};
        size_t spare = on_a_small_stack(a_hosts_life, &w);

        XT_NOTE("%s: %zu bytes were never used",
                libxl_childproc_owner_name(w.owner), spare);
        XT_GE_INT(spare, LEAST);
    }
    xl_facility_limit(~0u);
}

XT_TEST_SLOW(a_hosts_life_on_16_kib, "C26", 60)
{
    live(~0u);
}

/* The child is a fork of such a thread, and sets itself up on that stack. */
XT_TEST_SLOW(starting_by_fork_on_16_kib, "C26", 60)
{
    live(~(unsigned)LIBXL_FACILITY_VFORK);
}

XT_TEST_SLOW(without_pidfds_on_16_kib, "C26", 60)
{
    live(~(unsigned)LIBXL_FACILITY_PIDFD);
}

/* ---- the first ctx, the first start -------------------------------------- */

static void first_of_all(void *unused)
{
    libxl_ctx *ctx;

    XT_OK(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    host.spec = xt_spec(XT_CHILD("exit", "0"));
    XT_OK(libxl_childproc_wait(ctx, xt_spawn(ctx, &host.spec, NULL, NULL),
                               LIBXL_WAIT_FOREVER, 0, &host.end));
    XT_OK(libxl_ctx_free(ctx));
}

XT_TEST(the_first_start_on_16_kib, "C26")
{
    XT_GE_INT(on_a_small_stack(first_of_all, NULL), LEAST);
}
