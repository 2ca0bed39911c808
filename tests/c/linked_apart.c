/* linked_apart.c - the core inside a plugin, beside a library of its names
 *
 * Proves the C side of B7: linked with hidden symbols, the core in a shared
 * object neither exports its names nor takes anybody else's for its own.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *load(const char *name, int flags)
{
    char path[PATH_MAX];
    ssize_t n = XT_SYS(readlink("/proc/self/exe", path, sizeof(path) - 64));
    void *handle;

    path[n] = 0;
    snprintf(strrchr(path, '/'), 64, "/../shared/%s", name);
    if (access(path, R_OK))
        XT_SKIP("no shared objects in a build that links statically");
    handle = dlopen(path, RTLD_NOW | flags);
    if (!handle)
        XT_FAIL("%s", dlerror());
    return handle;
}

XT_TEST(beside_a_library_of_the_same_names, "B7")
{
    void *xen = load("fakexen.so", RTLD_GLOBAL);
    void *plugin = load("plugin.so", RTLD_LOCAL);
    int *calls = dlsym(xen, "fakexen_calls");
    int (*run)(const char *);
    int (*fake)(libxl_ctx *);
    int status;

    XT_TRUE(calls != NULL);
    *(void **)&run = dlsym(plugin, "plugin_run");
    XT_TRUE(run != NULL);
    status = run(xt_child_path());
    XT_TRUE(WIFEXITED(status));
    XT_EQ_INT(WEXITSTATUS(status), 23);
    XT_EQ_INT(*calls, 0);
    /* The other library is unharmed: its names are its own. */
    *(void **)&fake = dlsym(RTLD_DEFAULT, "libxl_ctx_free");
    XT_TRUE(fake != NULL);
    XT_EQ_INT(fake(NULL), -77);
    *(void **)&fake = dlsym(RTLD_DEFAULT, "xlchild_event_wait");
    XT_TRUE(fake != NULL);
    XT_EQ_INT(fake(NULL), -77);
    XT_EQ_INT(*calls, 2);
}

XT_TEST(exports_nothing_of_the_core, "B7")
{
    static const char *const names[] = {
        "libxl_ctx_alloc",           "xlchild_ctx_alloc",
        "xlchild_childproc_setmode", "xlchild_childproc_exited",
        "xlchild_event_wait",        "xlchild_childproc_spawn",
        "xl_sys"};
    void *plugin = load("plugin.so", RTLD_LOCAL);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        XT_EQ_PTR(dlsym(plugin, names[i]), NULL);
}
