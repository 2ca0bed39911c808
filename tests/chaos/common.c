/* common.c - what the random testers share: seeds, a watchdog, closing lines
 *
 * See common.h.
 */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stacks.h"

char xc_replay[256] = "?";

/* ---- chance: splitmix64 -------------------------------------------------- */

void xc_chance_init(struct xc_chance *chance, uint64_t seed, uint64_t stream)
{
    chance->state = seed * 0x9e3779b97f4a7c15u + stream * 0xd1342543de82ef95u;
    (void)xc_next(chance);
}

uint64_t xc_next(struct xc_chance *chance)
{
    uint64_t z = chance->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

unsigned xc_below(struct xc_chance *chance, unsigned n)
{
    return (unsigned)(xc_next(chance) % n);
}

int xc_percent(struct xc_chance *chance, unsigned n)
{
    return xc_below(chance, 100) < n;
}

/* ---- failing ------------------------------------------------------------- */

static void say(const char *format, va_list args)
{
    char text[1024];
    int n = vsnprintf(text, sizeof(text) - 1, format, args);
    ssize_t w;

    if (n > (int)sizeof(text) - 2)
        n = (int)sizeof(text) - 2;
    text[n++] = '\n';
    w = write(2, text, (size_t)n);
    (void)w;
}

void xc_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
}

void xc_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    xc_say("again: %s", xc_replay);
    _exit(1);
}

int xc_time_scale(void)
{
    const char *s = getenv("XT_TIME_SCALE");
    int n = s ? atoi(s) : 1;

    return n < 1 ? 1 : n;
}

int64_t xc_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void xc_pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

static pthread_mutex_t dog_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t dog_stop;
static pthread_t dog;
static int dog_seconds, dog_is_over;

static void *watch(void *arg)
{
    struct timespec until;
    int r = 0;

    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += dog_seconds;
    pthread_mutex_lock(&dog_lock);
    while (!dog_is_over && r == 0)
        r = pthread_cond_timedwait(&dog_stop, &dog_lock, &until);
    pthread_mutex_unlock(&dog_lock);
    if (r == ETIMEDOUT) {
        xc_say("it hangs: %d seconds are over", dog_seconds);
        xt_stacks(getpid());
        xc_fail("it hangs");
    }
    return NULL;
}

void xc_watchdog_start(int seconds)
{
    pthread_condattr_t attr;
    sigset_t all, before;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&dog_stop, &attr);
    pthread_condattr_destroy(&attr);
    dog_seconds = seconds * xc_time_scale();
    dog_is_over = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&dog, NULL, watch, NULL))
        xc_fail("pthread_create");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void xc_watchdog_stop(void)
{
    pthread_mutex_lock(&dog_lock);
    dog_is_over = 1;
    pthread_cond_signal(&dog_stop);
    pthread_mutex_unlock(&dog_lock);
    pthread_join(dog, NULL);
    pthread_cond_destroy(&dog_stop);
}

/* ---- what the kernel offers here ----------------------------------------- */

static unsigned facilities(void)
{
    libxl_childproc_diagnosis d = {.size = sizeof(d)};
    libxl_ctx *ctx;

    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL) ||
        libxl_childproc_diagnose(ctx, &d, NULL) || libxl_ctx_free(ctx))
        xc_fail("diagnose");
    return d.facilities;
}

int xc_has_pidfds(void)
{
    return (facilities() & LIBXL_FACILITY_PIDFD) != 0;
}

int xc_has_exit_info(void)
{
    return xc_has_pidfds() && (facilities() & LIBXL_FACILITY_EXIT_INFO) != 0;
}

/* ---- modes --------------------------------------------------------------- */

const char *xc_mode_name(int mode)
{
    return libxl_childproc_owner_name((libxl_sigchld_owner)mode);
}

int xc_mode_by_name(const char *name)
{
    for (int i = 0; i < XC_MODES; i++)
        if (!strcmp(name, xc_mode_name(i)))
            return i;
    return -1;
}

/* ---- the outer half ------------------------------------------------------ */

int xc_run_apart(int (*run)(void *user), void *user, int seconds)
{
    int64_t until = xc_now_ms() + 1000LL * seconds * xc_time_scale();
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        xc_fail("fork: %s", strerror(errno));
    if (pid == 0)
        exit(run(user));
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (xc_now_ms() > until) {
            xc_say("%d does not end; again: %s", (int)pid, xc_replay);
            xt_stacks(pid);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return 1;
        }
        xc_pause_ms(2);
    }
    if (WIFSIGNALED(status)) {
        xc_say("signal %d; again: %s", WTERMSIG(status), xc_replay);
        return 128 + WTERMSIG(status);
    }
    return WEXITSTATUS(status);
}

void xc_count(struct xc_tally *tally, int status, const char *name)
{
    tally->passed += status == 0;
    tally->skipped += status == 77;
    tally->failed += status != 0 && status != 77;
    if (status != 0 && status != 77)
        printf("not ok - %s (%d)\n", name, status);
    fflush(stdout);
}

int xc_close(const struct xc_tally *tally)
{
    printf("%d passed, %d failed, %d skipped\n", tally->passed, tally->failed,
           tally->skipped);
    return tally->failed != 0;
}
