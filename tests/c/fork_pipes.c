/* fork_pipes.c - a fork of the host's holds up nobody who waits
 *
 * Proves C14: a child that the host forks in another thread while a start or
 * an operation is under way, and that goes on living without exec or a word
 * to the library, keeps none of the pipes whose end somebody waits for.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/sys.h"

/* ---- the host's child --------------------------------------------------- */

struct foreign {
    pid_t pid;
    int release; /* closing it ends the child */
    int pipes;   /* how many ends of pipes it holds */
};

static int count_pipes(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    int n = 0;

    while ((entry = readdir(d))) {
        char target[64] = "";

        if (readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1) > 0)
            n += !strncmp(target, "pipe:", 5);
    }
    closedir(d);
    return n;
}

static void *fork_one(void *user)
{
    struct foreign *f = user;
    int gate[2], count[2];

    xt_pipe(gate);
    xt_pipe(count);
    f->pid = fork();
    XT_SYS(f->pid);
    if (!f->pid) {
        int n = count_pipes() - 4;
        char byte;

        close(gate[1]);
        (void)!write(count[1], &n, sizeof(n));
        while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
            ;
        _exit(0);
    }
    close(gate[0]);
    f->release = gate[1];
    XT_EQ_INT(read(count[0], &f->pipes, sizeof(f->pipes)), sizeof(f->pipes));
    close(count[0]);
    close(count[1]);
    return NULL;
}

/* Besides the host's, only the self-pipe of a ctx that needs a handler: nobody
 * waits for its end. */
static void holds_no_pipe(libxl_ctx *ctx, int own, const struct foreign *f)
{
    libxl_childproc_diagnosis d = {.size = sizeof(d)};

    XT_OK(libxl_childproc_diagnose(ctx, &d, NULL));
    XT_EQ_INT(f->pipes,
              own + (d.mode_in_force == libxl_sigchld_owner_none ? 0 : 2));
}

/* In another thread than the one that starts, as a host would by chance. */
static void fork_elsewhere(struct foreign *f)
{
    pthread_t thread;

    XT_EQ_INT(pthread_create(&thread, NULL, fork_one, f), 0);
    XT_EQ_INT(pthread_join(thread, NULL), 0);
}

static void end_foreign(struct foreign *f)
{
    int status;

    XT_SYS(kill(f->pid, 0)); /* it has lived all the while */
    close(f->release);
    XT_EQ_INT(waitpid(f->pid, &status, 0), f->pid);
    XT_EQ_INT(status, 0);
}

/* ---- a ctx whose starts come upon such a fork --------------------------- */

static pid_t fork_between(void *user)
{
    fork_elsewhere(user);
    return fork();
}

static libxl_ctx *ctx_between(struct foreign *f)
{
    libxl_childproc_hooks hooks = {libxl_sigchld_owner_none, fork_between,
                                   NULL, sizeof(hooks)};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    XT_OK(libxl_childproc_setmode_checked(ctx, &hooks, f));
    return ctx;
}

XT_TEST(a_start_does_not_wait_for_the_hosts_child, "C14 C10")
{
    int own = count_pipes();
    struct foreign f;
    libxl_ctx *ctx = ctx_between(&f);
    libxl_childproc_result r;
    libxl_childproc_id id;

    id = xt_spawn_argv(ctx, XT_CHILD("exit", "3"), NULL, NULL);
    holds_no_pipe(ctx, own, &f);
    end_foreign(&f);
    r = xt_wait(ctx, id);
    XT_EXITED(&r, 3);
    xt_ctx_free(ctx);
}

static int no_fd_left(pid_t pid, unsigned flags)
{
    (void)pid;
    (void)flags;
    errno = EMFILE;
    return -1;
}

XT_TEST(a_start_that_fails_does_not_either, "C14 C10 C12")
{
    int (*pidfd_open)(pid_t, unsigned) = xl_sys.pidfd_open;
    struct foreign f;
    libxl_ctx *ctx = ctx_between(&f);
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "3"));
    libxl_childproc_failure failure;

    if (!xp_pidfds() || !xp_pidfd_open()) {
        xt_ctx_free(ctx);
        XT_SKIP("no pidfds here: nothing can fail after the fork");
    }
    /* its child waits at the gate, and must see it close */
    xl_sys.pidfd_open = no_fd_left;
    XT_RC(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
          ERROR_SPAWN);
    xl_sys.pidfd_open = pidfd_open;
    XT_EQ_INT(failure.stage, LIBXL_STAGE_GATE);
    XT_EQ_INT(failure.errnoval, EMFILE);
    end_foreign(&f);
    xt_ctx_free(ctx);
}

/* ---- operations --------------------------------------------------------- */

static void run_cat(libxl_ctx *ctx, const libxl_asyncprogress_how *started)
{
    static char data[300000];
    libxl_childproc_spec spec = xt_spec(XT_CHILD("cat"));
    libxl_childproc_exec_result result;
    libxl_childproc_exec_opts opts;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)('a' + i % 23);
    libxl_childproc_exec_opts_init(&opts);
    opts.stdin_stream.kind = LIBXL_STREAM_BUFFER;
    opts.stdin_stream.data = data;
    opts.stdin_stream.length = sizeof(data);
    opts.stdout_stream.kind = LIBXL_STREAM_CAPTURE;
    opts.linger = LIBXL_LINGER_EOF;
    opts.started = started;
    XT_OK(libxl_childproc_exec(ctx, &spec, &opts, &result, NULL, NULL));
    XT_EXITED(&result.child, 0);
    XT_EQ_MEM(result.out.data, result.out.length, data, sizeof(data));
    XT_EQ_INT(result.stdin_written, sizeof(data));
    libxl_childproc_exec_result_dispose(&result);
}

XT_TEST(an_operation_ends_though_the_host_forked_at_its_start, "C14 C18")
{
    int own = count_pipes();
    struct foreign f;
    libxl_ctx *ctx = ctx_between(&f);

    run_cat(ctx, NULL);
    holds_no_pipe(ctx, own, &f);
    end_foreign(&f);
    xt_ctx_free(ctx);
}

static void fork_meanwhile(libxl_ctx *ctx, libxl_event *event,
                           void *for_callback)
{
    libxl_event_free(ctx, event);
    fork_elsewhere(for_callback);
}

XT_TEST(an_operation_ends_though_the_host_forks_meanwhile, "C14 C18")
{
    int own = count_pipes();
    struct foreign f;
    libxl_asyncprogress_how started = {fork_meanwhile, {.for_callback = &f}};
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    run_cat(ctx, &started);
    holds_no_pipe(ctx, own, &f);
    end_foreign(&f);
    xt_ctx_free(ctx);
}
