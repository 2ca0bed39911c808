/* cancel.c - where a thread of the host's may be cancelled in here
 *
 * See cancel.h. The thread's own choice (pthread_setcancelstate) is kept while
 * it is inside and is in force again when it leaves.
 */
#include "kernel/cancel.h"

#include <pthread.h>

static __thread int holds;
static __thread int hosts_choice;

void xl_cancel_hold(void)
{
    int before;

    if (holds == 0) {
        (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        hosts_choice = before;
    }
    holds++;
}

void xl_cancel_release(void)
{
    int unused;

    if (--holds == 0)
        (void)pthread_setcancelstate(hosts_choice, &unused);
}

void xl_cancel_open(void)
{
    int unused;

    if (holds == 1)
        (void)pthread_setcancelstate(hosts_choice, &unused);
}

void xl_cancel_shut(void)
{
    int unused;

    if (holds == 1)
        (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &unused);
}
