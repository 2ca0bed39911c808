/* slowexec.c - a file system that takes its time: execve is answered late
 *
 * See slowexec.h. The kernel's structs are written down here: their header does
 * not come with musl.
 */
#define _GNU_SOURCE
#include "slowexec.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
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

struct notif {
    uint64_t id;
    uint32_t pid, flags;
    int nr;
    uint32_t arch;
    uint64_t instruction_pointer, args[6];
};

struct notif_answer {
    uint64_t id;
    int64_t value;
    int32_t error;
    uint32_t flags;
};

#define NOTIF_RECV _IOWR('!', 0, struct notif)
#define NOTIF_SEND _IOWR('!', 1, struct notif_answer)

enum { MAX_HELD = 64 };

static struct {
    int listener;
    int came[2];   /* a byte for each */
    int orders[2]; /* struct order */
    pthread_t thread;
} it;

struct order {
    int over;
    int let_go;
    int after_ms; /* -1: never */
};

struct held {
    uint64_t id;
    long long since;
};

static void answer(const struct held *held)
{
    struct notif_answer go_on = {.id = held->id, .flags = NOTIF_CONTINUE};

    /* it may have been killed meanwhile */
    if (ioctl(it.listener, NOTIF_SEND, &go_on) && errno != ENOENT)
        XT_FAIL("seccomp's answer: %s", strerror(errno));
}

/* 1: it may go on now. */
static int is_due(const struct held *held, const struct order *order)
{
    return order->let_go || (order->after_ms >= 0 &&
                             xt_now_ms() - held->since >= order->after_ms);
}

/* One more is held; or it is gone already. */
static int receive(struct held *ret_held)
{
    struct notif notif;

    memset(&notif, 0, sizeof(notif));
    if (ioctl(it.listener, NOTIF_RECV, &notif))
        return 0;
    *ret_held = (struct held){notif.id, xt_now_ms()};
    xt_write_all(it.came[1], "", 1);
    return 1;
}

static void *supervise(void *arg)
{
    struct order order = {.after_ms = -1};
    struct held held[MAX_HELD];
    int n = 0;

    while (!order.over) {
        struct pollfd fds[2] = {{.fd = it.listener, .events = POLLIN},
                                {.fd = it.orders[0], .events = POLLIN}};

        (void)poll(fds, 2, order.after_ms >= 0 && n ? 5 : -1);
        if ((fds[0].revents & POLLIN) && n < MAX_HELD)
            n += receive(&held[n]);
        if (fds[1].revents & POLLIN)
            XT_EQ_INT(read(it.orders[0], &order, sizeof(order)),
                      sizeof(order));
        for (int i = 0; i < n;) {
            if (is_due(&held[i], &order)) {
                answer(&held[i]);
                held[i] = held[--n];
            } else {
                i++;
            }
        }
    }
    return arg;
}

int xe_hold(void)
{
    static const struct filter_step steps[] = {
        {0x20, 0, 0, 0},              /* load the call's number */
        {0x15, 0, 1, SYS_execve},     /* is it this? */
        {0x06, 0, 0, RET_USER_NOTIF}, /* then it is held */
        {0x06, 0, 0, RET_ALLOW},
    };
    struct filter_program program = {4, steps};

    XT_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    it.listener = (int)syscall(SYS_seccomp, SET_MODE_FILTER,
                               FILTER_NEW_LISTENER, &program);
    if (it.listener < 0)
        return 0;
    xt_pipe(it.came);
    xt_pipe(it.orders);
    XT_EQ_INT(pthread_create(&it.thread, NULL, supervise, NULL), 0);
    return 1;
}

void xe_await(int n)
{
    while (n-- > 0)
        xt_await_byte(it.came[0]);
}

static void command(struct order order)
{
    xt_write_all(it.orders[1], &order, sizeof(order));
}

void xe_let_go(void)
{
    command((struct order){.let_go = 1});
}

void xe_let_go_after(int ms)
{
    command((struct order){.after_ms = ms});
}

void xe_end(void)
{
    command((struct order){.over = 1});
    XT_EQ_INT(pthread_join(it.thread, NULL), 0);
    xt_close(&it.listener);
    for (int i = 0; i < 2; i++) {
        xt_close(&it.came[i]);
        xt_close(&it.orders[i]);
    }
}
