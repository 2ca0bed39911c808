/* fdplan.c - fuzz target: the fd planner against a simulated fd table
 *
 * Input: which fds the parent has open and close-on-exec, whether others are
 * kept, the private fd, and the map. Proves C16's swap-safe plan.
 */
#include <string.h>

#include "fdtable.h"
#include "fuzz.h"

#define USED 40  /* fds of the parent's are below this */
#define SPARE 90 /* with other fds kept: free below this */
#define MAX_MAP 16

static int has_target(const libxl_childproc_fd *map, size_t n, int target)
{
    for (size_t i = 0; i < n; i++)
        if (map[i].target == target)
            return 1;
    return 0;
}

/* Target 1 becomes a file that the child opens. */
static int stdout_is_opened(const libxl_childproc_fd *map, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (map[i].target == 1)
            return XL_SOURCE_IS_FILE(map[i].source);
    return 0;
}

void fz_fdplan(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    struct xl_fd_op ops[4 * MAX_MAP + 32];
    libxl_childproc_fd map[MAX_MAP], scratch[MAX_MAP + 3];
    struct xl_fd_plan plan;
    struct fz_trial t;
    unsigned range, n;

    memset(&t, 0, sizeof(t));
    t.map = map;
    t.keep_others = fz_one_in(&in, 3);
    t.hidden = fz_one_in(&in, 2) ? (int)fz_below(&in, USED) : -1;
    range = 3 + fz_below(&in, 20); /* a small one makes cycles likely */
    for (int fd = 0; fd < USED; fd += 4) {
        unsigned bits = fz_byte(&in);

        for (int k = 0; k < 4; k++, bits >>= 2) {
            t.parent[fd + k].file = bits & 1 ? 0 : fd + k + 1;
            t.parent[fd + k].cloexec = fd + k > 2 && (bits & 2);
        }
    }
    if (t.hidden >= 0)
        t.parent[t.hidden] = (struct fz_slot){t.hidden + 1, 1};
    for (n = fz_below(&in, MAX_MAP); n > 0; n--) {
        int target = (int)fz_below(&in, range);
        int source = (int)fz_below(&in, range + 4) - 4;

        if (source == -4 && !(target != 1 && stdout_is_opened(map, t.n)))
            source = LIBXL_FD_NULL;
        else if (source < 0)
            source = source == -1   ? LIBXL_FD_NULL
                     : source == -2 ? LIBXL_FD_CLOSED
                     : source == -3 ? XL_SOURCE_FILE(target % 3)
                                    : XL_SOURCE_AS_STDOUT;
        else if (t.parent[source].file == FZ_CLOSED || source == t.hidden)
            continue;
        if (!has_target(map, t.n, target))
            map[t.n++] = (libxl_childproc_fd){target, source};
    }
    FZ_TRUE(xl_fdplan_max_ops(t.n) <= sizeof(ops) / sizeof(ops[0]));
    xl_fdplan_make(map, t.n, t.hidden, t.keep_others ? SPARE : -1, scratch, ops,
                   &plan);
    FZ_TRUE(plan.nops <= xl_fdplan_max_ops(t.n));
    fz_check_plan(&t, &plan);
}
