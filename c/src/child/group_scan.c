/* group_scan.c - does anybody live in a process group, or are they zombies?
 *
 * Called by family.c, without the lock. To the kernel a zombie is a member
 * like any other, and some inits take seconds to reap. /proc tells them apart.
 */
#define _GNU_SOURCE
#include "child/group_scan.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/sys.h"

/* 1: it lives in the group; 0: it is a zombie of it; -1: it is not in it. */
static int member(const char *pid, pid_t group)
{
    char path[64];
    char line[512];
    char *at;
    char state;
    FILE *f;
    size_t n;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    f = xl_sys.fopen(path, "re");
    if (f == NULL)
        return -1;
    n = fread(line, 1, sizeof line - 1, f);
    (void)fclose(f);
    line[n] = '\0';
    at = strrchr(line, ')'); /* a program's name may have one, too */
    if (at == NULL || strlen(at) < 4)
        return -1;
    state = at[2];
    (void)strtol(at + 3, &at, 10); /* its parent */
    if (strtol(at, NULL, 10) != group)
        return -1;
    return state != 'Z' && state != 'X';
}

static int scan(pid_t group)
{
    DIR *proc = xl_sys.opendir("/proc");
    struct dirent *entry;
    int found = -1;

    if (proc == NULL)
        return -1;
    while (found != 1 && (entry = readdir(proc)) != NULL) {
        int m = entry->d_name[0] >= '1' && entry->d_name[0] <= '9'
                    ? member(entry->d_name, group)
                    : -1;

        if (m > found)
            found = m;
    }
    (void)closedir(proc);
    return found;
}

int xl_group_lives(pid_t group)
{
    int found = group > 1 ? scan(group) : -1;

    /* somebody may have been born behind our back */
    return found == 0 ? scan(group) : found;
}
