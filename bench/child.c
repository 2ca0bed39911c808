/* bench/child.c - the program that every measurement starts
 *
 * Static and without a C library, so that what is measured is the starting
 * and reaping, not the child. Started by the peers; what it does is the first
 * letter of its argument:
 *   none  exits at once
 *   i     idle: blocks on fd 0 until end of file, then exits
 *   s     sleeps 0.3 ms, writes a stamp to fd 1, exits
 *   b     blocks on fd 0 until end of file, writes a stamp to fd 1, exits
 * A stamp is struct bench_stamp (common/bench.h): pid and CLOCK_MONOTONIC.
 */
#include <asm/unistd.h>

#if defined(__x86_64__)
__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call child_main\n");

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n"
        "_start:\n"
        "    mov x0, sp\n"
        "    bl child_main\n");

static long call(long number, long a, long b, long c)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2)
                     : "memory");
    return x0;
}
#else
#error "write _start and call() for this processor"
#endif

#define CLOCK_MONOTONIC 1

static void stamp(void)
{
    long now[2];
    long message[2]; /* struct bench_stamp */

    call(__NR_clock_gettime, CLOCK_MONOTONIC, (long)now, 0);
    message[0] = call(__NR_getpid, 0, 0, 0);
    message[1] = now[0] * 1000000000L + now[1];
    call(__NR_write, 1, (long)message, sizeof(message));
}

static void until_end_of_file(void)
{
    char byte[1];

    while (call(__NR_read, 0, (long)byte, 1) != 0)
        ;
}

/* stack: argc, argv[0], argv[1], ... as the kernel leaves it */
__attribute__((noreturn, used)) void child_main(const long *stack)
{
    const char *what = stack[0] > 1 ? (const char *)stack[2] : "";
    const long pause[2] = {0, 300000};

    if (what[0] == 'i' || what[0] == 'b')
        until_end_of_file();
    if (what[0] == 's')
        call(__NR_nanosleep, (long)pause, 0, 0);
    if (what[0] == 's' || what[0] == 'b')
        stamp();
    for (;;)
        call(__NR_exit_group, 0, 0, 0);
}
