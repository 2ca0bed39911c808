/* fdplan.c - in which order to move file descriptors (pure)
 *
 * Called by prepare.c with a map of distinct targets; child_setup.c executes
 * the result. The map is a parallel assignment: every target gets what its
 * source was at the beginning. A move whose target is no pending source can be
 * made at once; what remains when there is none is cycles, each of which is
 * opened by moving one source out of the way.
 */
#include "start/fdplan.h"

size_t xl_fdplan_max_ops(size_t n)
{
    /* a move and a cycle breaker for each entry, and the three standard ones;
     * the private fd; a closed range before each kept fd and one at the end */
    return 2 * (n + 3) + 1 + (n + 3) + 2;
}

struct planner {
    libxl_childproc_fd *moves; /* pending; done ones are removed */
    size_t n;
    const libxl_childproc_fd *map;
    size_t nmap;
    int hidden;
    int highest; /* of all fds that play a part */
    int spare_below;
    struct xl_fd_op *ops;
    size_t nops;
};

static void emit(struct planner *p, enum xl_fd_op_kind kind, int a, int b)
{
    p->ops[p->nops].kind = kind;
    p->ops[p->nops].a = a;
    p->ops[p->nops].b = b;
    p->nops++;
}

static int is_target(const struct planner *p, int fd)
{
    size_t i;

    if (fd >= 0 && fd <= 2)
        return 1; /* inherited where the map does not say otherwise */
    for (i = 0; i < p->nmap; i++)
        if (p->map[i].target == fd)
            return 1;
    return 0;
}

static int is_pending_source(const struct planner *p, int fd)
{
    size_t i;

    for (i = 0; i < p->n; i++)
        if (p->moves[i].source == fd)
            return 1;
    return 0;
}

/* An fd that plays no part. Where others must survive the caller has named
 * numbers that are free. */
static int spare(struct planner *p)
{
    int fd;

    if (p->spare_below >= 0)
        return --p->spare_below;
    for (fd = 3; fd <= p->highest; fd++)
        if (fd != p->hidden && !is_target(p, fd) && !is_pending_source(p, fd))
            return fd;
    return ++p->highest;
}

static void remove_move(struct planner *p, size_t i)
{
    p->moves[i] = p->moves[--p->n];
}

/* Makes every move whose target nobody needs any more. */
static void make_free_moves(struct planner *p)
{
    size_t i = 0;

    while (i < p->n) {
        libxl_childproc_fd move = p->moves[i];

        if (move.source != move.target && is_pending_source(p, move.target)) {
            i++;
            continue;
        }
        if (move.source == move.target) {
            /* in place already; but others may still copy from it */
            emit(p, XL_FD_KEEP, move.target, move.target);
            remove_move(p, i);
            continue;
        }
        emit(p, XL_FD_DUP, move.source, move.target);
        remove_move(p, i);
        i = 0; /* its source may have become free */
    }
}

static void open_cycle(struct planner *p)
{
    int source = p->moves[0].source;
    int away = spare(p);
    size_t i;

    emit(p, XL_FD_DUP_HIDDEN, source, away);
    for (i = 0; i < p->n; i++)
        if (p->moves[i].source == source)
            p->moves[i].source = away;
}

static void close_others(struct planner *p)
{
    int low = 3;

    for (;;) {
        int next = -1; /* the lowest kept fd from `low` on */
        size_t i;

        for (i = 0; i < p->nmap; i++)
            if (p->map[i].target >= low &&
                p->map[i].source != LIBXL_FD_CLOSED &&
                (next < 0 || p->map[i].target < next))
                next = p->map[i].target;
        if (p->hidden >= low && (next < 0 || p->hidden < next))
            next = p->hidden;
        if (next < 0)
            break;
        if (next > low)
            emit(p, XL_FD_CLOSE, low, next - 1);
        low = next + 1;
    }
    emit(p, XL_FD_CLOSE, low, -1); /* -1: to the end */
}

void xl_fdplan_make(const libxl_childproc_fd *map, size_t n, int hidden,
                    int spare_below, libxl_childproc_fd *scratch,
                    struct xl_fd_op *ops, struct xl_fd_plan *ret_plan)
{
    struct planner p = {.moves = scratch,
                        .map = map,
                        .nmap = n,
                        .hidden = hidden,
                        .highest = 2,
                        .spare_below = spare_below,
                        .ops = ops};
    size_t i;
    int highest_needed;

    for (i = 0; i < n; i++) {
        if (map[i].source >= 0)
            p.moves[p.n++] = map[i];
        if (map[i].source > p.highest)
            p.highest = map[i].source;
    }
    if (hidden > p.highest)
        p.highest = hidden;
    highest_needed = p.highest;
    for (i = 0; i < n; i++)
        if (map[i].target > p.highest)
            p.highest = map[i].target;

    if (hidden >= 0 && is_target(&p, hidden)) {
        int away = spare(&p);

        emit(&p, XL_FD_DUP_HIDDEN, hidden, away);
        /* a map may name the private fd's number as a target, not as a
         * source: it belongs to nobody but us */
        p.hidden = away;
    }
    for (;;) {
        make_free_moves(&p);
        if (p.n == 0)
            break;
        open_cycle(&p);
    }
    for (i = 0; i < n; i++) {
        if (map[i].source == LIBXL_FD_NULL)
            emit(&p, XL_FD_NULL, -1, map[i].target);
        if (XL_SOURCE_IS_FILE(map[i].source))
            emit(&p, XL_FD_OPEN, XL_SOURCE_FILE(0) - map[i].source,
                 map[i].target);
        if (map[i].source == LIBXL_FD_CLOSED)
            emit(&p, XL_FD_CLOSE, map[i].target, map[i].target);
    }
    for (i = 0; i < n; i++)
        if (map[i].source == XL_SOURCE_AS_STDOUT)
            emit(&p, XL_FD_DUP, 1, map[i].target);
    if (spare_below < 0)
        close_others(&p);

    ret_plan->ops = ops;
    ret_plan->nops = p.nops;
    ret_plan->highest_needed = highest_needed;
    ret_plan->hidden = p.hidden;
}
