/* glib.c - a GLib program: g_spawn_async and child watches.
 * See ../README.md. */
#include <glib.h>

#include "../host.h"

static GMainLoop *loop;
static int living = HOST_CHILDREN;

static void ended(GPid pid, gint status, gpointer i)
{
    host_status(GPOINTER_TO_INT(i), status);
    g_spawn_close_pid(pid);
    if (!--living)
        g_main_loop_quit(loop);
}

static void first_ended(GPid pid, gint status, gpointer unused)
{
    (void)pid, (void)status, (void)unused;
    g_main_loop_quit(loop);
}

static GPid start(char **argv)
{
    GError *error = NULL;
    GPid pid;

    if (!g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                       &pid, &error)) {
        fprintf(stderr, "glib: %s\n", error->message);
        exit(125);
    }
    return pid;
}

int main(void)
{
    loop = g_main_loop_new(NULL, FALSE);
    g_child_watch_add(start(host_argv(0)), first_ended, NULL);
    g_main_loop_run(loop);
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++)
        g_child_watch_add(start(host_argv(i)), ended, GINT_TO_POINTER(i));
    g_main_loop_run(loop);
    host_done();
    return 0;
}
