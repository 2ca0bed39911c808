/* treaty_handler.c - how the SIGCHLD handler behaves inside a host
 *
 * Contract lines C7 and C8: errno, the alternate stack, chaining to the
 * host's handler, bursts and a full pipe, and what happens when somebody
 * replaces the handler while it is needed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

/* ---- errno, interrupted calls ------------------------------------------- */

XT_TEST(errno_survives_the_handler, "C7")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_result r;
    libxl_childproc_id id;
    int gate;

    id = xh_spawn_held(ctx, XH_EXIT(2), NULL, NULL, &gate, NULL);
    /* Many times: with the pipe empty, and full, where write() fails. */
    for (int i = 0; i < 100000; i++) {
        errno = 4711;
        raise(SIGCHLD);
        XT_EQ_INT(errno, 4711);
    }
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 2);
    xt_ctx_free(ctx);
}

XT_TEST(a_full_pipe_loses_no_exit, "C8")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_id id[50];
    int gate[50];

    for (int i = 0; i < 50; i++)
        id[i] =
            xh_spawn_held(ctx, xh_end_of(i * 11), NULL, NULL, &gate[i], NULL);
    for (int i = 0; i < 200000; i++)
        raise(SIGCHLD);
    for (int i = 0; i < 50; i++)
        xt_close(&gate[i]);
    for (int i = 0; i < 50; i++) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        XH_ENDED(&r, xh_end_of(i * 11));
    }
    xt_ctx_free(ctx);
}

/* All exits while SIGCHLD is blocked: the kernel keeps one signal for them. */
XT_TEST(coalesced_signals_lose_no_exit, "C8")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_id id[100];
    pid_t pid[100];
    struct xh_argv words;
    sigset_t chld, saved;

    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    for (int i = 0; i < 100; i++) {
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, NULL, &saved), 0);
        id[i] = xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(i)), NULL,
                              &pid[i]);
        XT_EQ_INT(pthread_sigmask(SIG_BLOCK, &chld, NULL), 0);
        xh_await_zombie(pid[i]);
        XT_EQ_INT(pthread_sigmask(SIG_SETMASK, &saved, NULL), 0);
    }
    for (int i = 99; i >= 0; i--) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        XT_EQ_INT(r.pid, pid[i]);
        XH_ENDED(&r, xh_end_of(i));
    }
    xt_ctx_free(ctx);
}

/* Not by and by, when some later look finds it: the look that follows the
 * signal. Twenty times, because a tick that is due could hide one. */
XT_TEST(the_first_look_after_the_signal_finds_it, "C8 C1 C3")
{
    static const libxl_sigchld_owner owners[] = {
        libxl_sigchld_owner_libxl, libxl_sigchld_owner_libxl_always,
        libxl_sigchld_owner_libxl_always_selective_reap,
        libxl_sigchld_owner_none};

    for (size_t o = 0; o < sizeof(owners) / sizeof(owners[0]); o++) {
        libxl_ctx *ctx = xt_ctx_new(owners[o], NULL);
        libxl_childproc_id held;
        libxl_childproc_result r;
        int gate;

        held = xh_spawn_held(ctx, XH_EXIT(2), NULL, NULL, &gate, NULL);
        for (int i = 0; i < 20; i++) {
            libxl_childproc_report report = {.kind = LIBXL_REPORT_EVENT};
            libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
            libxl_event *event = NULL;
            pid_t pid, stranger = 0;

            xt_spawn(ctx, &spec, &report, &pid);
            xh_await_zombie(pid);
            XT_OK(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL,
                                    NULL));
            XT_EQ_INT(event->u.childproc_exit.pid, pid);
            libxl_event_free(ctx, event);
            if (owners[o] <= libxl_sigchld_owner_libxl_always) {
                stranger = xh_fork_exit(4);
                xh_await_zombie(stranger);
                xh_pump(ctx);
                XT_EQ_INT(xh_is_zombie(stranger), -1);
            }
        }
        xt_close(&gate);
        r = xt_wait(ctx, held);
        XT_EXITED(&r, 2);
        xt_ctx_free(ctx);
    }
}

/* ---- the alternate stack ------------------------------------------------ */

static volatile char *seen_sp;
static volatile int chained;
static volatile sig_atomic_t chained_pid, chained_code, chained_signo;

static void note_stack(int signo)
{
    char here;

    (void)signo;
    seen_sp = &here;
    chained++;
}

XT_TEST(runs_on_the_alternate_stack, "C7 defect-8")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    size_t size = 256 * 1024;
    char *memory = malloc(size);
    stack_t stack = {.ss_sp = memory, .ss_size = size}, old;
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    int gate;

    XT_TRUE(memory);
    xh_sigchld_install(note_stack, SA_RESTART | SA_ONSTACK, NULL);
    XT_SYS(sigaltstack(&stack, &old));
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    id = xh_spawn_held(ctx, XH_EXIT(2), NULL, NULL, &gate, NULL);
    XT_TRUE(xh_action_get(SIGCHLD).flags & SA_ONSTACK);
    raise(SIGCHLD);
    XT_GE_INT(chained, 1);
    XT_TRUE(seen_sp >= memory && seen_sp < memory + size);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 2);
    xt_ctx_free(ctx);
    XT_SYS(sigaltstack(&old, NULL));
    xh_action_set(SIGCHLD, &dfl);
    free(memory);
}

/* ---- chaining ----------------------------------------------------------- */

static void count_chained(int signo)
{
    chained_signo = signo;
    chained++;
}

static void note_info(int signo, siginfo_t *info, void *ucontext)
{
    chained_signo = signo;
    chained_pid = info->si_pid;
    chained_code = info->si_code;
    if (ucontext)
        chained++;
}

static int chained_to(void *user)
{
    return chained_pid == *(pid_t *)user;
}

static void spoils_errno(int signo)
{
    (void)signo;
    errno = ENOTTY;
}

/* Whatever is interrupted finds its errno, also where the handler that is
 * chained to does not keep it. */
XT_TEST(errno_is_kept, "C7")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    libxl_ctx *ctx;

    xh_sigchld_install(spoils_errno, 0, NULL);
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl_always, NULL);
    errno = EDOM;
    raise(SIGCHLD);
    XT_EQ_INT(errno, EDOM);
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

XT_TEST(chains_to_a_plain_handler, "C7 defect-16")
{
    struct xh_action dfl = xh_action_get(SIGCHLD), mine;
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    int gate, before;

    mine = xh_sigchld_install(count_chained, SA_RESTART, NULL);
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    id = xh_spawn_held(ctx, XH_EXIT(2), NULL, NULL, &gate, NULL);
    before = chained;
    raise(SIGCHLD);
    XT_EQ_INT(chained, before + 1);
    XT_EQ_INT(chained_signo, SIGCHLD);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 2);
    XH_SIGCHLD_IS(&mine);
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

XT_TEST(chains_with_siginfo_of_the_child, "C7 defect-16")
{
    struct xh_action dfl = xh_action_get(SIGCHLD), mine;
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    pid_t pid;
    int gate;

    mine = xh_sigchld_install_info(note_info, SA_RESTART, NULL);
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    id = xh_spawn_held(ctx, XH_SIGNAL(SIGTERM), NULL, NULL, &gate, &pid);
    xt_close(&gate);
    XT_EVENTUALLY(chained_to, &pid);
    XT_EQ_INT(chained_signo, SIGCHLD);
    XT_EQ_INT(chained_code, CLD_KILLED);
    r = xt_wait(ctx, id);
    XT_SIGNALED(&r, SIGTERM);
    XH_SIGCHLD_IS(&mine);
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

/* The host's handler asked for these signals to be blocked while it runs. */
static volatile sig_atomic_t usr1_blocked, usr2_blocked;

static void note_mask(int signo)
{
    sigset_t now;

    (void)signo;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    usr1_blocked = sigismember(&now, SIGUSR1);
    usr2_blocked = sigismember(&now, SIGUSR2);
    chained++;
}

XT_TEST(the_chained_handler_keeps_its_mask, "C7 defect-16")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    sigset_t some;
    int gate;

#ifdef __SANITIZE_THREAD__
    XT_SKIP("ThreadSanitizer calls handlers later, with a mask of its own");
#endif
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    xh_sigchld_install(note_mask, SA_RESTART, &some);
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    id = xh_spawn_held(ctx, XH_EXIT(2), NULL, NULL, &gate, NULL);
    raise(SIGCHLD);
    XT_GE_INT(chained, 1);
    XT_EQ_INT(usr1_blocked, 1);
    XT_EQ_INT(usr2_blocked, 0);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 2);
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

/* A host's handler that reaps everything: rude, but it was there first. Its
 * statuses are taken back through pidfds where the kernel keeps them. */
static void reap_everything(int signo)
{
    int saved = errno;

    (void)signo;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        chained++;
    errno = saved;
}

XT_TEST(a_chained_handler_that_reaps_gets_no_lie_told, "C6 C7 defect-5")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    int exit_info = xp_recovers();
    libxl_childproc_id id[30];
    libxl_ctx *ctx;
    int gate[30];

    xh_sigchld_install(reap_everything, SA_RESTART, NULL);
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    for (int i = 0; i < 30; i++)
        id[i] =
            xh_spawn_held(ctx, xh_end_of(i * 13), NULL, NULL, &gate[i], NULL);
    for (int i = 0; i < 30; i++)
        xt_close(&gate[i]);
    for (int i = 0; i < 30; i++) {
        libxl_childproc_result r = xt_wait(ctx, id[i]);

        if (exit_info || r.lost == LIBXL_LOST_NONE)
            XH_ENDED(&r, xh_end_of(i * 13));
        else
            XT_EQ_INT(r.lost, LIBXL_LOST_STOLEN);
    }
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

/* ---- displaced ---------------------------------------------------------- */

XT_TEST(a_displaced_handler_is_noticed, "C7 C9 defect-16")
{
    struct xh_action dfl = xh_action_get(SIGCHLD), mine;
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_diagnosis d;
    libxl_childproc_result r;
    libxl_childproc_id id;
    char *words = NULL;
    int gate;

    id = xh_spawn_held(ctx, XH_EXIT(33), NULL, NULL, &gate, NULL);
    mine = xh_sigchld_install(count_chained, SA_RESTART, NULL);
    d = xh_diagnose(ctx);
    XT_EQ_INT(d.handler_wanted, 1);
    XT_EQ_INT(d.handler_installed, 0);
    XT_EQ_INT(d.handler_displaced, 1);
    XT_CONTAINS(d.handler_object, "treaty_handler");
    XT_OK(libxl_childproc_diagnose(ctx, NULL, &words));
    XT_CONTAINS(words, "treaty_handler");
    free(words);

    /* The exit arrives all the same, and the host's handler is left alone. */
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 33);
    XH_SIGCHLD_IS(&mine);
    xt_ctx_free(ctx);
    XH_SIGCHLD_IS(&mine);
    xh_action_set(SIGCHLD, &dfl);
}

/* The displacer saved ours and chains to it, even after we wanted to go: a
 * handler that is still called must do no harm. */
static struct sigaction displaced;

static void chain_by_hand(int signo, siginfo_t *info, void *ucontext)
{
    chained++;
    if (displaced.sa_flags & SA_SIGINFO)
        displaced.sa_sigaction(signo, info, ucontext);
    else if (displaced.sa_handler != SIG_DFL && displaced.sa_handler != SIG_IGN)
        displaced.sa_handler(signo);
}

XT_TEST(a_displacer_may_chain_to_us_for_ever, "C7 C8")
{
    struct xh_action dfl = xh_action_get(SIGCHLD);
    struct sigaction sa;
    libxl_childproc_result r;
    libxl_childproc_id id;
    libxl_ctx *ctx;
    int gate, before;

    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    id = xh_spawn_held(ctx, XH_EXIT(34), NULL, NULL, &gate, NULL);
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = chain_by_hand;
    sa.sa_flags = SA_SIGINFO | SA_RESTART;
    XT_SYS(sigaction(SIGCHLD, &sa, &displaced));
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 34);
    xt_ctx_free(ctx);
    before = chained;
    raise(SIGCHLD);
    XT_EQ_INT(chained, before + 1);

    /* A new ctx installs its handler above the displacer: no endless chain. */
    ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    id = xh_spawn_held(ctx, XH_EXIT(35), NULL, NULL, &gate, NULL);
    before = chained;
    raise(SIGCHLD);
    XT_LE_INT(chained, before + 1);
    xt_close(&gate);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 35);
    xt_ctx_free(ctx);
    xh_action_set(SIGCHLD, &dfl);
}

/* ---- other threads ------------------------------------------------------ */

struct waiter {
    libxl_ctx *ctx;
    libxl_childproc_id id;
    libxl_childproc_result result;
};

static void *wait_in_thread(void *arg)
{
    struct waiter *w = arg;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    w->result = xt_wait(w->ctx, w->id);
    return NULL;
}

/* The signal lands on a thread that is not the one inside the library. */
XT_TEST(the_signal_may_land_on_any_thread, "C7 C8 E2")
{
    struct waiter w;
    pthread_t thread;
    int gate;

    w.ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    w.id = xh_spawn_held(w.ctx, XH_EXIT(44), NULL, NULL, &gate, NULL);
    XT_EQ_INT(pthread_create(&thread, NULL, wait_in_thread, &w), 0);
    xt_close(&gate);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
    XT_EXITED(&w.result, 44);
    xt_ctx_free(w.ctx);
}
