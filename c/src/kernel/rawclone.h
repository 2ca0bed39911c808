/* rawclone.h - clone3, with a stack for the child, as an instruction
 *
 * For sys.c, and for keeper_child.c, which may call nothing of libc's. Next: fn
 * in the child, on its own stack; the caller goes on.
 */
#ifndef XL_RAWCLONE_H
#define XL_RAWCLONE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

/* The kernel's struct clone_args; its members are facts of the ABI. */
struct xl_clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack,
        stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define XL_CLONE_CLEAR_SIGHAND UINT64_C(0x100000000)
#define XL_CLONE_INTO_CGROUP UINT64_C(0x200000000)

#if defined(__x86_64__)
/* In the child the stack pointer is the new stack's top, so that nothing of
 * this frame may be used: fn and arg travel in registers. */
static inline long xl_clone3_call(struct xl_clone3_args *args, size_t size,
                                  int (*fn)(void *), void *arg)
{
    register long rax __asm__("rax") = SYS_clone3;
    register void *rdi __asm__("rdi") = args;
    register size_t rsi __asm__("rsi") = size;
    register void *r8 __asm__("r8") = (void *)fn;
    register void *r9 __asm__("r9") = arg;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %%r9, %%rdi\n\t"
                     "callq *%%r8\n\t"
                     "movl %%eax, %%edi\n\t"
                     "movl %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:\n\t"
                     : "+r"(rax), "+r"(rdi), "+r"(rsi), "+r"(r8), "+r"(r9)
                     : [exit] "i"(SYS_exit_group)
                     : "rcx", "r11", "memory", "cc");
    return rax;
}
#elif defined(__aarch64__)
static inline long xl_clone3_call(struct xl_clone3_args *args, size_t size,
                                  int (*fn)(void *), void *arg)
{
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)size;
    register void *x10 __asm__("x10") = (void *)fn;
    register void *x11 __asm__("x11") = arg;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x0, x11\n\t"
                     "blr x10\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc #0\n"
                     "1:\n\t"
                     : "+r"(x0), "+r"(x1), "+r"(x8), "+r"(x10), "+r"(x11)
                     : [exit] "i"(SYS_exit_group)
                     : "memory", "cc", "x30");
    return x0;
}
#else
static inline long xl_clone3_call(struct xl_clone3_args *args, size_t size,
                                  int (*fn)(void *), void *arg)
{
    (void)args, (void)size, (void)fn, (void)arg;
    return -ENOSYS;
}
#endif

#endif
