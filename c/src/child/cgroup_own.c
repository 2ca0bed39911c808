/* cgroup_own.c - a cgroup of the library's own: made, and removed
 *
 * Called by api/families.c (made) and cgroup_due.c (removed), without the lock.
 * Below the cgroup of the process itself, or where the host says. A name is
 * tried until it is free: what an earlier process of this pid has left is not
 * ours.
 */
#define _GNU_SOURCE
#include "child/cgroup_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ctx/process.h"
#include "kernel/own.h"
#include "kernel/sys.h"

#define CGROUP2_MAGIC 0x63677270
#define LONGEST 4000 /* spec.c takes 4064 */
#define TRIES 1000
#define DEEPEST 16

/* ---- where this process is ---------------------------------------------- */

static char *joined(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    char *path;

    if (na + nb >= LONGEST)
        return NULL;
    path = xl_sys.malloc(na + nb + 1);
    if (path != NULL)
        snprintf(path, na + nb + 1, "%s%s", a, b);
    return path;
}

/* The rest of the first line that begins so, without its newline; or NULL. */
static char *line_after(const char *file, const char *beginning)
{
    size_t n = strlen(beginning);
    FILE *f = xl_sys.fopen(file, "re");
    char *line = NULL, *found = NULL;
    size_t room = 0;

    if (f == NULL)
        return NULL;
    while (found == NULL && getline(&line, &room, f) > 0)
        if (strncmp(line, beginning, n) == 0) {
            line[strcspn(line, "\n")] = '\0';
            found = strdup(line + n);
        }
    free(line);
    (void)fclose(f);
    return found;
}

/* Of a line of /proc/self/mountinfo: fields 4 and 5, where it is a cgroup v2.
 * A path with blanks is written in octal, and left alone. */
static int is_cgroup2(char *line, const char **ret_root, const char **ret_at)
{
    char *fields[5];
    char *rest = NULL;
    int i;

    if (strstr(line, " - cgroup2 ") == NULL)
        return 0;
    for (i = 0; i < 5; i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        if (fields[i] == NULL)
            return 0;
    }
    *ret_root = fields[3];
    *ret_at = fields[4];
    return strchr(fields[3], '\\') == NULL && strchr(fields[4], '\\') == NULL;
}

/* What is below that root of the hierarchy; NULL: it is not. */
static const char *below(const char *root, const char *path)
{
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

    return strncmp(root, path, n) == 0 && (path[n] == '/' || path[n] == '\0')
               ? path + n
               : NULL;
}

/* The directory of that cgroup, to be freed; NULL: not to be found. */
static char *directory_of(const char *path)
{
    FILE *mounts = xl_sys.fopen("/proc/self/mountinfo", "re");
    const char *root, *at, *rest;
    char *line = NULL, *found = NULL;
    size_t room = 0;

    while (mounts != NULL && found == NULL &&
           getline(&line, &room, mounts) > 0)
        if (is_cgroup2(line, &root, &at) && (rest = below(root, path)) != NULL)
            found = joined(at, rest);
    free(line);
    if (mounts != NULL)
        (void)fclose(mounts);
    return found;
}

/* What was found out last, and worked: the cgroup and, behind its NUL, its
 * directory. Whoever uses it takes it, so that no lock is needed. */
static _Atomic(char *) last_own;

static char *take_last(const char *path)
{
    char *last = atomic_exchange(&last_own, NULL);

    if (last == NULL || strcmp(last, path) == 0)
        return last;
    xl_free(last);
    return NULL;
}

static void give_last(char *last)
{
    xl_free(atomic_exchange(&last_own, last));
}

static char *last_of(const char *path, const char *directory)
{
    size_t np = strlen(path) + 1, nd = strlen(directory) + 1;
    char *last = xl_sys.malloc(np + nd);

    if (last != NULL) {
        memcpy(last, path, np);
        memcpy(last + np, directory, nd);
    }
    return last;
}

/* ---- making ------------------------------------------------------------- */

static int on_cgroup2(const char *directory)
{
    struct statfs fs;

    return statfs(directory, &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

static char *make_directory(const char *parent)
{
    static atomic_uint last;
    char name[64];
    char *path;
    int i;

    for (i = 0; i < TRIES; i++) {
        snprintf(name, sizeof name, "/xlchild-%d-%u", (int)getpid(),
                 atomic_fetch_add(&last, 1) + 1);
        path = joined(parent, name);
        if (path == NULL || mkdir(path, 0755) == 0)
            return path;
        xl_free(path);
        if (errno != EEXIST)
            break;
    }
    return NULL;
}

/* Of a file in the new cgroup. */
static int open_in(const char *directory, const char *name, int flags)
{
    char *path = joined(directory, name);
    int saved;
    int fd;

    if (path == NULL)
        return -1;
    xl_process_lock();
    fd = xl_own(xl_sys.open(path, flags | O_CLOEXEC, 0));
    saved = errno;
    xl_process_unlock();
    xl_free(path);
    errno = saved;
    return fd;
}

/* A child can be started in it: it is none for threads, and we may. */
static int takes_children(const char *path)
{
    char type[32] = "";
    int fd = open_in(path, "/cgroup.type", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : xl_sys.read(fd, type, sizeof type - 1);

    xl_own_close(fd);
    if (n < 0)
        return 0;
    errno = 0;
    if (strncmp(type, "domain\n", 7) != 0)
        return 0;
    fd = open_in(path, "/cgroup.procs", O_WRONLY);
    xl_own_close(fd);
    return fd >= 0;
}

static char *make_below(const char *parent, int *ret_events_fd,
                        const char **ret_why)
{
    char *path;
    int saved;

    if (!on_cgroup2(parent)) {
        *ret_why = "the parent directory is of no cgroup v2";
        return NULL;
    }
    path = make_directory(parent);
    if (path == NULL) {
        *ret_why = errno == EACCES || errno == EPERM || errno == EROFS
                       ? "this process has no right to make a cgroup"
                       : "the kernel refuses to make a cgroup";
        return NULL;
    }
    if (!takes_children(path)) {
        *ret_why = "no child may be started in a cgroup that is made here";
    } else {
        *ret_events_fd = open_in(path, "/cgroup.events", O_RDONLY);
        if (*ret_events_fd >= 0)
            return path;
        *ret_why = "a cgroup's events cannot be read";
    }
    saved = errno;
    (void)rmdir(path);
    xl_free(path);
    errno = saved;
    return NULL;
}

/* As the last time: no more is asked than what is done. NULL: it is not. */
static char *make_again(const char *last, int *ret_events_fd)
{
    char *path = make_directory(last + strlen(last) + 1);

    if (path == NULL)
        return NULL;
    *ret_events_fd = open_in(path, "/cgroup.events", O_RDONLY);
    if (*ret_events_fd >= 0)
        return path;
    (void)rmdir(path);
    xl_free(path);
    return NULL;
}

static char *make_below_own(const char *own, int *ret_events_fd,
                            const char **ret_why)
{
    char *last = take_last(own);
    char *directory, *path;

    if (last != NULL) {
        path = make_again(last, ret_events_fd);
        if (path != NULL) {
            give_last(last);
            return path;
        }
        xl_free(last);
    }
    directory = directory_of(own);
    if (directory == NULL) {
        *ret_why = "no cgroup v2 is mounted that this process is in";
        return NULL;
    }
    path = make_below(directory, ret_events_fd, ret_why);
    if (path != NULL)
        give_last(last_of(own, directory));
    xl_free(directory);
    return path;
}

/* It may be there another time. */
static int is_short(int errnoval)
{
    return errnoval == EMFILE || errnoval == ENFILE || errnoval == ENOMEM ||
           errnoval == EAGAIN || errnoval == ENOSPC;
}

char *xl_cgroup_make(const char *parent, int *ret_events_fd,
                     const char **ret_why)
{
    char *own, *path = NULL;
    int saved;

    errno = 0;
    own = parent == NULL ? line_after("/proc/self/cgroup", "0::") : NULL;
    if (parent != NULL)
        path = make_below(parent, ret_events_fd, ret_why);
    else if (own != NULL)
        path = make_below_own(own, ret_events_fd, ret_why);
    else
        *ret_why = "this process is in no cgroup v2";
    saved = errno;
    xl_free(own);
    if (path == NULL && is_short(saved))
        *ret_why = NULL;
    errno = saved;
    return path;
}

/* ---- emptiness, and removing -------------------------------------------- */

int xl_cgroup_is_empty(int events_fd)
{
    char text[256];
    ssize_t n = xl_sys.pread(events_fd, text, sizeof text - 1, 0);

    if (n < 0)
        return errno == ENODEV; /* somebody has removed it */
    text[n] = '\0';
    return strstr(text, "populated 0") != NULL;
}

static int remove_below(const char *path, int depth)
{
    struct dirent *entry;
    DIR *dir;

    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -1;
    dir = depth < DEEPEST ? xl_sys.opendir(path) : NULL;
    if (dir == NULL)
        return -1;
    while ((entry = readdir(dir)) != NULL) {
        char *slashed, *inner;

        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        slashed = joined(path, "/");
        inner = slashed != NULL ? joined(slashed, entry->d_name) : NULL;
        if (inner != NULL)
            (void)remove_below(inner, depth + 1);
        xl_free(inner);
        xl_free(slashed);
    }
    (void)closedir(dir);
    return rmdir(path);
}

int xl_cgroup_remove(const char *path)
{
    return remove_below(path, 0);
}
