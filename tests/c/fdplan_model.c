/* fdplan_model.c - the fd planner against a naive model of an fd table
 *
 * White-box: random maps are planned by c/src/fdplan.c, the plan is carried
 * out on a simulated table, and the table after exec is compared with what
 * the map says. Proves C16's swap-safe plan; start_asked.c and child_start.c
 * have the real thing.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fdplan.h"

#define TABLE 96
#define USED 40     /* fds of the parent's are below this */
#define MAX_MAP 16
#define CLOSED 0
#define NULL_FILE 1000
#define SPARE 90    /* with other fds kept: free below this */

struct slot {
    int file; /* CLOSED, NULL_FILE, or the parent's fd + 1 */
    int cloexec;
};

struct trial {
    struct slot parent[TABLE];
    libxl_childproc_fd map[MAX_MAP];
    size_t n;
    int hidden;
    int keep_others;
    unsigned seed;
};

static unsigned next_random(struct trial *t)
{
    t->seed = t->seed * 1103515245u + 12345u;
    return t->seed >> 8;
}

static int mapped(const struct trial *t, int target)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->map[i].target == target)
            return (int)i;
    return -1;
}

static void invent(struct trial *t, unsigned seed)
{
    int range;

    memset(t, 0, sizeof(*t));
    t->seed = seed;
    for (int fd = 0; fd < USED; fd++)
        if (fd < 3 ? next_random(t) % 8 : next_random(t) % 4) {
            t->parent[fd].file = fd + 1;
            t->parent[fd].cloexec = fd > 2 && next_random(t) % 2;
        }
    t->keep_others = next_random(t) % 3 == 0;
    t->hidden = -1;
    if (next_random(t) % 2) {
        t->hidden = (int)(next_random(t) % USED);
        t->parent[t->hidden].file = t->hidden + 1;
        t->parent[t->hidden].cloexec = 1;
    }
    /* a small range makes cycles likely */
    range = 3 + (int)(next_random(t) % 20);
    for (unsigned i = next_random(t) % MAX_MAP; i > 0; i--) {
        int target = (int)(next_random(t) % (unsigned)range);
        int source = (int)(next_random(t) % (unsigned)range);
        unsigned kind = next_random(t) % 10;

        if (mapped(t, target) >= 0)
            continue;
        if (kind == 0)
            source = LIBXL_FD_NULL;
        else if (kind == 1)
            source = LIBXL_FD_CLOSED;
        else if (t->parent[source].file == CLOSED || source == t->hidden)
            continue;
        t->map[t->n++] = (libxl_childproc_fd){target, source};
    }
}

static void bounded(int fd)
{
    XT_GE_INT(fd, 0);
    XT_LT_INT(fd, TABLE);
}

static void carry_out(struct slot *table, const struct xl_fd_plan *plan)
{
    for (size_t i = 0; i < plan->nops; i++) {
        const struct xl_fd_op *op = &plan->ops[i];

        switch (op->kind) {
        case XL_FD_DUP:
        case XL_FD_DUP_HIDDEN:
            bounded(op->a);
            bounded(op->b);
            XT_NE_INT(op->a, op->b); /* dup3 refuses that */
            XT_TRUE(table[op->a].file != CLOSED || op->a < 3);
            table[op->b].file = table[op->a].file;
            table[op->b].cloexec = op->kind == XL_FD_DUP_HIDDEN;
            break;
        case XL_FD_KEEP:
            bounded(op->a);
            table[op->a].cloexec = 0;
            break;
        case XL_FD_NULL:
            bounded(op->b);
            table[op->b].file = NULL_FILE;
            table[op->b].cloexec = 0;
            break;
        case XL_FD_CLOSE:
            XT_GE_INT(op->a, 0);
            XT_TRUE(op->b == -1 || op->a <= op->b); /* -1: all above */
            for (int fd = op->a; fd < TABLE && (op->b < 0 || fd <= op->b);
                 fd++)
                table[fd].file = CLOSED;
            break;
        }
    }
}

static int expected(const struct trial *t, int fd)
{
    int i = mapped(t, fd);

    if (i >= 0) {
        int source = t->map[i].source;

        return source == LIBXL_FD_NULL     ? NULL_FILE
               : source == LIBXL_FD_CLOSED ? CLOSED
                                           : t->parent[source].file;
    }
    if (fd == t->hidden)
        return CLOSED;
    if (fd < 3)
        return t->parent[fd].file;
    if (t->keep_others && !t->parent[fd].cloexec)
        return t->parent[fd].file;
    return CLOSED;
}

static void describe(const struct trial *t, const struct xl_fd_plan *plan)
{
    static const char *const names[] = {"dup", "dup hidden", "keep", "null",
                                        "close"};

    XT_NOTE("hidden %d, others %s", t->hidden,
            t->keep_others ? "kept" : "closed");
    for (size_t i = 0; i < t->n; i++)
        XT_NOTE("  target %d, source %d", t->map[i].target, t->map[i].source);
    for (size_t i = 0; i < plan->nops; i++)
        XT_NOTE("  %s %d %d", names[plan->ops[i].kind], plan->ops[i].a,
                plan->ops[i].b);
}

static void check(unsigned seed)
{
    struct xl_fd_op ops[4 * MAX_MAP + 32];
    libxl_childproc_fd scratch[MAX_MAP + 3];
    struct slot table[TABLE];
    struct xl_fd_plan plan;
    struct trial t;

    invent(&t, seed);
    XT_LE_INT(xl_fdplan_max_ops(t.n), sizeof(ops) / sizeof(ops[0]));
    xl_fdplan_make(t.map, t.n, t.hidden, t.keep_others ? SPARE : -1, scratch,
                   ops, &plan);
    XT_LE_INT(plan.nops, xl_fdplan_max_ops(t.n));
    memcpy(table, t.parent, sizeof(table));
    /* The first thing that the child does where the table is shared. */
    if (!t.keep_others)
        for (int fd = plan.highest_needed + 1; fd < TABLE; fd++)
            table[fd].file = CLOSED;
    carry_out(table, &plan);
    if (t.hidden >= 0) {
        bounded(plan.hidden);
        XT_EQ_INT(table[plan.hidden].file, t.hidden + 1);
        XT_EQ_INT(table[plan.hidden].cloexec, 1);
    } else {
        XT_EQ_INT(plan.hidden, -1);
    }
    for (int fd = 0; fd < TABLE; fd++) { /* exec */
        int file = table[fd].cloexec ? CLOSED : table[fd].file;

        if (file != expected(&t, fd)) {
            describe(&t, &plan);
            XT_FAIL("trial %u: fd %d is %d, not %d", seed, fd, file,
                    expected(&t, fd));
        }
    }
}

XT_TEST(random_maps, "C16 defect-10")
{
    const char *from = getenv("XT_SEED");
    unsigned seed = from ? (unsigned)strtoul(from, NULL, 10) : 1;

    for (unsigned i = 0; i < (from ? 1 : 200000u); i++)
        check(seed + i);
}

/* Every permutation of up to five fds, as sources of the same targets. */
static void permute(int *order, int n, int k)
{
    if (k == n) {
        struct xl_fd_op ops[64];
        libxl_childproc_fd map[5], scratch[8];
        struct xl_fd_plan plan;
        struct slot table[TABLE];

        memset(table, 0, sizeof(table));
        for (int i = 0; i < n; i++) {
            table[i].file = i + 1;
            map[i] = (libxl_childproc_fd){i, order[i]};
        }
        for (int i = n; i < 3; i++)
            table[i].file = i + 1;
        xl_fdplan_make(map, n, -1, -1, scratch, ops, &plan);
        carry_out(table, &plan);
        for (int i = 0; i < n; i++)
            XT_EQ_INT(table[i].file, order[i] + 1);
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
