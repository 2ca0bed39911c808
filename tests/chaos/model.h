/* model.h - what chaos.c knows of every process, beside the library
 *
 * A record a child of the library's, a record a child of the host's. Threads
 * note what they did and what they were told; whether it fits together is
 * looked at when everything is over (xc_model_check).
 */
#ifndef XC_MODEL_H
#define XC_MODEL_H

#include <stdatomic.h>

#include "common.h"

#define XC_FIXED 3    /* contexts that live as long as the run */
#define XC_WANDERER 3 /* one thread's own, which come and go */
#define XC_OURS 8000
#define XC_HOSTS 4000

enum xc_kind { XC_HOLD, XC_EVENT, XC_CALLBACK, XC_NONE, XC_EXEC, XC_ASYNC };

/* A child of a context's. */
struct xc_ours {
    _Atomic int place; /* 0 … XC_FIXED - 1, XC_WANDERER */
    _Atomic int mode;  /* of its context */
    _Atomic int kind;  /* enum xc_kind */
    _Atomic int end;   /* the status that it ends with by itself */
    _Atomic int group; /* it leads one */
    _Atomic int on_free;
    _Atomic int holds_pid;
    atomic_int asked;    /* somebody is about to ask for it */
    atomic_int started;  /* 1: pid and id are there */
    atomic_int sent;     /* signals that somebody sent, as bits */
    atomic_int detached; /* detach answered 0 */
    atomic_int released; /* its context is freed, perhaps before its report */
    atomic_int freed;    /* … and that is over */
    atomic_int reports;
    atomic_int noted;     /* the first of them is in ->first */
    atomic_int completed; /* XC_ASYNC */
    _Atomic pid_t pid;
    _Atomic libxl_childproc_id id;
    libxl_childproc_result first; /* as it was reported first */
    libxl_asyncop_how how;
    libxl_childproc_exec_result result;
};

/* A child of the host's. */
struct xc_host {
    _Atomic pid_t pid;  /* 0: not forked yet */
    atomic_int end;     /* its status; changed before it is killed */
    _Atomic int pauses; /* it lives until the host ends it */
    atomic_int ending;  /* the host has seen to it that it ends */
    atomic_int adopted; /* 1: adopt answered 0 */
    atomic_int reports; /* of the adoption */
    atomic_int told;    /* by a wait of the host's, or the callback */
};

/* What this run is like. */
struct xc_run {
    uint64_t seed;
    int ms;
    int mode[XC_FIXED], places; /* contexts there are */
    int mainloop;               /* their common ground: nobody reaps all */
    int occurs;                 /* mainloop: by sigchld_occurred, not exited */
    int thief;   /* a thread of the host's that waits for anybody */
    int signals; /* SIGCHLD is played with */
    int ignores; /* … and ignored at times */
    int storms;  /* forks of the host's */
    int starters;
    int forks;   /* starts are made by the host's own fork */
    int cancels; /* threads that wait are cancelled */
    int workers;
    int pidfds, exit_info;
};

extern struct xc_run xc_run;
extern libxl_ctx *xc_ctx[XC_FIXED];
extern struct xc_ours *xc_ours; /* XC_OURS of them */
extern struct xc_host *xc_hosts;
extern atomic_int xc_nours, xc_nhosts;
extern atomic_int xc_stop; /* the threads are to come to an end */

/* A new record, or NULL: there are enough. */
struct xc_ours *xc_new_ours(int place, int mode, enum xc_kind kind);
struct xc_host *xc_new_host(void);

/* It is told how it ended; by its report, an answer, or a completion. */
void xc_reported(struct xc_ours *child, const libxl_childproc_result *r);
/* pid, of whoever, was reaped by a wait of the host's that keeps it to
 * itself (passed 0), passed it on (1), or was refused by all (-1). */
void xc_host_took(pid_t pid, int status, int passed);
/* A host's child's status came to the host. */
void xc_host_told(pid_t pid, int status, const char *by);
/* … or to the log, where nobody was left to be told. */
void xc_host_logged(pid_t pid);
struct xc_host *xc_host_by_pid(pid_t pid);

/* Everything that must have come has. Prints what is missing, with say. */
int xc_model_over(int say);
/* Whether it was right; fails if not. */
void xc_model_check(void);
/* Whose pid is, in words. */
void xc_model_who(pid_t pid, char *text, size_t size);
/* Children of the library's: reported, and of these lost with a reason. */
void xc_model_counts(int *ret_reported, int *ret_lost);
/* One line of figures. */
void xc_model_figures(char *text, size_t size);

#endif
