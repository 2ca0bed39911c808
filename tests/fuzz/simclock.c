/* simclock.c - the simulated kernel's time; see simkernel.h
 *
 * It stands still but for sim_advance, and a main thread that would sleep,
 * which finds its time gone by. A timerfd is one end of a socket pair, so that
 * an epoll sees it become readable.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "fuzz.h"
#include "simkernel.h"

#define TIMERFDS 8
#define FIRST_NOW (INT64_C(1000) * 1000000000)

static struct xl_sys real;
static pthread_t main_thread;
static struct timerfd {
    int fd;   /* the library's; it may have closed it. -1: unused */
    int ours; /* the other end */
    int64_t due;
} timerfds[TIMERFDS];

static int sim_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    (void)clock;
    ret_time->tv_sec = sim.now / 1000000000;
    ret_time->tv_nsec = sim.now % 1000000000;
    return 0;
}

/* ---- timerfds ----------------------------------------------------------- */

static struct timerfd *timerfd_of(int fd)
{
    for (int i = 0; i < TIMERFDS; i++)
        if (timerfds[i].fd == fd)
            return &timerfds[i];
    return NULL;
}

static void forget(struct timerfd *t)
{
    close(t->ours);
    t->fd = -1;
}

/* Those of ctxs that are gone have been closed, without a word to us. */
static void forget_closed(void)
{
    for (int i = 0; i < TIMERFDS; i++) {
        struct pollfd pollfd = {timerfds[i].ours, 0, 0};

        if (timerfds[i].fd >= 0 && poll(&pollfd, 1, 0) == 1)
            forget(&timerfds[i]);
    }
}

static int sim_timerfd_create(int clock, int flags)
{
    struct timerfd *t;
    int ends[2];

    (void)clock;
    (void)flags;
    forget_closed();
    FZ_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                     ends),
          0);
    t = timerfd_of(-1);
    FZ_TRUE(t != NULL);
    *t = (struct timerfd){ends[0], ends[1], 0};
    return ends[0];
}

static void fire_if_due(struct timerfd *t)
{
    if (!t->due || t->due > sim.now)
        return;
    t->due = 0;
    (void)!send(t->ours, "", 1, MSG_NOSIGNAL);
}

static int sim_timerfd_settime(int fd, int flags,
                               const struct itimerspec *value,
                               struct itimerspec *old)
{
    struct timerfd *t = timerfd_of(fd);
    char unread;

    FZ_TRUE(t && (flags & TFD_TIMER_ABSTIME) && !old);
    while (recv(fd, &unread, 1, 0) == 1)
        ;
    t->due =
        (int64_t)value->it_value.tv_sec * 1000000000 + value->it_value.tv_nsec;
    fire_if_due(t);
    return 0;
}

void sim_advance(int ms)
{
    sim.now += (int64_t)ms * 1000000;
    for (int i = 0; i < TIMERFDS; i++)
        if (timerfds[i].fd >= 0)
            fire_if_due(&timerfds[i]);
}

/* ---- sleeping ----------------------------------------------------------- */

static int sim_epoll_wait(int epfd, struct epoll_event *events, int max,
                          int timeout_ms)
{
    int n;

    if (!pthread_equal(pthread_self(), main_thread))
        return real.epoll_wait(epfd, events, max, timeout_ms);
    n = real.epoll_wait(epfd, events, max, 0);
    sim_called();
    if (n != 0 || timeout_ms == 0)
        return n;
    if (timeout_ms < 0)
        FZ_FAIL("the library would sleep for ever");
    sim_advance(timeout_ms);
    return real.epoll_wait(epfd, events, max, 0);
}

/* ---- the seam ----------------------------------------------------------- */

void sim_clock_begin(void)
{
    real = xl_sys;
    main_thread = pthread_self();
    sim.now = FIRST_NOW;
    for (int i = 0; i < TIMERFDS; i++)
        timerfds[i].fd = -1;
    xl_sys.clock_gettime = sim_clock_gettime;
    xl_sys.timerfd_create = sim_timerfd_create;
    xl_sys.timerfd_settime = sim_timerfd_settime;
    xl_sys.epoll_wait = sim_epoll_wait;
}

void sim_clock_end(void)
{
    for (int i = 0; i < TIMERFDS; i++)
        if (timerfds[i].fd >= 0)
            forget(&timerfds[i]);
}
