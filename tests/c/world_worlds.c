/* world_worlds.c - the library where the kernel refuses what it would like
 *
 * Contract lines C4, C6 and C9, and every fallback: each case runs other
 * cases of the suite inside a world (world.c). `make check-worlds` runs the
 * whole suite in each; these are the ones that must hold in every check.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

/* Cases that together need every facility there is. */
static const struct {
    const char *program, *name;
} wanted[] = {
    {"world_worlds", "here_a_status_is_a_status"},
    {"world_worlds", "here_diagnose_agrees_with_the_kernel"},
    {"world_worlds", "here_descriptors_are_as_asked"},
    {"child_status", "a_theft_harms_no_other"},
    {"child_status", "a_failed_exec_is_no_exit_status"},
    {"child_kill", "a_signal_reaches_the_child"},
    {"treaty_none", "no_signal_handler_with_pidfds"},
    {"treaty_none", "blocked_in_every_thread"},
    {"treaty_none", "ignored_before_the_start"},
};

/* ---- cases that are right in any world ---------------------------------- */

static const libxl_sigchld_owner all[] = {
    libxl_sigchld_owner_libxl, libxl_sigchld_owner_mainloop,
    libxl_sigchld_owner_libxl_always,
    libxl_sigchld_owner_libxl_always_selective_reap, libxl_sigchld_owner_none};
#define N_OWNERS (sizeof(all) / sizeof(all[0]))

XT_TEST(here_a_status_is_a_status, "C4 C5 C6")
{
    for (size_t i = 0; i < N_OWNERS; i++) {
        libxl_ctx *ctx = xt_ctx_new(all[i], NULL);
        libxl_childproc_id id[40];
        pid_t pid[40];

        for (int k = 0; k < 40; k++) {
            struct xh_argv words;

            id[k] = xt_spawn_argv(ctx, xh_end_argv(&words, xh_end_of(k * 7)),
                                  NULL, &pid[k]);
        }
        /* A mainloop passes some on, and has the library look for others. */
        for (int k = 1; k < 40 && all[i] == libxl_sigchld_owner_mainloop;
             k += 2)
            XT_OK(libxl_childproc_exited(ctx, pid[k], xh_reap(pid[k])));
        for (int k = 0; k < 40; k++) {
            libxl_childproc_result r;

            if (all[i] == libxl_sigchld_owner_mainloop && k % 2 == 0 &&
                xh_is_zombie(pid[k]) >= 0) {
                xh_await_zombie(pid[k]);
                libxl_childproc_sigchld_occurred(ctx);
            }
            r = xt_wait(ctx, id[k]);
            XT_EQ_INT(r.pid, pid[k]);
            XH_ENDED(&r, xh_end_of(k * 7));
        }
        XH_NO_CHILDREN();
        xt_ctx_free(ctx);
    }
}

XT_TEST(here_diagnose_agrees_with_the_kernel, "C4")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_result r;
    libxl_childproc_diagnosis d;
    struct xh_argv words;

    r = xt_wait(
        ctx, xt_spawn_argv(ctx, xh_end_argv(&words, XH_EXIT(3)), NULL, NULL));
    XT_EXITED(&r, 3);
    d = xh_diagnose(ctx);
    XT_EQ_INT(!!(d.facilities & LIBXL_FACILITY_PIDFD), xp_pidfds());
    XT_EQ_INT(!!(d.facilities & LIBXL_FACILITY_EXIT_INFO), xp_exit_info());
    XT_EQ_INT(!!(d.facilities & LIBXL_FACILITY_CLOSE_RANGE), xp_close_range());
    if (!xp_close_range_unshare())
        XT_EQ_INT(d.facilities & LIBXL_FACILITY_SHARED_FILES, 0);
    XT_EQ_INT(d.mode_in_force,
              xp_pidfds() ? libxl_sigchld_owner_none
                          : libxl_sigchld_owner_libxl_always_selective_reap);
    xt_ctx_free(ctx);
}

XT_TEST(here_descriptors_are_as_asked, "C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    int out[2], fd[40], lines = 0;
    libxl_childproc_fd fds[1];
    libxl_childproc_spec spec = xt_spec(XT_CHILD("fd-target", "900", "fds"));
    libxl_childproc_result r;
    libxl_childproc_id id;
    char *text;

    for (int i = 0; i < 40; i++)
        fd[i] = XT_SYS(open("/dev/null", O_RDWR));
    XT_SYS(dup2(fd[0], 900));
    xt_pipe(out);
    fds[0].target = 1;
    fds[0].source = out[1];
    spec.fds = fds;
    spec.nfds = 1;
    id = xt_spawn(ctx, &spec, NULL, NULL);
    xt_close(&out[1]);
    text = xt_read_all(out[0], NULL);
    xt_close(&out[0]);
    XT_TRUE(!strncmp(text, "closed\n", 7));
    for (char *p = text; *p; p++)
        lines += *p == '\n';
    XT_EQ_INT(lines, 1 + 3);
    free(text);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 0);
    for (int i = 0; i < 40; i++)
        XT_SYS(close(fd[i]));
    XT_SYS(close(900));
    xt_ctx_free(ctx);
}

/* ---- the worlds --------------------------------------------------------- */

/* Beside the folder of the variant: build/tests/world. */
static char *self_folder(void)
{
    char self[4096];
    ssize_t n = XT_SYS(readlink("/proc/self/exe", self, sizeof(self) - 1));

    self[n] = 0;
    *strrchr(self, '/') = 0;
    return strdup(self);
}

static int run_in(const char *world, const char *error, char *const *program)
{
    char *folder = self_folder(), *wrapper;
    char *argv[16] = {NULL, (char *)world, (char *)error, (char *)"--"};
    int n = 4, status;
    pid_t pid;

    if (asprintf(&wrapper, "%s/../../world", folder) < 0)
        XT_FAIL("out of memory");
    argv[0] = wrapper;
    while (*program)
        argv[n++] = *program++;
    argv[n] = NULL;
    pid = XT_SYS(fork());
    if (!pid) {
        execv(wrapper, argv);
        dprintf(2, "%s: %s\n", wrapper, strerror(errno));
        _exit(125);
    }
    status = xh_reap(pid);
    free(wrapper);
    free(folder);
    if (!WIFEXITED(status))
        XT_FAIL("in %s with %s: status %#x", world, error, (unsigned)status);
    return WEXITSTATUS(status);
}

/* Under ThreadSanitizer children are forked, which needs pidfd_open, and every
 * program begins with a thread, which needs clone3 or ENOSYS. */
static void skip_where_the_sanitizer_cannot_live(const char *world,
                                                 const char *error)
{
#ifdef __SANITIZE_THREAD__
    if (!strcmp(world, "no-pidfd-open") ||
        (!strcmp(world, "no-clone3") && !strcmp(error, "EPERM")))
        XT_SKIP("ThreadSanitizer needs what %s refuses", world);
#else
    (void)world;
    (void)error;
#endif
}

static void all_wanted_in(const char *world, const char *error)
{
    int passed = 0, skipped = 0;
    char *folder;

    skip_where_the_sanitizer_cannot_live(world, error);
    folder = self_folder();
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        char *path;
        char *program[4];
        int code;

        if (asprintf(&path, "%s/%s", folder, wanted[i].program) < 0)
            XT_FAIL("out of memory");
        program[0] = path;
        program[1] = (char *)"--case";
        program[2] = (char *)wanted[i].name;
        program[3] = NULL;
        xt_note("%s, %s: %s", world, error, wanted[i].name);
        code = run_in(world, error, program);
        if (code != XT_EXIT_SKIPPED)
            XT_EQ_INT(code, 0);
        passed += code == 0;
        skipped += code != 0;
        free(path);
    }
    XT_GT_INT(passed, 0);
    XT_EQ_INT(skipped, 0);
    free(folder);
}

#define WORLD(name, text, lines)                \
    XT_TEST_SLOW(in_##name##_enosys, lines, 90) \
    {                                           \
        all_wanted_in(text, "ENOSYS");          \
    }                                           \
    XT_TEST_SLOW(in_##name##_eperm, lines, 90)  \
    {                                           \
        all_wanted_in(text, "EPERM");           \
    }

WORLD(no_pidfd_open, "no-pidfd-open", "C4 C6 C9 C13 C16")
WORLD(no_clone_pidfd, "no-clone-pidfd", "C4 C6 C9 C13 C16")
WORLD(no_waitid_pidfd, "no-waitid-pidfd", "C4 C6 C9 C13 C16")
WORLD(no_send_signal, "no-send-signal", "C4 C6 C9 C13 C16")
WORLD(no_pidfd, "no-pidfd", "C4 C6 C9 C13 C16")
WORLD(no_clone3, "no-clone3", "C4 C6 C9 C13 C16")
WORLD(no_close_range, "no-close-range", "C4 C6 C9 C13 C16")
WORLD(no_unshare_range, "no-unshare-range", "C4 C6 C9 C13 C16")
WORLD(no_exit_info, "no-exit-info", "C4 C6 C9 C13 C16")
WORLD(bare, "bare", "C4 C6 C9 C13 C16")

/* The wrapper does refuse what it says. */
XT_TEST(the_worlds_are_real, "C4")
{
    static const struct {
        const char *world;
        int pidfd_open, clone_pidfd, waitid, clone3, range, unshare, info;
    } expected[] = {
        {"no-pidfd-open", 0, 1, 1, 1, 1, 1, 1},
        {"no-clone-pidfd", 1, 0, 1, 0, 1, 1, 1},
        {"no-waitid-pidfd", 1, 1, 0, 1, 1, 1, 1},
        {"no-pidfd", 0, 0, 0, 0, 1, 1, 0},
        {"no-clone3", 1, 1, 1, 0, 1, 1, 1},
        {"no-close-range", 1, 1, 1, 1, 0, 0, 1},
        {"no-unshare-range", 1, 1, 1, 1, 1, 0, 1},
        {"no-exit-info", 1, 1, 1, 1, 1, 1, 0},
        {"bare", 0, 0, 0, 0, 0, 0, 0},
    };
    char *folder, *self;
    /* Of what this machine has to begin with. */
    int here[7] = {xp_pidfd_open(), xp_clone_pidfd(), xp_waitid_pidfd(),
                   xp_clone3(),     xp_close_range(), xp_close_range_unshare(),
                   xp_exit_info()};

    skip_where_the_sanitizer_cannot_live("no-clone3", "EPERM");
    folder = self_folder();
    if (asprintf(&self, "%s/world_worlds", folder) < 0)
        XT_FAIL("out of memory");
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        for (int k = 0; k < 2; k++) {
            char *program[] = {self, (char *)"--case",
                               (char *)"here_is_what_was_asked_for", NULL};
            char text[8];

            snprintf(text, sizeof(text), "%d%d%d%d%d%d%d",
                     expected[i].pidfd_open & here[0],
                     expected[i].clone_pidfd & here[1],
                     expected[i].waitid & here[2], expected[i].clone3 & here[3],
                     expected[i].range & here[4], expected[i].unshare & here[5],
                     expected[i].info & here[6]);
            XT_SYS(setenv("XT_WORLD_EXPECTED", text, 1));
            XT_EQ_INT(
                run_in(expected[i].world, k ? "EPERM" : "ENOSYS", program), 0);
        }
    XT_SYS(unsetenv("XT_WORLD_EXPECTED"));
    free(self);
    free(folder);
}

/* What the_worlds_are_real runs inside; by itself it looks at this world. */
XT_TEST(here_is_what_was_asked_for, "C4")
{
    const char *expected = getenv("XT_WORLD_EXPECTED");
    char found[8];

    snprintf(found, sizeof(found), "%d%d%d%d%d%d%d", xp_pidfd_open(),
             xp_clone_pidfd(), xp_waitid_pidfd(), xp_clone3(), xp_close_range(),
             xp_close_range_unshare(), xp_exit_info());
    XT_EQ_STR(found, expected ? expected : found);
    /* Nothing of it is a matter of luck. */
    for (int i = 0; i < 3; i++) {
        XT_EQ_INT(xp_pidfd_open(), found[0] - '0');
        XT_EQ_INT(xp_exit_info(), found[6] - '0');
    }
}
