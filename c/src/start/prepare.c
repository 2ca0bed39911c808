/* prepare.c - what the child's half needs, and ending what came to nothing
 *
 * Called by both ways of starting. Next: child_setup.c in the child.
 */
#define _GNU_SOURCE
#include "start/prepare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/facility.h"
#include "kernel/identity.h"

extern char **environ;

static const char *program(const libxl_childproc_spec *spec)
{
    const char *const *argv = spec->argv;

    return spec->path != NULL ? spec->path : argv[0];
}

static const char *search_path(const libxl_childproc_spec *spec)
{
    const char *path = program(spec);
    const char *const *envp = spec->envp;
    const char *found = spec->search_path;
    size_t i;

    if (!(spec->flags & LIBXL_SPAWN_SEARCH_PATH) || strchr(path, '/') != NULL)
        return NULL;
    for (i = 0; found == NULL && envp != NULL && envp[i] != NULL; i++)
        if (strncmp(envp[i], "PATH=", 5) == 0)
            found = envp[i] + 5;
    if (found == NULL)
        found = getenv("PATH");
    return found != NULL ? found : "/usr/bin:/bin";
}

/* The lowest fd number that the table cannot have reached, for passing use
 * where every fd that is open stays so. */
static int above_all_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1 << 20)
        return 1 << 20;
    return (int)limit.rlim_cur;
}

static size_t size_of_files(const struct xl_child_file *files)
{
    size_t size = 0;
    int i;

    for (i = 0; files != NULL && i < XL_CHILD_FILES; i++)
        if (files[i].path != NULL)
            size += strlen(files[i].path) + 1;
    if (files == NULL)
        return 0;
    size += XL_CHILD_FILES * sizeof *files;
    return (size + 15) / 16 * 16; /* what follows is aligned */
}

/* The child may go on when the caller has returned. */
static void copy_files(char *room, const struct xl_child_file *files,
                       struct xl_child_setup *im)
{
    struct xl_child_file *copy = (struct xl_child_file *)(void *)room;
    char *at = room + XL_CHILD_FILES * sizeof *copy;
    int i;

    if (files == NULL)
        return;
    im->files = copy;
    for (i = 0; i < XL_CHILD_FILES; i++) {
        size_t size = files[i].path != NULL ? strlen(files[i].path) + 1 : 0;

        copy[i].flags = files[i].flags;
        copy[i].path = size > 0 ? memcpy(at, files[i].path, size) : NULL;
        at += size;
    }
}

int xl_prepare(const struct xl_start_request *request, struct xl_prepared *p)
{
    static const char procs[] = "/cgroup.procs";
    const libxl_childproc_spec *spec = request->spec;
    struct xl_child_setup *im = &p->image;
    const libxl_childproc_fd *map =
        request->map != NULL ? request->map : spec->fds;
    size_t nmap = request->map != NULL ? request->nmap : spec->nfds;
    size_t nops = xl_fdplan_max_ops(nmap);
    size_t ops_size = nops * sizeof(struct xl_fd_op);
    size_t scratch_size = (nmap + 3) * sizeof(libxl_childproc_fd);
    size_t cgroup_size =
        spec->cgroup != NULL ? strlen(spec->cgroup) + sizeof procs : 0;
    size_t files_size = size_of_files(request->files);
    char *block =
        xl_sys.malloc(files_size + ops_size + scratch_size + cgroup_size);

    if (block == NULL)
        return -1;
    p->block = block;
    copy_files(block, request->files, im);
    block += files_size;
    im->spec = spec;
    im->map = map;
    im->nmap = nmap;
    im->path = program(spec);
    im->argv = (char *const *)(uintptr_t)spec->argv;
    im->envp =
        spec->envp != NULL ? (char *const *)(uintptr_t)spec->envp : environ;
    im->search_path = search_path(spec);
    im->cwd = spec->cwd;
    if (spec->flags & LIBXL_SPAWN_SET_PDEATHSIG)
        im->parent = getpid();
    if (spec->cgroup != NULL) {
        char *path = block + ops_size + scratch_size;

        memcpy(path, spec->cgroup, cgroup_size - sizeof procs);
        memcpy(path + cgroup_size - sizeof procs, procs, sizeof procs);
        im->cgroup_procs = path;
    }
    xl_fdplan_make(map, nmap, im->error_fd,
                   (spec->flags & LIBXL_SPAWN_KEEP_FDS) ? above_all_fds() : -1,
                   (libxl_childproc_fd *)(void *)(block + ops_size),
                   (struct xl_fd_op *)(void *)block, &im->fds);
    if ((spec->flags & LIBXL_SPAWN_SET_CTTY) &&
        spec->ctty_fd > im->fds.highest_needed)
        im->fds.highest_needed = spec->ctty_fd; /* it may be in no map */
    im->no_close_range = !(xl_facilities() & LIBXL_FACILITY_CLOSE_RANGE);
    return 0;
}

void xl_start_runs(struct xl_start_request *request,
                   struct xl_registry_start *registered, pid_t pid, int pidfd)
{
    request->pid = pid;
    request->pidfd = pidfd;
    if (pidfd < 0)
        request->entry->mark = xl_identity_mark(pid, -1);
    request->news = xl_registry_start_end(registered, pid, pidfd);
    request->status = registered->status;
    if (request->news == XL_START_REAPED)
        request->rusage = registered->rusage;
}

int xl_start_failed(struct xl_start_request *request,
                    libxl_childproc_stage stage, int errnoval)
{
    request->failure.stage = stage;
    request->failure.errnoval = errnoval;
    request->failure.argument = NULL;
    errno = errnoval;
    if (stage == LIBXL_STAGE_PREPARE || stage == LIBXL_STAGE_FORK)
        return errnoval == ENOMEM ? ERROR_NOMEM : ERROR_SYSTEM;
    return ERROR_SPAWN;
}
