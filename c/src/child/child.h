/* child.h - one child, from its start to its report
 *
 *      xl_child_new     allocated, id known; nothing runs
 *        |   \ xl_child_discard when the start fails
 *      xl_child_started   on ctx->live, pid in the registry; exit_watch.c next
 *        |
 *      xl_child_ended   out of the registry; notices and the report are sent
 *        |              (or the operation that owns it is told)
 *      freed; a held one goes to ctx->held until its result is taken
 *
 * Everything that an end needs is allocated by xl_child_new (C12). The child
 * itself becomes the event of its report.
 */
#ifndef XL_CHILD_H
#define XL_CHILD_H

#include "child/account.h"
#include "child/cgroup.h"
#include "child/left_starts.h"
#include "ctx/ctx_impl.h"
#include "kernel/registry.h"

/* An operation that a child belongs to: told of the end instead of the host.
 * First member of whatever it is. */
struct xl_guardian {
    /* failure: it never became its program; else NULL. 1: the child is kept
     * for the sake of its group, until xl_child_forget. */
    int (*child_ended)(libxl_ctx *ctx, struct xl_guardian *guardian,
                       const libxl_childproc_result *result,
                       const libxl_childproc_failure *failure);
    /* The SIGKILL that was due after a grace was not permitted. */
    void (*kill_refused)(libxl_ctx *ctx, struct xl_guardian *guardian,
                         struct xl_child *child);
};

/* A scope beside the public ones: whoever its keeper keeps. */
#define XL_KILL_KEPT ((libxl_kill_scope)3)

/* What a child is a part of, and outlives it: told of its end besides whoever
 * the report is for. See family.h. */
struct xl_kin {
    void (*child_ended)(libxl_ctx *ctx, struct xl_kin *kin,
                        const libxl_childproc_result *result);
    /* It is no child of ours: how has it ended? 1; 0: not known yet; -1: it
     * will not be, by the kin. */
    int (*child_status)(struct xl_kin *kin, int *ret_status,
                        struct rusage *ret_rusage);
    /* It has ended, and has not been reaped, which is for the kin to do: it is
     * looked at again. */
    void (*child_is_due)(libxl_ctx *ctx, struct xl_kin *kin);
    /* To everybody in it: where the scope is XL_KILL_KEPT. As xl_send. */
    int (*send)(struct xl_kin *kin, int signo);
    /* A policy of that scope ends the child. */
    void (*policy_ends)(struct xl_kin *kin, libxl_kill_scope scope);
    /* Nothing is known of it any more. 1: its pidfd is the kin's now. */
    int (*child_goes)(struct xl_kin *kin, int pidfd);
};

/* What few children have: behind the child, or the empty one that is nobody's
 * and only read. */
struct xl_child_more {
    struct xl_cgroup *cgroup;   /* NULL: none of its own */
    struct xl_account *account; /* NULL: not asked for, or it has ended */
    struct xl_kin *kin;         /* NULL: it is of no family */
};

struct xl_child {
    struct xl_box box; /* the report. First: see libxl_event_free */
    struct xl_registry_entry reg;
    libxl_childproc_id id;
    pid_t pid;
    int pidfd; /* -1: the kernel refused */
    libxl_kill_policy kill;
    int exited_grace_ms;
    unsigned short retries;     /* of learning a status that was taken */
    unsigned char early_signal; /* for a child that is not made yet; 0 */
    libxl_childproc_report_kind report : 4; /* small: many may live */
    libxl_free_policy on_free : 4;
    libxl_kill_scope end_scope : 4; /* who goes with it, at the latest */
    unsigned leads_group : 1;
    unsigned adopted : 1;      /* may be no child of ours */
    unsigned pidfd_shared : 1; /* a copy of one that the host may keep open */
    unsigned has_strand : 1;   /* of its events; else it has only its end */
    unsigned wants_stops : 1;
    unsigned recent : 1;    /* not put under watch yet … */
    unsigned looks : 2;     /* … after so many looks at it */
    unsigned unwatched : 1; /* no epoll announces its end */
    unsigned zombie : 1;    /* mainloop mode: has ended, host's to reap */
    unsigned reaped : 1;    /* … and has been reaped, status not passed */
    unsigned ended : 1;
    unsigned detached : 1;
    unsigned hold_pid : 1;    /* not to be reaped before it is asked for … */
    unsigned asked : 1;       /* … which it has been */
    unsigned lingers : 1;     /* … nor right after its end: xl_child_linger */
    unsigned let_go : 1;      /* nobody will ask for it … */
    unsigned background : 1;  /* … and the reaper thread watches it */
    unsigned kept : 1;        /* it is unreaped, for the sake of its number */
    unsigned kept_fd : 1;     /* its pidfd is one of ctx->nkept_fds */
    unsigned host_warned : 1; /* mainloop mode: that it waits to be reaped */
    unsigned number_taken : 1; /* its pidfd's, from a fd of ours */
    unsigned early : 1;        /* its end was seen before xl_child_started */
    struct xl_list link;       /* ctx->live, then ctx->held or ->lingering */
    struct xl_list notices;
    struct xl_timer timer;        /* SIGKILL that is due, or the host's grace */
    struct xl_child_more *more;   /* never NULL */
    struct xl_guardian *guardian; /* NULL: it is the host's */
    struct xl_setting_up *setting_up; /* NULL: it has become its program */
};

/* Behind the child, where it has one; or NULL. */
struct xl_strand *xl_child_strand(struct xl_child *child);

/* 0, or ERROR_NOMEM, ERROR_LIMIT and nothing happened. */
int xl_child_new(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                 const libxl_childproc_report *report,
                 struct xl_child **ret_child);
void xl_child_discard(libxl_ctx *ctx, struct xl_child *child);
/* pid is in the registry by now. Cannot fail. */
void xl_child_started(libxl_ctx *ctx, struct xl_child *child, pid_t pid,
                      int pidfd);
void xl_child_ended(libxl_ctx *ctx, struct xl_child *child, int status,
                    libxl_childproc_lost lost, libxl_childproc_source source,
                    const struct rusage *rusage);
/* The same for one that was only looked at: it keeps its number. */
void xl_child_ended_unreaped(libxl_ctx *ctx, struct xl_child *child, int status,
                             const struct rusage *rusage);
/* It stays unreaped for now when it ends: see LIBXL_SPAWN_HOLD_PID. */
int xl_child_keeps_number(const libxl_ctx *ctx, const struct xl_child *child);
/* Nobody will ask for it any more. It is live. */
void xl_child_let_go(libxl_ctx *ctx, struct xl_child *child);
/* It has ended, is unreaped, and dropped: its number is left to the program's
 * own waits until the next start, or until the reaper thread comes by. */
void xl_child_linger(libxl_ctx *ctx, struct xl_child *child);
/* Reaps those whose time has come by `now`; XL_NEVER: all. */
void xl_child_linger_over(libxl_ctx *ctx, int64_t now);
/* When the next one's comes; XL_NEVER: there is none. */
int64_t xl_child_linger_due(const libxl_ctx *ctx);
/* Its result has been asked for: the number may go. */
void xl_child_asked(libxl_ctx *ctx, struct xl_child *child);
/* After xl_child_started: if its end was seen before. The child may go. */
void xl_child_ended_early(libxl_ctx *ctx, struct xl_child *child);
void xl_child_stopped(libxl_ctx *ctx, struct xl_child *child,
                      libxl_event_type type, int signo);
/* A held child whose result has been taken, or that has no report. Reaps it if
 * that has not happened. */
void xl_child_forget(libxl_ctx *ctx, struct xl_child *child);
/* NULL: no such child. A held one is found, with ->ended. */
struct xl_child *xl_child_get(libxl_ctx *ctx, libxl_childproc_id id);
struct xl_child *xl_child_by_pid(libxl_ctx *ctx, pid_t pid);

#endif
