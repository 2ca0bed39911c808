/* slowexec.c - a file system that takes its time: execve is answered late
 *
 * See slowexec.h. A thread supervises. Next: notify.c.
 */
#define _GNU_SOURCE
#include "slowexec.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "notify.h"

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

/* 1: it may go on now. */
static int is_due(const struct held *held, const struct order *order)
{
    return order->let_go || (order->after_ms >= 0 &&
                             xt_now_ms() - held->since >= order->after_ms);
}

/* One more is held; or it is gone already. */
static int receive(struct held *ret_held)
{
    struct xn_call call;

    if (xn_receive(it.listener, &call))
        return 0;
    *ret_held = (struct held){call.id, xt_now_ms()};
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
                xn_answer(it.listener, held[i].id, 0);
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
    it.listener = xn_listen();
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
