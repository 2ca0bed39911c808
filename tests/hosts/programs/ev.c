/* ev.c - a libev program: its default loop reaps every child there is, by
 * waitpid(-1), and throws away what has no watcher. See ../README.md. */
#include <ev.h>

#include "../host.h"

static ev_child watcher[HOST_CHILDREN], everybody;
static int living = HOST_CHILDREN;

static void ended(struct ev_loop *loop, ev_child *w, int revents)
{
    (void)revents;
    host_status((int)(w - watcher), w->rstatus);
    ev_child_stop(loop, w);
    if (!--living)
        ev_break(loop, EVBREAK_ALL);
}

/* A watcher of pid 0 is told of each: the host's part in mainloop mode. */
static void someone_ended(struct ev_loop *loop, ev_child *w, int revents)
{
    (void)loop, (void)revents;
    xlhost_exited(w->rpid, w->rstatus);
}

/* A stranger that the shim's context reaped: through a pipe, as the watcher's
 * own end would come. */
static int strangers[2];

static int told(pid_t pid, int status)
{
    int words[2] = {pid, status};

    return write(strangers[1], words, sizeof(words)) == sizeof(words) ? 0 : 1;
}

static void stranger(struct ev_loop *loop, ev_io *w, int revents)
{
    int words[2];

    (void)revents;
    if (read(w->fd, words, sizeof(words)) != sizeof(words))
        return;
    for (int i = 0; i < HOST_CHILDREN; i++)
        if (watcher[i].pid == words[0]) {
            watcher[i].rstatus = words[1];
            ended(loop, &watcher[i], 0);
        }
}

int main(void)
{
    ev_io reader;
    struct ev_loop *loop = ev_default_loop(0);

    if (host_mode() == HOST_MAINLOOP) {
        ev_child_init(&everybody, someone_ended, 0, 0);
        ev_child_start(loop, &everybody);
        ev_unref(loop);
    }
    if (pipe(strangers))
        return 125;
    ev_io_init(&reader, stranger, strangers[0], EV_READ);
    ev_io_start(loop, &reader);
    if (host_mode() >= 0)
        xlhost_on_stranger(told);
    ev_run(loop, EVRUN_NOWAIT);
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++) {
        ev_child_init(&watcher[i], ended, host_fork(i), 0);
        ev_child_start(loop, &watcher[i]);
    }
    ev_run(loop, 0);
    host_done();
    return 0;
}
