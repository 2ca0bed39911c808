/* host.h - a host's half of the protocol, for hosts written in C and C++
 *
 * Included by tests/hosts/programs; each includes it once. See README.md.
 */
#ifndef HOST_H
#define HOST_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST_CHILDREN 50

#ifdef __cplusplus
extern "C" {
#endif
/* Of the shim, if it is there: the mode in which the host does its part of the
 * treaty (-1: it need not), the word that a child was reaped, and who is told
 * of children that the shim's context reaped and did not start. */
__attribute__((weak)) int xlhost_mode(void);
__attribute__((weak)) int xlhost_exited(pid_t pid, int status);
__attribute__((weak)) void xlhost_on_stranger(int (*told)(pid_t pid,
                                                          int status));
#ifdef __cplusplus
}
#endif

/* As in xlchild/childproc.h, which a host need not know. */
enum { HOST_LIBXL, HOST_MAINLOOP, HOST_ALWAYS, HOST_SELECTIVE, HOST_NONE };

static inline int host_mode(void)
{
    return xlhost_mode ? xlhost_mode() : -1;
}

static inline const char *host_env(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        fprintf(stderr, "host: %s is not set\n", name);
        exit(125);
    }
    return value;
}

static inline void host_tell(const char *words)
{
    int fd = open(host_env("XLHOST_GO"), O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, words, strlen(words)) < 0)
        perror("host: go");
    close(fd);
}

/* The host is ready for its children. */
static inline void host_go(void)
{
    host_tell("go\n");
}

/* The exit code that child number i is to have, and how long it lives. */
static inline int host_code(int i)
{
    return 101 + i;
}

static inline int host_milliseconds(int i)
{
    return i % 16;
}

/* The command of child number i: five words and NULL. */
static inline char **host_argv(int i)
{
    static char code[16], milliseconds[16];
    static char *argv[6];

    snprintf(code, sizeof(code), "%d", host_code(i));
    snprintf(milliseconds, sizeof(milliseconds), "%d", host_milliseconds(i));
    argv[0] = (char *)host_env("XLHOST_CHILD");
    argv[1] = (char *)"sleep-ms";
    argv[2] = milliseconds;
    argv[3] = (char *)"exit";
    argv[4] = code;
    argv[5] = NULL;
    return argv;
}

static inline void host_write(const char *line)
{
    int fd = open(host_env("XLHOST_RESULT"),
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        perror("host: result");
    close(fd);
}

/* What became of child number i: its exit code, or why nobody knows. */
static inline void host_exited(int i, int code)
{
    char line[64];

    snprintf(line, sizeof(line), "%d %d\n", i, code);
    host_write(line);
}

static inline void host_lost(int i, const char *why)
{
    char line[256];

    snprintf(line, sizeof(line), "%d lost %s\n", i, why);
    host_write(line);
}

static inline void host_status(int i, int status)
{
    if (WIFEXITED(status))
        host_exited(i, WEXITSTATUS(status));
    else
        host_exited(i, -WTERMSIG(status));
}

static inline pid_t host_fork(int i)
{
    char **argv = host_argv(i);
    pid_t pid = fork();

    if (!pid) {
        execv(argv[0], argv);
        _exit(99);
    }
    if (pid < 0) {
        perror("host: fork");
        exit(125);
    }
    return pid;
}

/* Tells that the host's part is done, and stays until ours is. */
static inline void host_done(void)
{
    char word[8];
    int fd;

    host_tell("done\n");
    fd = open(host_env("XLHOST_END"), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        perror("host: end");
    while (read(fd, word, 4) < 0 && errno == EINTR)
        ;
    close(fd);
}

#endif
