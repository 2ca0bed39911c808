/* hostchild.h - what a host does by itself, beside the library
 *
 * Children that the host program forks, its own SIGCHLD disposition as the
 * kernel sees it, and children of the library that live until they are let
 * go. Built on fixture.h; used by the treaty_, child_, race_ and world_
 * tests. Every function here ends the case when it fails.
 */
#ifndef XT_HOSTCHILD_H
#define XT_HOSTCHILD_H

#include <signal.h>
#include <sys/types.h>

#include "fixture.h"

/* A child that goes on after one thread forked it while others allocate needs
 * an allocator that survives that. The C library's does; the sanitizers' stays
 * locked for ever. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define XH_MALLOC_SURVIVES_FORK 0
#else
#define XH_MALLOC_SURVIVES_FORK 1
#endif

/* ---- signal dispositions, bit for bit ----------------------------------- */

/* What rt_sigaction itself takes and gives. */
struct xh_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long long mask;
};

struct xh_action xh_action_get(int signo);
void xh_action_set(int signo, const struct xh_action *action);
int xh_action_equal(const struct xh_action *a, const struct xh_action *b);
void xh_action_same(const char *file, int line, int signo,
                    const struct xh_action *expected);
/* SIGCHLD's disposition is exactly this. */
#define XH_SIGCHLD_IS(expected) \
    xh_action_same(__FILE__, __LINE__, SIGCHLD, expected)
/* sigaction(SIGCHLD, …), and the kernel's words for the result. */
struct xh_action xh_sigchld_install(void (*handler)(int), int flags,
                                    const sigset_t *mask);
struct xh_action xh_sigchld_install_info(void (*handler)(int, siginfo_t *,
                                                         void *),
                                         int flags, const sigset_t *mask);

/* ---- the host's own children -------------------------------------------- */

/* A status that a child can have: one out of 256 exit codes and 40 signals
 * without core files. The same n gives the same kind; neighbours differ. */
struct xh_end {
    int signo; /* 0: exits */
    int code;
};
struct xh_end xh_end_of(unsigned n);
int xh_end_status(struct xh_end end); /* as waitpid gives it */
__attribute__((noreturn)) void xh_end_now(struct xh_end end);

/* Forks a child that ends so at once. */
pid_t xh_fork(struct xh_end end);
pid_t xh_fork_exit(int code);

/* Forks a child that ends so when *ret_gate is closed. It holds no other
 * descriptor above 2. */
pid_t xh_fork_held(struct xh_end end, int *ret_gate);

/* fork() with a pid of choice: 0 in the child, the pid in the parent, -1 with
 * errno where the kernel does not allow it (EPERM, ENOSYS) or the pid is in
 * use (EEXIST). The child may only use system calls and end. */
pid_t xh_fork_as(pid_t pid);

/* waitpid for this child, EINTR left out; its status. */
int xh_reap(pid_t pid);
/* Blocks until the child has ended; leaves it a zombie. */
void xh_await_zombie(pid_t pid);
/* The same for several, which the library may have reaped by now. */
void xh_await_zombie_or_gone(const pid_t *pid, int n);
/* 1: a zombie child of ours; 0: a living one; -1: not our child (any more). */
int xh_is_zombie(pid_t pid);
/* No child is left, dead or alive. */
#define XH_NO_CHILDREN() xh_no_children(__FILE__, __LINE__)
void xh_no_children(const char *file, int line);

/* ---- children of the library -------------------------------------------- */

/* The argv for an end: exits or dies of the signal. buffer holds the words. */
struct xh_argv {
    const char *argv[5];
    char number[16];
};
const char *const *xh_end_argv(struct xh_argv *buffer, struct xh_end end);

/* Starts a child that ends so when *ret_gate is closed. ret_pid may be NULL,
 * and report, and spec (its argv and fds are set here). */
libxl_childproc_id xh_spawn_held(libxl_ctx *ctx, struct xh_end end,
                                 const libxl_childproc_spec *spec,
                                 const libxl_childproc_report *report,
                                 int *ret_gate, pid_t *ret_pid);

/* The result is the kernel's and this end. */
void xh_ended(const char *file, int line, const libxl_childproc_result *r,
              struct xh_end end);
#define XH_ENDED(r, end) xh_ended(__FILE__, __LINE__, r, end)

#define XH_EXIT(n) ((struct xh_end){0, n})
#define XH_SIGNAL(n) ((struct xh_end){n, 0})

/* ---- starts ------------------------------------------------------------- */

/* A child starts, and its exit is told. */
void xh_works(libxl_ctx *ctx);
/* The start fails there, for this reason, and nothing has come of it. */
void xh_fails_at(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                 libxl_childproc_stage stage, int errnoval);

/* ---- contexts ----------------------------------------------------------- */

/* A ctx in a mode, set with these hooks. */
libxl_ctx *xh_ctx_new(libxl_sigchld_owner owner, struct xt_log *log,
                      int (*exited)(pid_t, int, void *), void *user);
libxl_childproc_diagnosis xh_diagnose(libxl_ctx *ctx);

/* Everything that is due, without blocking: queued events stay queued. */
void xh_pump(libxl_ctx *ctx);

#endif
