/* cgroupdir.c - a control group of one's own, for a case (see cgroupdir.h) */
#define _GNU_SOURCE
#include "cgroupdir.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

/* The directory where a cgroup v2 hierarchy is mounted, or NULL. */
static char *mounted(void)
{
    FILE *f = fopen("/proc/self/mounts", "re");
    char line[1024], dir[256], type[64];
    char *found = NULL;

    while (f && !found && fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %255s %63s", dir, type) == 2 &&
            !strcmp(type, "cgroup2"))
            found = strdup(dir);
    if (f)
        fclose(f);
    return found;
}

static int make_group(struct xg_group *g, const char *root)
{
    snprintf(g->name, sizeof(g->name), "xlchild-test-%d", (int)getpid());
    snprintf(g->path, sizeof(g->path), "%.200s/%s", root, g->name);
    return mkdir(g->path, 0755);
}

int xg_try_new(struct xg_group *g)
{
    char *root = mounted();
    int saved = ENOENT;

    memset(g, 0, sizeof(*g));
    if (root && make_group(g, root) == 0) {
        free(root);
        return 0;
    }
    if (root)
        saved = errno;
    free(root);
    if (unshare(CLONE_NEWNS) == 0 &&
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
        g->own_mount = xt_tmpdir();
        if (mount("none", g->own_mount, "cgroup2", 0, NULL) == 0 &&
            make_group(g, g->own_mount) == 0)
            return 0;
        saved = errno;
        umount2(g->own_mount, MNT_DETACH);
        xt_tmpdir_remove(g->own_mount);
        g->own_mount = NULL;
    }
    errno = saved;
    return -1;
}

void xg_new(struct xg_group *g)
{
    if (xg_try_new(g) != 0)
        XT_SKIP("no cgroup v2 hierarchy to make a group in: %s",
                strerror(errno));
}

static int removed(void *user)
{
    struct xg_group *g = user;

    return rmdir(g->path) == 0;
}

void xg_end(struct xg_group *g)
{
    XT_EVENTUALLY(removed, g);
    if (g->own_mount) {
        XT_SYS(umount2(g->own_mount, MNT_DETACH));
        xt_tmpdir_remove(g->own_mount);
    }
}

int xg_set(const struct xg_group *g, const char *file, const char *text)
{
    char path[400];
    ssize_t n;
    int fd, saved;

    snprintf(path, sizeof(path), "%s/%s", g->path, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    saved = errno;
    close(fd);
    errno = saved;
    return n < 0 ? -1 : 0;
}
