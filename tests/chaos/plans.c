/* plans.c - what a child of a random run is to do, and how it is started
 *
 * See plans.h. Its report, where that is a callback, comes back here.
 */
#define _GNU_SOURCE
#include "plans.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define GRACE_MS 400

static __thread struct xc_chance caller; /* whose callback it is */

static void exit_reported(libxl_ctx *ctx, const libxl_childproc_result *r,
                          void *user)
{
    libxl_event *event;

    xc_reported(user, r);
    if (xc_percent(&caller, 20) &&
        libxl_event_check(ctx, &event, LIBXL_EVENTMASK(63), NULL, NULL) == 0)
        xc_fail("an event of no type");
}

void xc_make_plan(struct xc_plan *p, struct xc_ours *c, struct xc_chance *ch)
{
    int n = 0, code = 1 + (int)((c - xc_ours) % 120);
    unsigned life = xc_below(ch, 100);

    memset(p, 0, sizeof(*p));
    p->argv[n++] = XT_HELPERS "/child";
    if (life < 40) {
        snprintf(p->ms, sizeof(p->ms), "%u",
                 life < 30 ? xc_below(ch, 15) : 50 + xc_below(ch, 250));
        p->argv[n++] = "sleep-ms";
        p->argv[n++] = p->ms;
    }
    if (xc_percent(ch, 10)) {
        p->argv[n++] = "signal";
        code = SIGHUP;
        c->end = SIGHUP;
    } else {
        p->argv[n++] = "exit";
        c->end = code << 8;
    }
    snprintf(p->number, sizeof(p->number), "%d", code);
    snprintf(p->token, sizeof(p->token), "child-%d", (int)(c - xc_ours));
    p->argv[n++] = p->number;
    p->argv[n++] = p->token;
    libxl_childproc_spec_init(&p->spec);
    p->spec.argv = p->argv;
    p->spec.exited_grace_ms = xc_run.thief ? GRACE_MS : 2000;
    c->holds_pid = c->kind == XC_HOLD && xc_percent(ch, 50);
    if (c->holds_pid)
        p->spec.flags |= LIBXL_SPAWN_HOLD_PID;
    c->group = xc_percent(ch, 30);
    if (c->group)
        p->spec.flags |= LIBXL_SPAWN_NEW_GROUP;
    if (xc_percent(ch, 30)) {
        p->spec.flags |= LIBXL_SPAWN_NOWAIT;
        if (c->kind == XC_EVENT && xc_percent(ch, 50))
            p->spec.flags |= LIBXL_SPAWN_REPORT_START;
    }
    if (c->kind != XC_NONE && xc_percent(ch, 20))
        p->spec.flags |= LIBXL_SPAWN_ACCOUNT;
    p->spec.on_free = (libxl_free_policy)c->on_free;
    p->report.kind = c->kind == XC_EVENT      ? LIBXL_REPORT_EVENT
                     : c->kind == XC_CALLBACK ? LIBXL_REPORT_CALLBACK
                     : c->kind == XC_NONE     ? LIBXL_REPORT_NONE
                                              : LIBXL_REPORT_HOLD;
    if (c->kind == XC_EVENT) {
        p->report.u.for_event = (libxl_ev_user)(c - xc_ours);
    } else {
        p->report.callback = exit_reported;
        p->report.u.for_callback = c;
    }
}
