/* sequence.c - fuzz target: any sequence of calls, against a naive model
 *
 * Two contexts, children of the simulated kernel, processes that nobody here
 * started, evenables, operations, batches, and a host with a loop of its own;
 * the input chooses what happens next (sequence_*.c). Proves that reports and
 * completions come exactly once and tell the kernel's status (E1, E6, A1, A2,
 * C5, C6), that a mode reaps nothing which is not its to reap and leaves
 * signal state alone (C1 to C4), that no signal goes astray, comes early or is
 * forgotten (C13), that late and refused calls of loops are harmless and the
 * one fd is readable when there is work (O2, O3, O5), and that nothing is left
 * behind (X2). With starters the threads share a batch as they please; all
 * else follows from the input.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>
#include <signal.h>

#include "kernel/facility.h"
#include "sequence.h"

#define STEPS_ABOUT_CHILD 18
#define STEPS_ABOUT_CTX 20

static void step(struct fz_input *in)
{
    unsigned op = fz_byte(in);
    int c = (int)(op >> 7);

    op &= 127;
    if (op < 25)
        start(c, (enum kind)(op % KINDS), in);
    else if (op < 28)
        start_many(c, in);
    else if (op < 31)
        adopt(c, in);
    else if (op < 34)
        about_stranger(in);
    else if (op < 34 + 3 * STEPS_ABOUT_CHILD)
        about_child(in, (op - 34) % STEPS_ABOUT_CHILD);
    else
        about_ctx(in, (op - 34 - 3 * STEPS_ABOUT_CHILD) % STEPS_ABOUT_CTX, c);
    check_kills();
}

/* ---- a run -------------------------------------------------------------- */

/* Every process ends, and every report must come. */
static void wind_up(void)
{
    m.within = NOTHING;
    for (int i = 0; i < sim.n; i++) {
        struct sim_process *p = &sim.process[i];

        if (p->alive)
            sim_exit(p, 0);
        if (p->elsewhere)
            sim_host_reaps(p);
    }
    for (int i = 0; i < m.nkids; i++)
        if (m.kid[i].ctx >= 0 && is_mainloop(&m.kid[i]) && !m.kid[i].told)
            pass_on(&m.kid[i]);
    quiesce();
    for (int i = 0; i < m.nkids; i++) {
        struct kid *k = &m.kid[i];

        if (k->ctx >= 0 && k->kind == HOLD && !k->detached && !k->told)
            wait_for(k, 0);
        if (k->ctx >= 0 && k->kind != NONE && !k->detached)
            FZ_EQ(k->told, 1);
    }
}

static int open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    FZ_TRUE(dir != NULL);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* The thread that waited for children without a ctx may be closing its fds. */
static void await_closed(int fds)
{
    for (int tries = 0; open_fds() != fds; tries++) {
        FZ_TRUE(tries < 100000);
        sched_yield();
    }
}

static void check_strangers(void)
{
    for (int i = 0; i < sim.n; i++) {
        const struct sim_process *p = &sim.process[i];
        int told = 0;

        for (int c = 0; c < CTXS; c++)
            told += m.stranger_told[i][c];
        if (p->reaped == SIM_LIBRARY && p->asked)
            FZ_TRUE(told > 0);
    }
}

static void choose_kernel(struct fz_input *in)
{
    unsigned limit = xl_facilities();

    m.pidfds = !fz_one_in(in, 4) && (limit & LIBXL_FACILITY_PIDFD);
    sim.exit_info =
        m.pidfds && !fz_one_in(in, 4) && (limit & LIBXL_FACILITY_EXIT_INFO);
    if (!m.pidfds)
        limit &= ~(unsigned)(LIBXL_FACILITY_PIDFD | XL_FACILITY_PIDFD_OPEN |
                             LIBXL_FACILITY_EXIT_INFO);
    if (!sim.exit_info)
        limit &= ~(unsigned)LIBXL_FACILITY_EXIT_INFO;
    xl_facility_limit(limit);
}

void fz_sequence(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    struct sigaction after;
    int fds;

    (void)xl_facilities(); /* of the real kernel */
    fds = open_fds();
    sim_begin();
    model_begin();
    sim.look = look_at_start;
    choose_kernel(&in);
    for (int c = 0; c < CTXS; c++)
        new_ctx(c);
    while (in.left > 0)
        step(&in);
    wind_up();
    for (int c = 0; c < CTXS; c++)
        free_ctx(c);
    check_strangers();
    FZ_EQ(sigaction(SIGCHLD, NULL, &after), 0);
    FZ_TRUE(after.sa_handler == m.before.sa_handler);
    for (int i = 0; i < sim.n; i++)
        if (sim.process[i].orphan)
            sim_await_reaped(&sim.process[i]);
    sim_end();
    await_closed(fds);
    sim_gone();
    model_end();
    xl_facility_limit(~0u);
}
