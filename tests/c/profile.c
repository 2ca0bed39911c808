/* profile.c - runs a program under a container's seccomp profile
 *
 *     profile container|container-2020|container-2018 -- PROGRAM [ARGS...]
 *
 * Such a profile lets pass what it lists, and refuses everything else with
 * EPERM: also system calls that are younger than it. The first is as Docker's
 * default is now, for a process without capabilities, where clone3 alone is
 * ENOSYS; the others lack what came later. Written from what those profiles
 * let pass. Stands before the single programs of faults_container.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No namespaces for whoever has no CAP_SYS_ADMIN. */
#define CLONE_NAMESPACES 0x7E020000

/* Separated by blanks. */
static const char listed[] =
    "accept accept4 access adjtimex alarm arch_prctl bind brk capget capset "
    "chdir chmod chown clock_adjtime clock_getres clock_gettime "
    "clock_nanosleep close connect copy_file_range creat dup dup2 dup3 "
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd "
    "eventfd2 execve execveat exit exit_group faccessat fadvise64 fallocate "
    "fanotify_mark fchdir fchmod fchmodat fchown fchownat fcntl fdatasync "
    "fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs "
    "fsync ftruncate futex futimesat getcpu getcwd getdents getdents64 "
    "getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp "
    "getpid getppid getpriority getrandom getresgid getresuid getrlimit "
    "get_robust_list getrusage getsid getsockname getsockopt gettid "
    "gettimeofday getuid getxattr inotify_add_watch inotify_init "
    "inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents "
    "io_setup io_submit ioprio_get ioprio_set ipc kill lchown lgetxattr link "
    "linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat "
    "madvise membarrier memfd_create mincore mkdir mkdirat mknod mknodat "
    "mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open "
    "mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv "
    "msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat "
    "pause pipe pipe2 poll ppoll prctl pread64 preadv preadv2 prlimit64 "
    "pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr "
    "rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getattr "
    "sched_getparam sched_get_priority_max sched_get_priority_min "
    "sched_getscheduler sched_rr_get_interval sched_setaffinity "
    "sched_setattr sched_setparam sched_setscheduler sched_yield seccomp "
    "select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto "
    "setfsgid setfsuid setgid setgroups setitimer setpgid setpriority "
    "setregid setresgid setresuid setreuid setrlimit set_robust_list setsid "
    "setsockopt set_tid_address setuid setxattr shmat shmctl shmdt shmget "
    "shutdown sigaltstack signalfd signalfd4 socket socketpair splice stat "
    "statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee "
    "tgkill time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill "
    "truncate umask uname unlink unlinkat utime utimensat utimes vfork "
    "vmsplice wait4 waitid waitpid write writev";
/* Later, in two steps. */
static const char later[] = "pidfd_open pidfd_send_signal pidfd_getfd";
static const char latest[] =
    "close_range epoll_pwait2 faccessat2 fchmodat2 futex_waitv "
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    "memfd_secret openat2 process_mrelease";

static void die(const char *what, int e)
{
    fprintf(stderr, "profile: %s: %s\n", what, strerror(e));
    exit(125);
}

static void check(int r)
{
    if (r)
        die("seccomp", -r);
}

/* What this machine's libseccomp has no name for is refused. */
static void let_pass(scmp_filter_ctx filter, const char *calls)
{
    char *copy = strdup(calls), *rest = copy, *name;

    while ((name = strsep(&rest, " "))) {
        int call = seccomp_syscall_resolve_name(name);

        if (call >= 0)
            check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0));
    }
    free(copy);
}

static void special(scmp_filter_ctx filter, int now)
{
    static const unsigned long personalities[] = {0, 8, 0x20000, 0x20008,
                                                  0xffffffff};

    for (size_t i = 0; i < sizeof(personalities) / sizeof(personalities[0]);
         i++)
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                               SCMP_A0(SCMP_CMP_EQ, personalities[i])));
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NAMESPACES, 0)));
    /* its flags are in memory, where no filter looks */
    if (now)
        check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3),
                               0));
}

int main(int argc, char **argv)
{
    static const char *const profiles[] = {"container-2018", "container-2020",
                                           "container"};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    size_t age = 0;

    while (argc > 1 && age < 3 && strcmp(argv[1], profiles[age]))
        age++;
    if (argc < 4 || age == 3 || strcmp(argv[2], "--")) {
        fprintf(stderr, "usage: profile container|container-2020|"
                        "container-2018 -- PROGRAM [ARGS...]\n");
        return 125;
    }
    if (!filter)
        die("seccomp_init", ENOMEM);
    let_pass(filter, listed);
    if (age >= 1)
        let_pass(filter, later);
    if (age >= 2)
        let_pass(filter, latest);
    special(filter, age >= 2);
    check(seccomp_load(filter));
    seccomp_release(filter);
    execvp(argv[3], argv + 3);
    die(argv[3], errno);
}
