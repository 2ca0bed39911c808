/* sdevent.c - a program on sd-event: SIGCHLD is blocked, and each child has a
 * source. See ../README.md. */
#include <signal.h>
#include <systemd/sd-event.h>

#include "../host.h"

static int living = HOST_CHILDREN;

static int ended(sd_event_source *source, const siginfo_t *info, void *i)
{
    int number = (int)(intptr_t)i;

    if (info->si_code == CLD_EXITED)
        host_exited(number, info->si_status);
    else
        host_exited(number, -info->si_status);
    if (!--living)
        sd_event_exit(sd_event_source_get_event(source), 0);
    return 0;
}

int main(void)
{
    sd_event *event = NULL;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (sd_event_default(&event) < 0)
        return 125;
    host_go();
    for (int i = 0; i < HOST_CHILDREN; i++) {
        int r = sd_event_add_child(event, NULL, host_fork(i), WEXITED, ended,
                                   (void *)(intptr_t)i);

        if (r < 0) {
            host_lost(i, strerror(-r));
            living--;
        }
    }
    if (living)
        sd_event_loop(event);
    host_done();
    sd_event_unref(event);
    return 0;
}
