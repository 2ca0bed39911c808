/* gate.c - holds a service back until it can be found again
 *
 * Called by program.c, in the process that the host has started for a service.
 * A host may be killed at any moment. So that no program runs of which its next
 * life does not know, this process waits here: first the host hands its pidfd
 * to the keeper and records it, and then opens the gate, by one byte in a file
 * in the state folder, the ticket. That byte is the only word that counts, and
 * it stays there: the next life sees by it whether the program was let go.
 * The socket only wakes up: by a byte, or by its end when the host is gone.
 * Both are closed when the program is executed, by which the host sees that.
 */
#define _GNU_SOURCE
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS 250 /* somebody else's fork may have the host's end, too */
#define NEVER_RAN 127

static int is_open(int ticket)
{
    char word;

    return pread(ticket, &word, 1, 0) == 1 && word == XLO_GATE_OPEN;
}

/* 0 when the host is gone, or nobody can tell. */
static int wait_for_word(int gate)
{
    struct pollfd fd = {.fd = gate, .events = POLLIN};
    char byte;
    int r = poll(&fd, 1, LOOK_MS);

    if (r > 0)
        return read(gate, &byte, 1) > 0;
    return !r || errno == EINTR;
}

void xlo_gate(int gate, int ticket, char **argv)
{
    char text[16];
    int there = 1, n;

    fcntl(gate, F_SETFD, FD_CLOEXEC);
    fcntl(ticket, F_SETFD, FD_CLOEXEC);
    /* looked at once more after the host has gone: it may have been its last
     * deed */
    while (!is_open(ticket)) {
        if (!there)
            _exit(NEVER_RAN);
        there = wait_for_word(gate);
    }
    execvp(argv[0], argv);
    n = snprintf(text, sizeof(text), "%c%d", XLO_GATE_FAILED, errno);
    if (pwrite(ticket, text, (size_t)n, 0) != n)
        raise(SIGKILL); /* an exit code would be taken for the program's */
    _exit(NEVER_RAN);
}
