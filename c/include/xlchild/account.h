/* xlchild/account.h - why a child died, and what it cost
 *
 * For a child that was started with LIBXL_SPAWN_ACCOUNT. What is not known says
 * so: nothing here is a guess that looks like knowledge.
 */
#ifndef XLCHILD_ACCOUNT_H
#define XLCHILD_ACCOUNT_H

#include "xlchild/childproc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Who ended a child. The kernel does not tell who sent a signal; it is known
 * what this library sent, and what the memory killer counted. */
typedef enum libxl_ended_by {
    LIBXL_ENDED_UNKNOWN = 0, /* the status is lost, or there is none */
    LIBXL_ENDED_ITSELF = 1,  /* it exited, whatever it was sent before */
    LIBXL_ENDED_TIMEOUT = 2, /* by the timeout of its operation */
    LIBXL_ENDED_ABORT = 3,   /* by libxl_ao_abort, or because its output could
                                not be kept */
    LIBXL_ENDED_KILL = 4,    /* by libxl_childproc_kill or _terminate, or with
                                its family (libxl_family_signal, _end) */
    LIBXL_ENDED_MEMORY = 5,  /* SIGKILL, not ours, and in its own cgroup the
                                kernel has killed for want of memory */
    LIBXL_ENDED_OTHERS = 6   /* a signal that this library did not send: of
                                another process, of itself (abort), or of the
                                kernel (SIGSEGV) */
} libxl_ended_by;

/* -1, where it can be, is "not known". Times are in nanoseconds of
 * CLOCK_MONOTONIC since the start was asked for. */
typedef struct libxl_childproc_account {
    size_t size;            /* in: the caller's sizeof */
    libxl_childproc_id id;
    pid_t pid;
    libxl_ended_by ended_by;
    int perhaps;            /* 1: ended_by is likely, and not proved. A signal
                               of ours may have come after the end; besides our
                               SIGKILL the memory killer was there; it killed,
                               but others were in the cgroup, too; SIGKILL came
                               from OTHERS, and nobody could be asked whether
                               they are the memory killer; or meanwhile this
                               library signalled groups or cgroups, where it may
                               have been */
    int core_dumped;        /* 1, 0, -1 */
    libxl_ended_by sent_by; /* the last signal of ours that the kernel took for
                               it, whatever came of that: why … */
    int sent_signal;        /* … and which; 0: none */
    int64_t exec_ns;        /* it has become its program, as far as noticed:
                               exact unless with LIBXL_SPAWN_NOWAIT; -1 */
    int64_t end_ns;         /* its end was noticed */
    int has_rusage;         /* rusage is the kernel's: the library reaped it */
    struct rusage rusage;   /* of the child and what it waited for. ru_maxrss
                               also counts what it had before its program: the
                               parent's memory. memory_peak does not */
    /* Of its own cgroup (spec.cgroup), read when its end was noticed; -1 where
     * it has none, the file is not there, or could not be read. */
    int64_t memory_kills;      /* processes killed for want of memory since the
                                  start: memory.events, oom_kill */
    int64_t cpu_usec;          /* since the start: cpu.stat, usage_usec */
    int64_t memory_peak;       /* in bytes, since the cgroup was made … */
    int64_t pids_peak;         /* … threads at a time … */
    int64_t memory_stall_usec; /* … and for how long somebody in it waited for
                                  memory: memory.pressure, total of "some" … */
    int64_t cpu_stall_usec;    /* … for a processor: cpu.pressure … */
    int64_t io_stall_usec;     /* … for a device: io.pressure */
} libxl_childproc_account;

/* libxl_childproc_account_take - why a child died, and what it cost
 * Before:   it was started with LIBXL_SPAWN_ACCOUNT; ret_account->size is set
 * Effects:  the account is forgotten: it is there once. It is kept until then,
 *           beside and independent of the report of the end, which may have
 *           been taken before; until libxl_childproc_detach,
 *           libxl_childproc_linger or libxl_ctx_free
 * Owns:     *ret_account is the caller's, and holds nothing to be freed
 * Calls:    any hook or callback that is due
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0; on failure *ret_account untouched
 *   ERROR_NOT_READY  it has not ended, as far as noticed -> after its report
 *   ERROR_NOTFOUND   no such child, it was not asked for at the start, or was
 *                    taken -> nothing to take
 *   ERROR_INVAL      ctx or ret_account NULL, or its size no release's */
LIBXL_API int
libxl_childproc_account_take(libxl_ctx *ctx, libxl_childproc_id id,
                             libxl_childproc_account *ret_account)
    LIBXL_SYMBOL(childproc_account_take);

#ifdef __cplusplus
}
#endif

#endif
