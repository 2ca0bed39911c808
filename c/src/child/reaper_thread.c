/* reaper_thread.c - children whose ctx is gone
 *
 * Called by ctx.c. The thread has every signal blocked and waits for each
 * orphan's pidfd by poll; where there are no pidfds it looks at each from time
 * to time. The orphans stay in the registry, owned by nobody, so that another
 * ctx that reaps everything does not take them for strangers.
 */
#define _GNU_SOURCE
#include "child/reaper_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "child/wait_one.h"
#include "kernel/own.h"

#define LOOK_MS 100         /* some have no pidfd */
#define LOOK_ANYWAY_MS 1000 /* such a one may have come since */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xl_list orphans = {&orphans, &orphans};
static int thread_runs;
static int thread_epfd = -1; /* watches the pidfds */

void xl_reaper_thread_lock(void)
{
    pthread_mutex_lock(&lock);
}

void xl_reaper_thread_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* 1: it has ended (or is nobody's to wait for) */
static int gone(const struct xl_child *child)
{
    siginfo_t info;
    int r = xl_wait_one(child, WEXITED, &info, NULL);

    /* A ctx that has just reaped it must still find it in the registry: else
     * it is a stranger to it. */
    if (r < 0)
        xl_registry_settle();
    return r != 0;
}

static void bury(struct xl_child *child)
{
    xl_list_remove(&child->link);
    xl_registry_remove(&child->reg);
    xl_own_close(child->pidfd);
    xl_free(child->cgroup);
    xl_free(child);
}

static void *thread(void *arg)
{
    (void)arg;
    for (;;) {
        struct epoll_event events[16];
        struct xl_list *node;
        int blind = 0;
        int epfd;

        pthread_mutex_lock(&lock);
        for (node = orphans.next; node != &orphans;) {
            struct xl_child *child = xl_container(node, struct xl_child, link);

            node = node->next;
            if (gone(child))
                bury(child);
            else
                blind |= child->unwatched;
        }
        if (xl_list_empty(&orphans)) {
            xl_own_close(thread_epfd);
            thread_epfd = -1;
            thread_runs = 0;
            pthread_mutex_unlock(&lock);
            return NULL;
        }
        epfd = thread_epfd;
        pthread_mutex_unlock(&lock);
        (void)xl_sys.epoll_wait(epfd, events, 16,
                                blind ? LOOK_MS : LOOK_ANYWAY_MS);
    }
}

static int start_thread(void)
{
    pthread_attr_t attr;
    xl_sigset all, before;
    pthread_t id;
    int r;

    if (thread_epfd < 0)
        thread_epfd = xl_own(xl_sys.epoll_create1(EPOLL_CLOEXEC));
    if (thread_epfd < 0)
        return -1;
    if (pthread_attr_init(&attr) != 0)
        return -1;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, 128 * 1024);
    xl_sigset_fill(&all);
    (void)xl_sys.sigprocmask(SIG_SETMASK, &all, &before);
    r = xl_sys.pthread_create(&id, &attr, thread, NULL);
    (void)xl_sys.sigprocmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (r != 0) {
        xl_own_close(thread_epfd);
        thread_epfd = -1;
        return -1;
    }
    thread_runs = 1;
    return 0;
}

int xl_reaper_thread_take(struct xl_child *child)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
    int r = 0;

    pthread_mutex_lock(&lock);
    if (gone(child)) {
        bury(child);
        goto out;
    }
    if (!thread_runs && start_thread() != 0) {
        r = -1;
        goto out;
    }
    xl_registry_disown(&child->reg);
    child->ctx = NULL;
    child->unwatched =
        child->pidfd < 0 ||
        xl_sys.epoll_ctl(thread_epfd, EPOLL_CTL_ADD, child->pidfd, &event) != 0;
    xl_list_remove(&child->link);
    xl_list_append(&orphans, &child->link);
out:
    pthread_mutex_unlock(&lock);
    return r;
}

void xl_reaper_thread_postfork(void)
{
    struct xl_list *node;

    for (node = orphans.next; node != &orphans; node = node->next)
        xl_own_close(xl_container(node, struct xl_child, link)->pidfd);
    xl_own_close(thread_epfd);
    xl_list_init(&orphans);
    thread_runs = 0;
    thread_epfd = -1;
}
