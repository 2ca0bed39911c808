/* world.c - runs a program where the kernel refuses some of its facilities
 *
 *     world NAME[,NAME...] ENOSYS|EPERM -- PROGRAM [ARGS...]
 *     world --list
 *
 * Installs a seccomp filter that answers the calls of each named world with
 * the error, as older kernels (ENOSYS) and container policies (EPERM) do,
 * and executes the program. Stands before the test runner (XT_WRAP in
 * build.mk, check-worlds in treaty.mk) and before single programs
 * (world_worlds.c).
 *
 * clone3 cannot be looked into by a filter. Worlds that refuse a flag of
 * clone therefore refuse clone3 as a whole, and always with ENOSYS: with
 * EPERM the C library's own thread creation fails, which is not what these
 * worlds are about. Only the world no-clone3 itself takes the error as given.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#define WORLD_P_PIDFD 3
#define WORLD_UNSHARE 2
/* PIDFD_GET_INFO without its size, which grows: _IO(0xFF, 11)'s low bits. */
#define WORLD_GET_INFO 0xFF0B

/* What is refused, as bits. */
enum {
    PIDFD_OPEN = 1,
    CLONE_WITH_PIDFD = 2,
    WAITID_PIDFD = 4,
    SEND_SIGNAL = 8,
    CLONE3 = 16,
    CLOSE_RANGE = 32,
    UNSHARE_RANGE = 64,
    EXIT_INFO = 128
};

static const struct {
    const char *name;
    unsigned refused;
    const char *like;
} worlds[] = {
    {"no-pidfd-open", PIDFD_OPEN, "Linux 5.2"},
    {"no-clone-pidfd", CLONE_WITH_PIDFD, "a policy about clone"},
    {"no-waitid-pidfd", WAITID_PIDFD, "Linux 5.3"},
    {"no-send-signal", SEND_SIGNAL, "a policy about signals"},
    {"no-pidfd",
     PIDFD_OPEN | CLONE_WITH_PIDFD | WAITID_PIDFD | SEND_SIGNAL | EXIT_INFO,
     "Linux 5.0"},
    {"no-clone3", CLONE3, "Linux 5.2, and container policies since"},
    {"no-close-range", CLOSE_RANGE, "Linux 5.8"},
    {"no-unshare-range", UNSHARE_RANGE, "a policy about sharing"},
    {"no-exit-info", EXIT_INFO, "Linux 6.14"},
    {"bare",
     PIDFD_OPEN | CLONE_WITH_PIDFD | WAITID_PIDFD | SEND_SIGNAL | CLONE3 |
         CLOSE_RANGE | EXIT_INFO,
     "Linux 4.19"},
};
#define N_WORLDS (sizeof(worlds) / sizeof(worlds[0]))

static void die(const char *what, int e)
{
    fprintf(stderr, "world: %s: %s\n", what, strerror(e));
    exit(125);
}

static void refuse(scmp_filter_ctx filter, int e, int call, unsigned n,
                   struct scmp_arg_cmp cmp)
{
    int r = n ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(e), call, 1, cmp)
              : seccomp_rule_add(filter, SCMP_ACT_ERRNO(e), call, 0);

    if (r)
        die("seccomp_rule_add", -r);
}

static void build(scmp_filter_ctx filter, unsigned refused, int e)
{
    struct scmp_arg_cmp none = SCMP_A0(SCMP_CMP_EQ, 0);
    int clone3_error = refused & CLONE3 ? e : ENOSYS;

    if ((refused & CLONE3) && (refused & ~CLONE3))
        clone3_error = ENOSYS;
    if (refused & (CLONE3 | CLONE_WITH_PIDFD))
        refuse(filter, clone3_error, SYS_clone3, 0, none);
    if (refused & CLONE_WITH_PIDFD)
        refuse(filter, e, SYS_clone, 1,
               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_PIDFD, CLONE_PIDFD));
    if (refused & PIDFD_OPEN)
        refuse(filter, e, SYS_pidfd_open, 0, none);
    if (refused & SEND_SIGNAL)
        refuse(filter, e, SYS_pidfd_send_signal, 0, none);
    if (refused & WAITID_PIDFD)
        refuse(filter, e, SYS_waitid, 1, SCMP_A0(SCMP_CMP_EQ, WORLD_P_PIDFD));
    if (refused & CLOSE_RANGE)
        refuse(filter, e, SYS_close_range, 0, none);
    else if (refused & UNSHARE_RANGE)
        refuse(filter, e, SYS_close_range, 1,
               SCMP_A2(SCMP_CMP_MASKED_EQ, WORLD_UNSHARE, WORLD_UNSHARE));
    if (refused & EXIT_INFO)
        refuse(filter, e, SYS_ioctl, 1,
               SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFF, WORLD_GET_INFO));
}

static unsigned find(char *names)
{
    unsigned refused = 0;
    char *name;

    while ((name = strsep(&names, ","))) {
        size_t i;

        for (i = 0; i < N_WORLDS && strcmp(worlds[i].name, name); i++)
            ;
        if (i == N_WORLDS) {
            fprintf(stderr, "world: no such world: %s\n", name);
            exit(125);
        }
        refused |= worlds[i].refused;
    }
    return refused;
}

int main(int argc, char **argv)
{
    scmp_filter_ctx filter;
    unsigned refused;
    int e, r;

    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < N_WORLDS; i++)
            printf("%s\tlike %s\n", worlds[i].name, worlds[i].like);
        return 0;
    }
    if (argc < 5 || strcmp(argv[3], "--") ||
        (strcmp(argv[2], "ENOSYS") && strcmp(argv[2], "EPERM"))) {
        fprintf(stderr, "usage: world NAME[,NAME...] ENOSYS|EPERM -- PROGRAM"
                        " [ARGS...]\n       world --list\n");
        return 125;
    }
    e = strcmp(argv[2], "EPERM") ? ENOSYS : EPERM;
    refused = find(argv[1]);
    filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        die("seccomp_init", ENOMEM);
    build(filter, refused, e);
    r = seccomp_load(filter);
    if (r)
        die("seccomp_load", -r);
    seccomp_release(filter);
    execvp(argv[4], argv + 4);
    die(argv[4], errno);
}
