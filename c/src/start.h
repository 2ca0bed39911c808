/* start.h - the parent's half of a start
 *
 * spawn.c (and starters.c's threads) call xl_start without any lock; the
 * child's half is image.c. What is needed is allocated before the child is
 * made; afterwards nothing here can fail.
 */
#ifndef XL_START_H
#define XL_START_H

#include "start_request.h"

/* 0 or ERROR_*; uses up entry's reservation in the registry either way. */
int xl_start(struct xl_start_request *request);

#endif
