/* start_signals.c - masks and dispositions of a child, and the host's handlers
 *
 * Proves C16 for signals where the tables of tests/vectors cannot: what the
 * host ignores, blocks and handles. And C17: nothing of the host's runs in the
 * child. Both ways of starting are asked.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct xh_action ignore(int signo)
{
    struct xh_action before = xh_action_get(signo);

    XT_SYS(signal(signo, SIG_IGN) == SIG_ERR ? -1 : 0);
    return before;
}

XT_TEST(signals_are_reset, "C16")
{
    struct xh_action old_usr1 = ignore(SIGUSR1), old_pipe = ignore(SIGPIPE),
                     old_xfsz = ignore(SIGXFSZ), old_far = ignore(SIGRTMIN + 5);
    sigset_t set, one, old;
    char want[64];

    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGRTMIN + 3);
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &set, &old), 0);
    for (int forks = 0; forks < 2; forks++) {
        libxl_childproc_spec spec =
            xt_spec(XT_CHILD("mask", "ignored", "caught"));
        libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, forks);

        XT_PRINTS(ctx, &spec, "");
        spec.argv = XT_CHILD("mask");
        spec.flags = LIBXL_SPAWN_KEEP_SIGMASK;
        snprintf(want, sizeof(want), "SIGTERM\n%d\n", SIGRTMIN + 3);
        XT_PRINTS(ctx, &spec, want);
        spec.sigmask = &one; /* what is said goes before what is kept */
        XT_PRINTS(ctx, &spec, "SIGUSR2\n");
        spec.flags = 0;
        XT_PRINTS(ctx, &spec, "SIGUSR2\n");
        spec.sigmask = NULL;

        spec.argv = XT_CHILD("ignored");
        spec.flags = LIBXL_SPAWN_KEEP_SIGIGN;
        snprintf(want, sizeof(want), "SIGUSR1\nSIGPIPE\n%d\n%d\n", SIGXFSZ,
                 SIGRTMIN + 5);
        XT_PRINTS(ctx, &spec, want);
        spec.flags |= LIBXL_SPAWN_RESTORE_SIGPIPE; /* and SIGXFSZ */
        snprintf(want, sizeof(want), "SIGUSR1\n%d\n", SIGRTMIN + 5);
        XT_PRINTS(ctx, &spec, want);
        spec.sigignore = &one;
        snprintf(want, sizeof(want), "SIGUSR1\nSIGUSR2\n%d\n", SIGRTMIN + 5);
        XT_PRINTS(ctx, &spec, want);
        spec.sigignore = NULL;
        spec.flags = LIBXL_SPAWN_IGNORE_SIGPIPE;
        XT_PRINTS(ctx, &spec, "SIGPIPE\n");
        xt_ctx_free(ctx);
    }
    XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
    xh_action_set(SIGUSR1, &old_usr1);
    xh_action_set(SIGPIPE, &old_pipe);
    xh_action_set(SIGXFSZ, &old_xfsz);
    xh_action_set(SIGRTMIN + 5, &old_far);
}

/* Ignored a moment ago, when the library has just looked: those that programs
 * do ignore are reset all the same. */
XT_TEST(ignored_since_the_last_start, "C16")
{
    static const int usual[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGALRM,
                                SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN,
                                SIGTTOU, SIGXCPU, SIGXFSZ, SIGWINCH};
    enum { N = sizeof(usual) / sizeof(usual[0]) };
    libxl_childproc_spec spec = xt_spec(XT_CHILD("ignored"));
    libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, 0);
    struct xh_action before[N];

    XT_PRINTS(ctx, &spec, "");
    for (int i = 0; i < N; i++)
        before[i] = ignore(usual[i]);
    XT_PRINTS(ctx, &spec, "");
    for (int i = 0; i < N; i++)
        xh_action_set(usual[i], &before[i]);
    xt_ctx_free(ctx);
}

/* A handler of the host's never runs in the child, however early the signal
 * comes: the group, children included, is flooded while they start. */
static pid_t home;
static atomic_int at_home, elsewhere, stop;

static void handler(int signo)
{
    (void)signo;
    if (getpid() == home)
        atomic_fetch_add(&at_home, 1);
    else
        atomic_fetch_add(&elsewhere, 1);
}

static void *flood_group(void *user)
{
    (void)user;
    while (!atomic_load(&stop))
        XT_SYS(kill(-home, SIGURG));
    return NULL;
}

XT_TEST(handlers_never_run_in_the_child, "C16 C17")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct xh_action old = xh_action_get(SIGURG);
    libxl_childproc_result r;
    pthread_t thread;

    home = getpid();
    XT_GT_INT(home, 1);
    XT_EQ_INT(getpgrp(), home);
    XT_SYS(sigaction(SIGURG, &action, NULL));
    XT_EQ_INT(pthread_create(&thread, NULL, flood_group, NULL), 0);
    while (!atomic_load(&at_home))
        ;
    for (int i = 0; i < 200; i++) {
        r = xt_wait(ctx, xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL));
        XT_EXITED(&r, 3);
    }
    atomic_store(&stop, 1);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    XT_EQ_INT(atomic_load(&elsewhere), 0);
    xh_action_set(SIGURG, &old);
    xt_ctx_free(ctx);
}
