/* log.h - messages for the host's logger, and disasters
 *
 * Every file that holds a ctx's lock may call these.
 */
#ifndef XL_LOG_H
#define XL_LOG_H

#include "ctx/ctx_impl.h"

/* A message for the logger, under the lock. */
void xl_log(libxl_ctx *ctx, libxl_log_level level, int errnoval,
            const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Reports of this type (0: of any) can no longer be relied on. */
void xl_disaster(libxl_ctx *ctx, libxl_event_type type, int rc, int errnoval,
                 const char *message);

#endif
