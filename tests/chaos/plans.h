/* plans.h - what a child of a random run is to do, and how it is started
 *
 * Used by calls.c, for each of its starts.
 */
#ifndef XC_PLANS_H
#define XC_PLANS_H

#include "model.h"

struct xc_plan {
    char number[8], ms[8], token[32];
    const char *argv[8];
    libxl_childproc_spec spec;
    libxl_childproc_report report;
};

/* Random, within what the model can follow; the token is for whoever looks at
 * a hanging run with ps. It points into itself: it stays where it is. */
void xc_make_plan(struct xc_plan *p, struct xc_ours *c, struct xc_chance *ch);

#endif
