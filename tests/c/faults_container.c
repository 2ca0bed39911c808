/* faults_container.c - the library under a container's seccomp profile, in a
 * user namespace, and in a host that is traced
 *
 * Contract lines C4, C6, C15, C16 and C25: each case runs cases of the suite
 * in such surroundings. A profile that is older than a system call refuses it
 * with EPERM, not ENOSYS: that is no reason to say something untrue.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

/* Cases that together need every facility there is, and none a thread: where
 * clone3 is refused with EPERM, libc makes none. */
static const struct {
    const char *program, *name;
} wanted[] = {
    {"world_worlds", "here_a_status_is_a_status"},
    {"world_worlds", "here_diagnose_agrees_with_the_kernel"},
    {"world_worlds", "here_descriptors_are_as_asked"},
    {"child_status", "a_failed_exec_is_no_exit_status"},
    {"child_kill", "a_signal_reaches_the_child"},
    {"start_asked", "first_failing_stage_is_named"},
    {"child_kill", "a_dead_child_cannot_be_killed"},
    {"exec_streams", "captured_and_merged"},
};

static char *in_folder(const char *format, const char *name)
{
    char self[4096], *path;
    ssize_t n = XT_SYS(readlink("/proc/self/exe", self, sizeof(self) - 1));

    self[n] = 0;
    *strrchr(self, '/') = 0;
    if (asprintf(&path, format, self, name) < 0)
        XT_FAIL("out of memory");
    return path;
}

/* Behind what stands before it; its exit status. */
static int run(const char *const *before, const char *program, const char *name)
{
    char *path = in_folder("%s/%s", program);
    char *argv[16];
    int n = 0, status;
    pid_t pid;

    while (before[n]) {
        argv[n] = (char *)before[n];
        n++;
    }
    argv[n++] = path;
    argv[n++] = (char *)"--case";
    argv[n++] = (char *)name;
    argv[n] = NULL;
    pid = XT_SYS(fork());
    if (!pid) {
        execvp(argv[0], argv);
        dprintf(2, "%s: %s\n", argv[0], strerror(errno));
        _exit(125);
    }
    status = xh_reap(pid);
    free(path);
    if (!WIFEXITED(status))
        XT_FAIL("%s, %s: status %#x", before[0], name, (unsigned)status);
    return WEXITSTATUS(status);
}

static void all_wanted(const char *const *before)
{
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        xt_note("%s: %s", before[0], wanted[i].name);
        XT_EQ_INT(run(before, wanted[i].program, wanted[i].name), 0);
    }
}

/* ---- seccomp profiles --------------------------------------------------- */

static void under(const char *profile)
{
    char *wrapper = in_folder("%s/../../%s", "profile");
    const char *before[] = {wrapper, profile, "--", NULL};

#ifdef __SANITIZE_THREAD__
    XT_SKIP("ThreadSanitizer begins with a thread, which needs clone3");
#endif
    all_wanted(before);
    free(wrapper);
}

XT_TEST_SLOW(under_a_containers_profile, "C4 C6 C15 C16 C25", 90)
{
    under("container");
}

XT_TEST_SLOW(under_a_profile_of_2020, "C4 C6 C15 C16 C25", 90)
{
    under("container-2020");
}

XT_TEST_SLOW(under_a_profile_of_2018, "C4 C6 C15 C16 C25", 90)
{
    under("container-2018");
}

/* Run inside of the profiles by the next case: EPERM where they are older. */
XT_TEST(here_is_as_the_profile_says, "C4")
{
    const char *expected = getenv("XT_PROFILE_EXPECTED");
    char found[8];

    snprintf(found, sizeof(found), "%d%d%d", xp_pidfd_open(), xp_clone3(),
             xp_close_range());
    XT_EQ_STR(found, expected ? expected : found);
}

XT_TEST(the_profiles_are_real, "C4")
{
    static const struct {
        const char *profile;
        int pidfd_open, close_range;
    } expected[] = {{"container", 1, 1},
                    {"container-2020", 1, 0},
                    {"container-2018", 0, 0}};
    char *wrapper = in_folder("%s/../../%s", "profile");
    int pidfd_open = xp_pidfd_open(), close_range = xp_close_range();

#ifdef __SANITIZE_THREAD__
    XT_SKIP("ThreadSanitizer begins with a thread, which needs clone3");
#endif
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const char *before[] = {wrapper, expected[i].profile, "--", NULL};
        char text[8];

        snprintf(text, sizeof(text), "%d0%d",
                 expected[i].pidfd_open & pidfd_open,
                 expected[i].close_range & close_range);
        XT_SYS(setenv("XT_PROFILE_EXPECTED", text, 1));
        XT_EQ_INT(
            run(before, "faults_container", "here_is_as_the_profile_says"), 0);
    }
    XT_SYS(unsetenv("XT_PROFILE_EXPECTED"));
    free(wrapper);
}

/* ---- a user namespace --------------------------------------------------- */

static int to_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), n;

    if (fd < 0)
        return -1;
    n = (int)write(fd, text, strlen(text));
    close(fd);
    return n < 0 ? -1 : 0;
}

/* Root there, and nobody else exists: other ids and groups cannot be had. */
static void in_user_namespace(void)
{
    char map[32];
    unsigned uid = geteuid(), gid = getegid();
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_ctx *ctx;
    libxl_childproc_result r;

    if (unshare(CLONE_NEWUSER))
        _exit(XT_EXIT_SKIPPED);
    snprintf(map, sizeof(map), "0 %u 1", uid);
    XT_EQ_INT(to_file("/proc/self/setgroups", "deny"), 0);
    XT_EQ_INT(to_file("/proc/self/uid_map", map), 0);
    snprintf(map, sizeof(map), "0 %u 1", gid);
    XT_EQ_INT(to_file("/proc/self/gid_map", map), 0);

    ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 3);
    spec.flags = LIBXL_SPAWN_SET_GROUPS;
    xh_fails_at(ctx, &spec, LIBXL_STAGE_GROUPS, EPERM);
    spec.flags = LIBXL_SPAWN_SET_UID | LIBXL_SPAWN_KEEP_GROUPS;
    spec.uid = 1234;
    xh_fails_at(ctx, &spec, LIBXL_STAGE_UID, EINVAL);
    spec.flags = LIBXL_SPAWN_SET_GID | LIBXL_SPAWN_KEEP_GROUPS;
    spec.gid = 1234;
    xh_fails_at(ctx, &spec, LIBXL_STAGE_GID, EINVAL);
    spec.flags = LIBXL_SPAWN_SET_UID | LIBXL_SPAWN_KEEP_GROUPS;
    spec.uid = 0;
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 3);
    xt_ctx_free(ctx);
    _exit(0);
}

XT_TEST(in_a_user_namespace, "C15 C16 C28")
{
    int status;
    pid_t pid = XT_SYS(fork());

    if (!pid)
        in_user_namespace();
    status = xh_reap(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == XT_EXIT_SKIPPED)
        XT_SKIP("no user namespace can be made here");
    XT_EQ_INT(status, 0);
}

/* ---- a traced host ------------------------------------------------------ */

XT_TEST_SLOW(in_a_traced_host, "C4 C6 C15 C16", 120)
{
    const char *before[] = {"strace", "-f", "-qq", "-o", "/dev/null", NULL};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    XT_SKIP("a sanitizer's own tracing of itself does not go with strace");
#endif
    if (xt_on_valgrind())
        XT_SKIP("valgrind's own system calls are not the host's");
    if (access("/usr/bin/strace", X_OK))
        XT_SKIP("strace is not installed");
    all_wanted(before);
}
