/* stop_point.h - places where a test may stop a thread
 *
 * Written into the code where two threads can meet between two steps. In a
 * build of the library it is nothing. With XL_STOP_POINTS the place calls the
 * hook that a test has set (tests/gaps), which may hold the thread until
 * another one has made its call. The hook calls nothing of the library;
 * locks may be held around a place, as around any other.
 */
#ifndef XL_STOP_POINT_H
#define XL_STOP_POINT_H

#ifdef XL_STOP_POINTS
#include <errno.h>

/* One for the whole program, in whichever object comes first. */
__attribute__((weak)) void (*_Atomic xl_stop_hook)(const char *name);

static inline void xl_stop_point(const char *name)
{
    void (*hook)(const char *) = xl_stop_hook;
    int saved = errno;

    if (hook != NULL)
        hook(name);
    errno = saved;
}
#define XL_STOP_POINT(name) xl_stop_point(name)
#else
#define XL_STOP_POINT(name) ((void)0)
#endif

#endif
