/* strays.h - families whose child leaves somebody behind, in one of six ways
 *
 * For family.c and, by kept.h, for keepers; the child is tests/helpers/stray.c.
 */
#ifndef XT_STRAYS_H
#define XT_STRAYS_H

#include "fixture.h"

#define XK_N_WAYS ((size_t)6)
#define XK_N_STAYING 2 /* in their group */

extern const char *const xk_ways[XK_N_WAYS];

/* What is in the command lines of those who are left: a new one. */
extern char xk_mark[64];
const char *xk_fresh_mark(void);

/* How many there are; for XT_EVENTUALLY. */
int xk_left(void);
int xk_some_left(void *unused);
int xk_none_left(void *unused);

/* By that hold; the case is skipped where it is not to be had. */
libxl_family_id xk_family_or_skip(libxl_ctx *ctx, libxl_family_hold hold,
                                  libxl_family_when when);
libxl_family_state xk_look(libxl_ctx *ctx, libxl_family_id family);
libxl_childproc_spec xk_stray(const char *way, const char *status);
/* Runs one that leaves somebody behind; its result. */
libxl_childproc_result xk_run(libxl_ctx *ctx, libxl_family_id family,
                              const char *way, const char *status);
/* A process of the host's with that number, which waits for its end; -1 and
 * errno. */
pid_t xk_stranger_with(pid_t number);
int xk_is_directory(const char *path);

/* XT_FAMILIES, or so many. */
int xk_how_many(int otherwise);
/* n commands that end well, in turn in each of the first ways: nobody is
 * left. */
void xk_leaves_nothing(libxl_family_hold hold, size_t nways, int n);

#endif
