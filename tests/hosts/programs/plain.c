/* plain.c - hosts with fork and wait, and each a habit about SIGCHLD
 *
 * usage: plain HABIT, one of the names in `habits` below. Built and run by
 * tests/hosts/driver.py.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "../host.h"

static pid_t pids[HOST_CHILDREN];
static volatile sig_atomic_t signals;

static void count(int signo)
{
    (void)signo;
    signals++;
}

static void install(void (*handler)(int), int flags)
{
    struct sigaction sa;

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = handler;
    sa.sa_flags = flags;
    if (sigaction(SIGCHLD, &sa, NULL)) {
        perror("sigaction");
        exit(125);
    }
}

/* ---- who wait for each child by its number ------------------------------ */

static void start_and_wait_each(void)
{
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++)
        pids[i] = host_fork(i);
    for (int i = 0; i < HOST_CHILDREN; i++) {
        int status;
        pid_t r;

        do
            r = waitpid(pids[i], &status, 0);
        while (r < 0 && errno == EINTR);
        if (r == pids[i])
            host_status(i, status);
        else
            host_lost(i, strerror(errno));
    }
}

static void by_pid(void)
{
    start_and_wait_each();
}

static void ignored(void)
{
    install(SIG_IGN, 0);
    start_and_wait_each();
}

static void no_cld_wait(void)
{
    install(count, SA_NOCLDWAIT);
    start_and_wait_each();
}

static void reset_hand(void)
{
    install(count, SA_RESETHAND);
    start_and_wait_each();
}

static void blocked(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    start_and_wait_each();
}

/* ---- who take whoever has ended ----------------------------------------- */

/* Children that were taken and are not ours to name yet: the parent's fork may
 * not have returned. */
static struct {
    pid_t pid;
    int status;
} taken[4 * HOST_CHILDREN];
static int ntaken;

static void note(pid_t pid, int status)
{
    int n = __atomic_fetch_add(&ntaken, 1, __ATOMIC_ACQ_REL);

    if (n < 4 * HOST_CHILDREN) {
        taken[n].status = status;
        __atomic_store_n(&taken[n].pid, pid, __ATOMIC_RELEASE);
    }
}

static int strangers[2];

/* On a thread of ours: the host has its children through its own pipe. */
static int told_stranger(pid_t pid, int status)
{
    int words[2] = {pid, status};

    return write(strangers[1], words, sizeof(words)) == sizeof(words) ? 0 : 1;
}

static void reap_all(int signo)
{
    int saved = errno, status;
    pid_t pid;

    (void)signo;
    signals++;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        note(pid, status);
    errno = saved;
}

static void take_strangers(void)
{
    int words[2];

    while (read(strangers[0], words, sizeof(words)) == sizeof(words))
        note(words[0], words[1]);
}

/* In mainloop mode whoever reaped what is not its own passes it on. */
static void pass_on(int from)
{
    static int passed;

    if (host_mode() != HOST_MAINLOOP || passed >= from)
        return;
    for (; passed < from; passed++) {
        pid_t pid;

        while (!(pid = __atomic_load_n(&taken[passed].pid, __ATOMIC_ACQUIRE)))
            ;
        xlhost_exited(pid, taken[passed].status);
    }
}

static int find(pid_t pid, int *ret_status)
{
    int n = __atomic_load_n(&ntaken, __ATOMIC_ACQUIRE);

    for (int k = 0; k < n && k < 4 * HOST_CHILDREN; k++)
        if (__atomic_load_n(&taken[k].pid, __ATOMIC_ACQUIRE) == pid) {
            *ret_status = taken[k].status;
            return 1;
        }
    return 0;
}

/* Until each child was taken; gives up on a child that is neither here nor
 * noted, as a program that keeps count would notice. */
static void start_and_be_told(int (*look)(void))
{
    int found[HOST_CHILDREN] = {0}, missing = HOST_CHILDREN, status;

    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++)
        pids[i] = host_fork(i);
    while (missing) {
        int alive = look();

        take_strangers();
        pass_on(__atomic_load_n(&ntaken, __ATOMIC_ACQUIRE));
        for (int i = 0; i < HOST_CHILDREN; i++)
            if (!found[i] && find(pids[i], &status)) {
                found[i] = 1;
                missing--;
                host_status(i, status);
            }
        if (!alive)
            usleep(1000);
    }
}

static int look_nowhere(void)
{
    return 0;
}

static int stop_passing;

static void *passer(void *unused)
{
    while (!__atomic_load_n(&stop_passing, __ATOMIC_ACQUIRE)) {
        pass_on(__atomic_load_n(&ntaken, __ATOMIC_ACQUIRE));
        usleep(1000);
    }
    return unused;
}

/* Done with its own, and still passing ours on. */
static void pass_until_the_end(void)
{
    pthread_t thread;

    if (host_mode() != HOST_MAINLOOP)
        return;
    if (pthread_create(&thread, NULL, passer, NULL))
        exit(125);
    host_done();
    __atomic_store_n(&stop_passing, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    exit(0);
}

static void handler_reaps(void)
{
    install(reap_all, SA_RESTART | SA_NOCLDSTOP);
    start_and_be_told(look_nowhere);
    pass_until_the_end();
}

static int signal_fd;

static int look_at_fd(void)
{
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
        return 0;
    reap_all(SIGCHLD);
    return 1;
}

static void reaps_on_signalfd(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    start_and_be_told(look_at_fd);
}

static void *thief(void *unused)
{
    for (;;) {
        siginfo_t info;

        memset(&info, 0, sizeof(info));
        if (waitid(P_ALL, 0, &info, WEXITED) == 0)
            note(info.si_pid, info.si_code == CLD_EXITED ? info.si_status << 8
                                                         : info.si_status);
        else
            usleep(200);
    }
    return unused;
}

static void waitid_thief(void)
{
    pthread_t thread;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    if (pthread_create(&thread, NULL, thief, NULL))
        exit(125);
    start_and_be_told(look_nowhere);
    pass_until_the_end();
}

static const struct {
    const char *name;
    void (*run)(void);
} habits[] = {{"by-pid", by_pid},
              {"ignored", ignored},
              {"no-cld-wait", no_cld_wait},
              {"reset-hand", reset_hand},
              {"blocked", blocked},
              {"handler-reaps", handler_reaps},
              {"signalfd", reaps_on_signalfd},
              {"waitid-thief", waitid_thief}};

int main(int argc, char **argv)
{
    if (pipe2(strangers, O_CLOEXEC | O_NONBLOCK))
        return 125;
    if (xlhost_on_stranger)
        xlhost_on_stranger(told_stranger);
    for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
        if (argc == 2 && !strcmp(argv[1], habits[i].name)) {
            habits[i].run();
            host_done();
            return 0;
        }
    fprintf(stderr, "usage: plain HABIT\n");
    return 125;
}
