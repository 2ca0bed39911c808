/* bench/common/bench.h - what a peer and the measurements know of each other
 *
 * A peer (bench/peers) says how it starts a child and how it waits; the
 * measurements (the other files here) call it and never know which it is.
 * Every peer program has the same options and prints one line of JSON.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* The command line, parsed by main.c. */
struct bench_options {
    const char *measure; /* rate, latency, burst or memory */
    const char *child;   /* path of the child program */
    const char *mode;    /* xlchild's: who owns SIGCHLD */
    const char *report;  /* xlchild's: event, callback or hold */
    const char *without; /* a kernel facility to refuse, or "" */
    long children;       /* how many to start and reap */
    long concurrency;    /* at most so many at a time */
    long live;           /* idle children beside them */
    long fds;            /* unrelated fds open in the parent */
    long map;            /* MiB mapped and touched in the parent */
    long batch;          /* start so many with one call; 0: one by one */
    long starters;       /* threads that start children */
    long nowait;         /* xlchild's: starts do not wait for their exec */
    long account;        /* xlchild's: an account of each child is taken */
    long warmup;         /* children before the clock starts */
    long for_ms;         /* stop starting after so long; 0: no limit */
    long slices;         /* measure rate: so often, beside the same parent */
    long bursts;         /* measure burst: how often, with the loop running */
    long drains;         /* and how often with the loop stopped meanwhile */
};

/* What a peer provides. start and start_many make the child run `argv`; pump
 * blocks until at least one end has been told to bench_exited. */
struct bench_peer {
    const char *name;
    const char *(*version)(void);               /* NULL: the kernel is its own */
    void (*open)(const struct bench_options *); /* may be NULL */
    pid_t (*start)(char *const argv[]);
    void (*start_many)(char *const argv[], long n); /* may be NULL */
    void (*pump)(void);
    int takes_starters; /* honours --starters */
    /* A peer that brings its own threads measures itself: starts and reaps
     * options->children, at most options->concurrency at a time. Called
     * instead of the rest when there are --starters. */
    void (*run_all)(const struct bench_options *); /* may be NULL */
};

/* What a child writes when asked for a stamp; see child.c. */
struct bench_stamp {
    int64_t pid;
    int64_t ns;
};

/* main.c */
extern struct bench_options bench_options;
int bench_main(int argc, char **argv, const struct bench_peer *peer);
_Noreturn void bench_die(const char *what);    /* with errno's text */
_Noreturn void bench_refuse(const char *what); /* the machine's guard: exit 3 */
void bench_field(const char *name, double value); /* one more JSON member */
/* The median, and as NAME_each all of them. */
void bench_fields(const char *name, double *values, long n);

/* count.c: called by the peer for every child that has ended */
void bench_exited(pid_t pid, int status);
long bench_in_flight(void);
long bench_failed(void);
void bench_start_one(const struct bench_peer *peer, char *const argv[]);
void bench_start_batch(const struct bench_peer *peer, char *const argv[],
                       long n);
int64_t bench_now(void);               /* CLOCK_MONOTONIC, ns */
int64_t bench_exit_time(pid_t pid);    /* when bench_exited was told */
void bench_note_exit_times(int wanted);
void bench_add_failed(long n);

/* machine.c */
void bench_machine_prepare(const struct bench_options *options);
void bench_idle_children(const struct bench_peer *peer, long n);
void bench_new_gate(void);    /* fd 0: a pipe that stays open until released */
void bench_release_gate(void);
int bench_stamps_fd(void);    /* where stamps written to fd 1 are read */
void bench_end_everything(void);

/* without.c */
void bench_refuse_facility(const char *facility);

/* the measurements */
void bench_rate(const struct bench_peer *peer, const struct bench_options *);
void bench_latency(const struct bench_peer *peer, const struct bench_options *);
void bench_burst(const struct bench_peer *peer, const struct bench_options *);
void bench_memory(const struct bench_peer *peer, const struct bench_options *);

/* distribution.c: sorts values and adds median, p90, p99, p999 and max */
void bench_distribution(const char *prefix, double *values, long n);
double bench_median(double *values, long n);

#endif
