#ifndef LULL_C_CANCEL_H
#define LULL_C_CANCEL_H

/// @file
/// Ending waits and transfers early. Part of <lull/lull.h>.

#include <lull/export.h>
#include <lull/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What uses it keeps it alive.
typedef struct lull_cancel lull_cancel;

LULL_API lull_status lull_cancel_create(lull_cancel** cancel);
/// Everything that was given this object ends with LULL_ERROR_CANCELLED, now and later.
LULL_API lull_status lull_cancel_request(lull_cancel* cancel);
LULL_API void lull_cancel_destroy(lull_cancel* cancel);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_CANCEL_H
