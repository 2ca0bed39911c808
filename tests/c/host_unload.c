/* host_unload.c - a host that unloads what started its children
 *
 * Proves C26: dlclose of a plugin with the core in it, while there are children
 * of it, threads that will reap them, a SIGCHLD handler and fork handlers, is
 * no crash, in any mode; the plugin's code stays. (That the shared library
 * itself is never unloaded is looked up by the house checks.)
 */
#define _GNU_SOURCE
#include "hostchild.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *load(void)
{
    char path[PATH_MAX];
    ssize_t n = XT_SYS(readlink("/proc/self/exe", path, sizeof(path) - 64));
    void *handle;

    path[n] = 0;
    snprintf(strrchr(path, '/'), 64, "/../shared/leaver.so");
    if (access(path, R_OK))
        XT_SKIP("no shared objects in a build that links statically");
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        XT_FAIL("%s", dlerror());
    return handle;
}

/* Those of the other ctx are whoever's: the mode says. */
static int at_most_two_zombies(void *unused)
{
    siginfo_t info;
    int left = 0;

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
        left++;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 &&
           left <= 2;
}

static void load_leave_unload(libxl_sigchld_owner owner)
{
    int gate[2];
    int (*leave)(int, const char *, int);

    xt_pipe(gate);
    for (int i = 0; i < 2; i++) {
        void *plugin = load();

        *(void **)&leave = dlsym(plugin, "leaver_leave");
        XT_TRUE(leave != NULL);
        XT_OK(leave(owner, xt_child_path(), gate[0]));
        XT_EQ_INT(dlclose(plugin), 0);
        XT_EQ_INT(xh_reap(XT_SYS(xh_fork_exit(0))) & 0, 0);
    }
    XT_SYS(raise(SIGCHLD));
    xt_close(&gate[0]);
    xt_close(&gate[1]); /* they end, and are reaped by what was unloaded */
    XT_EVENTUALLY(at_most_two_zombies, NULL);
    XT_SYS(raise(SIGCHLD));
}

XT_TEST_SLOW(an_unloaded_plugin_lives_as_long_as_it_is_needed, "C26 B7", 60)
{
    int status;

    XT_EQ_INT(dlclose(load()), 0); /* or skip */
    for (int owner = libxl_sigchld_owner_libxl;
         owner <= libxl_sigchld_owner_none; owner++) {
        pid_t pid = XT_SYS(fork());

        if (!pid) {
            load_leave_unload((libxl_sigchld_owner)owner);
            _exit(0);
        }
        status = xh_reap(pid);
        if (status)
            XT_FAIL("%s: status %#x",
                    libxl_childproc_owner_name((libxl_sigchld_owner)owner),
                    (unsigned)status);
    }
}
