/* child_given.c - what a child was given: fds, ids, limits, places
 *
 * See child_given.h. Next: child_says.c.
 */
#define _GNU_SOURCE
#include "child_given.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child_says.h"

extern char **environ;

static const struct {
    const char *name;
    int number;
} limits[] = {
    {"NOFILE", RLIMIT_NOFILE},   {"CORE", RLIMIT_CORE},
    {"CPU", RLIMIT_CPU},         {"FSIZE", RLIMIT_FSIZE},
    {"DATA", RLIMIT_DATA},       {"STACK", RLIMIT_STACK},
    {"AS", RLIMIT_AS},           {"NPROC", RLIMIT_NPROC},
    {"MEMLOCK", RLIMIT_MEMLOCK},
};

void print_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    char seen[4096] = {0};

    if (!d)
        fail("/proc/self/fd");
    while ((e = readdir(d))) {
        int fd = atoi(e->d_name);

        if (e->d_name[0] != '.' && fd != dirfd(d) && fd < (int)sizeof(seen))
            seen[fd] = 1;
    }
    closedir(d);
    for (int fd = 0; fd < (int)sizeof(seen); fd++)
        if (seen[fd])
            print(1, "%d\n", fd);
}

void print_fd_target(int fd)
{
    char path[64], target[PATH_MAX];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        print(1, "closed\n");
    else
        print(1, "%.*s\n", (int)n, target);
}

void print_fd_same(int a, int b)
{
    struct stat x, y;

    print(1, "%s\n",
          !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev &&
                  x.st_ino == y.st_ino
              ? "same"
              : "different");
}

void print_link(const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0)
        fail(path);
    print(1, "%.*s\n", (int)n, target);
}

void print_cwd(void)
{
    char path[PATH_MAX];

    if (!getcwd(path, sizeof(path)))
        fail("getcwd");
    print(1, "%s\n", path);
}

void print_env(void)
{
    for (char **e = environ; *e; e++)
        print(1, "%s\n", *e);
}

void print_ids(void)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg, groups[256];
    int n;

    if (getresuid(&ru, &eu, &su) || getresgid(&rg, &eg, &sg) ||
        (n = getgroups(256, groups)) < 0)
        fail("ids");
    print(1, "uid %u %u %u\n", ru, eu, su);
    print(1, "gid %u %u %u\n", rg, eg, sg);
    print(1, "groups");
    for (int i = 0; i < n; i++)
        print(1, " %u", groups[i]);
    print(1, "\n");
}

void print_session(void)
{
    print(1, "sid %s\n", getsid(0) == getpid() ? "self" : "other");
    print(1, "group %s\n", getpgrp() == getpid() ? "self" : "other");
}

void print_tty(void)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);

    print(1, "%s\n", tty >= 0 ? "yes" : "no");
    if (tty >= 0)
        close(tty);
}

static void print_one_limit(rlim_t n, const char *end)
{
    if (n == RLIM_INFINITY)
        print(1, "inf%s", end);
    else
        print(1, "%llu%s", (unsigned long long)n, end);
}

void print_limit(const char *name)
{
    int resource = -1;
    struct rlimit limit;
    char *end;

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (!strcmp(limits[i].name, name))
            resource = limits[i].number;
    if (resource < 0) {
        resource = (int)strtol(name, &end, 10);
        if (*end || end == name)
            fail("the name of a limit");
    }
    if (getrlimit(resource, &limit))
        fail("getrlimit");
    print_one_limit(limit.rlim_cur, " ");
    print_one_limit(limit.rlim_max, "\n");
}

void print_umask(void)
{
    mode_t mask = umask(0);

    umask(mask);
    print(1, "%03o\n", mask);
}

void print_cgroup(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[4096];

    if (!f)
        fail("/proc/self/cgroup");
    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, "0::", 3))
            print(1, "%s", line + 3);
    fclose(f);
}
