/* keeper.h - the process that keeps pidfds while no daemon and no script lives
 *
 * keeper.c serves, as a program of its own (program.c): beside the Python
 * package, and inside the OCaml library, where it also runs in the host's
 * program executed anew (bindings/ocaml/stub_keeper.c) if need be. What is said
 * is listed in keeper.c.
 */
#ifndef XLO_KEEPER_H
#define XLO_KEEPER_H

#include <stddef.h>

/* The name of the socket in the state folder. */
#define XLO_KEEPER_SOCKET "keeper"

/* A packet with at most one descriptor; an fd of -1 is none. Bytes, or -errno. */
int xlo_packet_send(int to, const char *text, size_t length, int fd);
int xlo_packet_receive(int from, char *text, size_t room, int *ret_fd);

/* Until nobody is connected and nothing is kept, or the folder is gone. at_rest
 * is called when nothing has happened for a while. */
void xlo_keeper_serve(int listener, int folder, void (*at_rest)(void));

/* Ends by what SIGKILL alone should end, keeps no terminal and no folder, takes
 * as many descriptors as it may have. */
void xlo_become_a_process(const char *name);

#endif
