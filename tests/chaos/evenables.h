/* evenables.h - who asked to be told of an end, and was
 *
 * Each is a record that its event names, so that any thread may fetch it. One
 * that was asked for a child, and not taken back, is told once.
 */
#ifndef XC_EVENABLES_H
#define XC_EVENABLES_H

#include "model.h"

/* On the context of that place: for child (which may be NULL: any), or the one
 * before is taken back. */
void xc_evenable_next(struct xc_chance *chance, int place,
                      const struct xc_ours *child);
/* The event of the one that user names has been fetched. */
int xc_evenable_is(libxl_ev_user user);
void xc_evenable_told(libxl_ev_user user);

/* None is missing. Prints those that are, with say. */
int xc_evenables_over(int say);

#endif
