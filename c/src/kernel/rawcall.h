/* rawcall.h - a system call that touches nothing of libc's
 *
 * child_setup.c makes all its calls so. libc's wrappers may be somebody's
 * interceptors, and even its syscall() writes errno, which is the thread's
 * whose memory the child runs on: in a start that overlaps with others that
 * thread goes on meanwhile.
 */
#ifndef XL_RAWCALL_H
#define XL_RAWCALL_H

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(__clang_analyzer__)

#define XL_RAWCALL_APART 1 /* the caller's thread may run meanwhile */

/* What the kernel returns: -errno for a failure. */
static inline long xl_rawcall(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long r;

    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return r;
}

/* The same with one argument more. */
static inline long xl_rawcall5(long number, long a, long b, long c, long d,
                               long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long r;

    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return r;
}

#elif defined(__aarch64__) && !defined(__clang_analyzer__)

#define XL_RAWCALL_APART 1

static inline long xl_rawcall(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;

    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                     : "memory");
    return x0;
}

static inline long xl_rawcall5(long number, long a, long b, long c, long d,
                               long e)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;

    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "memory");
    return x0;
}

#else /* also for the analyser, which does not see what assembly writes */

#include <errno.h>
#include <unistd.h>

#define XL_RAWCALL_APART 0

static inline long xl_rawcall(long number, long a, long b, long c, long d)
{
    long r = syscall(number, a, b, c, d);

    return r < 0 ? -errno : r;
}

static inline long xl_rawcall5(long number, long a, long b, long c, long d,
                               long e)
{
    long r = syscall(number, a, b, c, d, e);

    return r < 0 ? -errno : r;
}

#endif

#endif
