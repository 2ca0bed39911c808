/* ctx_impl.h - what a context holds
 *
 * One struct a topic, each used by the file of that name; this header only
 * puts them together. Everything is guarded by ctx->lock but for what says
 * otherwise. No lock is held while user code runs: what is to be called is
 * put on ctx->deferred and called by xl_leave (enter.c).
 */
#ifndef XL_CTX_IMPL_H
#define XL_CTX_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "kernel/list.h"
#include "kernel/sigchld.h"
#include "kernel/slots.h"
#include "kernel/sys.h"
#include "kernel/timers.h"
#include "kernel/wakeup.h"
#include "xlchild/childproc.h"
#include "xlchild/osevent.h"

struct xl_child;
struct xl_operation;

/* A call into user code that is due. run is called without the lock and owns
 * the object. */
struct xl_deferred {
    struct xl_deferred *next;
    void (*run)(libxl_ctx *ctx, struct xl_deferred *d);
    struct xl_strand *strand; /* NULL: in no particular order */
    short last;               /* the strand's last: it may be freed by run */
    short examined; /* of an event: a predicate looks at it, without the lock */
};

struct xl_deferred_queue {
    struct xl_deferred *head;
    struct xl_deferred **tail;
};

/* Calls that must come one after the other, whichever threads make them. */
struct xl_strand {
    struct xl_deferred_queue waiting;
    int busy;
};

/* An event, and the callback that it may go to instead of the queue. The
 * event comes first: the host's pointer is the box's. */
struct xl_box {
    libxl_event event;
    struct xl_deferred deferred;
    union {
        void (*event_occurs)(void *user, libxl_event *event);
        void (*child)(libxl_ctx *ctx, const libxl_childproc_result *result,
                      void *for_callback);
        void (*progress)(libxl_ctx *ctx, libxl_event *event,
                         void *for_callback);
    } call;
    void *user;
};

struct libxl_evgen_childproc_exit {
    struct xl_list link;
    struct xl_child *child; /* NULL: every child */
    libxl_ev_user user;
    struct xl_list notices; /* prepared, one a child */
};

/* A prepared event for one child and one evenable. */
struct xl_notice {
    struct xl_list of_child;
    struct xl_list of_evgen;
    struct xl_box *box;
};

struct xl_events {
    libxl_event *head;
    libxl_event **tail;
    libxl_event_hooks hooks;
    void *user;
    struct xl_list evgens;
};

/* What epoll's data says: a tag, and below it an id (slots.h). */
#define XL_TAG_MASK (UINT64_C(7) << 60)
#define XL_TAG_WAKEUP (UINT64_C(1) << 60)
#define XL_TAG_SELFPIPE (UINT64_C(2) << 60)
#define XL_TAG_CHILD (UINT64_C(3) << 60)
#define XL_TAG_STREAM (UINT64_C(4) << 60)

/* First member of whatever ctx->streams holds. */
struct xl_watched {
    void (*ready)(libxl_ctx *ctx, struct xl_watched *watched, unsigned events);
};

/* A thread that blocks in the library. */
struct xl_waiter {
    struct xl_list link;
    int fd;       /* eventfd of a follower; -1 */
    int signaled; /* something was written to it */
    uint64_t typemask;
    libxl_childproc_id child; /* 0: none */
    /* … which is reported to others, and then gone: its end, once it came */
    libxl_childproc_result result;
    int answered;
    libxl_family_id family; /* 0: none */
    const struct xl_operation *ao;
    /* NULL, or called under the lock when the thread has been cancelled: its
     * stack is still there */
    void (*cancelled)(libxl_ctx *ctx, struct xl_waiter *waiter);
    void *user;
};

struct xl_pump {
    int epfd;  /* all that there is to watch; blocked threads wait on it */
    int outer; /* libxl_ctx_fileno: epfd, and level; -1 until asked for */
    int level; /* eventfd: readable while events are queued; -1 */
    int level_set;
    int timerfd; /* for outer; -1 until needed */
    int64_t timerfd_due;
    struct xl_list waiters;
    struct xl_waiter *leader; /* the one that is in epoll_wait */
    int64_t leader_due;       /* until when */
    int idle_fds[8];          /* eventfds for followers */
    int nidle_fds;
    int idle_starts; /* since somebody pumped last */
    int more;        /* work was left over for the sake of fairness */
};

enum xl_sigchld_due {
    XL_SIGCHLD_SEEN = 0,
    XL_SIGCHLD_CAME, /* or may have, before we could hear of it */
    XL_SIGCHLD_TICK  /* a look for safety's sake, nothing came */
};

/* A child whose end was reported without the host's word. */
struct xl_late {
    pid_t pid; /* 0: unused */
    int status;
    int known; /* the kernel told the status */
};

struct xl_mode {
    libxl_sigchld_owner asked;
    libxl_sigchld_owner in_force;
    const char *reason; /* why they differ */
    libxl_childproc_hooks hooks;
    void *user;
    int claimed; /* listed among the owners of this process */
    int displaced_warned;
    int host_reaps_through_us; /* inside libxl_childproc_sigchld_occurred */
    unsigned occurred;         /* how often that was called */
    unsigned looked;           /* how often SIGCHLD was seen to */
    int nzombies;              /* mainloop: live ones seen to have ended */
    struct xl_late late[64];   /* reported after the grace period */
    unsigned late_at;
    enum xl_sigchld_due sigchld_due; /* and nobody has looked yet */
};

struct xl_os {
    int hooked;
    libxl_osevent_hooks hooks;
    void *user;
    int busy; /* a hook is being called, without the lock */
    pthread_cond_t idle;
    int fd_registered;
    void *fd_for_app;
    int timer_registered;
    int64_t timer_due;
    void *timer_for_app;
    char fd_token, timer_token; /* their addresses are for_libxl */
};

struct xl_log {
    libxl_logger logger;
    atomic_uint lost; /* messages there was no memory for */
};

struct xl_starters;

#define XL_ACCOUNT_LISTS 64 /* each has the ids that leave this rest */

struct libxl_ctx {
    pthread_mutex_t lock;
    unsigned generation; /* the process's, when it was made */
    int inside;          /* calls under way, those in callbacks included */
    struct xl_log log;
    struct xl_deferred_queue deferred;
    struct xl_deferred_queue postponed; /* due, but for a call that pumps */
    int in_passing;                     /* what becomes due is postponed */
    struct xl_mode mode;
    struct xl_events events;
    struct xl_pump pump;
    struct xl_timers timers;
    struct xl_timer tick; /* looks for exits where nothing announces them */
    struct xl_timer flights_look; /* at starts that somebody waits for */
    struct xl_os os;
    struct xl_selfpipe selfpipe;
    struct xl_wakeup wakeup; /* its own synchronisation */
    struct xl_slots children;
    struct xl_slots streams;
    struct xl_list starting; /* children of starts under way */
    struct xl_list live;     /* children not known to have ended */
    struct xl_list held;     /* ended, result not taken */
    struct xl_list lingering; /* ended, dropped, not yet reaped; by time */
    struct xl_list aos;      /* operations not completed */
    struct xl_list flights;  /* starts whose children are no programs yet */
    struct xl_list cgroups_due; /* asked to be signalled: cgroup.h */
    struct xl_list families;    /* family.h */
    struct xl_slots families_by_id;
    int nfamily_scans; /* that are due */
    int nfamily_waits; /* who wants to be told that one is empty */
    int cgroups_busy;           /* and a thread is at it, without the lock */
    struct xl_list accounts[XL_ACCOUNT_LISTS]; /* of ended ones: account.h … */
    struct xl_list accounts_due; /* … and their cgroups not read yet */
    int nlive;
    int nstops;            /* live ones with REPORT_STOPS */
    int nrecent;           /* live ones that epoll does not watch yet */
    int nunwatched;        /* live ones that no epoll watches */
    int nletgo;            /* live ones nobody will ask for … */
    int nbackground;       /* … and those of them the reaper thread watches */
    int thorough;          /* the looks of a tick: is it the child still? */
    int64_t audit_at;      /* when pidfds are next looked at: reap.c */
    int nkept_fds;         /* ended ones that have their pidfd still */
    struct xl_list minded; /* under the reaper thread's lock: it looks here */
    int64_t mind_at;       /* under the same: when next; XL_NEVER */
    int mind_all;          /* under the same: at those it watches, too */
    int nstarting;         /* starts under way */
    struct xl_list stacks; /* spare stacks for children */
    int nstacks;           /* how many */
    char *chunk;           /* what is captured is read there, under the lock:
                              a pumping thread's stack may be small */
    int latched;           /* the first disaster that no hook was told */
    struct xl_starters *starters;
    int batch_running;
    int fds_gone;          /* somebody else closed what it had open */
    int64_t fds_looked_at; /* in ms */
    unsigned disturbances; /* the latest that is known (own.h) */
    int stat_fd;           /* /proc/self/status, for the ignored signals; -1 */
    struct xl_list all;    /* under the process lock (process.c) */
};

#endif
