/* witness.c - a program that tells all that it has inherited
 *
 *     witness FILE
 *
 * Writes one fact a line, "name value", over the FILE, which is there already.
 * Started by the tests of all three languages out of a host that has made
 * itself odd (tests/c/dirty.c); what it has to say is in
 * tests/vectors/witness.tsv. A fact that the kernel does not tell is
 * "unknown". Statically linked: nothing runs in it but this.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define HIGHEST_FD 4096

extern char **environ;

static FILE *out;

__attribute__((format(printf, 2, 3))) static void fact(const char *name,
                                                       const char *format, ...)
{
    va_list args;

    fprintf(out, "%s ", name);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
}

/* A list that grows, in one place. */
static char list[65536];
static size_t length;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
    va_list args;

    if (length > 0 && length + 1 < sizeof(list))
        list[length++] = ' ';
    va_start(args, format);
    length +=
        (size_t)vsnprintf(list + length, sizeof(list) - length, format, args);
    va_end(args);
    if (length >= sizeof(list))
        abort();
}

static void tell(const char *name)
{
    fact(name, "%s", length ? list : "none");
    length = 0;
    list[0] = 0;
}

/* ---- files -------------------------------------------------------------- */

/* Before anything is opened. */
static void fds(char open_fd[HIGHEST_FD])
{
    for (int fd = 0; fd < HIGHEST_FD; fd++)
        open_fd[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void tell_fds(const char open_fd[HIGHEST_FD])
{
    for (int fd = 0; fd < HIGHEST_FD; fd++)
        if (open_fd[fd])
            add("%d", fd);
    tell("fds");
}

static void link_to(const char *name, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target));

    if (n < 0)
        fact(name, "unknown");
    else
        fact(name, "%.*s", (int)n, target);
}

static void namespaces(void)
{
    static const char *const kinds[] = {"cgroup", "ipc",  "mnt",  "net",
                                        "pid",    "time", "user", "uts"};
    char path[64], target[128];

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
        n = readlink(path, target, sizeof(target));
        if (n > 0)
            add("%.*s", (int)n, target);
    }
    tell("namespaces");
}

/* The first line that begins so, what follows it, blanks before it left out. */
static void line_of(const char *name, const char *path, const char *begins)
{
    FILE *f = fopen(path, "re");
    char line[4096];
    int told = 0;

    while (f && !told && fgets(line, sizeof(line), f)) {
        char *rest = line + strlen(begins);

        if (strncmp(line, begins, strlen(begins)))
            continue;
        rest += strspn(rest, " \t");
        rest[strcspn(rest, "\n")] = 0;
        fact(name, "%s", *rest ? rest : "none");
        told = 1;
    }
    if (f)
        fclose(f);
    if (!told)
        fact(name, "unknown");
}

/* Of this process, by what the file says of pids. */
static void locks(void)
{
    FILE *f = fopen("/proc/locks", "re");
    char line[512];
    int held = 0, pid;

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*d: %*s %*s %*s %d", &pid) == 1)
            held += pid == getpid();
    if (f)
        fclose(f);
    fact("locks", "%d", held);
}

static int lines_in(const char *path)
{
    FILE *f = fopen(path, "re");
    int n = 0, c;

    while (f && (c = getc(f)) != EOF)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

/* ---- signals ------------------------------------------------------------ */

static void set(const char *name, unsigned long long bits)
{
    for (int signo = 1; signo <= 64; signo++)
        if (bits >> (signo - 1) & 1)
            add("%d", signo);
    tell(name);
}

static void signals(void)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        unsigned long long mask;
    } action;
    unsigned long long mask = 0, pending = 0, ignored = 0, caught = 0;
    stack_t stack;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
    syscall(SYS_rt_sigpending, &pending, 8);
    for (int signo = 1; signo <= 64; signo++) {
        if (syscall(SYS_rt_sigaction, signo, NULL, &action, 8))
            continue;
        if (action.handler == SIG_IGN)
            ignored |= 1ULL << (signo - 1);
        else if (action.handler != SIG_DFL)
            caught |= 1ULL << (signo - 1);
    }
    set("mask", mask);
    set("pending", pending);
    set("ignored", ignored);
    set("caught", caught);
    if (sigaltstack(NULL, &stack))
        fact("altstack", "unknown");
    else
        fact("altstack", "%s", stack.ss_flags & SS_DISABLE ? "none" : "set");
}

/* ---- who it is ---------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

    return (x > y) - (x < y);
}

static void ids(void)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg, groups[1024];
    int n;

    getresuid(&ru, &eu, &su);
    getresgid(&rg, &eg, &sg);
    fact("uid", "%u %u %u %u", ru, eu, su, (unsigned)setfsuid((uid_t)-1));
    fact("gid", "%u %u %u %u", rg, eg, sg, (unsigned)setfsgid((gid_t)-1));
    n = getgroups(1024, groups);
    qsort(groups, n > 0 ? (size_t)n : 0, sizeof(groups[0]), by_number);
    for (int i = 0; i < n; i++)
        add("%u", groups[i]);
    tell("groups");
}

static void capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    unsigned long long bounding = 0, ambient = 0;

    syscall(SYS_capget, &head, data);
#define WHOLE(member) \
    ((unsigned long long)data[1].member << 32 | data[0].member)
    fact("cap.inheritable", "%llx", WHOLE(inheritable));
    fact("cap.permitted", "%llx", WHOLE(permitted));
    fact("cap.effective", "%llx", WHOLE(effective));
#undef WHOLE
    for (int cap = 0; cap < 64; cap++) {
        bounding |= (unsigned long long)(prctl(PR_CAPBSET_READ, cap) == 1)
                    << cap;
        ambient |=
            (unsigned long long)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET,
                                       cap, 0, 0) == 1)
            << cap;
    }
    fact("cap.bounding", "%llx", bounding);
    fact("cap.ambient", "%llx", ambient);
    fact("securebits", "%x", (unsigned)prctl(PR_GET_SECUREBITS));
    fact("no_new_privs", "%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    line_of("seccomp", "/proc/self/status", "Seccomp:");
    fact("secure_exec", "%lu", getauxval(AT_SECURE));
}

static void keyring(const char *name, int which)
{
    long id = syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, which, 0);

    if (id >= 0)
        fact(name, "%ld", id);
    else
        fact(name, "%s", errno == ENOKEY ? "none" : "unknown");
}

/* ---- limits, scheduling, timers ----------------------------------------- */

static void limit(const char *name, int resource)
{
    struct rlimit l;
    char text[2][32];
    rlim_t *value[2] = {&l.rlim_cur, &l.rlim_max};

    if (getrlimit(resource, &l)) {
        fact(name, "unknown");
        return;
    }
    for (int i = 0; i < 2; i++)
        if (*value[i] == RLIM_INFINITY)
            strcpy(text[i], "inf");
        else
            snprintf(text[i], sizeof(text[i]), "%llu",
                     (unsigned long long)*value[i]);
    fact(name, "%s %s", text[0], text[1]);
}

static void limits(void)
{
#define LIMIT(name) limit("limit." #name, RLIMIT_##name)
    LIMIT(AS);
    LIMIT(CORE);
    LIMIT(CPU);
    LIMIT(DATA);
    LIMIT(FSIZE);
    LIMIT(LOCKS);
    LIMIT(MEMLOCK);
    LIMIT(MSGQUEUE);
    LIMIT(NICE);
    LIMIT(NOFILE);
    LIMIT(NPROC);
    LIMIT(RSS);
    LIMIT(RTPRIO);
    LIMIT(RTTIME);
    LIMIT(SIGPENDING);
    LIMIT(STACK);
#undef LIMIT
}

static void scheduling(void)
{
    struct sched_param param = {0};
    unsigned char cpus[1024] = {0};
    int policy = sched_getscheduler(0);
    long n = syscall(SYS_sched_getaffinity, 0, sizeof(cpus), cpus);

    sched_getparam(0, &param);
    fact("nice", "%d", getpriority(PRIO_PROCESS, 0));
    fact("scheduler", "%d %d %s", policy & ~SCHED_RESET_ON_FORK,
         param.sched_priority, policy & SCHED_RESET_ON_FORK ? "reset" : "keep");
    fact("io_priority", "%ld", syscall(SYS_ioprio_get, 1, 0));
    for (long cpu = 0; cpu < n * 8; cpu++)
        if (cpus[cpu / 8] >> (cpu % 8) & 1)
            add("%ld", cpu);
    tell("affinity");
    fact("timer_slack", "%d", prctl(PR_GET_TIMERSLACK));
    line_of("memory_nodes", "/proc/self/status", "Mems_allowed_list:");
    line_of("oom_score_adj", "/proc/self/oom_score_adj", "");
}

static void timers(void)
{
    static const struct {
        const char *name;
        int which;
    } kinds[] = {{"real", ITIMER_REAL},
                 {"virtual", ITIMER_VIRTUAL},
                 {"prof", ITIMER_PROF}};
    struct itimerval value;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!getitimer(kinds[i].which, &value) &&
            (value.it_value.tv_sec || value.it_value.tv_usec))
            add("%s", kinds[i].name);
    tell("timers");
    fact("posix_timers", "%d", lines_in("/proc/self/timers"));
}

/* ---- the process -------------------------------------------------------- */

static void relative(const char *name, pid_t pid)
{
    if (pid == getpid())
        fact(name, "self");
    else
        fact(name, "%d", pid);
}

static void process(void)
{
    mode_t mask = umask(0);
    int value = 0;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    umask(mask);
    fact("umask", "%03o", mask);
    fact("dumpable", "%d", prctl(PR_GET_DUMPABLE));
    fact("keepcaps", "%d", prctl(PR_GET_KEEPCAPS));
    fact("thp_disabled", "%d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    prctl(PR_GET_PDEATHSIG, &value);
    fact("pdeathsig", "%d", value);
    value = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &value);
    fact("subreaper", "%d", value);
    fact("personality", "%x", (unsigned)personality(0xffffffff));
    line_of("coredump_filter", "/proc/self/coredump_filter", "");
    line_of("locked_memory", "/proc/self/status", "VmLck:");
    line_of("traced_by", "/proc/self/status", "TracerPid:");
    fact("terminal", "%s", tty >= 0 ? "yes" : "no");
    if (tty >= 0)
        close(tty);
    fact("parent", "%d", getppid());
    relative("session", getsid(0));
    relative("group", getpgrp());
    line_of("cgroup", "/proc/self/cgroup", "0::");
}

static void environment(void)
{
    for (char **e = environ; *e; e++)
        add("%s", *e);
    tell("environment");
}

int main(int argc, char **argv)
{
    static char open_fd[HIGHEST_FD];

    fds(open_fd);
    if (argc != 2 || !(out = fopen(argv[1], "r+e")))
        return 120;
    tell_fds(open_fd);
    signals();
    ids();
    capabilities();
    keyring("keyring.session", -3);
    keyring("keyring.process", -2);
    limits();
    scheduling();
    timers();
    locks();
    process();
    link_to("directory", "/proc/self/cwd");
    link_to("root", "/proc/self/root");
    namespaces();
    environment();
    return ferror(out) || fclose(out) ? 121 : 0;
}
