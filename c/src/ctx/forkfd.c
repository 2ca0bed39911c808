/* forkfd.c - fds that somebody waits on, kept out of the host's forks
 *
 * Called by start_forked.c, wiring.c and stream.c, whose pipes these are, and
 * by atfork.c. The list is under the process lock: a fork finds an fd made and
 * noted, or neither. See forkfd.h.
 */
#include "ctx/forkfd.h"

#include <stddef.h>

#include "ctx/process.h"
#include "kernel/sys.h"

static struct xl_list noted = {&noted, &noted};
static __thread char self; /* its address names the thread */

void xl_forkfd_init(struct xl_forkfd *f)
{
    xl_list_init(&f->link);
    f->fd = -1;
    f->keeper = NULL;
}

void xl_forkfd_note(struct xl_forkfd *f, int fd, int keep)
{
    f->fd = fd;
    f->keeper = keep ? &self : NULL;
    xl_list_append(&noted, &f->link);
}

static void forget(struct xl_forkfd *f)
{
    xl_list_remove(&f->link);
    f->fd = -1;
}

void xl_forkfd_move(struct xl_forkfd *to, struct xl_forkfd *from)
{
    xl_process_lock();
    xl_forkfd_note(to, from->fd, 0);
    forget(from);
    xl_process_unlock();
}

void xl_forkfd_close(struct xl_forkfd *f)
{
    if (f->fd < 0)
        return;
    xl_process_lock();
    xl_close(f->fd);
    forget(f);
    xl_process_unlock();
}

void xl_forkfd_forget(struct xl_forkfd *f)
{
    xl_process_lock();
    forget(f);
    xl_process_unlock();
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
