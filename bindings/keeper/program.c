/* program.c - the small program beside the Python package, in the OCaml library
 *
 *     keeper keep                          a listening socket at 3, a folder at 4
 *     keeper start GATE TICKET PROGRAM...  two descriptors, and a command
 *
 * Started by python/xlchild/services/_keeping.py and _launch.py, whose processes
 * may be killed at any moment, and "keep" by OCaml's stub_keeper.c; goes to
 * keeper.c and gate.c.
 */
#define _GNU_SOURCE
#include "gate.h"
#include "keeper.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTENER 3
#define FOLDER 4
#define MISUSE 2

static void at_rest(void)
{
    malloc_trim(0);
}

/* Whoever started it is answered by the exit code; the keeper is nobody's
 * child, so that the host's wait() never meets it. */
static int keep(void)
{
    int listens = 0;
    socklen_t length = sizeof(listens);
    pid_t pid;

    if (getsockopt(LISTENER, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) ||
        !listens)
        return MISUSE;
    pid = fork();
    if (pid)
        return pid < 0;
    xlo_become_a_process("xlchild-keeper");
    xlo_keeper_serve(LISTENER, FOLDER, at_rest);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "keep"))
        return keep();
    if (argc > 4 && !strcmp(argv[1], "start"))
        xlo_gate(atoi(argv[2]), atoi(argv[3]), argv + 4);
    return MISUSE;
}
