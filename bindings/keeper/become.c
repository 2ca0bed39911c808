/* become.c - a process of ours on its own
 *
 * Called by program.c, and by OCaml's stub_keeper.c and stub_logger.c, in what
 * was forked to live on after the host.
 */
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

void xlo_become_a_process(const char *name)
{
    struct rlimit files;
    sigset_t none;

    for (int signo = 1; signo < 32; signo++)
        if (signo != SIGKILL && signo != SIGSTOP && signo != SIGSEGV &&
            signo != SIGBUS && signo != SIGCHLD)
            signal(signo, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir("/"))
        errno = 0; /* it stays where it is */
    prctl(PR_SET_NAME, name);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}
