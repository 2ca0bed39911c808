/* bench/peers/xlchild.c - ours, in every mode
 *
 * --mode    none, libxl, libxl_always, selective, mainloop (the host reaps
 *           with waitpid(-1) and passes statuses on) or mainloop-occurred
 *           (the host only says that a SIGCHLD came); family-group,
 *           family-keeper and family-cgroup are none, and each child has a
 *           family of its own, which is waited for until it is empty, and freed
 * --report  event, callback or hold
 * --batch   starts so many with one call, --starters threads help.
 * --nowait  1: a start returns before its program is executed.
 * --account 1: why each died, and what it cost, is asked for and taken.
 * Called through bench.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "xlchild/account.h"
#include "xlchild/childproc.h"
#include "xlchild/family.h"

#define AT_ONCE 64

static libxl_ctx *ctx;
static libxl_childproc_spec spec;
static libxl_childproc_report report;
static libxl_childproc_batch_entry *entries;
static int fd = -1;       /* the ctx's, or the host's signalfd */
static int host_reaps;    /* mainloop: statuses are passed on */
static int host_owns;     /* mainloop, either way */
static long ends;
static libxl_family_opts family; /* holds 0: there are none */

/* report hold: the ids in order of their starts */
static libxl_childproc_id *held;
static size_t held_first;
static size_t held_count;
static size_t held_size;

static void check(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, libxl_strerror(rc));
    exit(2);
}

static void account(const libxl_childproc_result *result)
{
    libxl_childproc_account why = {.size = sizeof(why)};

    ends++;
    if (spec.flags & LIBXL_SPAWN_ACCOUNT)
        check(libxl_childproc_account_take(ctx, result->id, &why), "account");
    if (result->lost)
        bench_add_failed(1);
    bench_exited(result->pid, result->status);
}

static void ended(libxl_ctx *in, const libxl_childproc_result *result,
                  void *user)
{
    (void)in;
    (void)user;
    account(result);
}

static libxl_sigchld_owner owner_of(const char *mode)
{
    static const struct {
        const char *name;
        libxl_sigchld_owner owner;
    } table[] = {
        {"none", libxl_sigchld_owner_none},
        {"family-group", libxl_sigchld_owner_none},
        {"family-keeper", libxl_sigchld_owner_none},
        {"family-cgroup", libxl_sigchld_owner_none},
        {"libxl", libxl_sigchld_owner_libxl},
        {"libxl_always", libxl_sigchld_owner_libxl_always},
        {"selective", libxl_sigchld_owner_libxl_always_selective_reap},
        {"mainloop", libxl_sigchld_owner_mainloop},
        {"mainloop-occurred", libxl_sigchld_owner_mainloop},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(mode, table[i].name))
            return table[i].owner;
    bench_refuse("unknown --mode");
}

static unsigned hold_of(const char *mode)
{
    if (!strcmp(mode, "family-group"))
        return 1u << LIBXL_HOLD_GROUP;
    if (!strcmp(mode, "family-keeper"))
        return 1u << LIBXL_HOLD_KEEPER;
    return !strcmp(mode, "family-cgroup") ? 1u << LIBXL_HOLD_CGROUP : 0;
}

static void end_family(libxl_family_id id)
{
    if (!family.holds)
        return;
    check(libxl_family_wait(ctx, id, LIBXL_WAIT_FOREVER, 0), "family_wait");
    check(libxl_family_free(ctx, id), "family_free");
}

static void watch_sigchld(void)
{
    sigset_t chld;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &chld, NULL))
        bench_die("sigprocmask");
    fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        bench_die("signalfd");
}

static void choose_report(const struct bench_options *o)
{
    size_t room = (size_t)(o->live + o->children + o->concurrency + o->warmup);

    if (!strcmp(o->report, "event")) {
        report.kind = LIBXL_REPORT_EVENT;
    } else if (!strcmp(o->report, "callback")) {
        report.kind = LIBXL_REPORT_CALLBACK;
        report.callback = ended;
    } else if (!strcmp(o->report, "hold")) {
        if (o->live || o->batch || host_owns)
            bench_refuse("--report hold waits for the oldest child first");
        report.kind = LIBXL_REPORT_HOLD;
        held_size = room;
        held = calloc(room, sizeof(*held));
        if (!held)
            bench_die("memory for ids");
    } else {
        bench_refuse("--report is event, callback or hold");
    }
}

static void prepare_batch(const struct bench_options *o)
{
    if (o->starters)
        check(libxl_childproc_set_starters(ctx, (int)o->starters),
              "set_starters");
    if (!o->batch)
        return;
    entries = calloc((size_t)o->batch, sizeof(*entries));
    if (!entries)
        bench_die("memory for a batch");
    for (long i = 0; i < o->batch; i++) {
        entries[i].spec = &spec;
        entries[i].report = &report;
    }
}

static void open_ctx(const struct bench_options *o)
{
    libxl_childproc_hooks hooks = {
        .chldowner = owner_of(o->mode),
        .size = sizeof(hooks),
    };

    check(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL), "ctx_alloc");
    check(libxl_childproc_setmode_checked(ctx, &hooks, NULL), "setmode");
    host_owns = hooks.chldowner == libxl_sigchld_owner_mainloop;
    host_reaps = host_owns && !strcmp(o->mode, "mainloop");
    libxl_childproc_spec_init(&spec);
    libxl_family_opts_init(&family);
    family.holds = hold_of(o->mode);
    family.end_when = LIBXL_FAMILY_ALWAYS;
    if (family.holds && (o->batch || strcmp(o->report, "event")))
        bench_refuse("families go with --report event, and no --batch");
    if (o->nowait)
        spec.flags |= LIBXL_SPAWN_NOWAIT;
    if (o->account)
        spec.flags |= LIBXL_SPAWN_ACCOUNT;
    choose_report(o);
    prepare_batch(o);
    if (host_owns) {
        watch_sigchld();
    } else if (report.kind == LIBXL_REPORT_CALLBACK) {
        fd = libxl_ctx_fileno(ctx);
        check(fd, "ctx_fileno");
    }
}

static pid_t start(char *const argv[])
{
    libxl_childproc_failure failure;
    libxl_childproc_id id;
    pid_t pid;
    int rc;

    spec.argv = (const char *const *)argv;
    if (family.holds) {
        rc = libxl_family_new(ctx, &family, &spec.family);
        if (rc == ERROR_NI) {
            fprintf(stderr, "a %s cannot be had here\n", bench_options.mode);
            exit(77); /* not to be had: run.py */
        }
        check(rc, "family_new");
        report.u.for_event = spec.family;
    }
    rc = libxl_childproc_spawn(ctx, &spec, &report, &id, &pid, &failure);
    if (rc) {
        fprintf(stderr, "bench: spawn: %s, stage %s\n", libxl_strerror(rc),
                libxl_childproc_stage_name(failure.stage));
        errno = failure.errnoval;
        return -1;
    }
    if (held)
        held[(held_first + held_count++) % held_size] = id;
    return pid;
}

static void start_many(char *const argv[], long n)
{
    int started;

    spec.argv = (const char *const *)argv;
    started = libxl_childproc_spawn_many(ctx, entries, (size_t)n);
    check(started, "spawn_many");
    if (started != n)
        bench_refuse("not every entry of a batch started");
}

static void take_events(void)
{
    libxl_event *event;

    while (!libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL)) {
        account(&event->u.childproc_exit);
        end_family(event->for_user);
        libxl_event_free(ctx, event);
    }
}

static void wait_for_events(void)
{
    libxl_event *events[AT_ONCE];
    int n = libxl_event_wait_many(ctx, events, AT_ONCE, LIBXL_EVENTMASK_ALL,
                                  LIBXL_WAIT_FOREVER, 0);

    check(n, "event_wait_many");
    for (int i = 0; i < n; i++) {
        account(&events[i]->u.childproc_exit);
        end_family(events[i]->for_user);
        libxl_event_free(ctx, events[i]);
    }
}

static void wait_for_oldest(void)
{
    libxl_childproc_result result;

    check(libxl_childproc_wait(ctx, held[held_first], LIBXL_WAIT_FOREVER, 0,
                               &result),
          "wait");
    held_first = (held_first + 1) % held_size;
    held_count--;
    account(&result);
}

/* What a host does that owns SIGCHLD. */
static void host_wakes(void)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(fd, &info, sizeof(info)) == sizeof(info))
        ;
    if (!host_reaps) {
        libxl_childproc_sigchld_occurred(ctx);
        return;
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (libxl_childproc_exited(ctx, pid, status))
            bench_refuse("a child was not recognised");
}

static void pump_fd(void)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    long before = ends;

    while (ends == before) {
        if (poll(&pollfd, 1, -1) < 0 && errno != EINTR)
            bench_die("poll");
        if (host_owns)
            host_wakes();
        take_events();
    }
}

static void pump(void)
{
    if (fd >= 0)
        pump_fd();
    else if (held)
        wait_for_oldest();
    else
        wait_for_events();
}

static const struct bench_peer peer = {
    .name = "xlchild",
    .version = libxl_version_string,
    .open = open_ctx,
    .start = start,
    .start_many = start_many,
    .pump = pump,
    .takes_starters = 1,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
