/* scene.h - what is on the stage when a thread stands at a gap
 *
 * Context a, whose children x (held) and e (an event) are, and in some gaps y,
 * which is just being started; context b beside it; and a child of the host's,
 * h. Each ends with a status of its own. A scene plays one call of another
 * thread in one gap, lets the first go on, and sees to it that everybody's
 * end comes to whom it belongs. Built on gap.h; used by gap_calls.c.
 */
#ifndef XG_SCENE_H
#define XG_SCENE_H

#include <stdatomic.h>

#include "fixture.h"
#include "gap.h"
#include "hostchild.h"

enum { X_CODE = 11, E_CODE = 22, Y_CODE = 33, Z_CODE = 44, H_CODE = 77,
       FORKED_CODE = 55 };

/* A child of the library's, and what has been heard of it. */
struct xs_child {
    libxl_childproc_id id;
    pid_t pid;
    int gate;          /* -1: closed */
    int code;          /* what it exits with */
    int awaited;       /* a report is to come */
    atomic_int killed; /* somebody may have sent it a signal */
    atomic_int reports;
};

struct xs_scene {
    libxl_sigchld_owner mode;
    int passes; /* mainloop: the host says exited, not sigchld_occurred */
    libxl_ctx *a, *b;
    struct xs_child x, e, y, z; /* z: started by the second thread */
    pid_t host;                 /* h, whose gate is: */
    int host_gate;
    atomic_int host_told; /* how often its status came to the host */
    atomic_int forked;    /* another of the host's children, which it waits for */
    pid_t stranger;       /* has x's number; 0: there is none */
    int said;             /* sigchld_occurred, when all had ended */
    int stolen;           /* a wait of the host's may have taken any of them */
    /* an operation of a's, for the call that aborts it */
    libxl_childproc_exec_result op;
    libxl_asyncop_how how;
    atomic_int op_done;
    int op_rc;
    struct xt_log log_a, log_b;
};

/* The contexts, and the children where there are any. */
void xs_open(struct xs_scene *s, int with_children, libxl_sigchld_owner b_mode);
/* Lets x, e and h go; returns when they are zombies, or gone. */
void xs_end_all(struct xs_scene *s);
/* A process of the host's with x's number, if that is free. */
void xs_take_number(struct xs_scene *s);
/* Pumps, waits and passes on as the mode wants it until everything that is to
 * come has come. */
void xs_settle(struct xs_scene *s);
/* Looks whether it was right, and frees the contexts. */
void xs_close(struct xs_scene *s);

/* A result of a child's: it counts, and has to be right. */
void xs_heard(struct xs_scene *s, struct xs_child *c,
              const libxl_childproc_result *r);
/* The host's wait brought this: it is passed on, in mainloop mode, or h's. */
void xs_host_reaped(struct xs_scene *s, pid_t pid, int status);
/* Takes what events there are. */
void xs_events(struct xs_scene *s, libxl_ctx *ctx);

#endif
