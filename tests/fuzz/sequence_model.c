/* sequence_model.c - what is known of children, and what the library tells
 *
 * Called by the steps, and by the library: the host's callbacks are here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "sequence.h"

struct model m;
static pthread_mutex_t lock;

void model_begin(void)
{
    pthread_mutexattr_t attr;

    memset(&m, 0, sizeof(m));
    for (int g = 0; g < GENS; g++)
        m.gen[g].ctx = -1;
    FZ_EQ(pthread_mutexattr_init(&attr), 0);
    FZ_EQ(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE), 0);
    FZ_EQ(pthread_mutex_init(&lock, &attr), 0);
    FZ_EQ(pthread_mutexattr_destroy(&attr), 0);
    FZ_EQ(sigaction(SIGCHLD, NULL, &m.before), 0);
}

void model_end(void)
{
    FZ_EQ(pthread_mutex_destroy(&lock), 0);
}

/* Starters call the host's callbacks, too. */
static void model_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void model_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* ---- what is known ------------------------------------------------------ */

int reaps_all(libxl_sigchld_owner owner)
{
    return owner == libxl_sigchld_owner_libxl ||
           owner == libxl_sigchld_owner_libxl_always;
}

int in_conflict(int c, libxl_sigchld_owner owner)
{
    const struct host *other = &m.host[!c];
    int is = owner == libxl_sigchld_owner_mainloop;
    int other_is = other->owner == libxl_sigchld_owner_mainloop;

    return other->claimed &&
           ((is && reaps_all(other->owner)) || (other_is && reaps_all(owner)));
}

libxl_ctx *enter(int c)
{
    const struct host *h = &m.host[c];

    sim.may_wait_any = reaps_all(h->owner);
    sim.may_reap = h->owner != libxl_sigchld_owner_mainloop;
    sim.asks = h->knows_strangers;
    return h->ctx;
}

int is_ended(const struct kid *k)
{
    return !k->process->alive;
}

int is_mainloop(const struct kid *k)
{
    return k->owner == libxl_sigchld_owner_mainloop && !k->process->elsewhere;
}

int is_open(const struct kid *k)
{
    return k->ctx >= 0 && !k->told;
}

int is_noticeable(const struct kid *k)
{
    const struct sim_process *p = k->process;

    if (p->alive)
        return 0;
    if (p->elsewhere)
        return p->reaped != SIM_UNREAPED || !sim.exit_info;
    if (is_mainloop(k))
        return k->passed || p->reaped == SIM_LIBRARY ||
               (p->reaped == SIM_HOST && (m.pidfds || k->missed));
    return 1;
}

int is_plain(const struct kid *k)
{
    if (!is_noticeable(k) || !m.pidfds)
        return 0;
    return k->process->reaped != SIM_HOST || k->passed ||
           (sim.exit_info && !is_mainloop(k));
}

struct kid *kid_of_process(const struct sim_process *p)
{
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].process == p && is_open(&m.kid[i]))
            return &m.kid[i];
    return NULL;
}

struct kid *some_kid(struct fz_input *in)
{
    struct kid *k = m.nkids ? &m.kid[fz_below(in, (unsigned)m.nkids)] : NULL;

    return k && k->ctx >= 0 ? k : NULL;
}

void check_kills(void)
{
    for (int i = 0; i < m.nkids; i++) {
        struct kid *k = &m.kid[i];

        if (k->ctx < 0 || !k->process->kills || k->kill_asked)
            continue;
        FZ_TRUE(sim.now >= k->kill_due);
        k->kill_asked = 1;
    }
}

/* ---- what is told ------------------------------------------------------- */

/* The end of a group's leader is told while its number stays its own, where no
 * pidfd reaches who is left of its group. */
static int is_kept(const struct kid *k)
{
    return k->process->reaped == SIM_UNREAPED && k->process->leads &&
           k->kind == HOLD && !m.pidfds && !is_mainloop(k);
}

static void check_known(const struct kid *k, const libxl_childproc_result *r)
{
    const struct sim_process *p = k->process;

    FZ_EQ(r->status, p->status);
    switch (r->source) {
    case LIBXL_SOURCE_REAPED:
        FZ_TRUE(p->reaped == SIM_LIBRARY || is_kept(k));
        break;
    case LIBXL_SOURCE_PASSED:
        FZ_TRUE(k->passed && is_mainloop(k));
        break;
    case LIBXL_SOURCE_PIDFD:
        FZ_TRUE(p->reaped == SIM_HOST && sim.exit_info);
        break;
    case LIBXL_SOURCE_NONE:
        FZ_FAIL("a status out of nowhere");
    }
}

static void check_lost(const struct kid *k, const libxl_childproc_result *r)
{
    const struct sim_process *p = k->process;

    FZ_EQ(r->status, 0);
    FZ_EQ(r->source, LIBXL_SOURCE_NONE);
    FZ_TRUE(!sim.exit_info);
    if (p->elsewhere) {
        FZ_EQ(r->lost, LIBXL_LOST_NOT_OURS);
        return;
    }
    FZ_EQ(p->reaped, SIM_HOST);
    if (r->lost == LIBXL_LOST_NUMBER_REUSED)
        FZ_TRUE(!m.pidfds && !is_mainloop(k));
    else
        FZ_EQ(r->lost,
              is_mainloop(k) ? LIBXL_LOST_NOT_PASSED : LIBXL_LOST_STOLEN);
}

void check_result(const struct kid *k, const libxl_childproc_result *r)
{
    const struct sim_process *p = k->process;

    FZ_EQ(r->id, k->id);
    FZ_EQ(r->pid, p->pid);
    FZ_TRUE(!p->alive);
    if (r->lost == LIBXL_LOST_NONE)
        check_known(k, r);
    else
        check_lost(k, r);
    if (is_mainloop(k) && p->reaped == SIM_HOST && !k->passed)
        FZ_TRUE(sim.now >= k->reaped_at + GRACE_MS * INT64_C(1000000));
}

void told(struct kid *k, const libxl_childproc_result *r)
{
    check_result(k, r);
    FZ_TRUE(!k->detached && k->kind != NONE);
    FZ_EQ(k->told++, 0);
}

/* Which it is may have to be learnt from its report, which can come before
 * the call that starts it returns. */
static struct kid *kid_of(int c, libxl_childproc_id id, pid_t pid)
{
    for (int i = m.nkids - 1; i >= 0; i--) {
        struct kid *k = &m.kid[i];

        if (k->ctx != c || k->process->pid != pid || (k->id && k->id != id))
            continue;
        k->id = id;
        return k;
    }
    FZ_FAIL("a report about no child");
}

static void take_stop(int c, const libxl_event *event)
{
    int signo = event->u.childproc_stopped.signo;
    struct kid *k = kid_of(c, event->u.childproc_stopped.id,
                           event->u.childproc_stopped.pid);
    int n = k->stops_told++;

    FZ_TRUE(k->wants_stops && n < k->process->ntaken);
    if (!m.host[c].rerouted)
        FZ_EQ(signo, k->process->taken[n]);
    FZ_EQ(event->type, signo == SIGCONT ? LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED
                                        : LIBXL_EVENT_TYPE_CHILDPROC_STOPPED);
    if (k->detached)
        FZ_TRUE(n < k->stops_until);
    if (k->kind == HOLD || k->kind == EVENT)
        FZ_EQ(event->for_user, FOR_KID + (k - m.kid));
    if (k->kind == EVENT && !m.host[c].rerouted)
        FZ_TRUE(!k->told);
}

static void take_exit(int c, const libxl_event *event)
{
    const libxl_childproc_result *r = &event->u.childproc_exit;
    struct kid *k = kid_of(c, r->id, r->pid);

    if (event->for_user >= FOR_GEN) {
        int g = (int)event->for_user - FOR_GEN;

        check_result(k, r);
        FZ_EQ(m.gen[g].ctx, c);
        FZ_TRUE(!m.gen[g].pid || m.gen[g].pid == r->pid);
        FZ_TRUE(!k->gen_over[g]);
        FZ_EQ(k->gen_told[g]++, 0);
        return;
    }
    FZ_EQ(event->for_user, FOR_KID + (k - m.kid));
    FZ_EQ(k->kind, EVENT);
    told(k, r);
    if (k->wants_stops && !m.host[c].rerouted)
        FZ_EQ(k->stops_told, k->process->ntaken);
}

static void completed(struct kid *k, int rc)
{
    FZ_EQ(k->completed++, 0);
    if (rc == ERROR_TIMEDOUT)
        FZ_TRUE(sim.now >= k->timeout);
    else
        FZ_TRUE(rc == 0 || (rc == ERROR_ABORTED && k->abort_asked));
    if (!k->id)
        k->id = k->result.child.id;
    told(k, &k->result.child);
    libxl_childproc_exec_result_dispose(&k->result);
}

/* ---- the host's callbacks ----------------------------------------------- */

/* What was chosen for the next callback to do. */
static void go_on_within(int c)
{
    static const libxl_kill_policy gently = {SIGTERM, 500, LIBXL_KILL_PROCESS};
    enum within what = m.within;
    struct kid *k = m.nkids ? &m.kid[m.within_which % m.nkids] : NULL;
    int g = m.within_which % GENS;

    m.within = NOTHING;
    if (k && (k->ctx != c || !k->id)) /* without an id: being started */
        k = NULL;
    switch (what) {
    case NOTHING:
    case WITHIN:
        break;
    case DISABLE:
        if (m.gen[g].ctx == c)
            disable(g);
        break;
    case FREE:
        FZ_EQ(libxl_ctx_free(enter(c)), ERROR_BUSY);
        break;
    case DETACH:
        if (k)
            detach(k);
        break;
    case CHECK:
        check_events(c, LIBXL_EVENTMASK_ALL);
        break;
    case ENABLE:
        enable(c, k);
        break;
    case TERMINATE:
        if (k)
            terminate(k, &gently);
        break;
    case END: /* and its end is noticed before we return */
        if (k && k->process->alive)
            sim_exit(k->process, 5 << 8);
        check_events(c, LIBXL_EVENTMASK_ALL);
        break;
    }
}

void take(int c, libxl_event *event)
{
    struct kid *k;

    model_lock();
    switch (event->type) {
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE:
        k = &m.kid[event->for_user - FOR_KID];
        FZ_TRUE(k->kind == OPERATION && k->ctx == c && !k->how.callback);
        completed(k, event->u.operation_complete.rc);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_EXIT:
        take_exit(c, event);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STOPPED:
    case LIBXL_EVENT_TYPE_CHILDPROC_CONTINUED:
        take_stop(c, event);
        break;
    case LIBXL_EVENT_TYPE_CHILDPROC_STARTED:
        FZ_FAIL("an event that nobody asked for");
    }
    libxl_event_free(m.host[c].ctx, event);
    model_unlock();
}

void event_occurs(void *user, libxl_event *event)
{
    int c = (int)((struct host *)user - m.host);

    model_lock();
    take(c, event);
    go_on_within(c);
    model_unlock();
}

void kid_ended(libxl_ctx *ctx, const libxl_childproc_result *result, void *user)
{
    struct kid *k = user;

    model_lock();
    FZ_TRUE(ctx == m.host[k->ctx].ctx);
    FZ_EQ(k->kind, CALLBACK);
    if (!k->id)
        k->id = result->id;
    told(k, result);
    /* it may call the library; the child is forgotten */
    FZ_EQ(libxl_childproc_kill(ctx, k->id, SIGTERM, LIBXL_KILL_PROCESS),
          ERROR_NOTFOUND);
    go_on_within(k->ctx);
    model_unlock();
}

void operation_ended(libxl_ctx *ctx, int rc, void *user)
{
    struct kid *k = user;

    model_lock();
    FZ_TRUE(ctx == m.host[k->ctx].ctx);
    completed(k, rc);
    go_on_within(k->ctx);
    model_unlock();
}

int stranger_ended(pid_t pid, int status, void *user)
{
    struct host *h = user;
    const struct sim_process *p = sim_by_pid(pid);
    int c = (int)(h - m.host), i = (int)(p - sim.process);

    model_lock();
    FZ_TRUE(p && !p->ours && !p->elsewhere);
    FZ_EQ(p->reaped, SIM_LIBRARY);
    FZ_EQ(status, p->status);
    FZ_EQ(m.stranger_told[i][c]++, 0);
    go_on_within(c);
    model_unlock();
    return h->stranger_answer;
}
