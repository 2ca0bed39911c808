/* bench/peers/pidfd_loop.h - clone with a pidfd, epoll, waitid(P_PIDFD)
 *
 * The bare loop that clone_pidfd.c and clone_files.c share; one of each
 * thread. No signal is masked and no failure of exec is noticed: this is the
 * kernel's price, not a library.
 */
#ifndef BENCH_PIDFD_LOOP_H
#define BENCH_PIDFD_LOOP_H

#include <stddef.h>
#include <sys/types.h>

/* Pids are found by their pidfd's number. */
struct pidfd_loop {
    int epoll;
    int share_files; /* CLONE_FILES, unshared by the child's close_range */
    int copied;      /* children have copies of the pidfds, for a while */
    char *stack;
    size_t stack_size;
};

void pidfd_loop_open(struct pidfd_loop *loop, int share_files);

/* Returns the pid or -1 with errno. */
pid_t pidfd_loop_start(struct pidfd_loop *loop, char *const argv[]);

/* Blocks until a child has ended; calls ended for each that has. */
void pidfd_loop_wait(struct pidfd_loop *loop,
                     void (*ended)(void *user, pid_t pid, int status),
                     void *user);

#endif
