/* sequence.h - the model of a sequence of calls, and the steps that there are
 *
 * sequence.c chooses steps; sequence_*.c carry them out, a topic each, and
 * hold every answer against the model. That remembers of a child what was
 * asked for it, what became of its process (simkernel.h) and what has been
 * told of it, and of a ctx what the host asked of it: nothing of how the
 * library works.
 */
#ifndef FZ_SEQUENCE_H
#define FZ_SEQUENCE_H

#include "fuzz.h"
#include "simkernel.h"
#include "xlchild.h"

#define CTXS 2
#define KIDS 64
#define GENS 12
#define OLD 16
#define FOR_KID 1000
#define FOR_GEN 2000
#define REFUSAL 7     /* the code of a host's hook that refuses */
#define LONG_MS 2500  /* longer than whatever the library waits for */
#define GRACE_MS 1000 /* mainloop: for passing a status on */
#define NEVER INT64_MAX

/* The first four are libxl_childproc_report_kind's. */
enum kind { HOLD, EVENT, CALLBACK, NONE, OPERATION, KINDS };

struct kid {
    libxl_childproc_id id;
    struct sim_process *process;
    enum kind kind;
    int ctx;                   /* -1: gone */
    libxl_sigchld_owner owner; /* the ctx's mode, while this child lives */
    int adopted;
    libxl_free_policy on_free;
    libxl_kill_policy policy;
    /* what was chosen for its start, which may not come about */
    const char *argv[2];
    char name[32]; /* by which its start is recognised */
    int clone_errno, exec_errno, stubborn, rest, instant;
    int64_t reaped_at; /* by the host, in mainloop mode */
    int missed;        /* sigchld_occurred found it reaped by the host */
    int told;          /* its report was taken or made */
    int detached;
    int passed; /* mainloop: the host passed the end on */
    int wants_stops, stops_told, stops_until; /* detached: none after that */
    int64_t kill_due;  /* SIGKILL may come from then on; NEVER */
    int64_t kill_late; /* and has by then, if somebody looked */
    int kill_asked;    /* at once */
    int was_alive;     /* when its ctx was about to be freed */
    int rest_goes;     /* the rest of its group, with it */
    int64_t timeout;   /* of an operation; NEVER */
    int completed, abort_asked;
    int gen_due[GENS], gen_told[GENS], gen_over[GENS];
    libxl_asyncop_how how;
    libxl_childproc_exec_result result;
};

struct gen {
    libxl_evgen_childproc_exit *evgen; /* NULL: none */
    int ctx;
    pid_t pid; /* 0: every child */
};

struct host { /* of one context */
    libxl_ctx *ctx;
    libxl_sigchld_owner owner;
    int claimed; /* the mode was set, or has been used */
    int knows_strangers;
    int stranger_answer;
    int hooked;
    int refuse;   /* the next registration, with this code */
    int refusals; /* so far */
    int fd;       /* registered; -1 */
    void *fd_for_libxl, *timer_for_libxl;
    void *old[OLD]; /* all that there ever was */
    int nold;
    int rerouted; /* while events were queued: their order is mixed */
    int starters;
};

/* What a callback of the host's does besides. */
enum within {
    NOTHING,
    DISABLE,
    FREE,
    DETACH,
    CHECK,
    ENABLE,
    TERMINATE,
    END,
    WITHIN
};

struct model {
    struct kid kid[KIDS];
    int nkids;
    struct gen gen[GENS];
    struct host host[CTXS];
    int pidfds; /* the kernel has them */
    /* of a process that no ctx knows: how often it was told of */
    int stranger_told[SIM_PROCESSES][CTXS];
    int idle; /* the ctx that is worked on has no child left */
    enum within within;
    int within_which;
    struct sigaction before; /* of SIGCHLD */
};
extern struct model m;

/* ---- sequence_model.c: what is known, and what is told ------------------ */

void model_begin(void);
void model_end(void);

int reaps_all(libxl_sigchld_owner owner);
/* Does the other ctx keep this one from that mode? */
int in_conflict(int c, libxl_sigchld_owner owner);
/* What the library may do in a call on this ctx, from here on. */
libxl_ctx *enter(int c);
int is_ended(const struct kid *k);
int is_mainloop(const struct kid *k);
/* It lives in a ctx, and nobody has been told of its end. */
int is_open(const struct kid *k);
/* Whoever looks now learns how it ended. */
int is_plain(const struct kid *k);
/* Whoever looks for long learns that it ended. */
int is_noticeable(const struct kid *k);
struct kid *kid_of_process(const struct sim_process *p); /* open; or NULL */
struct kid *some_kid(struct fz_input *in);               /* or NULL */

void check_result(const struct kid *k, const libxl_childproc_result *r);
void told(struct kid *k, const libxl_childproc_result *r);
void take(int c, libxl_event *event);
void check_kills(void);

/* The host's callbacks. */
void kid_ended(libxl_ctx *ctx, const libxl_childproc_result *result,
               void *user);
void operation_ended(libxl_ctx *ctx, int rc, void *user);
void event_occurs(void *user, libxl_event *event);
int stranger_ended(pid_t pid, int status, void *user);

/* ---- sequence_start.c --------------------------------------------------- */

void start(int c, enum kind kind, struct fz_input *in);
void start_many(int c, struct fz_input *in);
void adopt(int c, struct fz_input *in);
void set_starters(int c, struct fz_input *in);
void look_at_start(const struct xl_child_setup *setup,
                   struct sim_process *next);

/* ---- sequence_child.c: about one child ---------------------------------- */

void about_child(struct fz_input *in, unsigned what);
void about_stranger(struct fz_input *in);
void pass_on(struct kid *k);
void wait_for(struct kid *k, int timeout_ms);
void detach(struct kid *k);
void terminate(struct kid *k, const libxl_kill_policy *policy);

/* ---- sequence_ctx.c: about one context ---------------------------------- */

void about_ctx(struct fz_input *in, unsigned what, int c);
void new_ctx(int c);
void free_ctx(int c);

/* ---- sequence_events.c -------------------------------------------------- */

void check_events(int c, uint64_t mask);
void check_odd_ones(int c);
void wait_for_events(int c, struct fz_input *in);
void route(int c, int to_hook);
void enable(int c, struct kid *k);
void disable(int g);

/* ---- sequence_due.c: what must have happened by now --------------------- */

/* The ctx has it among its children still, for all that can be known. */
int is_live(const struct kid *k, int c);
/* Signals that are due have been sent: the library has just been at work. */
void check_done(int c);
/* Without any waiting: what is plain is noticed at once. */
void settle(int c);
/* Everything that has ended is noticed and told, but for held results. */
void quiesce(void);
void look_at_fileno(int c);

/* ---- sequence_loop.c: the host's loop ----------------------------------- */

void poll_round(int c);
void loop_call(int c, struct fz_input *in);
void hook_up(int c, int on);
void disaster(void *user, libxl_event_type type, const char *msg, int errnoval);

#endif
