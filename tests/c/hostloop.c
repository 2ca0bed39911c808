/* hostloop.c - a small event loop of a host's, with handles for fds and timers
 *
 * See hostloop.h. The library calls the hooks; cases call hl_round, which
 * tells the library with libxl_osevent_occurred_*.
 */
#define _GNU_SOURCE
#include "hostloop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_HANDLES 64

/* ---- the hooks ---------------------------------------------------------- */

static struct hl_loop *enter(void *user)
{
    struct hl_loop *loop = user;

    pthread_mutex_lock(&loop->lock);
    XT_EQ_INT(loop->in_hook, 0); /* one at a time a ctx */
    loop->in_hook = 1;
    return loop;
}

static int leave(struct hl_loop *loop, int code)
{
    loop->in_hook = 0;
    XT_EQ_INT(write(loop->wake[1], "", 1), 1);
    pthread_mutex_unlock(&loop->lock);
    return code;
}

/* A time of gettimeofday's, as milliseconds of the loop's clock. */
static long long relative(struct timeval abs)
{
    struct timeval now, left;

    if (!abs.tv_sec && !abs.tv_usec)
        return xt_now_ms();
    gettimeofday(&now, NULL);
    timersub(&abs, &now, &left);
    if (left.tv_sec < 0)
        return xt_now_ms();
    return xt_now_ms() + left.tv_sec * 1000LL + (left.tv_usec + 999) / 1000;
}

static int fd_register(void *user, int fd, void **out, short events,
                       void *for_libxl)
{
    struct hl_loop *loop = enter(user);
    struct hl_fd *h;

    if (loop->refuse_fd)
        return leave(loop, loop->refuse_fd);
    h = calloc(1, sizeof(*h));
    XT_TRUE(h != NULL);
    XT_GE_INT(fd, 0);
    h->fd = fd;
    h->events = events;
    h->for_libxl = for_libxl;
    h->next = loop->fds;
    loop->fds = h;
    loop->nfds++;
    loop->registered++;
    *out = h;
    return leave(loop, 0);
}

static int fd_modify(void *user, int fd, void **update, short events)
{
    struct hl_loop *loop = enter(user);
    struct hl_fd *h = *update;

    XT_EQ_INT(h->fd, fd);
    h->events = events;
    loop->modified++;
    return leave(loop, 0);
}

static void fd_deregister(void *user, int fd, void *for_app)
{
    struct hl_loop *loop = enter(user);
    struct hl_fd *h = for_app;

    XT_EQ_INT(h->fd, fd);
    XT_EQ_INT(h->dead, 0);
    h->dead = 1; /* freed by the next round, which may be walking the list */
    loop->nfds--;
    loop->deregistered++;
    leave(loop, 0);
}

static int timeout_register(void *user, void **out, struct timeval abs,
                            void *for_libxl)
{
    struct hl_loop *loop = enter(user);
    struct hl_timer *t;

    if (loop->refuse_timer)
        return leave(loop, loop->refuse_timer);
    t = calloc(1, sizeof(*t));
    XT_TRUE(t != NULL);
    t->due_ms = relative(abs);
    t->for_libxl = for_libxl;
    t->next = loop->timers;
    loop->timers = t;
    loop->ntimers++;
    loop->registered++;
    *out = t;
    return leave(loop, 0);
}

static struct hl_timer *unlink_timer(struct hl_loop *loop, struct hl_timer *t)
{
    struct hl_timer **at = &loop->timers;

    while (*at && *at != t)
        at = &(*at)->next;
    if (!*at)
        XT_FAIL("the library names a timeout that is not registered");
    *at = t->next;
    loop->ntimers--;
    return t;
}

static int timeout_modify(void *user, void **update, struct timeval abs)
{
    struct hl_loop *loop = enter(user);
    struct hl_timer *t = *update;

    XT_EQ_INT(abs.tv_sec, 0);
    XT_EQ_INT(abs.tv_usec, 0);
    t->due_ms = xt_now_ms();
    loop->modified++;
    return leave(loop, 0);
}

static void timeout_deregister(void *user, void *for_app)
{
    struct hl_loop *loop = enter(user);

    free(unlink_timer(loop, for_app));
    loop->deregistered++;
    leave(loop, 0);
}

const libxl_osevent_hooks hl_hooks = {
    .fd_register = fd_register,
    .fd_modify = fd_modify,
    .fd_deregister = fd_deregister,
    .timeout_register = timeout_register,
    .timeout_modify = timeout_modify,
    .timeout_deregister = timeout_deregister,
    .size = sizeof(libxl_osevent_hooks),
};

/* ---- the loop ----------------------------------------------------------- */

void hl_init(struct hl_loop *loop)
{
    memset(loop, 0, sizeof(*loop));
    pthread_mutex_init(&loop->lock, NULL);
    xt_pipe(loop->wake);
}

void hl_attach(struct hl_loop *loop, libxl_ctx *ctx)
{
    loop->ctx = ctx;
    XT_OK(libxl_osevent_register_hooks(ctx, &hl_hooks, loop));
}

static void free_dead(struct hl_loop *loop)
{
    struct hl_fd **at = &loop->fds;

    while (*at)
        if ((*at)->dead) {
            struct hl_fd *h = *at;

            *at = h->next;
            free(h);
        } else {
            at = &(*at)->next;
        }
}

void hl_dispose(struct hl_loop *loop)
{
    free_dead(loop);
    XT_EQ_INT(loop->nfds, 0);
    XT_EQ_INT(loop->ntimers, 0);
    XT_EQ_PTR(loop->fds, NULL);
    XT_EQ_PTR(loop->timers, NULL);
    xt_close(&loop->wake[0]);
    xt_close(&loop->wake[1]);
    pthread_mutex_destroy(&loop->lock);
}

static struct hl_timer *take_due(struct hl_loop *loop)
{
    struct hl_timer *t;

    pthread_mutex_lock(&loop->lock);
    for (t = loop->timers; t; t = t->next)
        if (t->due_ms <= xt_now_ms())
            break;
    if (t)
        unlink_timer(loop, t); /* its own callback removes it */
    pthread_mutex_unlock(&loop->lock);
    return t;
}

static int fill(struct hl_loop *loop, struct pollfd *fds, struct hl_fd **handle,
                int *timeout_io)
{
    int n = 1;

    fds[0].fd = loop->wake[0];
    fds[0].events = POLLIN;
    pthread_mutex_lock(&loop->lock);
    free_dead(loop);
    for (struct hl_fd *h = loop->fds; h && n < MAX_HANDLES; h = h->next) {
        handle[n] = h;
        fds[n].fd = h->fd;
        fds[n++].events = h->events;
    }
    for (struct hl_timer *t = loop->timers; t; t = t->next) {
        long long left = t->due_ms - xt_now_ms();

        if (left < 0)
            left = 0;
        if (*timeout_io < 0 || left < *timeout_io)
            *timeout_io = left;
    }
    pthread_mutex_unlock(&loop->lock);
    return n;
}

static void drain_wake(struct hl_loop *loop)
{
    char bytes[4096];

    XT_GT_INT(read(loop->wake[0], bytes, sizeof(bytes)), 0);
}

static int is_registered(struct hl_loop *loop, const struct hl_fd *h)
{
    int dead;

    pthread_mutex_lock(&loop->lock);
    dead = h->dead;
    pthread_mutex_unlock(&loop->lock);
    return !dead;
}

int hl_round(struct hl_loop *loop, int timeout_ms)
{
    struct pollfd fds[MAX_HANDLES];
    struct hl_fd *handle[MAX_HANDLES];
    struct hl_timer *t;
    int n = fill(loop, fds, handle, &timeout_ms), fired = 0;

    if (poll(fds, n, timeout_ms) < 0) {
        XT_EQ_INT(errno, EINTR);
        return 0;
    }
    if (fds[0].revents)
        drain_wake(loop);
    for (int i = 1; i < n; i++)
        if (fds[i].revents && is_registered(loop, handle[i])) {
            libxl_osevent_occurred_fd(loop->ctx, handle[i]->for_libxl,
                                      fds[i].fd, fds[i].events,
                                      fds[i].revents);
            fired++;
        }
    while ((t = take_due(loop))) {
        libxl_osevent_occurred_timeout(loop->ctx, t->for_libxl);
        free(t);
        fired++;
    }
    return fired;
}

void hl_until(struct hl_loop *loop, int (*done)(void *user), void *user)
{
    while (!done(user))
        hl_round(loop, -1);
}
