/* common.h - what the random testers share: seeds, a watchdog, closing lines
 *
 * Used by chaos.c and reuse.c, which run on the real kernel. A run is a
 * process of its own; whoever fails prints how to play it again.
 */
#ifndef XC_COMMON_H
#define XC_COMMON_H

#include <stdint.h>
#include <sys/types.h>

#include "xlchild.h"

/* ---- chance -------------------------------------------------------------- */

struct xc_chance {
    uint64_t state;
};
/* The same seed and stream give the same row of numbers. */
void xc_chance_init(struct xc_chance *chance, uint64_t seed, uint64_t stream);
uint64_t xc_next(struct xc_chance *chance);
/* 0 … n - 1 */
unsigned xc_below(struct xc_chance *chance, unsigned n);
/* True in n of 100 cases. */
int xc_percent(struct xc_chance *chance, unsigned n);

/* ---- failing ------------------------------------------------------------- */

/* How this run is played again; printed by xc_fail and the watchdog. */
extern char xc_replay[256];

__attribute__((noreturn, format(printf, 1, 2))) void
xc_fail(const char *format, ...);
__attribute__((format(printf, 1, 2))) void xc_say(const char *format, ...);

/* A thread that ends the process, with all stacks, when nobody has called
 * xc_watchdog_stop after so many seconds (times XT_TIME_SCALE). */
void xc_watchdog_start(int seconds);
void xc_watchdog_stop(void);

int xc_time_scale(void);
int64_t xc_now_ms(void);
void xc_pause_ms(int ms);

/* ---- what the kernel offers here ----------------------------------------- */

/* As the library finds it; the other tests ask whether that is so. */
int xc_has_pidfds(void);
int xc_has_exit_info(void); /* a stolen status is told all the same */

/* ---- modes --------------------------------------------------------------- */

#define XC_MODES 5
const char *xc_mode_name(int mode); /* libxl_sigchld_owner */
int xc_mode_by_name(const char *name); /* -1: none is called so */

/* ---- the outer half ------------------------------------------------------ */

/* Forks, runs it there, and waits: 0 passed, 77 skipped, anything else
 * failed. It is killed after so many seconds (scaled). */
int xc_run_apart(int (*run)(void *user), void *user, int seconds);

struct xc_tally {
    int passed, failed, skipped;
};
void xc_count(struct xc_tally *tally, int status, const char *name);
/* The closing line; the exit status. */
int xc_close(const struct xc_tally *tally);

#endif
