/* start_early_failure.c - a step that fails before the fds are moved
 *
 * Proves C15 and C16: the failure reaches the parent, and no descriptor of
 * the host's is written to, also where the number of the pipe that tells
 * failures is a target of the fd map and its place in the child is, in the
 * parent, an open file.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIRST = 3, LAST_TARGET = 39, LAST_OPEN = 79 };

XT_TEST(early_failure_is_told_through_the_right_fd, "C15 C16 C10")
{
    libxl_ctx *ctx = xt_ctx_forking(libxl_sigchld_owner_none, 1);
    libxl_childproc_fd map[LAST_TARGET - FIRST + 1];
    libxl_childproc_spec spec = xt_spec(XT_CHILD("exit", "0"));
    libxl_childproc_failure failure;
    int file = memfd_create("file", MFD_CLOEXEC);
    int fd, taken[LAST_OPEN + 1];

    XT_TRUE(file >= 0);
    for (fd = LAST_TARGET + 1; fd <= LAST_OPEN; fd++)
        taken[fd] = dup3(file, fd, O_CLOEXEC) == fd;
    for (fd = FIRST; fd <= LAST_TARGET; fd++) {
        map[fd - FIRST].target = fd;
        map[fd - FIRST].source = LIBXL_FD_NULL;
    }
    spec.fds = map;
    spec.nfds = sizeof(map) / sizeof(map[0]);
    spec.flags |= LIBXL_SPAWN_JOIN_GROUP;
    spec.group = 1 << 22; /* above every pid: there is no such group */
    XT_EQ_INT(libxl_childproc_spawn(ctx, &spec, NULL, NULL, NULL, &failure),
              ERROR_SPAWN);
    XT_EQ_INT(failure.stage, LIBXL_STAGE_SESSION);
    XT_EQ_INT(failure.errnoval, EPERM);
    XT_EQ_INT(lseek(file, 0, SEEK_END), 0);
    for (fd = LAST_TARGET + 1; fd <= LAST_OPEN; fd++)
        if (taken[fd])
            close(fd);
    close(file);
    xt_ctx_free(ctx);
}
