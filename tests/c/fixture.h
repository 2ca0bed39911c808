/* fixture.h - what most cases begin with: a ctx, a child to start, a pipe
 *
 * Built on harness.h; every function here ends the case when it fails.
 */
#ifndef XT_FIXTURE_H
#define XT_FIXTURE_H

#include <pthread.h>
#include <sys/types.h>

#include "xlchild.h"
#include "harness.h"

/* ---- contexts ----------------------------------------------------------- */

/* A log that a case can read. Messages are also notes of the case. */
struct xt_log {
    pthread_mutex_t lock;
    int count;
    struct {
        libxl_log_level level;
        int errnoval;
        char *text;
    } line[256]; /* the first ones; count goes on */
};
void xt_log_init(struct xt_log *log, libxl_logger *ret_logger);
void xt_log_dispose(struct xt_log *log);
/* How many messages of at least this level contain part (NULL: any). */
int xt_log_count(struct xt_log *log, libxl_log_level level, const char *part);

/* A ctx in a mode, logging to log (NULL: to the case's notes). */
libxl_ctx *xt_ctx_new(libxl_sigchld_owner owner, struct xt_log *log);
/* One whose children are made by the host's own fork, if forks. */
libxl_ctx *xt_ctx_forking(libxl_sigchld_owner owner, int forks);
void xt_ctx_free(libxl_ctx *ctx);
/* A fork_replacement that is none. */
pid_t xt_plain_fork(void *user);

/* ---- children ----------------------------------------------------------- */

const char *xt_child_path(void); /* tests/helpers/child.c, see its verbs */
const char *xt_tiny_path(void);  /* tests/helpers/tiny.c: exits with 0 */

/* argv of the helper: XT_CHILD("exit", "3") */
#define XT_CHILD(...)                                                          \
    ((const char *const[]){xt_child_path(), __VA_ARGS__, NULL})

/* A spec with the defaults and this argv. */
libxl_childproc_spec xt_spec(const char *const *argv);

/* Starts it; XT_OK. report may be NULL (HOLD). */
libxl_childproc_id xt_spawn(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                            const libxl_childproc_report *report,
                            pid_t *ret_pid);
/* The same from an argv, with a spec of defaults. */
libxl_childproc_id xt_spawn_argv(libxl_ctx *ctx, const char *const *argv,
                                 const libxl_childproc_report *report,
                                 pid_t *ret_pid);

/* A report by an event that carries user. */
libxl_childproc_report xt_by_event(libxl_ev_user user);
/* Pumps until the ctx has no unreported child, taking no event. */
void xt_pump_until_childless(libxl_ctx *ctx);

/* Waits for a held child; its result. */
libxl_childproc_result xt_wait(libxl_ctx *ctx, libxl_childproc_id id);

/* Runs it; it exits with 0. What it printed: free() it. */
char *xt_output(libxl_ctx *ctx, const libxl_childproc_spec *spec);
/* … and that is this text. */
void xt_prints(const char *file, int line, libxl_ctx *ctx,
               const libxl_childproc_spec *spec, const char *text);
#define XT_PRINTS(ctx, spec, text)                                             \
    xt_prints(__FILE__, __LINE__, ctx, spec, text)

/* The result is the kernel's and says exit with this code, or signal. */
void xt_exited(const char *file, int line, const libxl_childproc_result *r,
               int code);
void xt_signaled(const char *file, int line, const libxl_childproc_result *r,
                 int signo);
#define XT_EXITED(r, code) xt_exited(__FILE__, __LINE__, r, code)
#define XT_SIGNALED(r, signo) xt_signaled(__FILE__, __LINE__, r, signo)

/* ---- descriptors -------------------------------------------------------- */

void xt_pipe(int ret_pipe[2]);        /* close-on-exec */
void xt_close(int *fd_io);            /* and sets it to -1 */
char *xt_read_all(int fd, size_t *ret_length); /* to end of file; free it */
void xt_write_all(int fd, const void *data, size_t length);
void xt_await_byte(int fd);           /* blocks until one byte came */
/* A new directory, removed with all that is in it by xt_tmpdir_remove. */
char *xt_tmpdir(void);
void xt_tmpdir_remove(char *path);

/* ---- time --------------------------------------------------------------- */

long long xt_now_ms(void); /* CLOCK_MONOTONIC */

/* For facts that have no event to wait for: looks again every millisecond
 * until cond(user) is nonzero, for at most ten seconds. */
void xt_eventually(const char *file, int line, const char *text,
                   int (*cond)(void *user), void *user);
#define XT_EVENTUALLY(cond, user)                                              \
    xt_eventually(__FILE__, __LINE__, #cond, cond, user)

#endif
