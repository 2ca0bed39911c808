/* forkfd.c - fds that somebody waits on, kept out of the host's forks
 *
 * Called by start_forked.c, wiring.c and stream.c, whose pipes these are, and
 * by atfork.c. An fd is made and noted under the process lock: a fork finds
 * both or neither. The list has a lock of its own, which is a leaf: an fd may
 * be closed with any other lock held. See forkfd.h.
 */
#include "ctx/forkfd.h"

#include <pthread.h>
#include <stddef.h>

#include "kernel/sys.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xl_list noted = {&noted, &noted};
static __thread char self; /* its address names the thread */

void xl_forkfd_lock(void)
{
    pthread_mutex_lock(&lock);
}

void xl_forkfd_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void xl_forkfd_init(struct xl_forkfd *f)
{
    xl_list_init(&f->link);
    f->fd = -1;
    f->keeper = NULL;
}

static void note(struct xl_forkfd *f, int fd, int keep)
{
    f->fd = fd;
    f->keeper = keep ? &self : NULL;
    xl_list_append(&noted, &f->link);
}

void xl_forkfd_note(struct xl_forkfd *f, int fd, int keep)
{
    pthread_mutex_lock(&lock);
    note(f, fd, keep);
    pthread_mutex_unlock(&lock);
}

static void forget(struct xl_forkfd *f)
{
    xl_list_remove(&f->link);
    f->fd = -1;
}

void xl_forkfd_move(struct xl_forkfd *to, struct xl_forkfd *from)
{
    pthread_mutex_lock(&lock);
    note(to, from->fd, 0);
    forget(from);
    pthread_mutex_unlock(&lock);
}

void xl_forkfd_close(struct xl_forkfd *f)
{
    if (f->fd < 0)
        return;
    pthread_mutex_lock(&lock);
    xl_close(f->fd);
    forget(f);
    pthread_mutex_unlock(&lock);
}

void xl_forkfd_forget(struct xl_forkfd *f)
{
    pthread_mutex_lock(&lock);
    forget(f);
    pthread_mutex_unlock(&lock);
}

void xl_forkfd_atfork_child(int sure)
{
    struct xl_list *node = noted.next;

    while (node != &noted) {
        struct xl_forkfd *f = xl_container(node, struct xl_forkfd, link);

        node = node->next;
        if (f->keeper == &self)
            continue;
        if (sure)
            xl_close(f->fd);
        forget(f);
    }
}
