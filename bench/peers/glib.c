/* bench/peers/glib.c - g_spawn_async and g_child_watch_add
 *
 * With the flags that let GLib use posix_spawn, its fastest way. Called
 * through bench.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glib.h>

#include "bench.h"

static long ends;

static const char *version(void)
{
    static char text[32];

    g_snprintf(text, sizeof(text), "%u.%u.%u", glib_major_version,
               glib_minor_version, glib_micro_version);
    return text;
}

static void ended(GPid pid, gint status, gpointer user)
{
    (void)user;
    ends++;
    bench_exited(pid, status);
    g_spawn_close_pid(pid);
}

static pid_t start(char *const argv[])
{
    GError *error = NULL;
    GPid pid;

    if (!g_spawn_async(NULL, (char **)argv, NULL,
                       G_SPAWN_DO_NOT_REAP_CHILD |
                           G_SPAWN_LEAVE_DESCRIPTORS_OPEN |
                           G_SPAWN_CHILD_INHERITS_STDIN,
                       NULL, NULL, &pid, &error)) {
        fprintf(stderr, "bench: %s\n", error->message);
        return -1;
    }
    g_child_watch_add(pid, ended, NULL);
    return pid;
}

static void pump(void)
{
    long before = ends;

    while (ends == before)
        g_main_context_iteration(NULL, TRUE);
}

static const struct bench_peer peer = {
    .name = "glib",
    .version = version,
    .start = start,
    .pump = pump,
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, &peer);
}
