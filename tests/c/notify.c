/* notify.c - see notify.h */
#define _GNU_SOURCE
#include "notify.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

#define SET_MODE_FILTER 1
#define FILTER_NEW_LISTENER (1UL << 3)
#define RET_USER_NOTIF 0x7fc00000U
#define RET_ALLOW 0x7fff0000U
#define NOTIF_CONTINUE 1U

struct filter_step {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
};

struct filter_program {
    unsigned short length;
    const struct filter_step *steps;
};

struct notif_answer {
    uint64_t id;
    int64_t value;
    int32_t error;
    uint32_t flags;
};

#define NOTIF_RECV _IOWR('!', 0, struct xn_call)
#define NOTIF_SEND _IOWR('!', 1, struct notif_answer)

int xn_listen(void)
{
    static const struct filter_step steps[] = {
        {0x20, 0, 0, 0},              /* load the call's number */
        {0x15, 0, 1, SYS_execve},     /* is it this? */
        {0x06, 0, 0, RET_USER_NOTIF}, /* then it is asked for */
        {0x06, 0, 0, RET_ALLOW},
    };
    struct filter_program program = {4, steps};

    XT_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    return (int)syscall(SYS_seccomp, SET_MODE_FILTER, FILTER_NEW_LISTENER,
                        &program);
}

int xn_receive(int listener, struct xn_call *ret_call)
{
    memset(ret_call, 0, sizeof(*ret_call));
    return ioctl(listener, NOTIF_RECV, ret_call);
}

void xn_answer(int listener, uint64_t id, int error)
{
    struct notif_answer answer = {.id = id};

    if (error)
        answer.error = -error;
    else
        answer.flags = NOTIF_CONTINUE;
    /* it may have been killed meanwhile */
    if (ioctl(listener, NOTIF_SEND, &answer) && errno != ENOENT)
        XT_FAIL("seccomp's answer: %s", strerror(errno));
}
