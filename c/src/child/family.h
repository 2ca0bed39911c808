/* family.h - a family: a child's, and what is left when that has ended
 *
 *      families.c         made; the hold is chosen, and cannot be lost by want
 *        |                of memory or fds later
 *      xl_family_expects  its one child is about to be started …
 *        |   \ xl_family_expects_none   … and was not
 *      xl_family_started
 *        |  child.c tells of the child's end, by the kin; the policy is done
 *      empty: whoever waits is told, once; a cgroup is removed
 *
 * All under the ctx's lock. Nothing here waits: a cgroup is only asked for
 * (cgroup.h).
 */
#ifndef XL_FAMILY_H
#define XL_FAMILY_H

#include "child/child.h"
#include "ctx/keeper.h"
#include "xlchild/family.h"

struct xl_family {
    struct xl_watched watched; /* first: of events_fd */
    uint64_t slot;             /* in ctx->streams; 0: not watched */
    struct xl_kin kin;         /* of the child */
    struct xl_list link;       /* ctx->families */
    libxl_family_id id;
    libxl_family_when end_when;
    int first_signal;
    int grace_ms;
    libxl_family_hold hold;
    const char *why;
    struct xl_cgroup *cgroup; /* CGROUP */
    struct xl_keeper *keeper; /* KEEPER, or once was; else NULL */
    int events_fd;            /* the same; -1 */
    struct xl_child *child;   /* for as long as it is known; NULL */
    int pidfd;                /* after that, for the group's sake; -1 */
    uint64_t pidfd_mark;      /* see identity.h */
    pid_t pid;
    unsigned expects : 1; /* a child, or has had one */
    unsigned started : 1;
    unsigned over : 1; /* the child has ended */
    unsigned empty : 1;
    unsigned ending : 1;
    unsigned scan_due : 1; /* GROUP: is anybody in it alive? */
    unsigned dead : 1;     /* … nobody was */
    unsigned due : 1;      /* KEEPER: the child is to be reaped */
    int nwaiting;         /* threads that wait for it to be empty */
    int pause_ms;         /* GROUP: until the next look … */
    int64_t scan_took;    /* … which is to cost little */
    struct xl_timer look; /* GROUP, and KEEPER: has anybody stopped it? */
    struct xl_timer kill; /* the SIGKILL after the grace */
    struct xl_list asks;  /* struct xl_family_ask */
};

/* Somebody is to be told when it is empty. */
struct xl_family_ask {
    struct xl_list link;
    libxl_asyncop_how how;
    int rc;
    struct xl_deferred deferred;
    struct xl_box *event; /* prepared; NULL: how has a callback */
};

void xl_family_init(struct xl_family *family);
struct xl_family *xl_family_get(libxl_ctx *ctx, libxl_family_id id);
/* Has the epoll watch a cgroup's events. 0, or -1 and errno. */
int xl_family_watch(libxl_ctx *ctx, struct xl_family *family);

/* What the spec of its child is to say: a copy, changed in place. NULL, or the
 * member that does not go with it. */
const char *xl_family_shapes(const struct xl_family *family,
                             libxl_childproc_spec *spec);
/* Whom a policy of it ends. */
libxl_kill_scope xl_family_scope(const struct xl_family *family);
void xl_family_expects(struct xl_family *family, struct xl_child *child);
void xl_family_expects_none(struct xl_family *family);
void xl_family_started(libxl_ctx *ctx, struct xl_child *child);

/* Whoever has asked is answered. */
void xl_family_answer(libxl_ctx *ctx, struct xl_family *family, int rc);
/* Looks now. 1: it is empty; 0; or ERROR_NI. Of a group it may have to be
 * scanned first whether anybody in it lives: that is due then. */
int xl_family_look(libxl_ctx *ctx, struct xl_family *family);
/* Somebody wants to know (from now on). */
void xl_family_wanted(libxl_ctx *ctx, struct xl_family *family);
/* Its child's account is to say that this library signals it. */
void xl_family_accounts_for(struct xl_family *family);
/* ERROR_*, as libxl_family_signal, but for a cgroup: that is only asked for. */
int xl_family_send(struct xl_family *family, int signo);
/* It is being ended: SIGKILL after the grace, unless that is due sooner. */
void xl_family_kill_later(libxl_ctx *ctx, struct xl_family *family,
                          int grace_ms);
/* Answers whoever waits, and lets go of everything but the memory. A cgroup is
 * to be removed. */
void xl_family_let_go(libxl_ctx *ctx, struct xl_family *family, int rc);
/* Scans those that are due. Gives the lock up. enter.c does so. */
void xl_family_scan_due(libxl_ctx *ctx);
/* Its fds are somebody else's by now: all families of a ctx. */
void xl_family_forget_fds(libxl_ctx *ctx);

#endif
