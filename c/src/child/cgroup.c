/* cgroup.c - everybody in a child's cgroup, signalled with no lock held
 *
 * Called by child.c (a child's own), send.c (asks) and, without the lock, by
 * kill.c and cgroup_due.c. See cgroup.h.
 */
#define _GNU_SOURCE
#include "child/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_FILE 4096 /* a folder of at most 4064, as spec.c has it */

/* ---- as an object ------------------------------------------------------- */

struct xl_cgroup *xl_cgroup_new(libxl_ctx *ctx, const char *path)
{
    size_t size = strlen(path) + 1;
    struct xl_cgroup *cgroup = xl_sys.malloc(sizeof *cgroup + size);

    if (cgroup == NULL)
        return NULL;
    xl_list_init(&cgroup->link);
    cgroup->ctx = ctx;
    cgroup->child = 0;
    cgroup->asked = 0;
    cgroup->removal = 0;
    atomic_init(&cgroup->holders, 1);
    memcpy(cgroup->path, path, size);
    return cgroup;
}

void xl_cgroup_hold(struct xl_cgroup *cgroup)
{
    atomic_fetch_add(&cgroup->holders, 1);
}

void xl_cgroup_drop(struct xl_cgroup *cgroup)
{
    if (cgroup != NULL && atomic_fetch_sub(&cgroup->holders, 1) == 1)
        xl_free(cgroup);
}

/* ---- asked for ---------------------------------------------------------- */

static uint64_t bit_of(int signo)
{
    return UINT64_C(1) << (signo - 1);
}

static void put_on_list(struct xl_cgroup *cgroup)
{
    if (!xl_list_empty(&cgroup->link))
        return;
    xl_cgroup_hold(cgroup);
    xl_list_append(&cgroup->ctx->cgroups_due, &cgroup->link);
}

void xl_cgroup_ask(struct xl_cgroup *cgroup, int signo)
{
    cgroup->asked |= bit_of(signo);
    put_on_list(cgroup);
}

void xl_cgroup_ask_removal(struct xl_cgroup *cgroup)
{
    cgroup->removal = 1;
    put_on_list(cgroup);
}

/* After SIGKILL no other signal makes a difference. 0: it is to be removed. */
static int take_signal(struct xl_cgroup *cgroup)
{
    int signo = SIGKILL;

    if (cgroup->asked == 0) {
        cgroup->removal = 0;
        return 0;
    }
    if (cgroup->asked & bit_of(SIGKILL))
        cgroup->asked = 0;
    else
        for (signo = 1; !(cgroup->asked & bit_of(signo));)
            signo++;
    cgroup->asked &= ~bit_of(signo);
    return signo;
}

struct xl_cgroup *xl_cgroup_next(libxl_ctx *ctx, int *ret_signo)
{
    struct xl_cgroup *cgroup;

    if (xl_list_empty(&ctx->cgroups_due))
        return NULL;
    cgroup = xl_container(ctx->cgroups_due.next, struct xl_cgroup, link);
    *ret_signo = take_signal(cgroup);
    if (cgroup->asked == 0 && !cgroup->removal)
        xl_list_remove(&cgroup->link); /* its hold is the caller's now */
    else
        xl_cgroup_hold(cgroup);
    return cgroup;
}

void xl_cgroup_forget_all(libxl_ctx *ctx)
{
    while (!xl_list_empty(&ctx->cgroups_due)) {
        struct xl_cgroup *cgroup =
            xl_container(ctx->cgroups_due.next, struct xl_cgroup, link);

        xl_list_remove(&cgroup->link);
        xl_cgroup_drop(cgroup);
    }
}

/* ---- done --------------------------------------------------------------- */

static int answer(int errnoval)
{
    if (errnoval == ESRCH)
        return ERROR_NOTFOUND;
    return errnoval == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM;
}

int xl_cgroup_refused(int rc)
{
    return rc == ERROR_SYSTEM || rc == ERROR_PERMISSION;
}

/* The next pid of a cgroup.procs; -1: no more */
static pid_t next_member(FILE *procs)
{
    char line[32];

    if (fgets(line, sizeof line, procs) == NULL)
        return -1;
    return (pid_t)strtol(line, NULL, 10);
}

static int is_member(const char *path, pid_t pid)
{
    FILE *procs = xl_sys.fopen(path, "re");
    pid_t each;
    int found = 0;

    if (procs == NULL)
        return 0;
    while (!found && (each = next_member(procs)) >= 0)
        found = each == pid;
    (void)fclose(procs);
    return found;
}

/* Everybody in the cgroup, one by one, each held by a pidfd while its
 * membership is checked again. */
static int signal_each(const char *cgroup, int signo)
{
    char path[CGROUP_FILE];
    FILE *procs;
    pid_t pid;
    int refused = 0;
    int found = 0;

    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    procs = xl_sys.fopen(path, "re");
    if (procs == NULL)
        return ERROR_SYSTEM;
    while ((pid = next_member(procs)) >= 0) {
        int pidfd;

        if (pid <= 1)
            continue; /* of another pid namespace */
        pidfd = xl_sys.pidfd_open(pid, 0);
        if (pidfd < 0) {
            if (errno != ESRCH)
                refused = errno;
            continue;
        }
        if (is_member(path, pid)) {
            if (xl_sys.pidfd_send_signal(pidfd, signo, 0) == 0)
                found = 1;
            else if (errno != ESRCH)
                refused = errno;
        }
        xl_close(pidfd);
    }
    (void)fclose(procs);
    if (found)
        return 0;
    errno = refused != 0 ? refused : ESRCH;
    return answer(errno);
}

/* Of its own, so that there is one path on the stack at a time. */
static __attribute__((noinline)) int open_cgroup_kill(const char *cgroup)
{
    char path[CGROUP_FILE];

    snprintf(path, sizeof path, "%s/cgroup.kill", cgroup);
    return xl_sys.open(path, O_WRONLY | O_CLOEXEC, 0);
}

int xl_cgroup_signal(const struct xl_cgroup *cgroup, int signo)
{
    ssize_t n;
    int fd = signo == SIGKILL ? open_cgroup_kill(cgroup->path) : -1;

    if (fd < 0)
        return signal_each(cgroup->path, signo);
    n = xl_sys.write(fd, "1", 1);
    xl_close(fd);
    return n == 1 ? 0 : ERROR_SYSTEM;
}

int xl_cgroup_signal_or_kill(const struct xl_cgroup *cgroup, int *signo_io)
{
    int rc = xl_cgroup_signal(cgroup, *signo_io);

    if (!xl_cgroup_refused(rc) || *signo_io == SIGKILL)
        return rc;
    *signo_io = SIGKILL;
    return xl_cgroup_signal(cgroup, SIGKILL);
}
