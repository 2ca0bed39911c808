/* gap.h - a thread that stands still between two steps of the library
 *
 * The core of these tests is built with XL_STOP_POINTS: where c/src has
 * XL_STOP_POINT("name") a thread that was started here with that name stops
 * until it is let go, while another one makes its call. Nothing depends on
 * how fast anybody is.
 *
 *     struct xg_thread *a, *b;
 *
 *     a = xg_start(wait_for_child, &it, "pump: about to sleep");
 *     XG_STOPS(a);
 *     xg_go_on_to(a, "pump: woken");
 *     ...                             the child ends
 *     XG_STOPS(a);
 *     b = xg_start(say_sigchld, &it, NULL);
 *     xg_await(b, XG_SOON);           it returned, or sleeps on a lock
 *     xg_join(a);                     lets it go first
 *     xg_join(b);
 *
 * Built on harness.h: what cannot go on ends the case, with all stacks.
 */
#ifndef XG_GAP_H
#define XG_GAP_H

#include "harness.h"

struct xg_thread;

enum xg_state {
    XG_RUNNING, /* neither, when the time was over */
    XG_STOPPED, /* stands at its point */
    XG_RETURNED
};

#define XG_SOON 100     /* ms: what has not returned by then sleeps */
#define XG_SURELY 10000 /* ms, scaled: what has not happened hangs */

/* A thread that calls fn(arg) and stops the first time that it comes to the
 * point; NULL: nowhere. */
struct xg_thread *xg_start(void (*fn)(void *), void *arg, const char *point);
/* The same the nth time, n >= 1. */
struct xg_thread *xg_start_nth(void (*fn)(void *), void *arg,
                               const char *point, int n);

/* Until it stops or returns, or ms milliseconds are over. */
enum xg_state xg_await(struct xg_thread *thread, int ms);
/* It stops, or the case fails. */
void xg_stops(const char *file, int line, struct xg_thread *thread);
#define XG_STOPS(thread) xg_stops(__FILE__, __LINE__, thread)
/* It stands, and goes on until it comes to another point. */
void xg_go_on_to(struct xg_thread *thread, const char *point);
/* It goes on, and does not stop again. Harmless if it does not stand. */
void xg_release(struct xg_thread *thread);
/* Releases it, waits for its return (or the case fails), and frees it. */
void xg_join(struct xg_thread *thread);

/* The first thread to pass the point that was not started here, be it main or
 * one of the library's own. Like a thread of xg_start it is awaited and
 * released; xg_join only releases it and forgets it. One at a time. */
struct xg_thread *xg_stop_any(const char *point);

/* How often any thread has come to the point since the case began. */
int xg_passed(const char *point);

#endif
