/* reaper.c - an init for the orphans of one program
 *
 * reaper PROGRAM ARGS... runs it and reaps every process that its descendants
 * leave behind, at once, as a system's init does but some containers' only
 * now and then. Exits as the program did; signals go to it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t program;

static void pass_on(int signo)
{
    if (program > 1)
        kill(program, signo);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = pass_on};
    pid_t ended;
    int status;

    if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return 120;
    program = fork();
    if (program < 0)
        return 121;
    if (program == 0) {
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(122);
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    do {
        ended = waitpid(-1, &status, 0);
    } while (ended != program && (ended > 0 || errno == EINTR));
    if (ended != program)
        return 121;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
