/* sigplan.c - which dispositions and which mask the child is to have
 *
 * Called by both ways of starting, in the parent; child_setup.c carries it out.
 * The kernel resets handlers at exec, but ignored signals stay ignored, and
 * there is no cheap way to learn which those are.
 */
#define _GNU_SOURCE
#include "start/sigplan.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/timers.h"

#define LONGEST_LINE 64        /* … of those that are looked for */
#define LOOK_LASTS_NS 10000000 /* at which signals are ignored */

static atomic_int traced;

static void set_from_bits(xl_sigset *set, uint64_t bits)
{
    xl_sigset_empty(set);
    memcpy(set->bits, &bits,
           sizeof bits < sizeof set->bits ? sizeof bits : sizeof set->bits);
}

/* All of them, at the price of a tenth of a start. Piece by piece: of many
 * groups the lines are long, and the thread's stack may be small. */
static int read_ignored(int stat_fd, uint64_t *ret_bits)
{
    char buffer[1024];
    size_t have = 0;
    off_t from = 0;
    ssize_t n;

    while (stat_fd >= 0 &&
           (n = xl_sys.pread(stat_fd, buffer + have, sizeof buffer - 1 - have,
                             from)) > 0) {
        const char *at;

        from += n;
        have += (size_t)n;
        buffer[have] = '\0';
        at = strstr(buffer, "\nTracerPid:");
        if (at != NULL && strchr(at + 1, '\n') != NULL)
            atomic_store(&traced, strtol(at + 11, NULL, 10) != 0);
        at = strstr(buffer, "\nSigIgn:");
        if (at != NULL && strchr(at + 1, '\n') != NULL) {
            *ret_bits = strtoull(at + 8, NULL, 16);
            return 0;
        }
        if (have > LONGEST_LINE) {
            memmove(buffer, buffer + have - LONGEST_LINE, LONGEST_LINE);
            have = LONGEST_LINE;
        }
    }
    return -1;
}

static void all_ignored(int stat_fd, xl_sigset *ret_set)
{
    struct sigaction action;
    uint64_t bits;
    int signo;

    if (read_ignored(stat_fd, &bits) == 0) {
        set_from_bits(ret_set, bits);
        return;
    }
    xl_sigset_empty(ret_set);
    for (signo = 1; signo < _NSIG; signo++)
        if (sigaction(signo, NULL, &action) == 0 &&
            action.sa_handler == SIG_IGN)
            xl_sigset_add(ret_set, signo);
}

#define BIT(signo) (UINT64_C(1) << ((signo)-1))

/* Those that programs do ignore. */
static const uint64_t usual =
    BIT(SIGCHLD) | BIT(SIGHUP) | BIT(SIGINT) | BIT(SIGQUIT) | BIT(SIGPIPE) |
    BIT(SIGALRM) | BIT(SIGTERM) | BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTSTP) |
    BIT(SIGTTIN) | BIT(SIGTTOU) | BIT(SIGXCPU) | BIT(SIGXFSZ) | BIT(SIGWINCH);

/* A look at all signals, recent enough. 0 or -1. */
static int look(int stat_fd, uint64_t *ret_bits)
{
    static _Atomic uint64_t seen;
    static _Atomic int64_t seen_at; /* 0: never */
    int64_t at = atomic_load(&seen_at);
    int64_t now = xl_now();

    *ret_bits = atomic_load(&seen);
    if (at != 0 && now - at <= LOOK_LASTS_NS)
        return 0;
    if (read_ignored(stat_fd, ret_bits) != 0)
        return -1;
    atomic_store(&seen, *ret_bits);
    atomic_store(&seen_at, now);
    return 0;
}

/* Those that a child may find ignored and has to reset: the usual ones always,
 * for doing so costs no more than asking; for the others a recent look is
 * good enough. Resetting one that is not ignored changes nothing. */
static void maybe_ignored(int stat_fd, xl_sigset *ret_set)
{
    uint64_t bits;

    if (look(stat_fd, &bits) == 0)
        set_from_bits(ret_set, bits | usual);
    else
        xl_sigset_fill(ret_set);
}

int xl_sigplan_traced(int stat_fd)
{
    uint64_t bits;

    (void)look(stat_fd, &bits);
    return atomic_load(&traced);
}

static void restore(struct xl_child_setup *im, int signo)
{
    xl_sigset_remove(&im->ignore, signo);
    xl_sigset_add(&im->reset, signo);
}

void xl_sigplan_make(const struct xl_start_request *request,
                     struct xl_child_setup *im, int cleared,
                     const xl_sigset *caller_mask)
{
    const libxl_childproc_spec *spec = request->spec;
    int keep = (spec->flags & LIBXL_SPAWN_KEEP_SIGIGN) != 0;

    xl_sigset_empty(&im->reset);
    xl_sigset_empty(&im->ignore);
    if (keep && !cleared) /* with CLONE_CLEAR_SIGHAND they stay by themselves */
        all_ignored(request->stat_fd, &im->ignore);
    if (!cleared)
        xl_sigset_fill(&im->reset);
    else if (!keep)
        maybe_ignored(request->stat_fd, &im->reset);
    if (spec->sigignore != NULL) {
        xl_sigset more;
        size_t i;

        xl_sigset_from(&more, spec->sigignore);
        for (i = 0; i < sizeof more.bits / sizeof more.bits[0]; i++)
            im->ignore.bits[i] |= more.bits[i];
    }
    if (spec->flags & LIBXL_SPAWN_RESTORE_SIGPIPE) {
        restore(im, SIGPIPE);
        restore(im, SIGXFSZ);
    }
    if (spec->flags & LIBXL_SPAWN_IGNORE_SIGPIPE)
        xl_sigset_add(&im->ignore, SIGPIPE);
    if (spec->sigmask != NULL)
        xl_sigset_from(&im->final_mask, spec->sigmask);
    else if (spec->flags & LIBXL_SPAWN_KEEP_SIGMASK)
        im->final_mask = *caller_mask;
    else
        xl_sigset_empty(&im->final_mask);
}
