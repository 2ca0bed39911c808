/* fdplan_model.c - the fd planner against a naive model of an fd table
 *
 * White-box: maps are planned by c/src/start/fdplan.c, the plan is carried out
 * on the simulated table of tests/fuzz/fdtable.c, and what is there after exec
 * is compared with what the map says. Proves C16's swap-safe plan;
 * start_asked.c and child_start.c have the real thing.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "fdtable.h"
#include "fuzz.h"

static unsigned seed;

static unsigned next_random(void)
{
    seed = seed * 1103515245u + 12345u;
    return seed >> 8;
}

/* XT_SEED repeats one trial. */
XT_TEST(random_maps, "C16 defect-10")
{
    const char *from = getenv("XT_SEED");
    unsigned first = from ? (unsigned)strtoul(from, NULL, 10) : 1;

    for (unsigned i = 0; i < (from ? 1 : 200000u); i++) {
        uint8_t data[48];

        seed = first + i;
        for (size_t k = 0; k < sizeof(data); k++)
            data[k] = (uint8_t)next_random();
        fz_fdplan(data, sizeof(data));
    }
}

/* Every permutation of up to five fds, as sources of the same targets. */
static void permute(int *order, int n, int k)
{
    if (k == n) {
        struct xl_fd_op ops[64];
        libxl_childproc_fd map[5], scratch[8];
        struct xl_fd_plan plan;
        struct fz_trial trial = {
            .map = map, .n = (size_t)n, .hidden = -1, .keep_others = 0};

        for (int i = 0; i < n; i++)
            map[i] = (libxl_childproc_fd){i, order[i]};
        for (int i = 0; i < 5; i++)
            trial.parent[i].file = i + 1;
        xl_fdplan_make(map, n, -1, -1, scratch, ops, &plan);
        fz_check_plan(&trial, &plan);
        return;
    }
    for (int i = k; i < n; i++) {
        int swapped = order[k];

        order[k] = order[i];
        order[i] = swapped;
        permute(order, n, k + 1);
        order[i] = order[k];
        order[k] = swapped;
    }
}

XT_TEST(every_permutation, "C16 defect-10")
{
    for (int n = 1; n <= 5; n++) {
        int order[5] = {0, 1, 2, 3, 4};

        permute(order, n, 0);
    }
}
