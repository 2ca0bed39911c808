/* facts.c - what the kernel under it gives the library, and what comes of it
 *
 * Run by run.py in each machine; prints `NAME<tab>WORD` a line, from which
 * docs/kernels.md has its table. The facilities are libxl_childproc_diagnose's;
 * what comes of them is tried: a child whose status another wait takes, a
 * process that its own parent reaps, a group whose leader has ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xlchild.h"

#define EXIT_CODE 23
#define WHOLE_GROUP 4u /* PIDFD_SIGNAL_PROCESS_GROUP */

static void need(const char *what, int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "facts: %s: %s\n", what, libxl_strerror(rc));
    exit(1);
}

static void need_sys(const char *what, long r)
{
    if (r >= 0)
        return;
    fprintf(stderr, "facts: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void tell(const char *name, const char *word)
{
    printf("%s\t%s\n", name, word);
}

/* A shell that does this, started in silence. */
static libxl_childproc_id start(libxl_ctx *ctx, const char *what,
                                unsigned flags, pid_t *ret_pid)
{
    const char *argv[] = {"/bin/sh", "-c", what, NULL};
    libxl_childproc_spec spec;
    libxl_childproc_id id;

    libxl_childproc_spec_init(&spec);
    spec.argv = argv;
    spec.flags |= flags;
    need("libxl_childproc_spawn",
         libxl_childproc_spawn(ctx, &spec, NULL, &id, ret_pid, NULL));
    return id;
}

/* The status, as the library has it. */
static const char *ended_as(libxl_ctx *ctx, libxl_childproc_id id)
{
    libxl_childproc_result r;

    memset(&r, 0, sizeof(r));
    need("libxl_childproc_wait", libxl_childproc_wait(ctx, id, -1, 0, &r));
    if (r.lost != LIBXL_LOST_NONE)
        return "LOST";
    return WIFEXITED(r.status) && WEXITSTATUS(r.status) == EXIT_CODE ? "exact"
                                                                     : "WRONG";
}

static void facilities(libxl_ctx *ctx)
{
    static const struct {
        unsigned bit;
        const char *name;
    } all[] = {{LIBXL_FACILITY_VFORK, "shared-memory start"},
               {LIBXL_FACILITY_PIDFD, "pidfds"},
               {LIBXL_FACILITY_CLOSE_RANGE, "close_range"},
               {LIBXL_FACILITY_SHARED_FILES, "shared fd table"},
               {LIBXL_FACILITY_EXIT_INFO, "exit status by pidfd"}};
    libxl_childproc_diagnosis d = {.size = sizeof(d)};

    need("libxl_childproc_diagnose", libxl_childproc_diagnose(ctx, &d, NULL));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        tell(all[i].name, d.facilities & all[i].bit ? "yes" : "no");
    tell("mode none in force",
         d.mode_in_force == libxl_sigchld_owner_none ? "yes" : "no");
}

/* The host waits for our child. */
static void stolen(libxl_ctx *ctx)
{
    int status;
    pid_t pid;
    libxl_childproc_id id = start(ctx, "exit 23", 0, &pid);

    need_sys("waitpid", waitpid(pid, &status, 0));
    tell("status that another wait took", ended_as(ctx, id));
}

/* Somebody else's child, reaped by them. */
static void adopted(libxl_ctx *ctx)
{
    int gate[2], told[2];
    libxl_childproc_id id;
    pid_t parent, pid;

    need_sys("pipe", pipe(gate) | pipe(told));
    parent = fork();
    need_sys("fork", parent);
    if (parent == 0) {
        char byte;

        pid = fork();
        if (pid == 0) {
            close(gate[1]);
            _exit(read(gate[0], &byte, 1) == 0 ? EXIT_CODE : 1);
        }
        close(gate[1]);
        _exit(write(told[1], &pid, sizeof(pid)) != sizeof(pid) ||
              waitpid(pid, NULL, 0) != pid);
    }
    need_sys("read", read(told[0], &pid, sizeof(pid)) - (long)sizeof(pid));
    {
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

        need_sys("pidfd_open", pidfd);
        need("libxl_childproc_adopt",
             libxl_childproc_adopt(ctx, 0, 0, pidfd, NULL, &id));
        close(pidfd);
    }
    close(gate[1]);
    tell("status of an adopted process", ended_as(ctx, id));
    need_sys("waitpid", waitpid(parent, NULL, 0));
    close(gate[0]);
    close(told[0]);
    close(told[1]);
}

/* Whether the group of a leader that has ended can be named by its pidfd. */
static void group(void)
{
    int pidfd, r;
    pid_t pid = fork();

    need_sys("fork", pid);
    if (pid == 0) {
        setpgid(0, 0);
        pause();
        _exit(1);
    }
    (void)setpgid(pid, pid);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    need_sys("pidfd_open", pidfd);
    r = (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, WHOLE_GROUP);
    tell("group by its leader's pidfd", r == 0 ? "yes" : "no");
    if (r != 0 && pid > 1)
        need_sys("kill", kill(pid, SIGKILL));
    need_sys("waitpid", waitpid(pid, NULL, 0));
    close(pidfd);
}

/* After its leader has ended the rest of a group is ended by the library. */
static void rest_of_a_group(libxl_ctx *ctx)
{
    libxl_kill_policy policy = {.first_signal = SIGKILL,
                                .scope = LIBXL_KILL_GROUP};
    libxl_childproc_id id;
    char byte;
    int out[2];
    pid_t pid;

    need_sys("pipe", pipe(out));
    {
        const char *argv[] = {"/bin/sh", "-c", "sleep 1000 & echo; exit 23",
                              NULL};
        libxl_childproc_fd fd = {1, out[1]};
        libxl_childproc_spec spec;

        libxl_childproc_spec_init(&spec);
        spec.argv = argv;
        spec.flags |= LIBXL_SPAWN_NEW_GROUP;
        spec.fds = &fd;
        spec.nfds = 1;
        need("libxl_childproc_spawn",
             libxl_childproc_spawn(ctx, &spec, NULL, &id, &pid, NULL));
    }
    close(out[1]);
    need_sys("read", read(out[0], &byte, 1) - 1);
    {
        siginfo_t info;

        need_sys("waitid", waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    }
    need("libxl_childproc_terminate",
         libxl_childproc_terminate(ctx, id, &policy));
    /* The end of file is the end of the last that holds it. */
    tell("rest of a group after its leader",
         read(out[0], &byte, 1) == 0 ? "ended" : "LEFT");
    close(out[0]);
    if (strcmp(ended_as(ctx, id), "exact") != 0)
        tell("rest of a group after its leader", "WRONG");
}

int main(void)
{
    libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_none,
                                   .size = sizeof(hooks)};
    libxl_ctx *ctx;

    need("libxl_ctx_alloc", libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, NULL));
    need("libxl_childproc_setmode",
         libxl_childproc_setmode_checked(ctx, &hooks, NULL));
    stolen(ctx);
    adopted(ctx);
    rest_of_a_group(ctx);
    group();
    facilities(ctx);
    need("libxl_ctx_free", libxl_ctx_free(ctx));
    return 0;
}
