/* start_forked.h - starting a child by fork, or the host's fork_replacement
 *
 * start.c chooses this way where memory cannot be shared.
 */
#ifndef XL_START_FORKED_H
#define XL_START_FORKED_H

#include "start/start_request.h"

/* As xl_start. */
int xl_start_forked(struct xl_start_request *request);

#endif
