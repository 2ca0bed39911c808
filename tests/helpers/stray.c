/* stray.c - a command that leaves somebody behind, in one of six ways
 *
 *     stray WAY MARK [STATUS]
 *
 * MARK is in the command line of whoever is left, so that a test can count
 * them. The command itself exits with STATUS (0) as soon as it has forked.
 * They live until they are killed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stay(void)
{
    for (;;)
        pause();
}

/* In a session of its own each, forking and ending for ever. */
static void flee(void)
{
    for (;;) {
        pid_t pid = fork();

        if (pid > 0)
            _exit(0);
        if (pid == 0)
            setsid();
        usleep(200);
    }
}

static void close_all(void)
{
    int fd;

    for (fd = 0; fd < 1024; fd++)
        close(fd);
}

static void left_behind(const char *way)
{
    if (!strcmp(way, "nohup"))
        signal(SIGHUP, SIG_IGN);
    if (strcmp(way, "and") && strcmp(way, "nohup"))
        setsid();
    if (!strcmp(way, "twice") && fork() != 0)
        _exit(0);
    if (!strcmp(way, "closed"))
        close_all();
    if (!strcmp(way, "flee"))
        flee();
    stay();
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    if (fork() == 0)
        left_behind(argv[1]);
    return argc > 3 ? atoi(argv[3]) : 0;
}
