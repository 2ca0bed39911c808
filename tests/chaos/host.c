/* host.c - what the host does in chaos.c, beside the calls of the library
 *
 * See host.h. A child of the host's waits, before it ends, for a word in
 * shared memory, so that its number is in the model when somebody reaps it.
 */
#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __WALL
#define __WALL 0x40000000
#endif
/* A sanitizer's allocator may be locked for ever in a forked child. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_GO_ON 0
#else
#define CAN_GO_ON 1
#endif
#define NOEXEC_FAILED 250 /* what such a child ends with if it fails */

atomic_int xc_host_reaper_stop;
static atomic_int *word; /* one a host's child, shared with it */
static sem_t came;       /* SIGCHLD, where sigchld_occurred is to be said */

/* ---- children ----------------------------------------------------------- */

static void on_sigchld(int signo)
{
    int saved = errno;

    (void)signo;
    sem_post(&came);
    errno = saved;
}

void xc_host_set_up(void)
{
    word = mmap(NULL, XC_HOSTS * sizeof(*word), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED || sem_init(&came, 0, 0))
        xc_fail("mmap");
    if (xc_run.occurs) {
        struct sigaction act = {.sa_handler = on_sigchld,
                                .sa_flags = SA_RESTART};

        sigaction(SIGCHLD, &act, NULL);
    }
}

void xc_host_tear_down(void)
{
    munmap(word, XC_HOSTS * sizeof(*word));
}

static void await_word(atomic_int *w)
{
    struct timespec second = {1, 0};

    while (atomic_load(w) == 0 && getppid() != 1)
        syscall(SYS_futex, w, FUTEX_WAIT, 0, &second, NULL, 0);
}

static void not_said(void *user, libxl_log_level level, int errnoval,
                     const char *message)
{
    (void)user;
    (void)level;
    (void)errnoval;
    (void)message;
}

/* A child that forked and goes on, with a context of its own. */
static int use_library(int code)
{
    const char *argv[] = {XT_HELPERS "/child", "exit", "3", NULL};
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none};
    libxl_logger quiet = {sizeof(quiet), LIBXL_LOG_CRITICAL, not_said, NULL};
    libxl_childproc_result r;
    libxl_childproc_spec spec;
    libxl_childproc_id id;
    libxl_ctx *ctx;

    signal(SIGCHLD, SIG_DFL);
    libxl_postfork_child_noexec(NULL);
    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &quiet) ||
        libxl_childproc_setmode_checked(ctx, &hooks, NULL) ||
        libxl_childproc_spawn(ctx, &spec, NULL, &id, NULL, NULL) ||
        libxl_childproc_wait(ctx, id, 20000, 0, &r) ||
        r.lost != LIBXL_LOST_NONE || r.status != 3 << 8 || libxl_ctx_free(ctx))
        return NOEXEC_FAILED;
    return code;
}

struct xc_host *xc_host_fork(struct xc_chance *chance, int pauses)
{
    static const char *const codes[] = {"130", "131", "132", "133"};
    struct xc_host *host = xc_new_host();
    int code = 130 + (int)xc_below(chance, 4);
    unsigned way = xc_below(chance, 10);
    atomic_int *w;
    pid_t pid;

    if (!host)
        return NULL;
    w = &word[host - xc_hosts];
    host->pauses = pauses;
    atomic_store(&host->end, pauses ? SIGUSR1 : code << 8);
    pid = fork();
    if (pid < 0)
        xc_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        sigset_t none;

        alarm(60);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        await_word(w);
        while (pauses)
            pause();
        if (CAN_GO_ON && way == 0)
            _exit(use_library(code));
        if (way == 1) {
            execl(XT_HELPERS "/child", "child", "exit", codes[code - 130],
                  "of the host", (char *)NULL);
            _exit(NOEXEC_FAILED);
        }
        _exit(code);
    }
    host->pid = pid;
    return host;
}

static void wake(struct xc_host *host)
{
    atomic_int *w = &word[host - xc_hosts];

    atomic_store(w, 1);
    syscall(SYS_futex, w, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void xc_host_let_end(struct xc_host *host)
{
    if (atomic_exchange(&host->ending, 1))
        return;
    wake(host);
    if (!host->pauses || host->pid <= 1)
        return;
    /* it lives, and nobody has reaped it: the number is its own */
    if (atomic_load(&host->told) || atomic_load(&host->reports))
        xc_fail("%d, a child of the host's, is gone", (int)host->pid);
    if (kill(host->pid, SIGUSR1))
        xc_fail("kill %d: %s", (int)host->pid, strerror(errno));
}

void xc_host_end_all(void)
{
    int n = atomic_load(&xc_nhosts);

    for (int i = 0; i < n; i++)
        if (xc_hosts[i].pid > 1)
            xc_host_let_end(&xc_hosts[i]);
}

void *xc_host_forks(void *arg)
{
    struct xc_chance *chance = arg;
    struct xc_host *mine[8] = {NULL};

    while (!atomic_load(&xc_stop)) {
        unsigned i = xc_below(chance, 8);

        if (mine[i])
            xc_host_let_end(mine[i]);
        mine[i] = xc_host_fork(chance, xc_percent(chance, 15));
        if (mine[i] && xc_percent(chance, 50)) {
            xc_host_let_end(mine[i]);
            mine[i] = NULL;
        }
        if (!xc_run.storms || xc_percent(chance, 20))
            xc_pause_ms(1 + (int)xc_below(chance, xc_run.storms ? 3 : 20));
    }
    return NULL;
}

int xc_host_exited(pid_t pid, int status, void *user)
{
    int n = atomic_load(&xc_nours);

    (void)user;
    if (xc_host_by_pid(pid)) {
        xc_host_told(pid, status, "the callback");
        return 0;
    }
    /* one that its context left to the host */
    for (int i = n; i-- > 0;) {
        struct xc_ours *c = &xc_ours[i];

        if (c->place == XC_WANDERER && c->on_free == LIBXL_FREE_LEAVE &&
            (atomic_load(&c->started) != 1 || c->pid == pid))
            return 0;
    }
    xc_fail("the callback is told of %d, none of the host's, status %#x",
            (int)pid, (unsigned)status);
}

/* ---- waits -------------------------------------------------------------- */

static int status_of(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED   ? (info->si_status & 0xff) << 8
           : info->si_code == CLD_DUMPED ? info->si_status | 0x80
                                         : info->si_status;
}

/* By a call and flags of chance; what it took stays the host's secret. */
static void steal_one(struct xc_chance *chance)
{
    struct rusage usage;
    siginfo_t info;
    int status;
    pid_t pid = -1;
    int hang = xc_percent(chance, 10) ? 0 : WNOHANG;
    int wall = xc_percent(chance, 30) ? __WALL : 0;

    if (atomic_load(&xc_stop))
        hang = WNOHANG;
    switch (xc_below(chance, 6)) {
    case 0:
        pid = waitpid(-1, &status, hang | wall);
        break;
    case 1:
        pid = wait3(&status, hang, &usage);
        break;
    case 2:
        pid = wait4(-1, &status, hang | wall, &usage);
        break;
    case 3:
    case 4: /* looks only */
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info,
                   WEXITED | WNOHANG | WNOWAIT | wall |
                       (xc_percent(chance, 30) ? WSTOPPED : 0)) == 0 &&
            info.si_pid && xc_percent(chance, 50)) {
            pid = waitpid(info.si_pid, &status, WNOHANG);
        }
        break;
    case 5:
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | hang | wall) == 0) {
            pid = info.si_pid;
            status = status_of(&info);
        }
        break;
    }
    if (pid > 0)
        xc_host_took(pid, status, 0);
    else
        sched_yield();
}

void *xc_host_steals(void *arg)
{
    struct xc_chance *chance = arg;

    while (!atomic_load(&xc_stop)) {
        steal_one(chance);
        if (xc_percent(chance, 5))
            xc_pause_ms((int)xc_below(chance, 4));
    }
    return NULL;
}

/* Between the host's reaper and the end of the contexts that it speaks to. */
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;

void xc_host_free_contexts(void)
{
    pthread_mutex_lock(&speaking);
    for (int i = 0; i < xc_run.places; i++) {
        if (libxl_ctx_free(xc_ctx[i]))
            xc_fail("ctx_free");
        xc_ctx[i] = NULL;
    }
    pthread_mutex_unlock(&speaking);
}

static void pass_on(pid_t pid, int status)
{
    int passed = -1;

    pthread_mutex_lock(&speaking);
    for (int i = 0; i < xc_run.places && passed < 0; i++)
        if (xc_ctx[i] && xc_run.mode[i] == libxl_sigchld_owner_mainloop &&
            libxl_childproc_exited(xc_ctx[i], pid, status) == 0)
            passed = 1;
    pthread_mutex_unlock(&speaking);
    xc_host_took(pid, status, passed);
}

/* Children of the library's that ctx_free left to the host. */
static void reap_left(void)
{
    int n = atomic_load(&xc_nours);

    for (int i = 0; i < n; i++) {
        struct xc_ours *c = &xc_ours[i];

        if (c->place == XC_WANDERER && c->on_free == LIBXL_FREE_LEAVE &&
            atomic_load(&c->freed) && c->pid > 1)
            (void)waitpid(c->pid, NULL, WNOHANG);
    }
}

/* By their numbers, as a host does that keeps a list. */
void xc_host_reap_own(void)
{
    int n = atomic_load(&xc_nhosts);

    for (int i = 0; i < n; i++) {
        struct xc_host *h = &xc_hosts[i];
        int status;

        if (h->pid > 1 && atomic_load(&h->ending) && !atomic_load(&h->told) &&
            waitpid(h->pid, &status, WNOHANG) == h->pid)
            xc_host_told(h->pid, status, "waitpid");
    }
    reap_left();
}

static void say_occurred(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    if (sem_timedwait(&came, &until) == 0) {
        while (sem_trywait(&came) == 0)
            ; /* one word for all that have come so far */
        pthread_mutex_lock(&speaking);
        for (int i = 0; i < xc_run.places; i++)
            if (xc_ctx[i] && xc_run.mode[i] == libxl_sigchld_owner_mainloop)
                libxl_childproc_sigchld_occurred(xc_ctx[i]);
        pthread_mutex_unlock(&speaking);
    }
    xc_host_reap_own();
}

void *xc_host_reaps(void *arg)
{
    struct xc_chance *chance = arg;

    while (!atomic_load(&xc_host_reaper_stop)) {
        int status;
        pid_t pid = 0;

        if (xc_run.occurs) {
            say_occurred();
            continue;
        }
        if (xc_run.mainloop) {
            pid = waitpid(-1, &status, WNOHANG);
            if (pid > 0)
                pass_on(pid, status);
        } else {
            xc_host_reap_own();
        }
        if (pid <= 0)
            xc_pause_ms(1 + (int)xc_below(chance, 2));
    }
    return NULL;
}

/* ---- SIGCHLD ------------------------------------------------------------ */

static atomic_long seen;

static void see(int signo)
{
    (void)signo;
    atomic_fetch_add(&seen, 1);
}

static void other_disposition(struct xc_chance *chance)
{
    struct sigaction act = {.sa_flags = SA_RESTART}, before;

    sigemptyset(&act.sa_mask);
    act.sa_handler = xc_run.ignores && xc_percent(chance, 50) ? SIG_IGN
                     : xc_percent(chance, 30)                 ? SIG_DFL
                                                              : see;
    sigaction(SIGCHLD, &act, &before);
    xc_pause_ms((int)xc_below(chance, 8));
    if (xc_percent(chance, 80))
        sigaction(SIGCHLD, &before, NULL);
}

void *xc_host_signals(void *arg)
{
    struct xc_chance *chance = arg;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    while (!atomic_load(&xc_stop)) {
        switch (xc_below(chance, 4)) {
        case 0:
            pthread_sigmask(xc_percent(chance, 50) ? SIG_BLOCK : SIG_UNBLOCK,
                            &set, NULL);
            break;
        case 1:
            for (unsigned i = xc_below(chance, 60); i-- > 0;)
                kill(getpid(), SIGCHLD);
            break;
        case 2:
            if (!xc_run.occurs) /* there the host keeps its promise */
                other_disposition(chance);
            break;
        case 3:
            xc_pause_ms((int)xc_below(chance, 10));
            break;
        }
    }
    return NULL;
}
