/* xlchild/exec.h - running a command to completion
 *
 * One call that starts a child, feeds its stdin, collects what it writes,
 * enforces a timeout and reports how it ended; synchronous, by callback or by
 * event, as the libxl_asyncop_how says.
 */
#ifndef XLCHILD_EXEC_H
#define XLCHILD_EXEC_H

#include "xlchild/childproc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a standard stream of the child is connected to. */
typedef enum libxl_stream_kind {
    LIBXL_STREAM_INHERIT = 0, /* the caller's, or what spec.fds says */
    LIBXL_STREAM_NULL = 1,    /* /dev/null */
    LIBXL_STREAM_FD = 2,      /* fd, borrowed during the call */
    LIBXL_STREAM_FILE = 3,    /* path: opened for reading as stdin, created
                                 (0666 less umask) and truncated otherwise.
                                 The child opens it: a FIFO without a peer keeps
                                 nobody else waiting, and the timeout counts */
    LIBXL_STREAM_APPEND = 4,  /* path: as FILE, appended to */
    LIBXL_STREAM_BUFFER = 5,  /* stdin only: data, copied by an asynchronous
                                 call, borrowed by a synchronous one */
    LIBXL_STREAM_CAPTURE = 6, /* stdout, stderr: collected into the result */
    LIBXL_STREAM_CALLBACK = 7,/* stdout, stderr: handed to stream_data */
    LIBXL_STREAM_MERGE = 8    /* stderr only: goes where stdout goes */
} libxl_stream_kind;

typedef struct libxl_stream {
    libxl_stream_kind kind;
    int fd;           /* FD */
    const char *path; /* FILE, APPEND */
    const void *data; /* BUFFER */
    size_t length;    /* BUFFER: bytes of data */
    size_t limit;     /* CAPTURE: keep at most this many bytes, 0: no limit;
                         the rest is read and dropped, and counted */
} libxl_stream;

/* What an operation does once the child has ended while somebody (a
 * grandchild) still holds a captured pipe open. */
typedef enum libxl_linger {
    LIBXL_LINGER_DRAIN = 0, /* take what is in the pipe, then complete */
    LIBXL_LINGER_EOF = 1    /* complete at end of file, or the timeout */
} libxl_linger;

typedef struct libxl_childproc_exec_opts {
    size_t size; /* set by init: the caller's sizeof */
    libxl_stream stdin_stream;
    libxl_stream stdout_stream;
    libxl_stream stderr_stream;
    int timeout_ms; /* > 0; 0 or LIBXL_WAIT_FOREVER: none. Then the child is
                       ended by spec.kill */
    libxl_linger linger;
    /* CALLBACK streams: called with no lock held, in order, before the
     * completion; data is valid during the call. length 0: end of file. */
    void (*stream_data)(libxl_ctx *ctx, int stream /* 1 or 2 */,
                        const void *data, size_t length, void *user);
    void *stream_user;
    /* Progress: a CHILDPROC_STARTED event; NULL: none. */
    const libxl_asyncprogress_how *started;
} libxl_childproc_exec_opts;

/* libxl_childproc_exec_opts_init_sized - the defaults, in a struct of the
 * caller's size. Called through libxl_childproc_exec_opts_init, and by other
 * languages
 * Before:   opts has size bytes     Effects: none     Owns: none
 * Calls:    none     Threads: any     Signals: yes     Fork: yes
 * Returns:  nothing; opts is overwritten */
LIBXL_API void
libxl_childproc_exec_opts_init_sized(libxl_childproc_exec_opts *opts,
                                     size_t size)
    LIBXL_SYMBOL(childproc_exec_opts_init_sized);

/* libxl_childproc_exec_opts_init - the defaults: stdin from /dev/null, stdout
 * and stderr inherited, no timeout
 * Before:   opts not NULL     Effects: none     Owns: none     Calls: none
 * Threads:  any     Signals: yes     Fork: yes
 * Returns:  nothing; opts is overwritten */
static inline void
libxl_childproc_exec_opts_init(libxl_childproc_exec_opts *opts)
{
    libxl_childproc_exec_opts_init_sized(opts, sizeof *opts);
}

typedef struct libxl_captured {
    char *data;       /* malloc'ed, always followed by a NUL; NULL if nothing
                         was captured */
    size_t length;    /* bytes kept */
    size_t dropped;   /* bytes beyond the limit */
    int held_open;    /* 1: not read to end of file; somebody holds it */
} libxl_captured;

typedef struct libxl_childproc_exec_result {
    libxl_childproc_result child;
    int timed_out;      /* the timeout passed before the child ended or, with
                           LIBXL_LINGER_EOF, before its output did */
    int aborted;        /* libxl_ao_abort or a failing stream made us kill it */
    size_t stdin_written; /* bytes of the buffer that the child's pipe took */
    libxl_captured out;
    libxl_captured err;
    libxl_childproc_failure failure; /* with the completion ERROR_SPAWN */
    uint64_t reserved[4]; /* zero */
} libxl_childproc_exec_result;

/* libxl_childproc_exec - run a command to completion
 * Before:   as libxl_childproc_spawn
 * Effects:  timeout, abort and reading are armed before the first byte of
 *           stdin is written: no order of events hangs. Completion comes when
 *           the child is reaped and its output collected (opts->linger)
 * Owns:     spec, opts and how are only read (opts NULL: the defaults; how
 *           NULL: synchronous). *ret_result is zeroed at once, filled before
 *           the completion, and must stay in place until then; free it
 *           with libxl_childproc_exec_result_dispose. ret_failure may be NULL
 * Calls:    stream_data, progress, then the completion; the last two may come
 *           before an asynchronous call returns
 * Threads:  any     Signals: no     Fork: no
 * Returns:  0: done (how NULL) or started. The completion's rc is
 *   0              the child ended by itself; see ret_result->child
 *   ERROR_TIMEDOUT it was killed after timeout_ms, or had ended and its output
 *                  was still held open then -> the result is filled
 *   ERROR_ABORTED  it was killed for libxl_ao_abort (it may have been ending
 *                  by itself at that moment) -> the result is filled
 *   ERROR_PERMISSION  it was to be killed, after timeout_ms (timed_out) or for
 *                  libxl_ao_abort (aborted), and the kernel refused: it has
 *                  become another user's. It is left running, and reaped in
 *                  silence -> the result is filled, child LOST_LEFT
 *   ERROR_NOMEM    output could not be kept; it was killed -> the result is
 *                  filled, with less
 *   ERROR_SPAWN    the call had returned before the child could execute its
 *                  program, for opening a file or executing took its time, and
 *                  then that failed -> ret_result->failure
 *   ERROR_FAIL     a pipe could no longer be watched, for want of kernel
 *                  memory; it was killed -> the result is filled, with less
 *  and what libxl_childproc_spawn returns, always from the call itself; so does
 *  ERROR_ABORTED where the abort was quicker than the start: then nothing is
 *  filled and no completion comes */
LIBXL_API int libxl_childproc_exec(libxl_ctx *ctx,
                                   const libxl_childproc_spec *spec,
                                   const libxl_childproc_exec_opts *opts,
                                   libxl_childproc_exec_result *ret_result,
                                   libxl_childproc_failure *ret_failure,
                                   const libxl_asyncop_how *how)
    LIBXL_SYMBOL(childproc_exec);

/* libxl_childproc_exec_result_dispose - free what a result holds
 * Before:   the operation has completed, or never started
 * Effects:  none     Owns: the captured data is gone; result is zeroed
 * Calls:    none     Threads: any     Signals: no     Fork: yes
 * Returns:  nothing */
LIBXL_API void
libxl_childproc_exec_result_dispose(libxl_childproc_exec_result *result)
    LIBXL_SYMBOL(childproc_exec_result_dispose);

#ifdef __cplusplus
}
#endif

#endif
