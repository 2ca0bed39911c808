/* spec.c - a spec: its defaults, and whether it can be started at all
 *
 * Called by the host (defaults), and by spawn.c, exec.c and adopt.c before
 * anything is done. Only what is wrong
 * with the spec itself: what the kernel may say is found out by the child.
 */
#define _GNU_SOURCE
#include "start/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/sized.h"
#include "start/child_setup.h"

static void defaults(libxl_childproc_spec *spec)
{
    memset(spec, 0, sizeof *spec);
    spec->size = sizeof *spec;
    spec->ctty_fd = -1;
    spec->exited_grace_ms = 1000;
}

void libxl_childproc_spec_init_sized(libxl_childproc_spec *spec, size_t size)
{
    libxl_childproc_spec own;

    defaults(&own);
    own.size = size;
    xl_sized_give(spec, size, &own, sizeof own);
}

static int known_flags(unsigned flags)
{
    return (flags & ~((LIBXL_SPAWN_ACCOUNT << 1) - 1)) == 0;
}

static const char *bad_fds(const libxl_childproc_spec *spec)
{
    size_t i, j;

    if (spec->nfds > 65536 || (spec->nfds > 0 && spec->fds == NULL))
        return "fds";
    for (i = 0; i < spec->nfds; i++) {
        if (spec->fds[i].target < 0 || spec->fds[i].target >= 1 << 20 ||
            spec->fds[i].source < LIBXL_FD_CLOSED || spec->fds[i].source == -1)
            return "fds";
        for (j = 0; j < i; j++)
            if (spec->fds[j].target == spec->fds[i].target)
                return "fds";
    }
    return NULL;
}

static int bad_signal(int signo)
{
    return signo < 0 || signo >= _NSIG;
}

static const char *bad_member(const libxl_childproc_spec *spec)
{
    const char *const *argv = spec->argv;
    unsigned flags = spec->flags;
    size_t i;

    if (argv == NULL || argv[0] == NULL)
        return "argv";
    if (spec->path != NULL ? spec->path[0] == '\0' : argv[0][0] == '\0')
        return spec->path != NULL ? "path" : "argv";
    if (!known_flags(flags))
        return "flags";
    if ((flags & LIBXL_SPAWN_JOIN_GROUP) &&
        (flags & (LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                  LIBXL_SPAWN_SET_CTTY)))
        return "flags";
    if ((flags & LIBXL_SPAWN_JOIN_GROUP) && spec->group <= 1)
        return "group";
    if ((flags & LIBXL_SPAWN_REPORT_START) && !(flags & LIBXL_SPAWN_NOWAIT))
        return "flags";
    if ((flags & LIBXL_SPAWN_KEEP_GROUPS) && (flags & LIBXL_SPAWN_SET_GROUPS))
        return "flags";
    if ((flags & LIBXL_SPAWN_SET_GROUPS) && spec->ngroups > 0 &&
        spec->groups == NULL)
        return "groups";
    if ((flags & LIBXL_SPAWN_SET_UID) && spec->uid == (uid_t)-1)
        return "uid";
    if ((flags & LIBXL_SPAWN_SET_GID) && spec->gid == (gid_t)-1)
        return "gid";
    if ((flags & LIBXL_SPAWN_SET_UMASK) && (spec->umask & ~(mode_t)0777) != 0)
        return "umask";
    if ((flags & LIBXL_SPAWN_SET_NICE) && (spec->nice < -20 || spec->nice > 19))
        return "nice";
    if ((flags & LIBXL_SPAWN_SET_PDEATHSIG) && bad_signal(spec->pdeathsig))
        return "pdeathsig";
    if ((flags & LIBXL_SPAWN_SET_CTTY) && fcntl(spec->ctty_fd, F_GETFD) < 0)
        return "ctty_fd";
    if (spec->nrlimits > 0 && spec->rlimits == NULL)
        return "rlimits";
    for (i = 0; i < spec->nrlimits; i++)
        if (spec->rlimits[i].resource < 0 ||
            spec->rlimits[i].resource >= (int)RLIM_NLIMITS)
            return "rlimits";
    if (spec->cwd != NULL && spec->cwd[0] == '\0')
        return "cwd";
    if (spec->cgroup != NULL &&
        (spec->cgroup[0] != '/' || strlen(spec->cgroup) > XL_PATH_MAX - 32))
        return "cgroup";
    if (spec->on_free < LIBXL_FREE_DETACH || spec->on_free > LIBXL_FREE_LEAVE)
        return "on_free";
    if (bad_signal(spec->kill.first_signal) || spec->kill.grace_ms < 0 ||
        spec->kill.scope < LIBXL_KILL_PROCESS ||
        spec->kill.scope > LIBXL_KILL_CGROUP)
        return "kill";
    if (spec->kill.scope == LIBXL_KILL_GROUP &&
        !(flags & (LIBXL_SPAWN_NEW_GROUP | LIBXL_SPAWN_NEW_SESSION |
                   LIBXL_SPAWN_SET_CTTY)))
        return "kill";
    if (spec->kill.scope == LIBXL_KILL_CGROUP && spec->cgroup == NULL)
        return "kill";
    if (spec->exited_grace_ms < 0)
        return "exited_grace_ms";
    if (spec->reserved != 0)
        return "reserved";
    return bad_fds(spec);
}

/* NULL, or why it cannot be read. */
static const char *in_own_size(const libxl_childproc_spec **spec,
                               libxl_childproc_spec *room)
{
    if (*spec == NULL)
        return "spec";
    if ((*spec)->size == sizeof **spec)
        return NULL;
    defaults(room);
    if (xl_sized_take(room, sizeof *room, *spec, (*spec)->size,
                      XL_SIZE_WITH(libxl_childproc_spec, flags)) != 0)
        return "size";
    room->size = sizeof *room;
    *spec = room;
    return NULL;
}

int xl_spec_check(const libxl_childproc_spec **spec, libxl_childproc_spec *room,
                  libxl_childproc_failure *failure)
{
    const char *member = in_own_size(spec, room);

    if (member == NULL)
        member = bad_member(*spec);
    if (member == NULL)
        return 0;
    failure->stage = LIBXL_STAGE_ARGUMENT;
    failure->errnoval = 0;
    failure->argument = member;
    return ERROR_INVAL;
}

int xl_spec_sources(const libxl_childproc_spec *spec,
                    libxl_childproc_failure *failure)
{
    size_t i;

    for (i = 0; i < spec->nfds; i++) {
        if (spec->fds[i].source >= 0 &&
            fcntl(spec->fds[i].source, F_GETFD) < 0) {
            failure->stage = LIBXL_STAGE_FDS;
            failure->errnoval = errno;
            failure->argument = NULL;
            return ERROR_SPAWN;
        }
    }
    return 0;
}

/* ---- a copy ------------------------------------------------------------- */

/* Room that is handed out; without a base it is only added up. */
struct room {
    char *base;
    size_t used;
};

static void *take(struct room *room, const void *data, size_t size)
{
    size_t at = room->used;

    room->used += (size + 15) / 16 * 16;
    if (room->base == NULL)
        return NULL;
    return data == NULL ? NULL : memcpy(room->base + at, data, size);
}

static const char *take_string(struct room *room, const char *string)
{
    return string == NULL ? NULL : take(room, string, strlen(string) + 1);
}

static char **take_strings(struct room *room, char *const *strings)
{
    char **copy;
    size_t n = 0;
    size_t i;

    if (strings == NULL)
        return NULL;
    while (strings[n] != NULL)
        n++;
    copy = take(room, strings, (n + 1) * sizeof *strings);
    for (i = 0; i < n; i++) {
        const char *string = take_string(room, strings[i]);

        if (copy != NULL)
            copy[i] = (char *)(uintptr_t)string;
    }
    return copy;
}

static libxl_childproc_spec *lay_out(struct room *room,
                                     const libxl_childproc_spec *spec)
{
    libxl_childproc_spec copy = *spec;
    libxl_childproc_spec *at = take(room, spec, sizeof *spec);

    copy.path = take_string(room, spec->path);
    copy.argv = (void *)take_strings(room, (void *)(uintptr_t)spec->argv);
    copy.envp = (void *)take_strings(
        room, spec->envp != NULL ? (void *)(uintptr_t)spec->envp : environ);
    copy.search_path =
        take_string(room, spec->search_path == NULL && spec->envp == NULL
                              ? getenv("PATH")
                              : spec->search_path);
    copy.cwd = take_string(room, spec->cwd);
    copy.fds = take(room, spec->fds, spec->nfds * sizeof *spec->fds);
    copy.groups =
        take(room, spec->groups, spec->ngroups * sizeof *spec->groups);
    copy.rlimits =
        take(room, spec->rlimits, spec->nrlimits * sizeof *spec->rlimits);
    copy.sigmask = take(room, spec->sigmask,
                        spec->sigmask != NULL ? sizeof *spec->sigmask : 0);
    copy.sigignore =
        take(room, spec->sigignore,
             spec->sigignore != NULL ? sizeof *spec->sigignore : 0);
    copy.cgroup = take_string(room, spec->cgroup);
    if (at != NULL)
        *at = copy;
    return at;
}

libxl_childproc_spec *xl_spec_copy(const libxl_childproc_spec *spec)
{
    struct room room = {NULL, 0};

    (void)lay_out(&room, spec);
    room.base = xl_sys.malloc(room.used);
    if (room.base == NULL)
        return NULL;
    room.used = 0;
    return lay_out(&room, spec);
}

int xl_report_ok(const libxl_childproc_report *report)
{
    return report == NULL || (report->kind >= LIBXL_REPORT_HOLD &&
                              report->kind <= LIBXL_REPORT_NONE &&
                              (report->kind != LIBXL_REPORT_CALLBACK ||
                               report->callback != NULL));
}
