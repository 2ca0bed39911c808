/* prepare.c - what the child's half needs, and ending what came to nothing
 *
 * Called by both ways of starting. Next: child_setup.c in the child.
 */
#define _GNU_SOURCE
#include "start/prepare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/facility.h"

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

int xl_prepare(const struct xl_start_request *request, struct xl_prepared *p)
{
    static const char procs[] = "/cgroup.procs";
    const libxl_childproc_spec *spec = request->spec;
    struct xl_child_setup *im = &p->image;
    size_t nops = xl_fdplan_max_ops(spec->nfds);
    size_t ops_size = nops * sizeof(struct xl_fd_op);
    size_t scratch_size = (spec->nfds + 3) * sizeof(libxl_childproc_fd);
    size_t cgroup_size =
        spec->cgroup != NULL ? strlen(spec->cgroup) + sizeof procs : 0;
    char *block = xl_sys.malloc(ops_size + scratch_size + cgroup_size);

    if (block == NULL)
        return -1;
    p->block = block;
    im->spec = spec;
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
    xl_fdplan_make(spec->fds, spec->nfds, im->error_fd,
                   (spec->flags & LIBXL_SPAWN_KEEP_FDS) ? above_all_fds() : -1,
                   (libxl_childproc_fd *)(void *)(block + ops_size),
                   (struct xl_fd_op *)(void *)block, &im->fds);
    im->no_close_range = !(xl_facilities() & LIBXL_FACILITY_CLOSE_RANGE);
    return 0;
}

void xl_start_bury(pid_t pid, int pidfd)
{
    siginfo_t info;
    int r;

    do
        r = pidfd >= 0
                ? xl_sys.waitid(XL_P_PIDFD, (id_t)pidfd, &info, WEXITED, NULL)
                : xl_sys.waitid(P_PID, (id_t)pid, &info, WEXITED, NULL);
    while (r != 0 && errno == EINTR);
    if (r != 0 && errno != ECHILD) /* waiting by pidfd is refused */
        r = xl_sys.waitid(P_PID, (id_t)pid, &info, WEXITED, NULL);
    if (r != 0)
        xl_registry_settle(); /* somebody else's wait has it; let it look */
    xl_close(pidfd);
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
