/* calls.c - the calls of the library that chaos.c makes at random
 *
 * See calls.h. What an answer may be is decided here where the call alone
 * tells, and in model.c where the whole of the run does.
 */
#define _GNU_SOURCE
#include "calls.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evenables.h"
#include "host.h"
#include "plans.h"

#define TAG_ADOPTED (1ull << 41)

static __thread struct xc_chance *mine; /* of the thread's */

static struct xc_chance *chance(void)
{
    static __thread struct xc_chance for_others;

    return mine ? mine : &for_others;
}

/* ---- what comes of a start ----------------------------------------------- */

static void started(struct xc_ours *c, libxl_childproc_id id, pid_t pid)
{
    c->id = id;
    c->pid = pid;
    atomic_store(&c->started, 1);
}

/* What a start may be refused with, by what the host does. */
static void refused(int rc, const libxl_childproc_failure *f, const char *what)
{
    if (rc == ERROR_SIGCHLD_UNAVAILABLE && xc_run.signals && !xc_run.pidfds)
        return;
    if (rc == ERROR_SIGCHLD_UNAVAILABLE && xc_run.ignores && !xc_run.exit_info)
        return;
    xc_fail("%s: %s, stage %s, errno %s", what, libxl_strerror(rc),
            libxl_childproc_stage_name(f->stage), strerror(f->errnoval));
}

/* ---- events ------------------------------------------------------------- */

void xc_calls_take(libxl_ctx *ctx, libxl_event *event)
{
    libxl_ev_user user = event->for_user;

    if (event->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE)
        xc_fail("nobody asked for such an event");
    if (event->type == LIBXL_EVENT_TYPE_CHILDPROC_EXIT) {
        const libxl_childproc_result *r = &event->u.childproc_exit;

        if (user & TAG_ADOPTED) {
            struct xc_host *h = &xc_hosts[user & 0xffff];

            if (r->lost == LIBXL_LOST_NONE ? r->status != atomic_load(&h->end)
                                           : xc_run.exit_info)
                xc_fail("the adopted %d, which ends with %#x, is reported with"
                        " %#x (%s)",
                        (int)h->pid, (unsigned)atomic_load(&h->end), r->status,
                        libxl_childproc_lost_text(r->lost));
            if (atomic_fetch_add(&h->reports, 1))
                xc_fail("the adopted %d is reported twice", (int)h->pid);
        } else if (xc_evenable_is(user)) {
            xc_evenable_told(user);
        } else {
            xc_reported(&xc_ours[user], r);
        }
    }
    libxl_event_free(ctx, event);
}

static void check_events(libxl_ctx *ctx)
{
    libxl_event *event;

    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) == 0)
        xc_calls_take(ctx, event);
}

void *xc_calls_pump(void *arg)
{
    unsigned place;

    mine = arg;
    place = (unsigned)(mine->state % (unsigned)xc_run.places);
    while (!atomic_load(&xc_stop)) {
        libxl_event *event[8];
        int n =
            libxl_event_wait_many(xc_ctx[place], event, 8, LIBXL_EVENTMASK_ALL,
                                  1 + (int)xc_below(mine, 30), 0);

        if (n < 0 && n != ERROR_TIMEDOUT)
            xc_fail("event_wait_many: %s", libxl_strerror(n));
        for (int i = 0; i < n; i++)
            xc_calls_take(xc_ctx[place], event[i]);
        if (xc_percent(mine, 10))
            xc_pause_ms((int)xc_below(mine, 5));
    }
    return NULL;
}

/* ---- starting ----------------------------------------------------------- */

static enum xc_kind some_kind(void)
{
    unsigned n = xc_below(chance(), 10);

    return n < 4 ? XC_HOLD : n < 7 ? XC_EVENT : n < 9 ? XC_CALLBACK : XC_NONE;
}

static void spawn(libxl_ctx *ctx, int place, int mode)
{
    struct xc_ours *c = xc_new_ours(place, mode, some_kind());
    libxl_childproc_failure f;
    libxl_childproc_id id;
    struct xc_plan p;
    pid_t pid;
    int rc;

    if (!c)
        return;
    if (place == XC_WANDERER)
        c->on_free = (int)xc_below(chance(), 3);
    xc_make_plan(&p, c, chance());
    rc = libxl_childproc_spawn(ctx, &p.spec, &p.report, &id, &pid, &f);
    if (rc)
        refused(rc, &f, "spawn");
    else
        started(c, id, pid);
}

static void spawn_many(int place)
{
    libxl_childproc_batch_entry entry[6];
    struct xc_ours *c[6];
    struct xc_plan p[6];
    size_t n = 1 + xc_below(chance(), 6);
    int rc;

    memset(entry, 0, sizeof(entry));
    for (size_t i = 0; i < n; i++) {
        c[i] = xc_new_ours(place, xc_run.mode[place], some_kind());
        if (!c[i]) {
            n = i;
            break;
        }
        xc_make_plan(&p[i], c[i], chance());
        entry[i].spec = &p[i].spec;
        entry[i].report = &p[i].report;
    }
    if (n == 0)
        return;
    rc = libxl_childproc_spawn_many(xc_ctx[place], entry, n);
    if (rc < 0)
        xc_fail("spawn_many: %s", libxl_strerror(rc));
    for (size_t i = 0; i < n; i++) {
        if (entry[i].rc)
            refused(entry[i].rc, &entry[i].failure, "spawn_many");
        else
            started(c[i], entry[i].id, entry[i].pid);
    }
}

static void op_completed(libxl_ctx *ctx, int rc, void *user)
{
    struct xc_ours *c = user;

    (void)ctx;
    if (rc != 0 && rc != ERROR_ABORTED && rc != ERROR_TIMEDOUT)
        xc_fail("exec: %s", libxl_strerror(rc));
    /* what nobody is told before */
    if (c->result.child.pid > 0)
        xc_reported(c, &c->result.child);
    c->pid = c->result.child.pid;
    atomic_fetch_add(&c->completed, 1);
}

static void exec(int place)
{
    int async = xc_percent(chance(), 60);
    struct xc_ours *c =
        xc_new_ours(place, xc_run.mode[place], async ? XC_ASYNC : XC_EXEC);
    libxl_childproc_exec_opts opts;
    libxl_childproc_failure f;
    struct xc_plan p;
    int rc;

    if (!c)
        return;
    xc_make_plan(&p, c, chance());
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    if (xc_percent(chance(), 30))
        opts.timeout_ms = 1 + (int)xc_below(chance(), 60);
    if (xc_percent(chance(), 50)) {
        p.spec.kill.first_signal = SIGTERM;
        p.spec.kill.grace_ms = 5;
    }
    atomic_store(&c->sent, 1 << SIGTERM | 1 << SIGKILL);
    c->how.callback = op_completed;
    c->how.u.for_callback = c;
    if (async)
        atomic_store(&c->started, 2); /* on its way */
    rc = libxl_childproc_exec(xc_ctx[place], &p.spec, &opts, &c->result, &f,
                              async ? &c->how : NULL);
    if (async && rc == 0) {
        atomic_store(&c->started, 1);
        return;
    }
    atomic_store(&c->started, 0);
    if (rc == ERROR_ABORTED && async)
        return; /* it was quicker than the start */
    if (rc != 0 && rc != ERROR_TIMEDOUT) {
        refused(rc, &f, "exec");
        return;
    }
    started(c, c->result.child.id, c->result.child.pid);
    xc_reported(c, &c->result.child);
    libxl_childproc_exec_result_dispose(&c->result);
}

/* ---- on those that are there -------------------------------------------- */

/* One of the fixed contexts', of late; NULL: none. */
static struct xc_ours *some_child(void)
{
    int n = atomic_load(&xc_nours);
    int back = (int)xc_below(chance(), 60);
    struct xc_ours *c;

    if (back >= n)
        return NULL;
    c = &xc_ours[n - 1 - back];
    return c->place < XC_FIXED && atomic_load(&c->started) == 1 &&
                   c->kind < XC_EXEC
               ? c
               : NULL;
}

struct xc_ours *xc_calls_some_held(struct xc_chance *chance)
{
    struct xc_ours *c;

    mine = chance;
    c = some_child();
    if (!c || c->kind != XC_HOLD)
        return NULL;
    atomic_store(&c->asked, 1);
    return c;
}

static void none_of(int rc, int a, int b, const char *what)
{
    if (rc != 0 && rc != a && rc != b)
        xc_fail("%s: %s", what, libxl_strerror(rc));
}

static void wait_for(struct xc_ours *c, int timeout_ms, unsigned flags)
{
    libxl_childproc_result r;
    int rc;

    atomic_store(&c->asked, 1);
    rc = libxl_childproc_wait(xc_ctx[c->place], c->id, timeout_ms, flags, &r);

    if (rc == 0) {
        xc_reported(c, &r);
        return;
    }
    none_of(rc, ERROR_TIMEDOUT, ERROR_NOTFOUND, "wait");
}

static void kill_one(struct xc_ours *c)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR2};
    int signo = signals[xc_below(chance(), 3)];
    int group = c->group && xc_percent(chance(), 50);

    if (xc_percent(chance(), 30)) {
        libxl_kill_policy policy = {SIGTERM, (int)xc_below(chance(), 10),
                                    group ? LIBXL_KILL_GROUP
                                          : LIBXL_KILL_PROCESS};

        atomic_fetch_or(&c->sent, 1 << SIGTERM | 1 << SIGKILL);
        none_of(libxl_childproc_terminate(xc_ctx[c->place], c->id, &policy),
                ERROR_NOTFOUND, 0, "terminate");
        return;
    }
    atomic_fetch_or(&c->sent, 1 << signo);
    none_of(libxl_childproc_kill(xc_ctx[c->place], c->id, signo,
                                 group ? LIBXL_KILL_GROUP : LIBXL_KILL_PROCESS),
            ERROR_NOTFOUND, 0, "kill");
}

/* A number that is held is its child's until somebody asks, however long that
 * has ended, and whoever pumps. */
static void look_at_number(struct xc_ours *c)
{
    int there;

    if (!c->holds_pid || c->mode == libxl_sigchld_owner_mainloop ||
        !xc_run.occurs)
        return; /* else there is a ctx, or the host, that reaps everybody */
    there = c->pid > 1 && kill(c->pid, 0) == 0;
    if (!there && !atomic_load(&c->asked))
        xc_fail("child %d (%d), whose number is held, was reaped unasked",
                (int)(c - xc_ours), (int)c->pid);
}

static void detach(struct xc_ours *c)
{
    int rc;

    atomic_store(&c->asked, 1);
    rc = xc_percent(chance(), 50)
             ? libxl_childproc_linger(xc_ctx[c->place], c->id)
             : libxl_childproc_detach(xc_ctx[c->place], c->id);
    if (rc == 0)
        atomic_store(&c->detached, 1);
    none_of(rc, ERROR_NOTFOUND, 0, "detach");
}

static void abort_one(void)
{
    int n = atomic_load(&xc_nours);
    int back = (int)xc_below(chance(), 100);
    struct xc_ours *c;
    int rc;

    if (back >= n)
        return;
    c = &xc_ours[n - 1 - back];
    if (c->kind != XC_ASYNC || atomic_load(&c->started) == 0)
        return;
    rc = libxl_ao_abort(xc_ctx[c->place], &c->how);
    none_of(rc, ERROR_NOTFOUND, ERROR_ABORTED, "ao_abort");
}

static void adopt(int place)
{
    libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
    libxl_childproc_id id;
    struct xc_host *h;
    int pidfd, rc;

    if (!xc_run.pidfds || xc_run.ignores)
        return;
    h = xc_host_fork(chance(), 0);
    if (!h)
        return;
    pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
    report.u.for_event = TAG_ADOPTED | (libxl_ev_user)(h - xc_hosts);
    if (pidfd >= 0) {
        rc = libxl_childproc_adopt(xc_ctx[place], 0, 0, pidfd, &report, &id);
        if (rc == 0)
            atomic_store(&h->adopted, 1);
        else
            xc_fail("adopt: %s", libxl_strerror(rc));
        close(pidfd);
    }
    xc_host_let_end(h);
}

static pid_t plain_fork(void *user)
{
    (void)user;
    return fork();
}

static void set_mode(int place)
{
    libxl_childproc_hooks hooks = {.chldowner =
                                       (libxl_sigchld_owner)xc_run.mode[place]};

    if (hooks.chldowner == libxl_sigchld_owner_libxl ||
        hooks.chldowner == libxl_sigchld_owner_libxl_always)
        hooks.childproc_exited_callback = xc_host_exited;
    if (xc_run.forks)
        hooks.fork_replacement = plain_fork;
    none_of(libxl_childproc_setmode_checked(xc_ctx[place], &hooks, NULL),
            ERROR_BUSY, 0, "setmode");
}

static void look_around(int place)
{
    libxl_childproc_diagnosis d = {.size = sizeof(d)};
    struct xc_ours *c = some_child();
    libxl_childproc_id id;

    if (libxl_childproc_diagnose(xc_ctx[place], &d, NULL) ||
        libxl_childproc_count(xc_ctx[place]) < 0)
        xc_fail("diagnose, count");
    if (c && libxl_childproc_lookup(xc_ctx[c->place], c->pid, &id) == 0 &&
        id != c->id)
        xc_fail("lookup: %d is another child", (int)c->pid);
}

static void block_sigchld(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(xc_percent(chance(), 50) ? SIG_BLOCK : SIG_UNBLOCK, &set,
                    NULL);
}

/* Not too many at a time. */
static int enough(void)
{
    int n = atomic_load(&xc_nours), living = 0;

    for (int i = n; i-- > 0 && i > n - 300;)
        living += atomic_load(&xc_ours[i].reports) == 0;
    return living > 150;
}

void *xc_calls_work(void *arg)
{
    mine = arg;
    while (!atomic_load(&xc_stop)) {
        int place = (int)xc_below(mine, (unsigned)xc_run.places);
        unsigned what = xc_below(mine, 100);
        struct xc_ours *c = some_child();

        if (what < 25 && !enough())
            spawn(xc_ctx[place], place, xc_run.mode[place]);
        else if (what < 29 && !enough())
            spawn_many(place);
        else if (what < 36 && !enough())
            exec(place);
        else if (what < 42)
            abort_one();
        else if (what < 58 && c && c->kind == XC_HOLD)
            wait_for(c, (int)xc_below(mine, 3) * 10,
                     xc_percent(mine, 50) ? LIBXL_WAIT_KEEP : 0);
        else if (what < 68 && c)
            kill_one(c);
        else if (what < 71 && c)
            detach(c);
        else if (what < 74 && c)
            look_at_number(c);
        else if (what < 80)
            check_events(xc_ctx[place]);
        else if (what < 83)
            adopt(place);
        else if (what < 86)
            xc_evenable_next(mine, place, c);
        else if (what < 88)
            set_mode(place);
        else if (what < 91)
            look_around(place);
        else if (what < 92 && xc_run.signals && !xc_run.occurs)
            block_sigchld();
        else if (what < 94)
            libxl_childproc_sigchld_occurred(xc_ctx[place]);
        else
            xc_pause_ms((int)xc_below(mine, 3));
    }
    for (int i = 0; i < xc_run.places; i++)
        check_events(xc_ctx[i]);
    return NULL;
}

/* ---- contexts ----------------------------------------------------------- */

static void log_worst(void *user, libxl_log_level level, int errnoval,
                      const char *message)
{
    int pid;

    (void)user;
    if (sscanf(message, "reaped unknown child %d", &pid) == 1)
        xc_host_logged(pid);
    if (getenv("XC_LOG"))
        xc_say("log %d: %s", (int)level, message);
    if (level >= LIBXL_LOG_CRITICAL)
        xc_fail("critical: %s (%s)", message, strerror(errnoval));
}

libxl_ctx *xc_calls_ctx(int mode, int starters)
{
    libxl_childproc_hooks hooks = {.chldowner = (libxl_sigchld_owner)mode};
    libxl_logger logger = {sizeof(logger), LIBXL_LOG_DEBUG, log_worst, NULL};
    libxl_ctx *ctx;
    int rc;

    if (mode == libxl_sigchld_owner_libxl ||
        mode == libxl_sigchld_owner_libxl_always)
        hooks.childproc_exited_callback = xc_host_exited;
    if (xc_run.forks)
        hooks.fork_replacement = plain_fork;
    rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger);
    if (rc == 0)
        rc = libxl_childproc_setmode_checked(ctx, &hooks, NULL);
    if (rc == 0 && starters)
        rc = libxl_childproc_set_starters(ctx, starters);
    if (rc)
        xc_fail("a context of mode %s: %s", xc_mode_name(mode),
                libxl_strerror(rc));
    return ctx;
}

static int mode_beside(void)
{
    static const int beside_mainloop[] = {
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};
    static const int beside_others[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    return xc_run.mainloop ? beside_mainloop[xc_below(mine, 2)]
                           : beside_others[xc_below(mine, 4)];
}

static void wander_once(void)
{
    int mode = mode_beside();
    libxl_ctx *ctx = xc_calls_ctx(mode, 0);
    int first = atomic_load(&xc_nours);

    for (unsigned n = xc_below(mine, 6); n-- > 0;) {
        spawn(ctx, XC_WANDERER, mode);
        if (xc_percent(mine, 30))
            check_events(ctx);
        if (xc_percent(mine, 30))
            xc_pause_ms((int)xc_below(mine, 8));
    }
    for (int i = first; i < atomic_load(&xc_nours); i++) {
        struct xc_ours *c = &xc_ours[i];

        /* whatever its report: it may still come before the free */
        if (c->place == XC_WANDERER && atomic_load(&c->started) == 1) {
            if (c->on_free == LIBXL_FREE_KILL)
                atomic_fetch_or(&c->sent, 1 << SIGKILL);
            atomic_store(&c->released, 1);
        }
    }
    if (libxl_ctx_free(ctx))
        xc_fail("ctx_free of a context that nobody else uses");
    for (int i = first; i < atomic_load(&xc_nours); i++)
        if (xc_ours[i].place == XC_WANDERER)
            atomic_store(&xc_ours[i].freed, 1);
}

void *xc_calls_wander(void *arg)
{
    mine = arg;
    while (!atomic_load(&xc_stop)) {
        wander_once();
        xc_pause_ms((int)xc_below(mine, 10));
    }
    return NULL;
}

void xc_calls_settle(void)
{
    int n = atomic_load(&xc_nours);

    for (int i = 0; i < xc_run.places; i++)
        check_events(xc_ctx[i]);
    for (int i = 0; i < n; i++) {
        struct xc_ours *c = &xc_ours[i];

        if (c->kind == XC_HOLD && c->place < XC_FIXED &&
            atomic_load(&c->started) == 1 && !atomic_load(&c->reports) &&
            !atomic_load(&c->detached))
            wait_for(c, 0, 0);
    }
}
