/* fdtable.c - a simulated fd table; see fdtable.h */
#include "fdtable.h"

#include <stdio.h>
#include <string.h>

#include "fuzz.h"

static void bounded(int fd)
{
    FZ_TRUE(fd >= 0);
    FZ_TRUE(fd < FZ_TABLE);
}

static void carry_out(struct fz_slot *table, const struct xl_fd_plan *plan)
{
    for (size_t i = 0; i < plan->nops; i++) {
        const struct xl_fd_op *op = &plan->ops[i];

        switch (op->kind) {
        case XL_FD_DUP:
        case XL_FD_DUP_HIDDEN:
            bounded(op->a);
            bounded(op->b);
            FZ_TRUE(op->a != op->b); /* dup3 refuses that */
            FZ_TRUE(table[op->a].file != FZ_CLOSED || op->a < 3);
            table[op->b].file = table[op->a].file;
            table[op->b].cloexec = op->kind == XL_FD_DUP_HIDDEN;
            break;
        case XL_FD_KEEP:
            bounded(op->a);
            table[op->a].cloexec = 0;
            break;
        case XL_FD_NULL:
            bounded(op->b);
            table[op->b].file = FZ_NULL_FILE;
            table[op->b].cloexec = 0;
            break;
        case XL_FD_OPEN:
            bounded(op->b);
            table[op->b].file = FZ_OPENED_FILE + op->a;
            table[op->b].cloexec = 0;
            break;
        case XL_FD_CLOSE:
            FZ_TRUE(op->a >= 0);
            FZ_TRUE(op->b == -1 || op->a <= op->b); /* -1: all above */
            for (int fd = op->a; fd < FZ_TABLE && (op->b < 0 || fd <= op->b);
                 fd++)
                table[fd].file = FZ_CLOSED;
            break;
        }
    }
}

static int expected(const struct fz_trial *t, int fd)
{
    for (size_t i = 0; i < t->n; i++) {
        int source = t->map[i].source;

        if (t->map[i].target != fd)
            continue;
        if (source == XL_SOURCE_AS_STDOUT)
            return expected(t, 1);
        if (XL_SOURCE_IS_FILE(source))
            return FZ_OPENED_FILE + XL_SOURCE_FILE(0) - source;
        return source == LIBXL_FD_NULL     ? FZ_NULL_FILE
               : source == LIBXL_FD_CLOSED ? FZ_CLOSED
                                           : t->parent[source].file;
    }
    if (fd == t->hidden)
        return FZ_CLOSED;
    if (fd < 3 || (t->keep_others && !t->parent[fd].cloexec))
        return t->parent[fd].file;
    return FZ_CLOSED;
}

static void describe(const struct fz_trial *t, const struct xl_fd_plan *plan)
{
    static const char *const names[] = {"dup", "dup hidden", "keep", "null",
                                        "open", "close"};

    fprintf(stderr, "hidden %d, others %s\n", t->hidden,
            t->keep_others ? "kept" : "closed");
    for (size_t i = 0; i < t->n; i++)
        fprintf(stderr, "  target %d, source %d\n", t->map[i].target,
                t->map[i].source);
    for (size_t i = 0; i < plan->nops; i++)
        fprintf(stderr, "  %s %d %d\n", names[plan->ops[i].kind],
                plan->ops[i].a, plan->ops[i].b);
}

void fz_check_plan(const struct fz_trial *t, const struct xl_fd_plan *plan)
{
    struct fz_slot table[FZ_TABLE];

    memcpy(table, t->parent, sizeof(table));
    /* the first thing that the child does where the table is shared */
    if (!t->keep_others)
        for (int fd = plan->highest_needed + 1; fd < FZ_TABLE; fd++)
            table[fd].file = FZ_CLOSED;
    carry_out(table, plan);
    if (t->hidden >= 0) {
        bounded(plan->hidden);
        FZ_EQ(table[plan->hidden].file, t->hidden + 1);
        FZ_EQ(table[plan->hidden].cloexec, 1);
    } else {
        FZ_EQ(plan->hidden, -1);
    }
    for (int fd = 0; fd < FZ_TABLE; fd++) { /* exec */
        int file = table[fd].cloexec ? FZ_CLOSED : table[fd].file;

        if (file != expected(t, fd)) {
            describe(t, plan);
            FZ_FAIL("fd %d is %d, not %d", fd, file, expected(t, fd));
        }
    }
}
