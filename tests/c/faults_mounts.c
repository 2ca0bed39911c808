/* faults_mounts.c - starts where files of the system are missing or odd
 *
 * Contract lines C15, C16, C24 and C26: without /dev/null, without /proc, on a
 * root that is read-only, on a mount where nothing may be executed, beside a
 * program that somebody has open for writing. What does not need the missing
 * thing works; what does fails with stage and errno, and nothing is left. Each
 * case is a process in a mount namespace of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostchild.h"

/* ---- a namespace -------------------------------------------------------- */

static int to_file(const char *path, const char *format, unsigned number)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), n;

    if (fd < 0)
        return -1;
    n = dprintf(fd, format, number);
    close(fd);
    return n < 0 ? -1 : 0;
}

/* Nonzero where nobody may make one. */
static int enter(void)
{
    unsigned uid = geteuid(), gid = getegid();

    if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)))
        return -1;
    if (uid && (to_file("/proc/self/setgroups", "deny", 0) ||
                to_file("/proc/self/uid_map", "0 %u 1", uid) ||
                to_file("/proc/self/gid_map", "0 %u 1", gid)))
        return -1;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static void inside(void (*body)(void))
{
    int status;
    pid_t pid;

    if (xt_on_valgrind())
        XT_SKIP("valgrind executes by itself, from files of its own");
    pid = XT_SYS(fork());
    if (!pid) {
        if (enter())
            _exit(XT_EXIT_SKIPPED);
        body();
        _exit(0);
    }
    status = xh_reap(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == XT_EXIT_SKIPPED)
        XT_SKIP("no mount namespace can be made here");
    XT_EQ_INT(status, 0);
}

static void cover(const char *path, unsigned long flags)
{
    XT_SYS(mount("none", path, "tmpfs", flags, NULL));
}

/* ---- starts ------------------------------------------------------------- */

/* An operation with these streams: its failure, or 0 and an exit with 3. */
static void operation(libxl_ctx *ctx, const libxl_childproc_exec_opts *opts,
                      int errnoval, const char *argument)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_exec_result result;
    libxl_childproc_failure failure;

    if (!errnoval) {
        XT_OK(libxl_childproc_exec(ctx, &spec, opts, &result, NULL, NULL));
        XT_EXITED(&result.child, 3);
        libxl_childproc_exec_result_dispose(&result);
        return;
    }
    XT_RC(libxl_childproc_exec(ctx, &spec, opts, &result, &failure, NULL),
          ERROR_SPAWN);
    XT_EQ_STR(libxl_childproc_stage_name(failure.stage), "fds");
    XT_EQ_STR(strerror(failure.errnoval), strerror(errnoval));
    if (argument)
        XT_EQ_STR(failure.argument, argument);
    XH_NO_CHILDREN();
}

/* The same before and after, whatever the kernel offers; and every way of
 * starting: the fast one, and a fork. */
static pid_t own_fork(void *user)
{
    (void)user;
    return fork();
}

static void each_way(void (*body)(libxl_ctx *ctx))
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none,
                                   .fork_replacement = own_fork};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    body(ctx);
    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    body(ctx);
    xt_ctx_free(ctx);
}

/* ---- /dev/null ---------------------------------------------------------- */

static void null_is_missed(libxl_ctx *ctx)
{
    libxl_childproc_fd null = {0, LIBXL_FD_NULL};
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_exec_opts opts;

    xh_works(ctx);
    spec.fds = &null;
    spec.nfds = 1;
    xh_fails_at(ctx, &spec, LIBXL_STAGE_FDS, ENOENT);
    libxl_childproc_exec_opts_init(&opts); /* stdin is /dev/null */
    operation(ctx, &opts, ENOENT, NULL);
    opts.stdin_stream.kind = LIBXL_STREAM_BUFFER;
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.timeout_ms = 60000;
    operation(ctx, &opts, 0, NULL);
    xh_works(ctx);
}

static void no_dev_null(void)
{
    cover("/dev", 0);
    each_way(null_is_missed);
}

XT_TEST(without_dev_null, "C15 C26")
{
    inside(no_dev_null);
}

/* ---- /proc -------------------------------------------------------------- */

static void proc_is_not_missed(libxl_ctx *ctx)
{
    libxl_childproc_spec spec = xt_spec(XT_CHILD("count"));
    libxl_childproc_fd map[] = {{0, -1}, {7, LIBXL_FD_CLOSED}};
    libxl_childproc_result r;
    int p[2];

    xh_works(ctx);
    /* a writing end that stayed open in the child would keep it from ending */
    xt_pipe(p);
    XT_SYS(fcntl(p[1], F_SETFD, 0));
    map[0].source = p[0];
    spec.fds = map;
    spec.nfds = 2;
    {
        libxl_childproc_id id = xt_spawn(ctx, &spec, NULL, NULL);

        xt_close(&p[1]);
        r = xt_wait(ctx, id);
    }
    XT_EXITED(&r, 0);
    xt_close(&p[0]);
}

static void no_proc(void)
{
    cover("/proc", 0);
    each_way(proc_is_not_missed);
}

XT_TEST(without_proc, "C16 C26")
{
    inside(no_proc);
}

/* ---- a root that cannot be written to ----------------------------------- */

static char *folder;

static void files_are_refused(libxl_ctx *ctx)
{
    libxl_childproc_exec_opts opts;
    char *path;

    if (asprintf(&path, "%s/out", folder) < 0)
        XT_FAIL("out of memory");
    xh_works(ctx);
    libxl_childproc_exec_opts_init(&opts);
    operation(ctx, &opts, 0, NULL);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.stderr_stream.kind = LIBXL_STREAM_APPEND;
    opts.stderr_stream.path = path;
    operation(ctx, &opts, EROFS, "stderr_stream");
    xh_works(ctx);
    free(path);
}

static void read_only_root(void)
{
    XT_SYS(mount(folder, folder, NULL, MS_BIND, NULL));
    XT_SYS(mount(NULL, folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    XT_SYS(mount("/", "/", NULL, MS_BIND | MS_REC, NULL));
    XT_SYS(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    each_way(files_are_refused);
}

XT_TEST(on_a_read_only_root, "C15 C24")
{
    folder = xt_tmpdir();
    inside(read_only_root);
    xt_tmpdir_remove(folder);
}

/* ---- programs that may not be executed ---------------------------------- */

static char *copy_of_child(const char *where)
{
    int in = XT_SYS(open(xt_child_path(), O_RDONLY | O_CLOEXEC)), out;
    size_t length;
    char *bytes = xt_read_all(in, &length), *path;

    if (asprintf(&path, "%s/program", where) < 0)
        XT_FAIL("out of memory");
    out = XT_SYS(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
    xt_write_all(out, bytes, length);
    free(bytes);
    close(in);
    close(out);
    return path;
}

static char *program;

static void execution_is_refused(libxl_ctx *ctx)
{
    const char *argv[] = {program, "exit", "3", NULL};
    libxl_childproc_spec spec = xt_spec(argv);

    xh_fails_at(ctx, &spec, LIBXL_STAGE_EXEC, EACCES);
    spec.argv = (const char *const[]){"program", NULL};
    spec.search_path = folder;
    spec.flags = LIBXL_SPAWN_SEARCH_PATH;
    xh_fails_at(ctx, &spec, LIBXL_STAGE_EXEC, EACCES);
    xh_works(ctx);
}

static void noexec_mount(void)
{
    cover(folder, MS_NOEXEC);
    program = copy_of_child(folder);
    each_way(execution_is_refused);
    free(program);
}

XT_TEST(on_a_mount_without_execution, "C15")
{
    folder = xt_tmpdir();
    inside(noexec_mount);
    xt_tmpdir_remove(folder);
}

/* Somebody keeps it open for writing, beyond the moment that is waited. */
static void it_is_busy(libxl_ctx *ctx)
{
    const char *argv[] = {program, "exit", "3", NULL};
    libxl_childproc_spec spec = xt_spec(argv);
    libxl_childproc_result r;
    int fd = XT_SYS(open(program, O_WRONLY | O_CLOEXEC));

    xh_fails_at(ctx, &spec, LIBXL_STAGE_EXEC, ETXTBSY);
    XT_SYS(close(fd));
    r = xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
    XT_EXITED(&r, 3);
}

XT_TEST(a_program_that_stays_busy, "C15 C25")
{
    if (xt_on_valgrind())
        XT_SKIP("valgrind executes by itself, from files of its own");
    folder = xt_tmpdir();
    program = copy_of_child(folder);
    each_way(it_is_busy);
    free(program);
    xt_tmpdir_remove(folder);
}
