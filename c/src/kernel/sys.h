/* sys.h - every system call and allocation that can fail, in one table
 *
 * All of the parent's code calls the kernel and the allocator through `xl_sys`,
 * so that tests can make the Nth call of a kind fail. The child's half
 * (child_setup.c) does not: it must not read memory that somebody may change.
 * Nothing here retries or interprets; the callers do.
 */
#ifndef XL_SYS_H
#define XL_SYS_H

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

/* waitid's P_PIDFD, which older headers lack and newer ones have as an enum */
#define XL_P_PIDFD 3
/* pidfd_send_signal's flag for a group (Linux 6.9) */
#define XL_PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
/* a flag of xl_sys.clone3's own: no exit signal */
#define XL_CLONE_UNSEEN (UINT64_C(1) << 63)

/* The kernel's own signal set: libc's leaves some signals out. */
typedef struct xl_sigset {
    unsigned long bits[_NSIG / 8 / sizeof(unsigned long)];
} xl_sigset;

/* PIDFD_GET_INFO's exit part, as the callers need it. */
struct xl_exit_info {
    int known;  /* the kernel told the status */
    int status; /* as waitpid gives it */
    pid_t pid;  /* 0: it has been reaped, or is of another pid namespace */
};

struct xl_sys {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t n, size_t size);
    void *(*realloc)(void *old, size_t size);
    int (*pipe2)(int fds[2], int flags);
    int (*eventfd)(unsigned initial, int flags);
    int (*epoll_create1)(int flags);
    int (*epoll_ctl)(int epfd, int op, int fd, struct epoll_event *event);
    int (*epoll_wait)(int epfd, struct epoll_event *events, int max,
                      int timeout_ms);
    int (*poll)(struct pollfd *fds, nfds_t n, int timeout_ms);
    int (*timerfd_create)(int clock, int flags);
    int (*timerfd_settime)(int fd, int flags, const struct itimerspec *value,
                           struct itimerspec *old);
    int (*open)(const char *path, int flags, mode_t mode);
    int (*dupfd)(int fd, int min); /* F_DUPFD_CLOEXEC */
    /* what is read a line, or an entry, at a time; all close-on-exec */
    FILE *(*fopen)(const char *path, const char *mode);
    DIR *(*opendir)(const char *path);
    FILE *(*open_memstream)(char **ret_text, size_t *ret_size);
    ssize_t (*pread)(int fd, void *buffer, size_t size, off_t at);
    ssize_t (*read)(int fd, void *buffer, size_t size);
    ssize_t (*write)(int fd, const void *buffer, size_t size);
    void *(*mmap)(size_t size); /* anonymous, private, a stack */
    int (*sigaction)(int signo, const struct sigaction *new_action,
                     struct sigaction *ret_old);
    int (*sigprocmask)(int how, const xl_sigset *set, xl_sigset *ret_old);
    pid_t (*fork)(void);
    /* libc's clone: with CLONE_PIDFD *ret_pidfd is written by the kernel, and
     * with CLONE_CHILD_SETTID *child_word by the child, in shared memory; with
     * CLONE_CHILD_CLEARTID it is 0 when the child has left that. tls is for
     * CLONE_SETTLS. */
    pid_t (*clone)(int (*fn)(void *), void *stack_top, int flags, void *arg,
                   int *ret_pidfd, void *tls, int *child_word);
    /* clone3 with CLONE_CLEAR_SIGHAND, and CLONE_INTO_CGROUP if cgroup >= 0.
     * With CLONE_PARENT_SETTID the kernel writes *ret_pid before the child
     * runs; with CLONE_CHILD_CLEARTID it writes 0 to *until_exec when the
     * child executes a program or ends. */
    pid_t (*clone3)(int (*fn)(void *), void *stack, size_t stack_size,
                    uint64_t flags, void *arg, int *ret_pidfd, int *ret_pid,
                    atomic_int *until_exec, int cgroup);
    /* While *word is value; shared with the kernel, as *until_exec is */
    int (*futex_wait)(atomic_int *word, int value, int timeout_ms);
    int (*waitid)(int idtype, id_t id, siginfo_t *ret_info, int options,
                  struct rusage *ret_rusage);
    int (*pidfd_open)(pid_t pid, unsigned flags);
    int (*pidfd_send_signal)(int pidfd, int signo, unsigned flags);
    int (*pidfd_exit_info)(int pidfd, struct xl_exit_info *ret_info);
    int (*kill)(pid_t pid, int signo);
    int (*setpgid)(pid_t pid, pid_t group);
    int (*pthread_create)(pthread_t *ret_thread, const pthread_attr_t *attr,
                          void *(*fn)(void *), void *arg);
    /* cannot fail, but a simulated kernel has a time of its own */
    int (*clock_gettime)(clockid_t clock, struct timespec *ret_time);
};

extern struct xl_sys xl_sys;

/* Nothing useful can be done when these fail. */
/* What CLONE_SETTLS takes for a child on that stack, given by its lowest
 * address. */
void *xl_child_tls(void *stack);
void xl_free(void *memory);
void xl_close(int fd); /* -1: nothing */
void xl_munmap(void *at, size_t size);

void xl_sigset_fill(xl_sigset *set);
void xl_sigset_empty(xl_sigset *set);
int xl_sigset_has(const xl_sigset *set, int signo);
void xl_sigset_add(xl_sigset *set, int signo);
void xl_sigset_remove(xl_sigset *set, int signo);
/* The kernel's set from libc's. */
void xl_sigset_from(xl_sigset *ret_set, const sigset_t *set);

/* Puts a disposition back exactly as the kernel had it. */
int xl_sigaction_restore(int signo, const struct sigaction *action);

/* True under valgrind, and ThreadSanitizer, which follow a fork but not a
 * shared-memory clone. */
int xl_on_valgrind(void);

#endif
