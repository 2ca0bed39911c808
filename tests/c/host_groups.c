/* host_groups.c - a child with other ids does not keep the host's groups
 *
 * Proves C28 and C16: where uid or gid is set and groups are not, no
 * supplementary group of the parent's stays, whichever way the child is
 * started; a flag keeps them; where they may not be dropped, and there are
 * any, there is no child.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/facility.h"

static const gid_t ours[] = {4, 27, 1042};

static pid_t own_fork(void *user)
{
    return fork();
}

/* In a process of its own with these groups, and maybe another user's. */
static void as(const gid_t *groups, size_t n, uid_t uid, gid_t gid,
               void (*fn)(libxl_ctx *ctx))
{
    pid_t pid;

    if (geteuid())
        XT_SKIP("groups can be set by root only");
    for (int way = 0; way < 3; way++) {
        pid = XT_SYS(fork());
        if (pid == 0) {
            libxl_childproc_hooks hooks = {
                .chldowner = libxl_sigchld_owner_libxl,
                .fork_replacement = way == 2 ? own_fork : NULL,
                .size = sizeof(hooks)};
            libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);

            XT_SYS(setgroups(n, groups));
            XT_SYS(setresgid(gid, gid, gid));
            XT_SYS(setresuid(uid, uid, uid));
            if (way == 1)
                xl_facility_limit(~(unsigned)LIBXL_FACILITY_VFORK);
            XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
            fn(ctx);
            xt_ctx_free(ctx);
            _exit(0);
        }
        XT_EQ_INT(xh_reap(pid), 0);
    }
}

static const char *const show[] = {"/bin/sh", "-c",
                                   "sed -n 's/^Groups://p' /proc/self/status | "
                                   "tr '\\t' ' ' | tr -s ' '",
                                   NULL};

static void shows(libxl_ctx *ctx, unsigned flags, const char *text)
{
    libxl_childproc_spec spec = xt_spec(show);
    static const gid_t wished[] = {77};

    spec.flags |= flags;
    spec.uid = 65534;
    spec.gid = 65533;
    spec.groups = wished;
    spec.ngroups = 1;
    XT_PRINTS(ctx, &spec, text);
}

static void of_root(libxl_ctx *ctx)
{
    const unsigned uid = LIBXL_SPAWN_SET_UID, gid = LIBXL_SPAWN_SET_GID;
    const unsigned keep = LIBXL_SPAWN_KEEP_GROUPS;

    shows(ctx, 0, " 4 27 1042 \n");
    shows(ctx, keep, " 4 27 1042 \n");
    shows(ctx, uid, " \n");
    shows(ctx, gid, " \n");
    shows(ctx, uid | gid, " \n");
    shows(ctx, uid | keep, " 4 27 1042 \n");
    shows(ctx, gid | keep, " 4 27 1042 \n");
    shows(ctx, uid | gid | keep, " 4 27 1042 \n");
    shows(ctx, LIBXL_SPAWN_SET_GROUPS, " 77 \n");
    shows(ctx, uid | gid | LIBXL_SPAWN_SET_GROUPS, " 77 \n");
}

XT_TEST(other_ids_other_groups, "C28 C16")
{
    as(ours, 3, 0, 0, of_root);
}

XT_TEST(kept_and_given_is_refused, "C28 X5")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_libxl, NULL);
    libxl_childproc_spec spec = xt_spec(show);
    libxl_childproc_failure failure;

    spec.flags |= LIBXL_SPAWN_SET_GROUPS | LIBXL_SPAWN_KEEP_GROUPS;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_STR(failure.argument, "flags");
    xt_ctx_free(ctx);
}

/* Who may not drop them: a user who sets the ids that they have. */
static libxl_childproc_spec of_user(unsigned more)
{
    libxl_childproc_spec spec = xt_spec(show);

    spec.flags |= LIBXL_SPAWN_SET_UID | LIBXL_SPAWN_SET_GID | more;
    spec.uid = 54321;
    spec.gid = 54320;
    return spec;
}

static void without_rights(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = of_user(0);
    libxl_childproc_failure failure;

    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_GROUPS);
    XT_EQ_INT(failure.errnoval, EPERM);
    spec = of_user(LIBXL_SPAWN_KEEP_GROUPS);
    XT_PRINTS(ctx, &spec, " 4 27 1042 \n");
}

static void without_groups(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = of_user(0);

    XT_PRINTS(ctx, &spec, " \n");
}

static void with_the_same_group(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = of_user(0);

    XT_PRINTS(ctx, &spec, " 54320 \n");
}

XT_TEST(where_they_cannot_be_dropped, "C28 C15")
{
    static const gid_t same[] = {54320};

    as(ours, 3, 54321, 54320, without_rights);
    as(NULL, 0, 54321, 54320, without_groups);
    as(same, 1, 54321, 54320, with_the_same_group);
}
