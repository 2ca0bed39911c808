/* simkernel.h - a simulated kernel, as far as children are concerned
 *
 * Stands behind the seam of c/src/kernel/sys.h: processes that are only rows of
 * a table, with pidfds that are pipes (simpidfd.c), and a clock that moves when
 * it is told to (simclock.c). It aborts when the library reaps or signals what
 * it must not. Used by sequence.c and spec.c. Everything else of the seam stays
 * real.
 *
 * Threads may start children at the same time; the rest is the main thread's.
 */
#ifndef FZ_SIMKERNEL_H
#define FZ_SIMKERNEL_H

#include <sys/types.h>

#include "start/child_setup.h"

#define SIM_PROCESSES 48
#define SIM_FIRST_PID 5000000 /* pids end at 4194304 */
#define SIM_STOPS 32
#define SIM_LATER_STATUS (66 << 8) /* of whoever ends during a call */

enum sim_reaper { SIM_UNREAPED, SIM_LIBRARY, SIM_HOST };

struct sim_process {
    pid_t pid; /* beyond every real one */
    int alive;
    int status;
    enum sim_reaper reaped;
    int elsewhere;    /* no child of this process: "the host" is its parent */
    int failed_start; /* the library may always reap it */
    int ours;         /* the library's to wait for by name */
    int orphan;       /* its ctx is gone: the library may always reap it */
    int let_go;       /* nobody will ask for it: the same */
    int stubborn;     /* nothing but SIGKILL ends it */
    int instant;      /* it ends as soon as it runs */
    int asked;        /* reaped by whom the host wants to ask it of strangers */
    int leads;        /* a group … */
    int rest;         /* … in which there is somebody besides, as stubborn */
    int kills;        /* SIGKILLs while it lived */
    int stop;         /* a stop's signal, or SIGCONT, still to be waited for */
    int taken[SIM_STOPS]; /* those that were */
    int ntaken;
    int ending; /* the other end of its pidfd's pipe; -1 */
    int kept;   /* a copy of its pidfd: the library may have closed its own */
};

struct sim {
    struct sim_process process[SIM_PROCESSES];
    int n;
    int exit_info; /* the kernel remembers how reaped ones ended */
    /* what the library may do now */
    int may_wait_any;
    int may_reap;
    int may_start_reaper; /* the thread for children nobody waits for: elsewhere
                             there is no thread to be had, for its clock is the
                             real one, and whoever pumps reaps them */
    int asks;             /* the host about children that nobody here started */
    /* The next start. look, if there is one, is called at each, by one thread
     * at a time, and may set them, and what the process will be. */
    int clone_errno; /* 0: works */
    int exec_errno;  /* 0: works */
    void (*look)(const struct xl_child_setup *image, struct sim_process *next);
    int64_t now; /* nanoseconds */
    /* One that ends while a call of the library's is under way. */
    struct sim_process *later; /* NULL: none */
    int later_after;           /* so many system calls */
    int interfered;            /* how often that has happened */
    pid_t next_pid;            /* 0: one that never was */
};
extern struct sim sim;

/* A logger for the contexts of a simulated world. */
extern const libxl_logger sim_silent;

void sim_begin(void); /* an empty table; the seam is ours from here */
void sim_end(void);
/* After sim_end, when no pidfd of its is open any more. */
void sim_gone(void); /* the seam is the real one again */

/* A process that the library did not start. NULL: the table is full. */
struct sim_process *sim_started_elsehow(int elsewhere);
/* The latest that had the number; NULL: nobody. */
struct sim_process *sim_by_pid(pid_t pid);
uint64_t sim_start_ticks(const struct sim_process *process);

void sim_exit(struct sim_process *process, int status); /* and SIGCHLD */
void sim_signal(struct sim_process *process, int signo);
void sim_host_reaps(struct sim_process *process);
/* Blocks until somebody has reaped it; aborts when nobody does. */
void sim_await_reaped(struct sim_process *process);

void sim_advance(int ms);

/* A system call of the main thread: the time for sim.later. */
void sim_called(void);

/* simclock.c, called by sim_begin and sim_end. */
void sim_clock_begin(void);
void sim_clock_end(void);

/* simpidfd.c, called by simkernel.c. */
void sim_pidfd_begin(void);
/* A pidfd for a new process: one end of the pipe that will tell of its end. */
int sim_make_pidfd(struct sim_process *process);
struct sim_process *sim_by_pidfd(int fd); /* whose it is, or was last; NULL */

#endif
