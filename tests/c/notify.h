/* notify.h - every execve of this process and its children is asked for first
 *
 * A seccomp filter whose supervisor (Linux 5.5) is in this process. The
 * kernel's declarations are here: its headers do not come with musl. Called by
 * slowexec.c, which holds all of them, and fault_moments.c, which answers one.
 */
#ifndef XT_NOTIFY_H
#define XT_NOTIFY_H

#include <stdint.h>

struct xn_call {
    uint64_t id;
    uint32_t pid, flags;
    int nr;
    uint32_t arch;
    uint64_t instruction_pointer, args[6];
};

/* From now on, and for this process's life: the fd on which they are asked
 * for; -1: it may not have one here. */
int xn_listen(void);
/* The next one; -1 and errno (ENOENT: it has been killed meanwhile). */
int xn_receive(int listener, struct xn_call *ret_call);
/* error 0: it goes on; else it fails with that. */
void xn_answer(int listener, uint64_t id, int error);

#endif
