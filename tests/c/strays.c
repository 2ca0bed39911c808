/* strays.c - families whose child leaves somebody behind, in one of six ways
 *
 * Used by family.c, family_keeper.c and keeper_ends.c. See strays.h.
 */
#define _GNU_SOURCE
#include "strays.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostchild.h"
#include "probe.h"

const char *const xk_ways[XK_N_WAYS] = {"and",   "nohup", "setsid",
                                        "twice", "flee",  "closed"};

char xk_mark[64];

const char *xk_fresh_mark(void)
{
    static int last;

    snprintf(xk_mark, sizeof(xk_mark), "stray-%d-%d", (int)getpid(), ++last);
    return xk_mark;
}

/* ---- who is left -------------------------------------------------------- */

static int has_mark(const char *pid)
{
    char path[300], text[512];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0; /* it has ended */
    text[n] = '\0';
    return memmem(text, (size_t)n, xk_mark, strlen(xk_mark)) != NULL;
}

int xk_left(void)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int n = 0;

    XT_TRUE(proc != NULL);
    while ((entry = readdir(proc)))
        if (entry->d_name[0] > '0' && entry->d_name[0] <= '9')
            n += has_mark(entry->d_name);
    closedir(proc);
    return n;
}

/* One that flees is nowhere to be seen for a moment, now and then. */
int xk_some_left(void *unused)
{
    return xk_left() > 0;
}

int xk_none_left(void *unused)
{
    return xk_left() == 0;
}

/* ---- families ----------------------------------------------------------- */

libxl_family_id xk_family_or_skip(libxl_ctx *ctx, libxl_family_hold hold,
                                      libxl_family_when when)
{
    libxl_family_id id = 0;
    libxl_family_opts opts;
    int rc;

    libxl_family_opts_init(&opts);
    opts.holds = 1u << hold;
    opts.end_when = when;
    if (hold == LIBXL_HOLD_GROUP && !xp_pidfd_group()) {
        libxl_ctx_free(ctx);
        XT_SKIP("no pidfd names a group here (Linux 6.9)");
    }
    rc = libxl_family_new(ctx, &opts, &id);
    if (rc == ERROR_NI) {
        libxl_ctx_free(ctx);
        XT_SKIP("no hold by %s here", libxl_family_hold_name(hold));
    }
    XT_OK(rc);
    return id;
}

libxl_family_state xk_look(libxl_ctx *ctx, libxl_family_id family)
{
    libxl_family_state state;

    state.size = sizeof(state);
    XT_OK(libxl_family_look(ctx, family, &state));
    return state;
}

libxl_childproc_spec xk_stray(const char *way, const char *status)
{
    static const char *argv[5];

    argv[0] = XT_HELPERS "/stray";
    argv[1] = way;
    argv[2] = xk_mark;
    argv[3] = status;
    return xt_spec(argv);
}

/* Runs one that leaves somebody behind; its result. */
libxl_childproc_result xk_run(libxl_ctx *ctx, libxl_family_id family,
                                  const char *way, const char *status)
{
    libxl_childproc_spec spec = xk_stray(way, status);

    spec.family = family;
    return xt_wait(ctx, xt_spawn(ctx, &spec, NULL, NULL));
}

pid_t xk_stranger_with(pid_t number)
{
    pid_t pid = xh_fork_as(number);

    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

int xk_is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

int xk_how_many(int otherwise)
{
    const char *text = getenv("XT_FAMILIES");

    return text ? atoi(text) : otherwise;
}

void xk_leaves_nothing(libxl_family_hold hold, size_t nways, int n)
{
    libxl_ctx *ctx = xt_ctx_new(libxl_sigchld_owner_none, NULL);

    xk_fresh_mark();
    for (int i = 0; i < n; i++) {
        libxl_family_id family =
            xk_family_or_skip(ctx, hold, LIBXL_FAMILY_ALWAYS);
        libxl_family_state state = xk_look(ctx, family);
        char *cgroup = state.cgroup ? strdup(state.cgroup) : NULL;
        libxl_childproc_result r =
            xk_run(ctx, family, xk_ways[(size_t)i % nways], "0");

        XT_EQ_INT(state.hold, hold);
        XT_EXITED(&r, 0);
        XT_OK(libxl_family_wait(ctx, family, LIBXL_WAIT_FOREVER, 0));
        XT_EQ_INT(xk_look(ctx, family).empty, 1);
        XT_TRUE(!cgroup || !xk_is_directory(cgroup));
        XT_OK(libxl_family_free(ctx, family));
        free(cgroup);
    }
    XT_NOTE("%d commands, %d left", n, xk_left());
    XT_EQ_INT(xk_left(), 0);
    xt_ctx_free(ctx);
}
