/* gap.c - a thread that stands still between two steps of the library
 *
 * See gap.h. The hook runs on a thread of the library's, perhaps with its
 * locks held: it takes only the lock here, which is a leaf.
 */
#define _GNU_SOURCE
#include "gap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernel/stop_point.h"
#include "stacks.h"

#ifndef XL_STOP_POINTS
#error "the tests in this folder need a core with stop points"
#endif

struct xg_thread {
    pthread_t thread;
    void (*fn)(void *);
    void *arg;
    const char *point; /* NULL: it does not stop */
    int nth;           /* passes before it stops */
    int any;           /* no thread of ours */
    enum xg_state state;
    int released;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* by CLOCK_MONOTONIC */
static __thread struct xg_thread *self;
static struct xg_thread *stop_any;

static struct {
    const char *name;
    int n;
} passed[64];

static void count(const char *name)
{
    int i;

    for (i = 0; i < 64 && passed[i].name; i++) {
        if (!strcmp(passed[i].name, name)) {
            passed[i].n++;
            return;
        }
    }
    if (i == 64)
        XT_FAIL("more than 64 stop points");
    passed[i].name = name;
    passed[i].n = 1;
}

static void at_point(const char *name)
{
    struct xg_thread *t;

    pthread_mutex_lock(&lock);
    count(name);
    t = self ? self : stop_any;
    if (t && t->point && !t->released && t->state == XG_RUNNING &&
        !strcmp(t->point, name) && --t->nth == 0) {
        t->state = XG_STOPPED;
        pthread_cond_broadcast(&changed);
        while (t->state == XG_STOPPED)
            pthread_cond_wait(&changed, &lock);
        if (t->any && t->released)
            t->state = XG_RETURNED;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void set_up(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attr);
    pthread_condattr_destroy(&attr);
    xl_stop_hook = at_point;
}

static void *run(void *arg)
{
    struct xg_thread *t = arg;

    self = t;
    t->fn(t->arg);
    pthread_mutex_lock(&lock);
    t->state = XG_RETURNED;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static struct xg_thread *make(const char *point, int n)
{
    struct xg_thread *t = calloc(1, sizeof(*t));

    if (!t)
        XT_FAIL("out of memory");
    t->point = point;
    t->nth = n;
    return t;
}

struct xg_thread *xg_start_nth(void (*fn)(void *), void *arg,
                               const char *point, int n)
{
    struct xg_thread *t = make(point, n);

    t->fn = fn;
    t->arg = arg;
    XT_EQ_INT(pthread_create(&t->thread, NULL, run, t), 0);
    return t;
}

struct xg_thread *xg_start(void (*fn)(void *), void *arg, const char *point)
{
    return xg_start_nth(fn, arg, point, 1);
}

struct xg_thread *xg_stop_any(const char *point)
{
    struct xg_thread *t = make(point, 1);

    t->any = 1;
    pthread_mutex_lock(&lock);
    stop_any = t;
    pthread_mutex_unlock(&lock);
    return t;
}

enum xg_state xg_await(struct xg_thread *t, int ms)
{
    struct timespec until;
    enum xg_state state;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&lock);
    while (t->state == XG_RUNNING && r == 0)
        r = pthread_cond_timedwait(&changed, &lock, &until);
    state = t->state;
    pthread_mutex_unlock(&lock);
    return state;
}

void xg_stops(const char *file, int line, struct xg_thread *t)
{
    enum xg_state state = xg_await(t, XG_SURELY * xt_time_scale());

    if (state == XG_STOPPED)
        return;
    if (state == XG_RETURNED)
        xt_fail(file, line, "it returned and never came to \"%s\"", t->point);
    xt_stacks(getpid());
    xt_fail(file, line, "it does not come to \"%s\"", t->point);
}

void xg_go_on_to(struct xg_thread *t, const char *point)
{
    pthread_mutex_lock(&lock);
    if (t->state != XG_STOPPED)
        XT_FAIL("it does not stand at \"%s\"", t->point);
    t->point = point;
    t->nth = 1;
    t->state = XG_RUNNING;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void xg_release(struct xg_thread *t)
{
    pthread_mutex_lock(&lock);
    t->released = 1;
    if (stop_any == t)
        stop_any = NULL;
    if (t->state == XG_STOPPED)
        t->state = XG_RUNNING;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void xg_join(struct xg_thread *t)
{
    int stood;

    pthread_mutex_lock(&lock);
    stood = t->state == XG_STOPPED;
    pthread_mutex_unlock(&lock);
    xg_release(t);
    if (t->any ? stood : 1) {
        if (xg_await(t, XG_SURELY * xt_time_scale()) != XG_RETURNED) {
            xt_stacks(getpid());
            XT_FAIL("it hangs%s%s", t->point ? ", after " : "",
                    t->point ? t->point : "");
        }
    }
    if (!t->any)
        XT_EQ_INT(pthread_join(t->thread, NULL), 0);
    free(t);
}

int xg_passed(const char *point)
{
    int n = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < 64 && passed[i].name; i++)
        if (!strcmp(passed[i].name, point))
            n = passed[i].n;
    pthread_mutex_unlock(&lock);
    return n;
}
