/* start_stages.c - whatever cannot be done for a child is told as what it is
 *
 * Proves C15 and X5 for members and steps of which the tables in tests/vectors
 * cannot speak: pointers, limits of the host, kernels that refuse. For each
 * the start fails by its own name, and there is no child afterwards.
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- arguments ---------------------------------------------------------- */

static void refuses(libxl_ctx *ctx, const libxl_childproc_spec *spec,
                    const char *member)
{
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};

    XT_NOTE("%s", member);
    XT_RC(libxl_childproc_spawn(ctx, spec, NULL, NULL, NULL, &failure),
          ERROR_INVAL);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_ARGUMENT);
    XT_EQ_STR(failure.argument, member);
    XH_NO_CHILDREN();
}

XT_TEST(members_that_cannot_be_are_named, "X5 C15")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    const libxl_childproc_spec good = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_fd far = {1 << 20, 0}, *many;
    libxl_childproc_spec spec = good;
    char path[5000] = "/";

    refuses(ctx, NULL, "spec");
    spec.size--;
    refuses(ctx, &spec, "size");
    spec = good;
    spec.argv = NULL;
    refuses(ctx, &spec, "argv");
    /* -1 would mean "as it is": a child that keeps what it was to lose */
    spec = good;
    spec.flags = LIBXL_SPAWN_SET_UID;
    spec.uid = (uid_t)-1;
    refuses(ctx, &spec, "uid");
    spec = good;
    spec.flags = LIBXL_SPAWN_SET_GID;
    spec.gid = (gid_t)-1;
    refuses(ctx, &spec, "gid");
    spec = good;
    spec.flags = LIBXL_SPAWN_SET_GROUPS;
    spec.ngroups = 1;
    refuses(ctx, &spec, "groups");
    spec = good;
    spec.nrlimits = 1;
    refuses(ctx, &spec, "rlimits");
    spec = good;
    spec.nfds = 1;
    refuses(ctx, &spec, "fds");
    spec.fds = &far;
    refuses(ctx, &spec, "fds");
    many = calloc(65537, sizeof(*many));
    XT_TRUE(many != NULL);
    for (int i = 0; i < 65537; i++)
        many[i].target = i;
    spec.fds = many;
    spec.nfds = 65537;
    refuses(ctx, &spec, "fds");
    free(many);
    spec = good;
    memset(path + 1, 'x', sizeof(path) - 2);
    spec.cgroup = path;
    refuses(ctx, &spec, "cgroup");
    spec = good;
    spec.kill.scope = (libxl_kill_scope)7;
    refuses(ctx, &spec, "kill");
    spec = good;
    spec.on_free = (libxl_free_policy)-1;
    refuses(ctx, &spec, "on_free");
    xt_ctx_free(ctx);
}

/* ---- the parent's half -------------------------------------------------- */

/* No descriptor left for the pipes of an operation. */
XT_TEST(preparing_fails_as_such, "C15 C12")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure = {LIBXL_STAGE_NONE, 0, NULL};
    libxl_childproc_exec_opts opts;
    libxl_childproc_exec_result result;
    struct rlimit saved, none;

    if (xt_on_valgrind())
        XT_SKIP("valgrind has its own idea of RLIMIT_NOFILE");
    libxl_childproc_exec_opts_init(&opts);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    XT_SYS(getrlimit(RLIMIT_NOFILE, &saved));
    none = saved;
    none.rlim_cur = 0;
    XT_SYS(setrlimit(RLIMIT_NOFILE, &none));
    XT_RC(libxl_childproc_exec(ctx, &spec, &opts, &result, &failure, NULL),
          ERROR_SYSTEM);
    XT_SYS(setrlimit(RLIMIT_NOFILE, &saved));
    XT_EQ_STR(libxl_childproc_stage_name(failure.stage), "prepare");
    XT_EQ_INT(failure.errnoval, EMFILE);
    XH_NO_CHILDREN();
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, &failure, NULL));
    XT_EQ_INT(failure.stage, LIBXL_STAGE_NONE);
    libxl_childproc_exec_result_dispose(&result);
    xt_ctx_free(ctx);
}

/* ---- the child's half --------------------------------------------------- */

/* A target beyond what the child may have open. */
XT_TEST(a_target_beyond_the_limit, "C15 C16")
{
    struct rlimit saved, low;

    if (xt_on_valgrind())
        XT_SKIP("valgrind has its own idea of RLIMIT_NOFILE");
    XT_SYS(getrlimit(RLIMIT_NOFILE, &saved));
    for (int forks = 0; forks < 2; forks++) {
        libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, forks);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
        libxl_childproc_fd fds[] = {{5, 0}, {200, 0}};

        spec.fds = fds;
        spec.nfds = 2;
        low = saved;
        low.rlim_cur = 128;
        XT_SYS(setrlimit(RLIMIT_NOFILE, &low));
        xh_fails_at(ctx, &spec, LIBXL_STAGE_FDS, EBADF);
        fds[1].source = LIBXL_FD_NULL;
        xh_fails_at(ctx, &spec, LIBXL_STAGE_FDS, EBADF);
        XT_SYS(setrlimit(RLIMIT_NOFILE, &saved));
        xt_ctx_free(ctx);
    }
}

/* The first of several that fails is enough. */
XT_TEST(each_limit_has_to_be_set, "C15 C16")
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_rlimit limits[] = {{RLIMIT_CORE, {0, 0}},
                                       {RLIMIT_NOFILE, {100, 50}},
                                       {RLIMIT_CORE, {0, 0}}};

    spec.rlimits = limits;
    spec.nrlimits = 3;
    xh_fails_at(ctx, &spec, LIBXL_STAGE_RLIMIT, EINVAL);
    xt_ctx_free(ctx);
}

/* The kernel's filters, whose header not every C library finds. */
struct filter_step {
    uint16_t code;
    uint8_t if_so, if_not; /* how many steps to leave out */
    uint32_t value;
};
struct filter {
    unsigned short n;
    const struct filter_step *steps;
};
enum { LOAD = 0x20, IS_EQUAL = 0x15, ANSWER = 0x06 };
enum { AT_CALL = 0, AT_FIRST_ARGUMENT = 16 }; /* in struct seccomp_data */
#define ANSWER_ERRNO 0x00050000u
#define ANSWER_ALLOW 0x7fff0000u
#define FILTER_MODE 2

/* From now on this process, and its children, cannot set what is done about
 * one signal. */
static void refuse_disposition(int signo, int errnoval)
{
    const struct filter_step steps[] = {
        {LOAD, 0, 0, AT_CALL},
        {IS_EQUAL, 0, 3, SYS_rt_sigaction},
        {LOAD, 0, 0, AT_FIRST_ARGUMENT},
        {IS_EQUAL, 0, 1, (uint32_t)signo},
        {ANSWER, 0, 0, ANSWER_ERRNO | (uint32_t)errnoval},
        {ANSWER, 0, 0, ANSWER_ALLOW},
    };
    struct filter filter = {sizeof(steps) / sizeof(steps[0]), steps};

    XT_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    XT_SYS(prctl(PR_SET_SECCOMP, FILTER_MODE, &filter));
}

/* ---- a program that is being written ------------------------------------- */

/* A copy of the helper; *ret_fd is open for writing. */
static void copy_helper(char path[static 32], int *ret_fd)
{
    int from = open(XT_HELPERS "/tiny", O_RDONLY | O_CLOEXEC);
    char data[65536];
    ssize_t n;

    strcpy(path, "/tmp/xl-busy-XXXXXX");
    *ret_fd = mkostemp(path, O_CLOEXEC);
    XT_TRUE(from >= 0 && *ret_fd >= 0);
    while ((n = read(from, data, sizeof(data))) > 0)
        XT_EQ_INT(write(*ret_fd, data, (size_t)n), n);
    XT_SYS(fchmod(*ret_fd, 0755));
    close(from);
}

/* Another thread's child has got the descriptor and goes on with it for a
 * moment: it is waited for. One that keeps it makes an error. */
XT_TEST(a_program_that_another_child_still_holds, "C15 C25")
{
    for (int keeps = 0; keeps < 2; keeps++) {
        libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);
        char path[32];
        const char *argv[] = {path, NULL};
        libxl_childproc_spec spec = xt_spec(argv);
        pid_t holder;
        int gate[2];
        char byte;
        int fd;

        copy_helper(path, &fd);
        xt_pipe(gate);
        holder = fork();
        if (holder == 0) {
            const struct timespec moment = {0, 30 * 1000 * 1000};

            close(gate[1]);
            if (keeps)
                (void)!read(gate[0], &byte, 1);
            else
                nanosleep(&moment, NULL); /* what the test is about */
            _exit(0);
        }
        XT_TRUE(holder > 1);
        close(fd); /* by now it is its alone */
        if (keeps) {
            libxl_childproc_failure failure;

            XT_RC(
                libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
                ERROR_SPAWN);
            XT_EQ_INT(failure.stage, LIBXL_STAGE_EXEC);
            XT_EQ_INT(failure.errnoval, ETXTBSY);
        } else {
            libxl_childproc_result r =
                xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));

            XT_EXITED(&r, 0);
        }
        xt_close(&gate[0]);
        xt_close(&gate[1]);
        xh_reap(holder);
        unlink(path);
        xt_ctx_free(ctx);
    }
}

XT_TEST(a_disposition_that_cannot_be_set, "C15 C16")
{
    const int signo = SIGRTMIN + 3;
    sigset_t ignored;

    if (xt_on_valgrind())
        XT_SKIP("valgrind sets no dispositions, it keeps them");
    refuse_disposition(signo, ENOLINK);
    sigemptyset(&ignored);
    sigaddset(&ignored, signo);
    for (int forks = 0; forks < 2; forks++) {
        libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, forks);
        libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));

        spec.sigignore = &ignored;
        xh_fails_at(ctx, &spec, LIBXL_STAGE_SIGNALS, ENOLINK);
        spec.path = "/nonexistent/program"; /* not reached */
        xh_fails_at(ctx, &spec, LIBXL_STAGE_SIGNALS, ENOLINK);
        xt_ctx_free(ctx);
    }
}
