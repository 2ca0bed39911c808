/* wakeup.c - waking whoever pumps a ctx, from any thread
 *
 * See wakeup.h. The read comes before the exchange: a post in between either
 * is seen by the exchange or finds the word empty and writes again.
 */
#define _GNU_SOURCE
#include "kernel/wakeup.h"

#include <stdint.h>
#include <sys/eventfd.h>

#include "kernel/own.h"
#include "kernel/sys.h"

int xl_wakeup_open(struct xl_wakeup *w)
{
    atomic_init(&w->reasons, 0);
    w->handed = NULL;
    w->fd = xl_own(xl_sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    return w->fd < 0 ? -1 : 0;
}

void xl_wakeup_close(struct xl_wakeup *w)
{
    xl_own_close(w->fd);
    w->fd = -1;
}

void xl_wakeup_post(struct xl_wakeup *w, unsigned reasons)
{
    const uint64_t one = 1;

    /* a counter that is full is readable all the same */
    if (atomic_fetch_or(&w->reasons, reasons) == 0)
        (void)!xl_sys.write(w->fd, &one, sizeof one);
}

unsigned xl_wakeup_take(struct xl_wakeup *w)
{
    uint64_t count;

    (void)!xl_sys.read(w->fd, &count, sizeof count);
    return atomic_exchange(&w->reasons, 0);
}
