/* start_shared.h - starting a child that shares memory with the parent
 *
 * start.c chooses this way where the kernel allows.
 */
#ifndef XL_START_SHARED_H
#define XL_START_SHARED_H

#include "start_request.h"

/* As xl_start; request->stack is there. */
int xl_start_shared(struct xl_start_request *request);

#endif
