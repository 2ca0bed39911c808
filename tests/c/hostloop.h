/* hostloop.h - a small event loop of a host's, with handles for fds and timers
 *
 * The osevent hooks over it are written as a host would write them: an fd
 * hook adds a handle to the loop, absolute times are made relative, and a
 * timer's handle is removed by its own callback before the library is told.
 * It can refuse registrations, and counts them. Used by loops_*.c, sweeps.
 */
#ifndef XT_HOSTLOOP_H
#define XT_HOSTLOOP_H

#include <pthread.h>

#include "fixture.h"

struct hl_fd {
    struct hl_fd *next;
    int fd;
    short events;
    void *for_libxl;
    int dead; /* removed while the loop walks */
};

struct hl_timer {
    struct hl_timer *next;
    long long due_ms; /* CLOCK_MONOTONIC */
    void *for_libxl;
};

struct hl_loop {
    libxl_ctx *ctx;
    struct hl_fd *fds;
    struct hl_timer *timers;
    int nfds, ntimers;        /* registered now */
    int registered, modified, deregistered; /* calls of hooks so far */
    int refuse_fd, refuse_timer;  /* a positive code, while nonzero */
    int in_hook;              /* hooks must not overlap */
    pthread_mutex_t lock;
    int wake[2];              /* a hook of another thread ends a poll */
};

extern const libxl_osevent_hooks hl_hooks;

void hl_init(struct hl_loop *loop);
void hl_attach(struct hl_loop *loop, libxl_ctx *ctx); /* registers the hooks */
void hl_dispose(struct hl_loop *loop); /* nothing may be registered */

/* One round: waits at most timeout_ms (-1: for ever), dispatches. Returns how
 * many handles fired. */
int hl_round(struct hl_loop *loop, int timeout_ms);

/* Rounds until done(user) is nonzero. */
void hl_until(struct hl_loop *loop, int (*done)(void *user), void *user);

#endif
