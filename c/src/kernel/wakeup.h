/* wakeup.h - waking whoever pumps a ctx, from any thread
 *
 * One eventfd a ctx, watched by its epoll, with a word of reasons beside it:
 * only the first reason after a take costs a write. Posted by registry.c and
 * by every file that changes what a blocked thread is waiting for; taken by
 * pump.c.
 */
#ifndef XL_WAKEUP_H
#define XL_WAKEUP_H

#include <stdatomic.h>

#define XL_WAKE_POKE 1u   /* timeouts or conditions changed */
#define XL_WAKE_HANDED 2u /* a status was handed over in the registry */
#define XL_WAKE_LIMBO 4u  /* a stranger has come out of limbo */
#define XL_WAKE_PIDFD 8u  /* the host has closed a child's pidfd */

struct xl_registry_entry;

struct xl_wakeup {
    int fd;
    atomic_uint reasons;
    struct xl_registry_entry *handed; /* under the registry's lock */
};

int xl_wakeup_open(struct xl_wakeup *w); /* 0, or -1 and errno */
void xl_wakeup_close(struct xl_wakeup *w);
void xl_wakeup_post(struct xl_wakeup *w, unsigned reasons);
unsigned xl_wakeup_take(struct xl_wakeup *w);

#endif
