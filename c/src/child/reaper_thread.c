/* reaper_thread.c - children that nobody waits for
 *
 * Called by ctx.c, handle.c and spawn.c. The thread has every signal blocked.
 * It first comes by a ctx some time after a child was let go of there: most
 * have been reaped by then, by whoever pumps. The others' pidfds it watches
 * from then on; where there are none it comes by again and again. Orphans stay
 * in the registry, owned by nobody, so that another ctx that reaps everything
 * does not take them for strangers. Next: reap.c.
 *
 * Locks: a ctx's comes before this file's, so that the thread only tries for
 * it. A ctx cannot go while the thread holds the lock.
 */
#define _GNU_SOURCE
#include "child/reaper_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "child/mode.h"
#include "child/reap.h"
#include "child/flights.h"
#include "child/wait_one.h"
#include "kernel/own.h"
#include "kernel/stop_point.h"

#define YOUNG_MS 300 /* until the first visit after a child was let go of */
#define BLIND_MS 500 /* between looks at those without a pidfd */
#define BUSY_MS 10   /* until the next try for a ctx that is in use */
#define BATCH 16
#define ORPHAN (UINT64_C(1) << 63) /* else the data is a child's id */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static int changed_made;
static struct xl_list orphans = {&orphans, &orphans};
static struct xl_list minded = {&minded, &minded}; /* of ctxs */
static int thread_runs;
static int thread_epfd = -1; /* watches the pidfds, and: */
static int thread_wake = -1; /* an eventfd; both only while there are any */
static int asleep_in_epoll;
static int nblind; /* orphans without a pidfd */

void xl_reaper_thread_lock(void)
{
    pthread_mutex_lock(&lock);
}

void xl_reaper_thread_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* ---- orphans ------------------------------------------------------------ */

/* 1: it has ended (or is nobody's to wait for) */
static int gone(struct xl_child *child)
{
    siginfo_t info;

    return xl_wait_one(child, WEXITED, &info, NULL) != 0;
}

static void bury(struct xl_child *child)
{
    if (child->setting_up != NULL)
        child->setting_up->free(child->setting_up, NULL);
    nblind -= child->unwatched;
    xl_list_remove(&child->link);
    xl_registry_remove(&child->reg);
    xl_own_close(child->pidfd);
    xl_cgroup_drop(child->more->cgroup);
    xl_free(child);
}

static void bury_blind(void)
{
    struct xl_list *node = orphans.next;

    while (nblind > 0 && node != &orphans) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        node = node->next;
        if (child->unwatched && gone(child))
            bury(child);
    }
}

/* ---- what is watched ---------------------------------------------------- */

static void close_watch(void)
{
    xl_own_close(thread_epfd);
    xl_own_close(thread_wake);
    thread_epfd = thread_wake = -1;
}

/* 0, or -1. */
static int need_watch(void)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (thread_epfd >= 0)
        return 0;
    thread_epfd = xl_own(xl_sys.epoll_create1(EPOLL_CLOEXEC));
    thread_wake = xl_own(xl_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (thread_epfd >= 0 && thread_wake >= 0 &&
        xl_sys.epoll_ctl(thread_epfd, EPOLL_CTL_ADD, thread_wake, &event) == 0)
        return 0;
    close_watch();
    return -1;
}

static int watch(const struct xl_child *child, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
                                .data.u64 = data};

    if (need_watch() != 0 || child->pidfd < 0)
        return -1;
    if (xl_sys.epoll_ctl(thread_epfd, EPOLL_CTL_ADD, child->pidfd, &event) == 0)
        return 0;
    return errno == EEXIST ? xl_sys.epoll_ctl(thread_epfd, EPOLL_CTL_MOD,
                                              child->pidfd, &event)
                           : -1;
}

static uint64_t orphan_data(struct xl_child *child)
{
    return (uint64_t)(uintptr_t)child | ORPHAN;
}

/* ---- visits ------------------------------------------------------------- */

/* Somebody wants the event of its end: that is for those who pump. */
static int is_waited_for(const struct xl_child *child)
{
    return child->adopted || !xl_list_empty(&child->notices);
}

/* Under both locks. Looks at those let go of that the epoll does not watch, or
 * at all. */
static void look_at_young(libxl_ctx *ctx)
{
    struct xl_list *node = ctx->live.prev;
    int left = ctx->nletgo - (ctx->mind_all ? 0 : ctx->nbackground);

    while (left > 0 && node != &ctx->live) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        node = node->prev; /* the child may go */
        if (!child->let_go || (child->background && !ctx->mind_all))
            continue;
        left--;
        if (is_waited_for(child) || xl_reap_look(ctx, child))
            continue;
        (void)xl_flights_settle(ctx, child);
        if (watch(child, child->id) == 0 && !child->background) {
            child->background = 1;
            ctx->nbackground++;
        }
    }
    ctx->mind_all = 0;
}

static void settle(libxl_ctx *ctx)
{
    int young = ctx->nletgo - ctx->nbackground;

    /* the last child may have gone, and the handler with it */
    xl_mode_settle(ctx);
    ctx->mind_at = young > 0 ? xl_after_ms(BLIND_MS) : XL_NEVER;
    if (xl_child_linger_due(ctx) < ctx->mind_at)
        ctx->mind_at = xl_child_linger_due(ctx);
    if (ctx->nletgo == 0 && xl_list_empty(&ctx->lingering))
        xl_list_remove(&ctx->minded);
}

static void visit(libxl_ctx *ctx)
{
    if (pthread_mutex_trylock(&ctx->lock) != 0) {
        ctx->mind_at = xl_after_ms(BUSY_MS);
        return;
    }
    ctx->in_passing = 1; /* what there is to tell is for those who pump */
    xl_child_linger_over(ctx, xl_now());
    if (ctx->mode.in_force != libxl_sigchld_owner_mainloop)
        look_at_young(ctx);
    ctx->in_passing = 0;
    settle(ctx);
    pthread_mutex_unlock(&ctx->lock);
}

static void visit_due(void)
{
    int64_t now = xl_now();
    struct xl_list *node = minded.next;

    while (node != &minded) {
        libxl_ctx *ctx = xl_container(node, libxl_ctx, minded);

        node = node->next;
        if (ctx->mind_at <= now)
            visit(ctx);
    }
}

/* Child `id` of one of the ctxs has ended: a look at another one's does no
 * harm. */
static void look_at(libxl_childproc_id id)
{
    struct xl_list *node = minded.next;

    while (node != &minded) {
        libxl_ctx *ctx = xl_container(node, libxl_ctx, minded);
        struct xl_child *child;

        node = node->next; /* it may be minded no longer */
        if (pthread_mutex_trylock(&ctx->lock) != 0) {
            ctx->mind_at = xl_after_ms(BUSY_MS);
            ctx->mind_all = 1;
            continue;
        }
        ctx->in_passing = 1;
        child = xl_child_get(ctx, id);
        if (child != NULL && !child->ended && child->background &&
            !is_waited_for(child) && !xl_reap_look(ctx, child))
            (void)watch(child, id);
        ctx->in_passing = 0;
        settle(ctx);
        pthread_mutex_unlock(&ctx->lock);
    }
}

static void handle(const struct epoll_event *events, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        uint64_t data = events[i].data.u64;
        uint64_t count;

        if (data & ORPHAN) {
            struct xl_child *child =
                (struct xl_child *)(uintptr_t)(data & ~ORPHAN);

            if (gone(child))
                bury(child);
            else
                (void)watch(child, data);
        } else if (data == 0) {
            (void)!xl_sys.read(thread_wake, &count, sizeof count);
        } else {
            look_at(data);
        }
    }
}

/* ---- the thread --------------------------------------------------------- */

static int64_t next_visit(void)
{
    int64_t due = nblind > 0 ? xl_after_ms(BLIND_MS) : XL_NEVER;
    struct xl_list *node;

    for (node = minded.next; node != &minded; node = node->next) {
        libxl_ctx *ctx = xl_container(node, libxl_ctx, minded);

        if (ctx->mind_at < due)
            due = ctx->mind_at;
    }
    return due;
}

/* The host has closed what we had open: what has those numbers now is its own.
 * The orphans go by their pids from here on. */
static void fds_gone(void)
{
    struct xl_list *node;

    xl_own_forget(thread_epfd);
    xl_own_forget(thread_wake);
    thread_epfd = thread_wake = -1;
    for (node = orphans.next; node != &orphans; node = node->next) {
        struct xl_child *child = xl_container(node, struct xl_child, link);

        xl_own_forget(child->pidfd);
        child->pidfd = -1;
        nblind += !child->unwatched;
        child->unwatched = 1;
    }
    for (node = minded.next; node != &minded; node = node->next) {
        libxl_ctx *ctx = xl_container(node, libxl_ctx, minded);

        ctx->mind_all = 1;
        ctx->mind_at = xl_after_ms(BLIND_MS);
    }
}

static void sleep_until(int64_t due)
{
    struct epoll_event events[BATCH];
    struct timespec until;
    int n;

    if (thread_epfd >= 0) {
        asleep_in_epoll = 1;
        pthread_mutex_unlock(&lock);
        n = xl_sys.epoll_wait(thread_epfd, events, BATCH, xl_ms_until(due));
        XL_STOP_POINT("reaper thread: woken");
        pthread_mutex_lock(&lock);
        asleep_in_epoll = 0;
        if (n < 0 && errno != EINTR)
            fds_gone();
        else
            handle(events, n > 0 ? n : 0);
    } else if (due == XL_NEVER) {
        (void)pthread_cond_wait(&changed, &lock);
    } else {
        until.tv_sec = due / 1000000000;
        until.tv_nsec = due % 1000000000;
        (void)pthread_cond_timedwait(&changed, &lock, &until);
    }
}

static void *thread(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    for (;;) {
        bury_blind();
        visit_due();
        if (xl_list_empty(&orphans) && xl_list_empty(&minded))
            break;
        sleep_until(next_visit());
    }
    close_watch();
    thread_runs = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int make_changed(void)
{
    pthread_condattr_t attr;
    int r;

    if (changed_made)
        return 0;
    if (pthread_condattr_init(&attr) != 0)
        return -1;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    r = pthread_cond_init(&changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    changed_made = r == 0;
    return r == 0 ? 0 : -1;
}

static int start_thread(void)
{
    pthread_attr_t attr;
    xl_sigset all, before;
    pthread_t id;
    int r;

    if (thread_runs)
        return 0;
    if (make_changed() != 0 || pthread_attr_init(&attr) != 0)
        return -1;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, 128 * 1024);
    xl_sigset_fill(&all);
    (void)xl_sys.sigprocmask(SIG_SETMASK, &all, &before);
    r = xl_sys.pthread_create(&id, &attr, thread, NULL);
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (r != 0) {
        errno = r;
        return -1;
    }
    thread_runs = 1;
    return 0;
}

/* And whoever waits for its end: it may have somebody to mind again. */
static void wake_thread(void)
{
    const uint64_t one = 1;

    if (asleep_in_epoll)
        (void)!xl_sys.write(thread_wake, &one, sizeof one);
    if (changed_made)
        pthread_cond_broadcast(&changed);
}

/* ---- for others --------------------------------------------------------- */

int xl_reaper_thread_take(struct xl_child *child)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (gone(child)) {
        child->unwatched = 0;
        bury(child);
        goto out;
    }
    if (start_thread() != 0) {
        r = -1;
        goto out;
    }
    xl_registry_disown(&child->reg);
    child->unwatched = watch(child, orphan_data(child)) != 0;
    nblind += child->unwatched;
    xl_list_remove(&child->link);
    xl_list_append(&orphans, &child->link);
    wake_thread();
out:
    pthread_mutex_unlock(&lock);
    return r;
}

void xl_reaper_thread_mind(libxl_ctx *ctx)
{
    if (ctx->mode.in_force == libxl_sigchld_owner_mainloop)
        return;
    pthread_mutex_lock(&lock);
    if (xl_list_empty(&ctx->minded)) {
        ctx->mind_at = xl_after_ms(YOUNG_MS);
        xl_list_append(&minded, &ctx->minded);
        if (start_thread() != 0)
            xl_list_remove(&ctx->minded); /* whoever pumps next reaps them */
        else
            wake_thread();
    } else if (ctx->mind_at == XL_NEVER) {
        ctx->mind_at = xl_after_ms(YOUNG_MS);
        wake_thread();
    }
    pthread_mutex_unlock(&lock);
}

void xl_reaper_thread_let_go(libxl_ctx *ctx, struct xl_child *child)
{
    xl_child_let_go(ctx, child);
    xl_reaper_thread_mind(ctx);
}

/* Where it was the last, the thread's end is waited for: what it has open is
 * closed then. */
void xl_reaper_thread_forget(libxl_ctx *ctx)
{
    pthread_mutex_lock(&lock);
    xl_list_remove(&ctx->minded);
    if (thread_runs && xl_list_empty(&orphans) && xl_list_empty(&minded))
        wake_thread();
    while (thread_runs && xl_list_empty(&orphans) && xl_list_empty(&minded))
        (void)pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void xl_reaper_thread_postfork(void)
{
    struct xl_list *node;

    for (node = orphans.next; node != &orphans; node = node->next)
        xl_own_close(xl_container(node, struct xl_child, link)->pidfd);
    close_watch();
    xl_list_init(&orphans);
    xl_list_init(&minded);
    thread_runs = 0;
    asleep_in_epoll = 0;
    changed_made = 0;
    nblind = 0;
}
