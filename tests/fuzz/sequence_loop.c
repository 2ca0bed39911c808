/* sequence_loop.c - steps: the host's loop, and what the library has it do */
#define _GNU_SOURCE
#include <poll.h>

#include "sequence.h"

void disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    const struct host *h = user;

    (void)type;
    if (!h->refusals) /* where no caller could be told */
        FZ_FAIL("disaster: %s, errno %d", msg, errnoval);
}

/* ---- hooks -------------------------------------------------------------- */

static void remember(struct host *h, void *for_libxl)
{
    if (h->nold < OLD)
        h->old[h->nold++] = for_libxl;
}

static int refused(struct host *h)
{
    int code = h->refuse;

    h->refuse = 0;
    h->refusals++;
    return code;
}

static int fd_register(void *user, int fd, void **out, short events,
                       void *for_libxl)
{
    struct host *h = user;

    (void)events;
    if (h->refuse)
        return refused(h);
    FZ_EQ(h->fd, -1);
    h->fd = fd;
    h->fd_for_libxl = for_libxl;
    *out = h;
    remember(h, for_libxl);
    return 0;
}

static int fd_modify(void *user, int fd, void **out, short events)
{
    struct host *h = user;

    (void)events;
    FZ_EQ(h->fd, fd);
    FZ_TRUE(*out == h);
    return 0;
}

static void fd_deregister(void *user, int fd, void *registration)
{
    struct host *h = user;

    FZ_EQ(h->fd, fd);
    FZ_TRUE(registration == h);
    h->fd = -1;
}

static int timeout_register(void *user, void **out, struct timeval abs,
                            void *for_libxl)
{
    struct host *h = user;

    (void)abs;
    if (h->refuse)
        return refused(h);
    FZ_TRUE(h->timer_for_libxl == NULL);
    h->timer_for_libxl = for_libxl;
    *out = h;
    remember(h, for_libxl);
    return 0;
}

static int timeout_modify(void *user, void **out, struct timeval abs)
{
    struct host *h = user;

    FZ_TRUE(h->timer_for_libxl != NULL && *out == h);
    FZ_TRUE(abs.tv_sec == 0 && abs.tv_usec == 0);
    return 0;
}

static void timeout_deregister(void *user, void *registration)
{
    struct host *h = user;

    FZ_TRUE(h->timer_for_libxl != NULL && registration == h);
    h->timer_for_libxl = NULL;
}

/* ---- steps -------------------------------------------------------------- */

void poll_round(int c)
{
    struct pollfd fds[4];
    struct timeval now = {0, 0};
    int n = 4, timeout = 0;

    FZ_EQ(libxl_osevent_beforepoll(enter(c), &n, fds, &timeout, now), 0);
    FZ_TRUE(n <= 1 && timeout == 0);
    FZ_TRUE(poll(fds, (nfds_t)n, 0) >= 0);
    libxl_osevent_afterpoll(enter(c), n, fds, now);
}

void loop_call(int c, struct fz_input *in)
{
    struct host *h = &m.host[c];
    unsigned what = fz_below(in, 5);
    void *late = h->nold ? h->old[fz_below(in, (unsigned)h->nold)] : NULL;

    switch (what) {
    case 0:
        if (h->fd >= 0)
            libxl_osevent_occurred_fd(enter(c), h->fd_for_libxl, h->fd, POLLIN,
                                      POLLIN);
        break;
    case 1:
        if (h->timer_for_libxl) {
            late = h->timer_for_libxl;
            h->timer_for_libxl = NULL; /* the handle goes first */
            libxl_osevent_occurred_timeout(enter(c), late);
        }
        break;
    case 2:
        if (late)
            libxl_osevent_occurred_fd(enter(c), late, 99, POLLIN, POLLIN);
        break;
    case 3:
        if (late && late != h->timer_for_libxl)
            libxl_osevent_occurred_timeout(enter(c), late);
        break;
    case 4:
        h->refuse = REFUSAL;
        break;
    }
}

void hook_up(int c, int on)
{
    static const libxl_osevent_hooks hooks = {
        fd_register,    fd_modify,          fd_deregister, timeout_register,
        timeout_modify, timeout_deregister, sizeof(hooks)};
    struct host *h = &m.host[c];
    int refusing = h->refuse;
    int rc = libxl_osevent_register_hooks(enter(c), on ? &hooks : NULL, h);

    if (rc == 0)
        h->hooked = on;
    else
        FZ_TRUE(rc == ERROR_BUSY || (rc == refusing && rc > 0));
}
