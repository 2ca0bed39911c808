/* sigchld.h - THE handler of SIGCHLD, and the self-pipes that it writes to
 *
 * One handler for the process, installed while any ctx subscribes. It writes
 * a byte to every subscriber's pipe and calls on to whatever handled SIGCHLD
 * before. mode.c subscribes; pump.c reads the pipes; reap.c is next.
 */
#ifndef XL_SIGCHLD_H
#define XL_SIGCHLD_H

#include <signal.h>
#include <stddef.h>

struct xl_sigchld_slot;

/* A ctx's self-pipe and its place in the handler's list. */
struct xl_selfpipe {
    int read_fd;
    int write_fd;
    struct xl_sigchld_slot *slot; /* NULL: not subscribed */
};

#define XL_SELFPIPE_INIT \
    {                    \
        -1, -1, NULL     \
    }

int xl_selfpipe_open(struct xl_selfpipe *p); /* 0, or -1 and errno */
void xl_selfpipe_close(struct xl_selfpipe *p);
/* Empties the pipe. Returns 1 if there was anything in it. */
int xl_selfpipe_drain(struct xl_selfpipe *p);

/* Room in the handler's list, so that subscribing needs no memory. */
int xl_sigchld_reserve(struct xl_selfpipe *p);
/* Has the handler write to p, installing it first if it is not. 0, or -1 and
 * errno, nothing changed. */
int xl_sigchld_subscribe(struct xl_selfpipe *p);
/* No write to p happens after this returns. The last one out puts the
 * previous disposition back, unless somebody displaced us: then 1. */
int xl_sigchld_unsubscribe(struct xl_selfpipe *p);
int xl_sigchld_subscribed(const struct xl_selfpipe *p);

struct xl_sigchld_state {
    int installed; /* ours is the disposition now */
    int displaced; /* it should be, and is not */
    int ignored;   /* SIG_IGN or SA_NOCLDWAIT */
    int blocked;   /* in the calling thread */
    void *handler; /* whatever it is; NULL for SIG_DFL and SIG_IGN */
};

int xl_sigchld_look(struct xl_sigchld_state *ret_state);
/* SIGCHLD is blocked in every thread of the process. Reads /proc; where that
 * fails, answers for the calling thread. */
int xl_sigchld_blocked_everywhere(void);

void xl_sigchld_lock(void); /* for atfork.c */
void xl_sigchld_unlock(void);
void xl_sigchld_atfork_child(void);
/* Puts the host's disposition back in a forked child. */
void xl_sigchld_postfork(void);

#endif
