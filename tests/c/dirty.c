/* dirty.c - a host that has made itself odd in every way it can
 *
 * Files of every kind, signals, timers, locks, limits, scheduling, rights:
 * whatever a child might inherit without being asked. Called by witness.c; and
 * as an object of its own, preloaded into the hosts of the other languages,
 * it does so before their main (XT_PRELOADED). What of it the kernel refuses
 * here is left as it is: the child is compared with a fork of the same host.
 */
#define _GNU_SOURCE
#include "dirty.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
/* What the kernel's headers say; musl comes without them. */
#define CAPABILITY_VERSION_3 0x20080522
#define CAPABILITY_NET_BIND_SERVICE 10
#define NO_CAP_AMBIENT_RAISE (1 << 6)
#define MODE_FILTER 1
#define RETURN_A_CONSTANT 6
#define LET_PASS 0x7fff0000

struct cap_head {
    unsigned version;
    int pid;
};

struct cap_data {
    unsigned effective, permitted, inheritable;
};

struct filter {
    unsigned short code;
    unsigned char jump_true, jump_false;
    unsigned k;
};

struct filter_program {
    unsigned short length;
    struct filter *filter;
};

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#endif
#ifndef O_PATH
#define O_PATH 010000000
#endif

/* ---- files -------------------------------------------------------------- */

static int next_fd = XT_DIRTY_FIRST;

/* At the next even number, and close-on-exec at the odd one after it. Of what
 * is not to be had there is /dev/null. */
static void keep(int fd)
{
    int have = fd >= 0 ? fd : open("/dev/null", O_RDWR);

    if (next_fd + 1 > XT_DIRTY_LAST || have < 0)
        abort();
    if (dup2(have, next_fd) < 0 || dup3(have, next_fd + 1, O_CLOEXEC) < 0)
        abort();
    next_fd += 2;
    close(have);
}

static int temporary(void)
{
    char path[] = "/tmp/xlchild-dirty-XXXXXX";
    int fd = mkstemp(path);

    if (fd >= 0)
        unlink(path);
    return fd;
}

static int fifo(void)
{
    char path[] = "/tmp/xlchild-dirty-XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0)
        return -1;
    close(fd);
    unlink(path);
    if (mkfifo(path, 0600))
        return -1;
    fd = open(path, O_RDWR | O_NONBLOCK);
    unlink(path);
    return fd;
}

static int listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    if (fd >= 0 && (bind(fd, (void *)&at, sizeof(at)) || listen(fd, 1))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void terminals(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    int slave = -1;
    char name[64];

    if (master >= 0 && !grantpt(master) && !unlockpt(master) &&
        !ptsname_r(master, name, sizeof(name)))
        slave = open(name, O_RDWR | O_NOCTTY);
    keep(master);
    if (next_fd != XT_DIRTY_PTY)
        abort();
    keep(slave);
}

/* Whoever started this host may have left it some. */
static void nothing_but_standard_ones(void)
{
    for (int fd = 3; fd < 4096; fd++)
        close(fd);
}

static void files(void)
{
    char params[256] = {0}; /* struct io_uring_params */
    sigset_t usr1;
    int pair[2];
    int fd;

    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    fd = temporary();
    if (fd >= 0)
        flock(fd, LOCK_EX);
    keep(fd);
    keep(open("/", O_RDONLY | O_DIRECTORY));
    keep(open("/", O_PATH));
    if (pipe(pair))
        abort();
    keep(pair[0]);
    keep(pair[1]);
    keep(fifo());
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
        abort();
    close(pair[1]);
    keep(pair[0]);
    keep(listener());
    keep(socket(AF_NETLINK, SOCK_RAW, 0));
    keep(epoll_create1(0));
    keep(eventfd(7, 0));
    keep(signalfd(-1, &usr1, 0));
    keep(timerfd_create(CLOCK_MONOTONIC, 0));
    keep(inotify_init());
    terminals(); /* two */
    keep(memfd_create("dirty", 0));
    keep((int)syscall(SYS_pidfd_open, getpid(), 0));
    keep(open("/proc/self/ns/net", O_RDONLY));
    keep(open("/proc/self/mem", O_RDWR));
    keep((int)syscall(SYS_userfaultfd, 0));
    keep((int)syscall(SYS_fanotify_init, 0, O_RDONLY));
    keep((int)syscall(SYS_io_uring_setup, 2, params));
    keep(open("/dev/zero", O_RDWR));
    keep(open("/", O_RDWR | O_TMPFILE, 0600));
    if (next_fd != XT_DIRTY_LAST + 1)
        abort();
    fcntl(0, F_SETFD, FD_CLOEXEC);
    fcntl(2, F_SETFD, FD_CLOEXEC);
}

static void record_lock(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    fcntl(XT_DIRTY_FIRST, F_SETLK, &lock);
}

/* ---- signals and timers ------------------------------------------------- */

static void caught(int signo)
{
    (void)signo;
}

static void signals(void)
{
    /* SIGXFSZ and SIGPIPE as interpreters have them. */
    static const int ignored[] = {SIGHUP,  SIGQUIT, SIGPIPE, SIGUSR2,
                                  SIGXFSZ, SIGBUS,  39,      64};
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = SIG_IGN};
    const unsigned long by_default[4] = {0}; /* as the kernel has it */
    unsigned long now[4];
    sigset_t blocked;

    /* Whoever started this may have left some ignored; and libc's posix_spawn
     * does so with 32 and 33, which its sigaction refuses. Handlers stay: where
     * there is another thread (TSan's), setgroups needs libc's for 33. */
    for (int signo = 1; signo <= 64; signo++)
        if (syscall(SYS_rt_sigaction, signo, NULL, now, 8) == 0 &&
            now[0] == (unsigned long)SIG_IGN)
            syscall(SYS_rt_sigaction, signo, by_default, NULL, 8);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        sigaction(ignored[i], &action, NULL);
    action.sa_handler = caught;
    action.sa_flags = SA_ONSTACK;
    sigaltstack(&alternate, NULL);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGWINCH, &action, NULL);
    sigaction(40, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGTTOU);
    sigaddset(&blocked, 37);
    sigaddset(&blocked, 63);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    raise(SIGUSR1); /* and pending */
    raise(37);
}

static void timers(void)
{
    struct itimerval far = {.it_value.tv_sec = 100000};
    struct sigevent tell = {.sigev_notify = SIGEV_NONE};
    struct itimerspec at = {.it_value.tv_sec = 100000};
    timer_t timer;

    setitimer(ITIMER_REAL, &far, NULL);
    setitimer(ITIMER_VIRTUAL, &far, NULL);
    setitimer(ITIMER_PROF, &far, NULL);
    if (!timer_create(CLOCK_MONOTONIC, &tell, &timer))
        timer_settime(timer, 0, &at, NULL);
}

/* ---- scheduling, limits, rights ----------------------------------------- */

static void to_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0)
            errno = 0; /* refused: it stays as it is */
        close(fd);
    }
}

static void scheduling(void)
{
    struct sched_param none = {0};
    cpu_set_t one;

    setpriority(PRIO_PROCESS, 0, 3);
    syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &none); /* musl has none */
    syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6);             /* best effort, 6 */
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof(one), &one);
    prctl(PR_SET_TIMERSLACK, 77777);
    to_file("/proc/self/oom_score_adj", "500");
}

static void limit(int resource, rlim_t most)
{
    struct rlimit l;

    if (!getrlimit(resource, &l)) {
        l.rlim_cur = l.rlim_max < most ? l.rlim_max : most;
        setrlimit(resource, &l);
    }
}

static void process(void)
{
    umask(0137);
    limit(RLIMIT_CORE, 4096);
    limit(RLIMIT_NOFILE, 1000);
    limit(RLIMIT_MSGQUEUE, 4096);
    limit(RLIMIT_MEMLOCK, 65536);
    mlock(&next_fd, 1);
    personality((unsigned long)personality(0xffffffff) | ADDR_NO_RANDOMIZE);
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    to_file("/proc/self/coredump_filter", "0x11");
}

/* A capability that a program executed without any other right would have;
 * then nothing new, and a filter that lets everything pass. */
static void rights(void)
{
    struct cap_head head = {CAPABILITY_VERSION_3, 0};
    struct cap_data data[2];
    struct filter pass = {RETURN_A_CONSTANT, 0, 0, LET_PASS};
    struct filter_program program = {1, &pass};
    static const gid_t groups[] = {4, 27, 42};

    setgroups(3, groups);
    if (!syscall(SYS_capget, &head, data)) {
        data[0].inheritable |=
            data[0].permitted & 1U << CAPABILITY_NET_BIND_SERVICE;
        syscall(SYS_capset, &head, data);
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAPABILITY_NET_BIND_SERVICE,
              0, 0);
    }
    prctl(PR_SET_SECUREBITS, NO_CAP_AMBIENT_RAISE);
    prctl(PR_SET_KEEPCAPS, 1);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_seccomp, MODE_FILTER, 0, &program);
    syscall(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, NULL);
    syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -2 /* of the process */, 1);
}

void xt_dirty(void)
{
    nothing_but_standard_ones();
    files();
    record_lock();
    signals();
    timers();
    scheduling();
    process();
    rights();
    /* Last: what is one's own in /proc may not be opened any more. */
    prctl(PR_SET_DUMPABLE, 0);
}

#ifdef XT_PRELOADED
__attribute__((constructor)) static void before_main(void)
{
    unsetenv("LD_PRELOAD");
    xt_dirty();
}
#endif
