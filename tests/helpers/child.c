/* child.c - a child whose behaviour is a chain of verbs in its argv
 *
 * Started by the tests of all three languages and by tests/vectors. Verbs run
 * from left to right; after the last one it exits with 0. Output goes through
 * write() only, a line at a time. Statically linked: it starts fast, and in
 * odd places.
 *
 * ending
 *   exit N            exit with N
 *   signal SIG        die of a signal (name, number), whatever its disposition
 *   abort             abort()
 *   stop              raise SIGSTOP, go on when continued
 *   exec PROG ARGS... execute PROG with the rest as argv[1..]
 *   eat MIB           take so much memory, and write to it
 * waiting (no verb sleeps for a fixed time but sleep-ms)
 *   hold              read stdin until end of file, drop it
 *   hold-fd FD        the same for FD
 *   await FD          read one byte, or end of file, from FD
 *   ready FD          write one byte to FD
 *   pause             wait for signals for ever, reading nothing
 *   sleep-ms N        sleep N milliseconds
 * streams
 *   say TEXT          TEXT and a newline to stdout; say-err: to stderr
 *   put TEXT          TEXT without a newline; put-err: to stderr
 *   out N, err N      N bytes to stdout, stderr; byte i is 'a' + i % 26
 *   alternate N       N times: "o" to stdout, "e" to stderr
 *   cat               stdin to stdout until end of file
 *   count             read stdin to its end, print how many bytes
 *   read N            read N bytes of stdin, drop them
 *   close FD          close it
 *   args ARGS...      print each further argument on a line; ends the chain
 * signals
 *   ignore SIG, default SIG, block SIG
 *   on-signal SIG TEXT   a handler that writes TEXT and a newline to stdout
 *   on-signal-exit SIG N a handler that exits with N
 * what it was given (each prints lines)
 *   argv0 exe cwd env fds mask ignored caught umask nice pdeathsig pgrp
 *   env-of NAME       its value, or "unset"
 *   ids               uid, euid, suid, gid, egid, sgid, groups
 *   pid               pid; ppid: the parent's
 *   session           "sid self|other", "group self|other"
 *   tty               whether it has a controlling terminal: yes, no
 *   rlimit NAME       soft and hard, as in RLIMIT_NAME; "inf" for no limit
 *   fd-target FD      what it is open on; "closed"
 *   fd-same FD FD     whether both are one open file (device and inode)
 *   cgroup            its cgroup v2 path
 * families
 *   grandchild FD     fork; the grandchild holds all fds open until FD is at
 *                     end of file, then exits with 0
 *   grandchild-pause  fork; the grandchild waits for a signal
 *   last              print the pid of the last grandchild
 *   setsid, setpgid   leave the session, the group
 * fixtures
 *   fixtures DIR      chmod DIR to 0755, make in it: plain (0644), dir/, empty
 *                     (0755, no bytes), badscript (interpreter missing), script
 *                     (prints "script"), loop (a symlink to itself), noperm/
 *                     (0700), bin/tool (a copy of this program)
 */
#define _GNU_SOURCE
#include "child_given.h"
#include "child_says.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- names -------------------------------------------------------------- */

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"SIGHUP", SIGHUP},   {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},
    {"SIGILL", SIGILL},   {"SIGABRT", SIGABRT}, {"SIGFPE", SIGFPE},
    {"SIGKILL", SIGKILL}, {"SIGSEGV", SIGSEGV}, {"SIGPIPE", SIGPIPE},
    {"SIGALRM", SIGALRM}, {"SIGTERM", SIGTERM}, {"SIGUSR1", SIGUSR1},
    {"SIGUSR2", SIGUSR2}, {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT},
    {"SIGSTOP", SIGSTOP}, {"SIGTSTP", SIGTSTP}, {"SIGTTIN", SIGTTIN},
    {"SIGTTOU", SIGTTOU}, {"SIGBUS", SIGBUS},   {"SIGTRAP", SIGTRAP},
    {"SIGXCPU", SIGXCPU}, {"SIGSYS", SIGSYS},   {"SIGURG", SIGURG},
    {"SIGPROF", SIGPROF}, {"SIGWINCH", SIGWINCH}, {"SIGVTALRM", SIGVTALRM},
};

static int number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || end == text) {
        print(2, "child: not a number: %s\n", text);
        _exit(EXIT_USAGE);
    }
    return n;
}

static int signal_number(const char *text)
{
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (!strcmp(signals[i].name, text))
            return signals[i].number;
    return number(text);
}

static void print_signal(int signo)
{
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (signals[i].number == signo) {
            print(1, "%s\n", signals[i].name);
            return;
        }
    print(1, "%d\n", signo);
}

/* ---- ending ------------------------------------------------------------- */

static void die_of(int signo)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    struct rlimit none = {0, 0};
    sigset_t set;

    setrlimit(RLIMIT_CORE, &none);
    sigaction(signo, &dfl, NULL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(signo);
    fail("signal");
}

/* ---- waiting and streams ------------------------------------------------ */

/* Reads at most `most` bytes (-1: to the end), copying them to out (-1: no). */
static long long drain(int fd, long long most, int out)
{
    static char buffer[65536];
    long long total = 0;

    while (most < 0 || total < most) {
        size_t want = sizeof(buffer);
        ssize_t n;

        if (most >= 0 && most - total < (long long)want)
            want = most - total;
        n = read(fd, buffer, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail("read");
        if (!n)
            break;
        if (out >= 0)
            write_all(out, buffer, n);
        total += n;
    }
    return total;
}

static void put_pattern(int fd, long long length)
{
    static char buffer[26 * 1024];

    for (size_t i = 0; i < sizeof(buffer); i++)
        buffer[i] = 'a' + i % 26;
    while (length > 0) {
        size_t n = length < (long long)sizeof(buffer) ? (size_t)length
                                                      : sizeof(buffer);
        write_all(fd, buffer, n);
        length -= n;
    }
}

static void sleep_ms(int ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};

    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

/* ---- signals ------------------------------------------------------------ */

static const char *said_on[NSIG];
static int exit_on[NSIG];

static void on_signal(int signo)
{
    int saved = errno;

    if (said_on[signo]) {
        write_all(1, said_on[signo], strlen(said_on[signo]));
        write_all(1, "\n", 1);
        errno = saved;
    } else {
        _exit(exit_on[signo]);
    }
}

static void set_handler(int signo, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    if (signo < 1 || signo >= NSIG || sigaction(signo, &action, NULL))
        fail("sigaction");
}

static void block(int signo)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void print_mask(void)
{
    unsigned long long mask = 0;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
    for (int n = 1; n <= 64; n++)
        if (mask >> (n - 1) & 1)
            print_signal(n);
}

static void print_dispositions(int ignored)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        unsigned long long mask;
    } action;

    for (int n = 1; n <= 64; n++) {
        if (syscall(SYS_rt_sigaction, n, NULL, &action, 8))
            fail("rt_sigaction");
        if (ignored ? action.handler == SIG_IGN
                    : action.handler != SIG_IGN && action.handler != SIG_DFL)
            print_signal(n);
    }
}

/* ---- what it was given: child_given.c ------------------------------------ */

static void print_pdeathsig(void)
{
    int signo = 0;

    if (prctl(PR_GET_PDEATHSIG, &signo))
        fail("prctl");
    if (signo)
        print_signal(signo);
    else
        print(1, "none\n");
}

/* ---- families ----------------------------------------------------------- */

static pid_t last_grandchild = -1;

static void grandchild(int fd)
{
    last_grandchild = fork();
    if (last_grandchild < 0)
        fail("fork");
    if (last_grandchild)
        return;
    if (fd < 0)
        for (;;)
            pause();
    drain(fd, -1, -1);
    _exit(0);
}

/* ---- fixtures ----------------------------------------------------------- */

static void make_file(const char *name, mode_t mode, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        fail(name);
    write_all(fd, text, strlen(text));
    if (fchmod(fd, mode))
        fail(name);
    close(fd);
}

static void copy_self(const char *name)
{
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

    if (from < 0 || to < 0)
        fail(name);
    drain(from, -1, to);
    if (fchmod(to, 0755))
        fail(name);
    close(from);
    close(to);
}

static void make_fixtures(const char *dir)
{
    if (chdir(dir) || chmod(".", 0755))
        fail(dir);
    make_file("plain", 0644, "not a program\n");
    make_file("empty", 0755, "");
    make_file("badscript", 0755, "#!/nonexistent/interpreter\n");
    make_file("script", 0755, "#!/bin/sh\necho script\n");
    if (mkdir("dir", 0755) || mkdir("bin", 0755) || mkdir("noperm", 0700) ||
        symlink("loop", "loop"))
        fail("fixtures");
    copy_self("bin/tool");
}

/* ---- verbs -------------------------------------------------------------- */

static char **next; /* the rest of argv */

static char *arg(void)
{
    if (!*next) {
        print(2, "child: a verb lacks its argument: %s\n", next[-1]);
        _exit(EXIT_USAGE);
    }
    return *next++;
}

static int int_arg(void)
{
    return number(arg());
}

static int signal_arg(void)
{
    return signal_number(arg());
}

static int run_ending(const char *verb)
{
    if (!strcmp(verb, "exit"))
        _exit(int_arg());
    else if (!strcmp(verb, "signal"))
        die_of(signal_arg());
    else if (!strcmp(verb, "abort"))
        die_of(SIGABRT);
    else if (!strcmp(verb, "stop"))
        raise(SIGSTOP);
    else if (!strcmp(verb, "exec")) {
        char **argv = next;

        arg();
        execv(argv[0], argv);
        fail("execv");
    } else
        return 0;
    return 1;
}

static void eat(int mib)
{
    for (; mib > 0; mib--) {
        char *memory = malloc(1 << 20);

        if (memory == NULL)
            fail("malloc");
        memset(memory, 1, 1 << 20);
        __asm__ volatile("" : : "r"(memory) : "memory"); /* it is wanted */
    }
}

static int run_waiting(const char *verb)
{
    if (!strcmp(verb, "hold"))
        drain(0, -1, -1);
    else if (!strcmp(verb, "hold-fd"))
        drain(int_arg(), -1, -1);
    else if (!strcmp(verb, "await"))
        drain(int_arg(), 1, -1);
    else if (!strcmp(verb, "ready"))
        write_all(int_arg(), "!", 1);
    else if (!strcmp(verb, "eat"))
        eat(int_arg());
    else if (!strcmp(verb, "pause"))
        for (;;)
            pause();
    else if (!strcmp(verb, "sleep-ms"))
        sleep_ms(int_arg());
    else
        return 0;
    return 1;
}

static int run_stream(const char *verb)
{
    if (!strcmp(verb, "say"))
        print(1, "%s\n", arg());
    else if (!strcmp(verb, "say-err"))
        print(2, "%s\n", arg());
    else if (!strcmp(verb, "put"))
        print(1, "%s", arg());
    else if (!strcmp(verb, "put-err"))
        print(2, "%s", arg());
    else if (!strcmp(verb, "out"))
        put_pattern(1, int_arg());
    else if (!strcmp(verb, "err"))
        put_pattern(2, int_arg());
    else if (!strcmp(verb, "alternate"))
        for (int n = int_arg(); n > 0; n--) {
            write_all(1, "o", 1);
            write_all(2, "e", 1);
        }
    else if (!strcmp(verb, "cat"))
        drain(0, -1, 1);
    else if (!strcmp(verb, "count"))
        print(1, "%lld\n", drain(0, -1, -1));
    else if (!strcmp(verb, "read"))
        drain(0, int_arg(), -1);
    else if (!strcmp(verb, "close"))
        close(int_arg());
    else if (!strcmp(verb, "args"))
        while (*next)
            print(1, "%s\n", *next++);
    else
        return 0;
    return 1;
}

static int run_signal(const char *verb)
{
    int signo;

    if (!strcmp(verb, "ignore"))
        set_handler(signal_arg(), SIG_IGN);
    else if (!strcmp(verb, "default"))
        set_handler(signal_arg(), SIG_DFL);
    else if (!strcmp(verb, "block"))
        block(signal_arg());
    else if (!strcmp(verb, "on-signal")) {
        signo = signal_arg();
        said_on[signo & 63] = arg();
        set_handler(signo, on_signal);
    } else if (!strcmp(verb, "on-signal-exit")) {
        signo = signal_arg();
        exit_on[signo & 63] = int_arg();
        set_handler(signo, on_signal);
    } else
        return 0;
    return 1;
}

static int run_print(const char *verb, const char *argv0)
{
    if (!strcmp(verb, "argv0"))
        print(1, "%s\n", argv0);
    else if (!strcmp(verb, "exe"))
        print_link("/proc/self/exe");
    else if (!strcmp(verb, "cwd"))
        print_cwd();
    else if (!strcmp(verb, "env"))
        print_env();
    else if (!strcmp(verb, "env-of")) {
        const char *value = getenv(arg());
        print(1, "%s\n", value ? value : "unset");
    } else if (!strcmp(verb, "fds"))
        print_fds();
    else if (!strcmp(verb, "fd-target"))
        print_fd_target(int_arg());
    else if (!strcmp(verb, "fd-same")) {
        int a = int_arg();
        print_fd_same(a, int_arg());
    } else if (!strcmp(verb, "mask"))
        print_mask();
    else if (!strcmp(verb, "ignored"))
        print_dispositions(1);
    else if (!strcmp(verb, "caught"))
        print_dispositions(0);
    else if (!strcmp(verb, "umask"))
        print_umask();
    else if (!strcmp(verb, "nice"))
        print(1, "%d\n", getpriority(PRIO_PROCESS, 0));
    else if (!strcmp(verb, "pdeathsig"))
        print_pdeathsig();
    else if (!strcmp(verb, "session"))
        print_session();
    else if (!strcmp(verb, "tty"))
        print_tty();
    else if (!strcmp(verb, "ids"))
        print_ids();
    else if (!strcmp(verb, "pid"))
        print(1, "%d\n", (int)getpid());
    else if (!strcmp(verb, "ppid"))
        print(1, "%d\n", (int)getppid());
    else if (!strcmp(verb, "pgrp"))
        print(1, "%d\n", (int)getpgrp());
    else if (!strcmp(verb, "rlimit"))
        print_limit(arg());
    else if (!strcmp(verb, "cgroup"))
        print_cgroup();
    else
        return 0;
    return 1;
}

static int run_family(const char *verb)
{
    if (!strcmp(verb, "grandchild"))
        grandchild(int_arg());
    else if (!strcmp(verb, "grandchild-pause"))
        grandchild(-1);
    else if (!strcmp(verb, "last"))
        print(1, "%d\n", (int)last_grandchild);
    else if (!strcmp(verb, "setsid")) {
        if (setsid() < 0)
            fail("setsid");
    } else if (!strcmp(verb, "setpgid")) {
        if (setpgid(0, 0))
            fail("setpgid");
    } else if (!strcmp(verb, "fixtures"))
        make_fixtures(arg());
    else
        return 0;
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 1)
        return EXIT_USAGE;
    next = argv + 1;
    while (*next) {
        const char *verb = *next++;

        if (!run_ending(verb) && !run_waiting(verb) && !run_stream(verb) &&
            !run_signal(verb) && !run_print(verb, argv[0]) &&
            !run_family(verb)) {
            print(2, "child: no such verb: %s\n", verb);
            return EXIT_USAGE;
        }
    }
    return 0;
}
