/* cancelled.c - see cancelled.h */
#define _GNU_SOURCE
#include "cancelled.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "hostchild.h"
#include "kernel/rawcall.h"
#include "kernel/sys.h"

#ifdef __SANITIZE_THREAD__
/* TSan does not notice that a thread leaves its interceptor by being cancelled,
 * and is blind to what comes next: block without one. */
static long block(long number, long a, long b, long c, long d)
{
    int before;
    long r;

    (void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    r = xl_rawcall(number, a, b, c, d);
    (void)pthread_setcanceltype(before, &before);
    errno = r < 0 ? (int)-r : errno;
    return r < 0 ? -1 : r;
}

static int plain_epoll_wait(int epfd, struct epoll_event *events, int max,
                            int timeout_ms)
{
    return (int)block(SYS_epoll_wait, epfd, (long)events, max, timeout_ms);
}

static int plain_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    return (int)block(SYS_poll, (long)fds, (long)n, timeout_ms, 0);
}

__attribute__((constructor)) static void without_interceptors(void)
{
    xl_sys.epoll_wait = plain_epoll_wait;
    xl_sys.poll = plain_poll;
}
#endif

#define STACK (2 * 1024 * 1024)

void xc_begin(struct xc_thread *t, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;

    t->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    XT_TRUE(t->stack != MAP_FAILED);
    XT_EQ_INT(pthread_attr_init(&attr), 0);
    XT_EQ_INT(pthread_attr_setstack(&attr, t->stack, STACK), 0);
    XT_EQ_INT(pthread_create(&t->id, &attr, fn, arg), 0);
    (void)pthread_attr_destroy(&attr);
}

void *xc_end(struct xc_thread *t)
{
    void *r;

    XT_EQ_INT(pthread_join(t->id, &r), 0);
    XT_SYS(munmap(t->stack, STACK));
    return r;
}

void xc_cancel(struct xc_thread *t)
{
    XT_EQ_INT(pthread_cancel(t->id), 0);
    XT_EQ_PTR(xc_end(t), PTHREAD_CANCELED);
}

void *xc_in_event_wait(void *arg)
{
    struct xc_caller *c = arg;
    libxl_event *event;

    (void)libxl_event_wait(c->ctx, &event,
                           LIBXL_EVENTMASK(LIBXL_EVENT_TYPE_OPERATION_COMPLETE),
                           NULL, NULL);
    c->came_back = 1;
    return NULL;
}

int xc_no_child_lives(void *user)
{
    xh_pump(user);
    return libxl_childproc_count(user) <= 1; /* the one that is waited for */
}

void xc_goes_on(libxl_ctx *ctx)
{
    libxl_childproc_report report = {LIBXL_REPORT_EVENT, NULL, {1}};
    libxl_event *event;
    libxl_childproc_result r;

    r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL));
    XT_EXITED(&r, 3);
    (void)xt_spawn_argv(ctx, XT_CHILD("exit", "4"), &report, NULL);
    XT_OK(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL));
    XT_EXITED(&event->u.childproc_exit, 4);
    libxl_event_free(ctx, event);
}
