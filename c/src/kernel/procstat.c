/* procstat.c - what /proc/PID/stat and the kernel's refusals tell of a process
 *
 * See procstat.h. Everything here goes by a number: who asks knows whose it is,
 * or asks afterwards.
 */
#define _GNU_SOURCE
#include "kernel/procstat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/sys.h"

#define FIELD_FLAGS 9
#define FORKED_AND_NOT_EXECUTED 0x40 /* the kernel's PF_FORKNOEXEC */

/* More processes than the kernel can ever have: nobody's group. */
#define NO_GROUP INT_MAX

/* The second field is in parentheses and may contain anything. */
static int parse(const char *stat, int field, uint64_t *ret_value)
{
    const char *at = strrchr(stat, ')');
    int i;

    if (at == NULL)
        return -1;
    for (i = 2; i < field; i++) {
        at = strchr(at + 1, ' ');
        if (at == NULL)
            return -1;
    }
    *ret_value = strtoull(at + 1, NULL, 10);
    return 0;
}

int xl_procstat_field(pid_t pid, int field, uint64_t *ret_value)
{
    char path[32];
    char stat[512]; /* comm has 15 characters, the numbers before it 20 */
    ssize_t n;
    int saved;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = xl_sys.open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    n = xl_sys.read(fd, stat, sizeof stat - 1);
    saved = n == 0 ? ESRCH : errno;
    xl_close(fd);
    errno = saved;
    if (n <= 0)
        return -1;
    stat[n] = '\0';
    errno = EPROTO;
    return parse(stat, field, ret_value);
}

int xl_procstat_executed(pid_t pid)
{
    uint64_t flags;

    if (pid <= 1)
        return -1;
    /* POSIX has the kernel refuse it in these words for a child that has
     * executed a program; into a group that is not it never succeeds. A child
     * in a session of its own is refused in others. */
    if (xl_sys.setpgid(pid, NO_GROUP) != 0 && errno == EACCES)
        return 1;
    if (xl_procstat_field(pid, FIELD_FLAGS, &flags) != 0)
        return -1;
    return (flags & FORKED_AND_NOT_EXECUTED) == 0;
}
