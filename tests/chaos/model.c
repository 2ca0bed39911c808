/* model.c - what chaos.c knows of every process, beside the library
 *
 * See model.h.
 */
#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define TAKEN 16000

struct xc_run xc_run;
libxl_ctx *xc_ctx[XC_FIXED];
struct xc_ours *xc_ours;
struct xc_host *xc_hosts;
atomic_int xc_nours, xc_nhosts, xc_stop;

/* What waits of the host's brought, whosever it was. */
static struct taken {
    _Atomic pid_t pid;
    _Atomic int status, passed;
} taken[TAKEN];
static atomic_int ntaken;

struct xc_ours *xc_new_ours(int place, int mode, enum xc_kind kind)
{
    int i = atomic_fetch_add(&xc_nours, 1);
    struct xc_ours *child;

    if (i >= XC_OURS) {
        atomic_fetch_sub(&xc_nours, 1);
        return NULL;
    }
    child = &xc_ours[i];
    child->place = place;
    child->mode = mode;
    child->kind = kind;
    return child;
}

struct xc_host *xc_new_host(void)
{
    int i = atomic_fetch_add(&xc_nhosts, 1);

    if (i >= XC_HOSTS) {
        atomic_fetch_sub(&xc_nhosts, 1);
        return NULL;
    }
    return &xc_hosts[i];
}

struct xc_host *xc_host_by_pid(pid_t pid)
{
    int n = atomic_load(&xc_nhosts);

    for (int i = n < XC_HOSTS ? n : XC_HOSTS; i-- > 0;)
        if (xc_hosts[i].pid == pid)
            return &xc_hosts[i];
    return NULL;
}

static struct xc_ours *ours_by_pid(pid_t pid)
{
    for (int i = atomic_load(&xc_nours); i-- > 0;)
        if (atomic_load(&xc_ours[i].started) == 1 && xc_ours[i].pid == pid)
            return &xc_ours[i];
    return NULL;
}

static int number(const struct xc_ours *child)
{
    return (int)(child - xc_ours);
}

/* Ended as it was to, or by a signal that was sent to it. */
static int fits(const struct xc_ours *child, int status)
{
    if (status == child->end)
        return 1;
    return WIFSIGNALED(status) &&
           (atomic_load(&child->sent) & 1 << WTERMSIG(status)) != 0;
}

void xc_reported(struct xc_ours *child, const libxl_childproc_result *r)
{
    int before = atomic_fetch_add(&child->reports, 1);

    if (r->lost == LIBXL_LOST_NONE && !fits(child, r->status))
        xc_fail("child %d (%d), which ends with %#x, sent signals %#x, is"
                " reported with %#x, source %d, mode %s",
                number(child), (int)r->pid, child->end,
                (unsigned)atomic_load(&child->sent), r->status, r->source,
                xc_mode_name(child->mode));
    if (before == 0) {
        child->first = *r;
        atomic_store(&child->noted, 1);
    } else if (child->kind == XC_HOLD) {
        /* all who ask get the same */
        if (atomic_load(&child->noted) &&
            (r->status != child->first.status || r->lost != child->first.lost ||
             r->pid != child->first.pid || r->id != child->first.id))
            xc_fail("child %d (%d) is reported with %#x (%s), then with %#x"
                    " (%s)",
                    number(child), (int)r->pid, child->first.status,
                    libxl_childproc_lost_text(child->first.lost), r->status,
                    libxl_childproc_lost_text(r->lost));
    } else {
        xc_fail("child %d (%d) is reported twice: %#x, %#x", number(child),
                (int)r->pid, child->first.status, r->status);
    }
}

void xc_host_took(pid_t pid, int status, int passed)
{
    int i = atomic_fetch_add(&ntaken, 1);

    if (i >= TAKEN)
        xc_fail("more than %d statuses taken", TAKEN);
    taken[i].pid = pid;
    taken[i].status = status;
    taken[i].passed = passed;
    if (xc_host_by_pid(pid))
        xc_host_told(pid, status, "the host's wait(-1)");
}

void xc_host_told(pid_t pid, int status, const char *by)
{
    struct xc_host *host = xc_host_by_pid(pid);

    if (!host)
        xc_fail("%s: %d, none of the host's, status %#x", by, (int)pid, status);
    if (status != atomic_load(&host->end))
        xc_fail("%s: %d, a child of the host's%s, ended with %#x, not %#x", by,
                (int)pid,
                host->pauses && !atomic_load(&host->ending)
                    ? " that was not to end yet"
                    : "",
                (unsigned)status, atomic_load(&host->end));
    if (atomic_fetch_add(&host->told, 1))
        xc_fail("%s: %d, a child of the host's, is told twice", by, (int)pid);
}

void xc_host_logged(pid_t pid)
{
    struct xc_host *host = xc_host_by_pid(pid);

    if (host && atomic_fetch_add(&host->told, 1))
        xc_fail("%d, a child of the host's, is told, and logged", (int)pid);
}

/* ---- when all is over ---------------------------------------------------- */

static const struct taken *was_taken(pid_t pid)
{
    for (int i = atomic_load(&ntaken); i-- > 0;)
        if (taken[i].pid == pid)
            return &taken[i];
    return NULL;
}

static int is_missing(const struct xc_ours *c)
{
    if (atomic_load(&c->started) != 1 || atomic_load(&c->detached) ||
        atomic_load(&c->released) || c->kind == XC_NONE)
        return 0;
    return atomic_load(c->kind == XC_ASYNC ? &c->completed : &c->reports) == 0;
}

/* The kernel may have thrown it away. */
static int gone_unseen(void)
{
    return xc_run.ignores;
}

int xc_model_over(int say)
{
    int n = atomic_load(&xc_nours), left = 0;

    for (int i = 0; i < n; i++) {
        struct xc_ours *c = &xc_ours[i];
        const struct taken *t;

        if (!is_missing(c))
            continue;
        left++;
        t = was_taken(c->pid);
        if (say)
            xc_say("child %d (%d), of ctx %d, mode %s, kind %d, is never"
                   " reported%s",
                   i, (int)c->pid, c->place, xc_mode_name(c->mode),
                   (int)c->kind,
                   !t              ? ""
                   : t->passed < 0 ? "; the host passed it on, and was refused"
                   : t->passed     ? "; the host passed it on"
                                   : "; the host took it");
    }
    n = atomic_load(&xc_nhosts);
    for (int i = 0; i < n; i++) {
        struct xc_host *h = &xc_hosts[i];
        int waits = atomic_load(&h->adopted) && !atomic_load(&h->reports);

        if (h->pid <= 0)
            continue;
        if (!waits && (atomic_load(&h->told) || atomic_load(&h->reports) ||
                       gone_unseen()))
            continue;
        left++;
        if (say)
            xc_say("%d, a child of the host's with status %#x%s, is told to"
                   " nobody",
                   (int)h->pid, (unsigned)atomic_load(&h->end),
                   waits ? ", adopted" : "");
    }
    return left == 0;
}

static void check_lost(const struct xc_ours *c, const struct taken *t)
{
    libxl_childproc_lost lost = c->first.lost;
    int may = 0;

    if (lost == LIBXL_LOST_NONE)
        return;
    if (!xc_run.exit_info) {
        /* killed at the gate, and nobody knows that it was killed */
        if ((t != NULL || xc_run.ignores) && lost == LIBXL_LOST_NEVER_RAN &&
            c->first.stage == LIBXL_STAGE_GATE)
            may = atomic_load(&c->sent) != 0;
        if (t != NULL && t->passed <= 0)
            may |= lost == (c->mode == libxl_sigchld_owner_mainloop
                               ? LIBXL_LOST_NOT_PASSED
                               : LIBXL_LOST_STOLEN);
        if (xc_run.ignores)
            may |= lost == LIBXL_LOST_IGNORED || lost == LIBXL_LOST_STOLEN ||
                   (lost == LIBXL_LOST_NOT_PASSED &&
                    c->mode == libxl_sigchld_owner_mainloop);
        if (!xc_run.pidfds)
            may |= lost > LIBXL_LOST_NOT_OURS; /* in doubt */
    }
    if (!may)
        xc_fail("child %d (%d), mode %s, sent signals %#x, is lost: %s (stage"
                " %s); a wait of the host's %s it",
                number(c), (int)c->pid, xc_mode_name(c->mode),
                (unsigned)atomic_load(&c->sent),
                libxl_childproc_lost_text(lost),
                libxl_childproc_stage_name(c->first.stage),
                !t              ? "did not take"
                : t->passed > 0 ? "passed on"
                                : "took");
}

static void check_ours(const struct xc_ours *c)
{
    const struct taken *t;

    if (atomic_load(&c->started) != 1)
        return;
    t = was_taken(c->pid);
    if (t && !fits(c, t->status))
        xc_fail("child %d (%d) ended with %#x: the model is wrong", number(c),
                (int)c->pid, (unsigned)t->status);
    if (t && t->passed < 0 && c->mode == libxl_sigchld_owner_mainloop &&
        c->place < XC_FIXED)
        xc_fail("child %d (%d), mode mainloop: the host passed it on, and was"
                " refused",
                number(c), (int)c->pid);
    if (c->kind == XC_NONE && atomic_load(&c->reports))
        xc_fail("child %d (%d) is not to be reported", number(c), (int)c->pid);
    if (c->kind != XC_HOLD && atomic_load(&c->detached) &&
        atomic_load(&c->reports))
        xc_fail("child %d (%d) was detached, and is reported", number(c),
                (int)c->pid);
    if (atomic_load(&c->completed) > 1)
        xc_fail("child %d (%d) is completed twice", number(c), (int)c->pid);
    if (!atomic_load(&c->reports))
        return;
    if (c->first.pid != c->pid || (c->id != 0 && c->first.id != c->id))
        xc_fail("child %d is %d, and reported as %d", number(c), (int)c->pid,
                (int)c->first.pid);
    check_lost(c, t);
}

void xc_model_check(void)
{
    int n = atomic_load(&xc_nours);

    for (int i = 0; i < n; i++)
        check_ours(&xc_ours[i]);
    n = atomic_load(&ntaken);
    for (int i = 0; i < n; i++) {
        struct xc_ours *c = ours_by_pid(taken[i].pid);
        struct xc_host *h;

        if (!c && !xc_host_by_pid(taken[i].pid) && taken[i].passed > 0)
            xc_fail("exited took %d, which is nobody's", (int)taken[i].pid);
        if (c && taken[i].passed > 0 && c->mode != libxl_sigchld_owner_mainloop)
            xc_fail("exited took %d, which is of mode %s", (int)taken[i].pid,
                    xc_mode_name(c->mode));
        h = xc_host_by_pid(taken[i].pid);
        if (h && taken[i].passed > 0 && !atomic_load(&h->adopted))
            xc_fail("exited took %d, which is the host's", (int)taken[i].pid);
    }
}

void xc_model_who(pid_t pid, char *text, size_t size)
{
    static const char *const kinds[] = {"held",   "event", "callback",
                                        "silent", "exec",  "async exec"};
    static const char *const frees[] = {"detach", "kill", "leave"};
    struct xc_ours *c = ours_by_pid(pid);

    if (c == NULL)
        snprintf(text, size, "%d, %s", (int)pid,
                 xc_host_by_pid(pid) ? "the host's" : "nobody's");
    else
        snprintf(text, size, "%d, child %d, ctx %d, mode %s, %s%s%s%s%s",
                 (int)pid, number(c), c->place, xc_mode_name(c->mode),
                 kinds[c->kind], atomic_load(&c->detached) ? ", detached" : "",
                 atomic_load(&c->reports) ? ", reported" : "",
                 atomic_load(&c->released) ? ", freed: " : "",
                 atomic_load(&c->released) ? frees[c->on_free] : "");
}

void xc_model_counts(int *ret_reported, int *ret_lost)
{
    int reported = 0, lost = 0;

    for (int i = atomic_load(&xc_nours); i-- > 0;) {
        reported += atomic_load(&xc_ours[i].reports) > 0;
        lost += atomic_load(&xc_ours[i].reports) > 0 &&
                xc_ours[i].first.lost != LIBXL_LOST_NONE;
    }
    *ret_reported = reported;
    *ret_lost = lost;
}

void xc_model_figures(char *text, size_t size)
{
    int reports, lost, theirs = 0, told = 0;

    xc_model_counts(&reports, &lost);
    for (int i = atomic_load(&ntaken); i-- > 0;)
        theirs += xc_host_by_pid(taken[i].pid) == NULL;
    for (int i = atomic_load(&xc_nhosts); i-- > 0;)
        told += atomic_load(&xc_hosts[i].told);
    snprintf(text, size,
             "%d children, %d reported, %d lost with a reason, %d taken by the"
             " host; %d of the host's, %d told",
             atomic_load(&xc_nours), reports, lost, theirs,
             atomic_load(&xc_nhosts), told);
}
