/* spec.h - whether a spec can be started at all
 *
 * spawn.c, exec.c and adopt.c ask.
 */
#ifndef XL_SPEC_H
#define XL_SPEC_H

#include "xlchild/childproc.h"

/* 0, or ERROR_INVAL and *failure with the member's name. Where the caller's
 * struct has the size of another release, *spec becomes a copy of it in room,
 * in this one's. */
int xl_spec_check(const libxl_childproc_spec **spec, libxl_childproc_spec *room,
                  libxl_childproc_failure *failure);
/* Are the map's sources open? 0, or ERROR_SPAWN with the failure and errno.
 * To be asked before the library opens anything: an fd of its own could take a
 * number that is free, and be given to the child. */
int xl_spec_sources(const libxl_childproc_spec *spec,
                    libxl_childproc_failure *failure);
/* A copy that stands by itself, in one block to be freed with xl_free; with the
 * environment that a NULL stands for. NULL: no memory. */
libxl_childproc_spec *xl_spec_copy(const libxl_childproc_spec *spec);
/* NULL is: the default. */
int xl_report_ok(const libxl_childproc_report *report);

#endif
