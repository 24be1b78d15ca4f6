#ifndef LULL_C_ERROR_H
#define LULL_C_ERROR_H

/// @file
/// What the last failure of a thread was (lull/error.hpp). Part of <lull/lull.h>.

#include <lull/export.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The message of the last call on this thread that failed; empty when none has. Never null. Valid
/// until the next call on this thread that fails; calls that succeed leave it alone.
LULL_API const char* lull_last_error_message(void);

/// The status of the last call on this thread that failed; LULL_OK when none has.
LULL_API lull_status lull_last_error_status(void);

/// The vendor's part of a failure (lull::vendor_failure).
typedef struct lull_vendor_failure {
  size_t struct_size;
  int64_t code;     ///< the vendor's own code; errno on the host backend
  char device[32];  ///< "CUDA0"
  char call[48];    ///< "cuMemCreate"
  char words[208];  ///< the vendor's words
} lull_vendor_failure;

/// @return LULL_ERROR_NOT_FOUND when the last error of this thread did not come from a vendor call.
///         Does not count as a failure itself: the last error stays.
LULL_API lull_status lull_last_error_vendor(lull_vendor_failure* failure);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_ERROR_H
