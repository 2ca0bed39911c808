/* event.c - a libevent program: a signal event for SIGCHLD, and waitpid(-1) as
 * its manual's examples have it. See ../README.md. */
#include <event2/event.h>
#include <signal.h>

#include "../host.h"

static pid_t pids[HOST_CHILDREN];
static int living = HOST_CHILDREN;

static void sigchld(evutil_socket_t signo, short what, void *base)
{
    int status;
    pid_t pid;

    (void)signo, (void)what;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (host_mode() == HOST_MAINLOOP && !xlhost_exited(pid, status))
            continue;
        for (int i = 0; i < HOST_CHILDREN; i++)
            if (pids[i] == pid) {
                host_status(i, status);
                living--;
            }
    }
    if (!living)
        event_base_loopbreak((struct event_base *)base);
}

int main(void)
{
    struct event_base *base = event_base_new();
    struct event *signals = evsignal_new(base, SIGCHLD, sigchld, base);

    if (!signals || event_add(signals, NULL))
        return 125;
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++)
        pids[i] = host_fork(i);
    event_base_dispatch(base);
    host_done();
    event_free(signals);
    event_base_free(base);
    return 0;
}
