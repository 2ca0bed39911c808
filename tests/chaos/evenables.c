/* evenables.c - who asked to be told of an end, and was
 *
 * Called by calls.c, and by chaos.c when all is over. See evenables.h.
 */
#include "evenables.h"

#define MANY 4000
#define TAG (1ull << 40)

static struct asked {
    _Atomic pid_t pid;   /* 0: any child */
    atomic_int asked;    /* the call has answered 0 */
    atomic_int taken_back;
    atomic_int told;
} all[MANY];
static atomic_int nall;

/* The last of this thread's that is not left to be told. */
static __thread struct {
    libxl_evgen_childproc_exit *evgen;
    struct asked *asked;
} kept[XC_FIXED];

void xc_evenable_next(struct xc_chance *chance, int place,
                      const struct xc_ours *child)
{
    libxl_evgen_childproc_exit *evgen;
    struct asked *a;
    int i, rc;

    if (kept[place].evgen) {
        libxl_evdisable_childproc_exit(xc_ctx[place], kept[place].evgen);
        atomic_store(&kept[place].asked->taken_back, 1);
        kept[place].evgen = NULL;
        return;
    }
    i = atomic_fetch_add(&nall, 1);
    if (i >= MANY) {
        atomic_fetch_sub(&nall, 1);
        return;
    }
    a = &all[i];
    a->pid = child && child->place == place && xc_percent(chance, 70)
                 ? child->pid
                 : 0;
    rc = libxl_evenable_childproc_exit(xc_ctx[place], a->pid,
                                       TAG | (libxl_ev_user)i, &evgen);
    if (rc == ERROR_UNKNOWN_CHILD && a->pid != 0)
        return;
    if (rc)
        xc_fail("evenable: %s", libxl_strerror(rc));
    atomic_store(&a->asked, 1);
    if (a->pid == 0 || xc_percent(chance, 50)) {
        kept[place].evgen = evgen;
        kept[place].asked = a;
    }
}

int xc_evenable_is(libxl_ev_user user)
{
    return (user & TAG) != 0;
}

void xc_evenable_told(libxl_ev_user user)
{
    struct asked *a = &all[user & 0xffff];

    if (atomic_fetch_add(&a->told, 1) && a->pid != 0)
        xc_fail("who asked for the end of %d is told twice", (int)a->pid);
}

int xc_evenables_over(int say)
{
    int n = atomic_load(&nall), missing = 0;

    for (int i = 0; i < n; i++) {
        struct asked *a = &all[i];

        if (!atomic_load(&a->asked) || a->pid == 0 ||
            atomic_load(&a->taken_back) || atomic_load(&a->told))
            continue;
        missing++;
        if (say)
            xc_say("who asked for the end of %d is never told", (int)a->pid);
    }
    return missing == 0;
}
