/* scene.c - what is on the stage when a thread stands at a gap
 *
 * See scene.h.
 */
#define _GNU_SOURCE
#include "scene.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "stacks.h"

#define GRACE_MS 50 /* mainloop mode, for what the host stole */

/* ---- what is heard ------------------------------------------------------- */

/* May the status be unknown, with this reason? */
static int may_be_lost(const struct xs_scene *s, const struct xs_child *c,
                       libxl_childproc_lost lost)
{
    unsigned have = xl_facilities();
    int mainloop = s->mode == libxl_sigchld_owner_mainloop;

    if (!(s->stolen || (c == &s->z && s->z.awaited == 2 && mainloop)) ||
        ((have & LIBXL_FACILITY_PIDFD) &&
         (have & LIBXL_FACILITY_EXIT_INFO)))
        return 0;
    return lost == (mainloop && c != &s->z ? LIBXL_LOST_NOT_PASSED
                                           : LIBXL_LOST_STOLEN);
}

void xs_heard(struct xs_scene *s, struct xs_child *c,
              const libxl_childproc_result *r)
{
    atomic_fetch_add(&c->reports, 1);
    if (r->lost != LIBXL_LOST_NONE) {
        if (!may_be_lost(s, c, r->lost))
            XT_FAIL("the status of %d, exit %d, is lost: %s", (int)r->pid,
                    c->code, libxl_childproc_lost_text(r->lost));
        return;
    }
    XT_EQ_INT(r->pid, c->pid);
    if (atomic_load(&c->killed) && WIFSIGNALED(r->status))
        XT_TRUE(WTERMSIG(r->status) == SIGTERM ||
                WTERMSIG(r->status) == SIGKILL);
    else
        XT_EXITED(r, c->code);
}

static void host_told(struct xs_scene *s, int status)
{
    XT_EQ_INT(WIFEXITED(status), 1);
    XT_EQ_INT(WEXITSTATUS(status), H_CODE);
    atomic_fetch_add(&s->host_told, 1);
}

/* childproc_exited_callback */
static int exited(pid_t pid, int status, void *user)
{
    struct xs_scene *s = user;

    if (pid == s->host) {
        host_told(s, status);
        return 0;
    }
    if (pid == atomic_load(&s->forked)) {
        XT_EQ_INT(status, FORKED_CODE << 8);
        return 0;
    }
    if (pid == s->stranger && WIFSIGNALED(status) &&
        WTERMSIG(status) == SIGKILL)
        return 0;
    if (pid == s->stranger)
        XT_FAIL("a process of the host's with a number of ours was hit:"
                " status %#x", status);
    if (s->stolen) /* by a wait of the host's own, who told us */
        return 0;
    XT_FAIL("%d, which is none of the host's, was told to it with status %#x",
            (int)pid, status);
}

void xs_events(struct xs_scene *s, libxl_ctx *ctx)
{
    libxl_event *event;

    while (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) ==
           0) {
        XT_EQ_INT(event->type, LIBXL_EVENT_TYPE_CHILDPROC_EXIT);
        XT_EQ_INT(event->for_user, E_CODE);
        xs_heard(s, &s->e, &event->u.childproc_exit);
        libxl_event_free(ctx, event);
    }
}

void xs_host_reaped(struct xs_scene *s, pid_t pid, int status)
{
    if (pid == s->host) {
        host_told(s, status);
        return;
    }
    if (pid == s->stranger)
        return;
    if (s->mode != libxl_sigchld_owner_mainloop)
        return;
    if (pid == s->z.pid && s->z.awaited == 2)
        return; /* b's: taken from it by a wait(-1), as b has to bear */
    if (libxl_childproc_exited(s->a, pid, status) != 0)
        XT_FAIL("exited(%d, %#x), a child of a's: not ours", (int)pid, status);
}

/* ---- the beginning ------------------------------------------------------- */

static void op_done(libxl_ctx *ctx, int rc, void *user)
{
    struct xs_scene *s = user;

    s->op_rc = rc;
    atomic_fetch_add(&s->op_done, 1);
}

static void start_op(struct xs_scene *s)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("pause"));

    s->how.callback = op_done;
    s->how.u.for_callback = s;
    XT_OK(libxl_childproc_exec(s->a, &spec, NULL, &s->op, NULL, &s->how));
}

static int exits_to(libxl_sigchld_owner mode)
{
    return mode == libxl_sigchld_owner_libxl ||
           mode == libxl_sigchld_owner_libxl_always;
}

void xs_open(struct xs_scene *s, int with_children, libxl_sigchld_owner b_mode)
{
    libxl_childproc_report event = {.kind = LIBXL_REPORT_EVENT,
                                    .u.for_event = E_CODE};
    libxl_childproc_spec spec;

    libxl_childproc_spec_init(&spec);
    spec.exited_grace_ms = s->stolen ? GRACE_MS : 1000;
    s->x.gate = s->e.gate = s->y.gate = s->z.gate = -1;
    s->x.code = X_CODE;
    s->e.code = E_CODE;
    s->y.code = Y_CODE;
    s->z.code = Z_CODE;
    s->host = xh_fork_held(XH_EXIT(H_CODE), &s->host_gate);
    if (!with_children && s->mode == libxl_sigchld_owner_none) {
        libxl_logger logger;

        xt_log_init(&s->log_a, &logger); /* its mode is to be set yet */
        XT_OK(libxl_ctx_alloc(&s->a, LIBXL_VERSION, 0, &logger));
    } else {
        s->a = xh_ctx_new(s->mode, &s->log_a,
                          exits_to(s->mode) ? exited : NULL, s);
    }
    s->b = xh_ctx_new(b_mode, &s->log_b, exits_to(b_mode) ? exited : NULL, s);
    if (!with_children)
        return;
    s->x.id = xh_spawn_held(s->a, XH_EXIT(X_CODE), &spec, NULL, &s->x.gate,
                            &s->x.pid);
    s->e.id = xh_spawn_held(s->a, XH_EXIT(E_CODE), &spec, &event, &s->e.gate,
                            &s->e.pid);
    s->x.awaited = s->e.awaited = 1;
    if (s->how.u.for_callback)
        start_op(s);
}

/* A zombie, or nothing any more. */
static int has_ended(void *user)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)*(pid_t *)user, &info,
                  WEXITED | WNOHANG | WNOWAIT) ||
           info.si_pid;
}

static void end_one(struct xs_child *c)
{
    if (c->gate < 0)
        return;
    xt_close(&c->gate);
    XT_EVENTUALLY(has_ended, &c->pid);
}

void xs_end_all(struct xs_scene *s)
{
    end_one(&s->x);
    end_one(&s->e);
    if (s->host_gate >= 0) {
        xt_close(&s->host_gate);
        XT_EVENTUALLY(has_ended, &s->host);
    }
}

void xs_take_number(struct xs_scene *s)
{
    pid_t pid;

    if (s->x.pid <= 1 || kill(s->x.pid, 0) == 0)
        return;
    pid = xh_fork_as(s->x.pid);
    if (pid == 0)
        for (;;)
            pause();
    if (pid > 0)
        s->stranger = pid;
}

/* ---- the end ------------------------------------------------------------- */

static int missing(const struct xs_child *c)
{
    return c->awaited > 0 && atomic_load(&c->reports) == 0;
}

static int over(const struct xs_scene *s)
{
    return !missing(&s->x) && !missing(&s->e) && !missing(&s->y) &&
           !missing(&s->z) && atomic_load(&s->host_told) > 0 &&
           (s->how.callback == NULL || atomic_load(&s->op_done) > 0);
}

static void ask(struct xs_scene *s, libxl_ctx *ctx, struct xs_child *c)
{
    libxl_childproc_result r;

    if (c->id == 0 || ctx == NULL || !missing(c))
        return;
    if (libxl_childproc_wait(ctx, c->id, 0, 0, &r) == 0)
        xs_heard(s, c, &r);
}

static void turn(struct xs_scene *s)
{
    int status;

    if (s->mode == libxl_sigchld_owner_mainloop && s->passes) {
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid > 0)
            xs_host_reaped(s, pid, status);
    } else if (s->mode == libxl_sigchld_owner_mainloop && !s->said) {
        libxl_childproc_sigchld_occurred(s->a);
    }
    if (!atomic_load(&s->host_told) &&
        waitpid(s->host, &status, WNOHANG) == s->host)
        host_told(s, status);
    xs_events(s, s->a);
    if (s->b != NULL)
        xs_events(s, s->b);
    ask(s, s->a, &s->x);
    ask(s, s->a, &s->y);
    ask(s, s->z.awaited == 2 ? s->b : s->a, &s->z);
}

static void once(const char *name, const struct xs_child *c, int held)
{
    int n = atomic_load(&c->reports);

    if (!c->awaited && n > 0)
        XT_FAIL("%s was let go, and reported", name);
    if (!held && n > 1)
        XT_FAIL("%s was reported %d times", name, n);
}

void xs_settle(struct xs_scene *s)
{
    long long until = xt_now_ms() + XG_SURELY / 2 * xt_time_scale();
    struct timespec ms = {0, 1000000};

    xs_end_all(s);
    while (!over(s)) {
        if (xt_now_ms() > until)
            XT_FAIL("missing:%s%s%s%s%s%s", missing(&s->x) ? " x" : "",
                    missing(&s->e) ? " e" : "", missing(&s->y) ? " y" : "",
                    missing(&s->z) ? " z" : "",
                    s->host_told ? "" : " the host's child",
                    s->how.callback && !s->op_done ? " the operation" : "");
        turn(s);
        nanosleep(&ms, NULL);
    }
}

void xs_close(struct xs_scene *s)
{
    struct timespec ms = {0, 1000000};

    if (s->stranger > 1) {
        int status;

        if (waitpid(s->stranger, &status, WNOHANG) != 0)
            XT_FAIL("a process of the host's with x's number was hit");
        XT_SYS(kill(s->stranger, SIGKILL));
        while (waitpid(s->stranger, &status, WNOHANG) == 0)
            nanosleep(&ms, NULL);
    }
    xs_events(s, s->a); /* a second one? */
    once("x", &s->x, 1);
    once("e", &s->e, 0);
    once("y", &s->y, 1);
    once("z", &s->z, 1);
    XT_EQ_INT(atomic_load(&s->host_told), 1);
    if (s->how.callback)
        XT_EQ_INT(atomic_load(&s->op_done), 1);
    xt_ctx_free(s->a);
    xt_ctx_free(s->b);
    libxl_childproc_exec_result_dispose(&s->op);
    XT_EQ_INT(xt_log_count(&s->log_a, LIBXL_LOG_WARNING, "reaped unknown"), 0);
    XT_EQ_INT(xt_log_count(&s->log_b, LIBXL_LOG_WARNING, "reaped unknown"), 0);
    if (s->mode == libxl_sigchld_owner_mainloop && !s->stolen)
        XT_EQ_INT(xt_log_count(&s->log_a, LIBXL_LOG_WARNING, "in time"), 0);
    xt_log_dispose(&s->log_a);
    xt_log_dispose(&s->log_b);
}
