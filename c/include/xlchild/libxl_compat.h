/* xlchild/libxl_compat.h - the names of Xen's released libxl for this library
 *
 * The founding text is a proposal; what Xen then released has other names for
 * a few things. A program that is written for those, and uses of libxl only
 * what this library does, compiles with this header in place of <libxl.h> and
 * <libxl_event.h>. Include it before anything else of xlchild's.
 *
 * Differences that a program may see:
 *  - the codes for "not my child" are one and the same here: both names are
 *    ERROR_NOT_READY's value, from libxl_childproc_reaped and as the answer of
 *    reaped_callback;
 *  - hook structs are copied, so that they need not outlive the call;
 *  - the register functions return a code where Xen's return nothing;
 *  - a disaster without a disaster hook is logged and latched, where Xen's
 *    ends the process.
 */
#ifndef XLCHILD_LIBXL_COMPAT_H
#define XLCHILD_LIBXL_COMPAT_H

#include "xlchild/ctx.h"
#include "xlchild/event.h"
#include "xlchild/osevent.h"
#include "xlchild/childproc.h"
#include "xlchild/exec.h"

/* libxl_childproc_reaped - Xen's name for libxl_childproc_exited */
#define libxl_childproc_reaped libxl_childproc_exited

/* Xen's name for the member of libxl_childproc_hooks. */
#define reaped_callback childproc_exited_callback

/* Xen's code for "no child of mine". */
#define ERROR_UNKNOWN_CHILD ERROR_NOT_READY

/* Xen's logger is opaque; here it is a struct to fill in. */
typedef libxl_logger xentoollog_logger;

/* Annotations of Xen's header that say who may call what. */
#ifndef LIBXL_EXTERNAL_CALLERS_ONLY
#define LIBXL_EXTERNAL_CALLERS_ONLY
#endif

/* Programs ask for an API version by defining LIBXL_API_VERSION; all that
 * this library has is the same in every one. */

#endif
