#ifndef LULL_STATUS_H
#define LULL_STATUS_H

/// @file
/// Status codes, shared by the C API, the C++ API and the backend module ABI.
/// Values are stable: a code is never renumbered, new ones are appended.

#include <lull/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lull_status LULL_ENUM_BASE {
  LULL_OK = 0,
  /// An argument is outside its documented range. Nothing was changed.
  LULL_ERROR_INVALID_ARGUMENT = 1,
  /// The device, module, tag or file that was named does not exist.
  LULL_ERROR_NOT_FOUND = 2,
  /// The operation is not available on this device or in this build. Ask for the capability first.
  LULL_ERROR_UNSUPPORTED = 3,
  /// Device memory is exhausted, or the device's capacity would be exceeded.
  LULL_ERROR_OUT_OF_DEVICE_MEMORY = 4,
  /// Host memory (or the backing file's disk) is exhausted.
  LULL_ERROR_OUT_OF_HOST_MEMORY = 5,
  /// Refused because something is in use: leases, live devices, a transition under way.
  LULL_ERROR_BUSY = 6,
  /// The deadline passed. The request left no trace.
  LULL_ERROR_TIMED_OUT = 7,
  /// The caller's stop token or cancel call ended the wait or the transition.
  LULL_ERROR_CANCELLED = 8,
  /// The region's contents are not on the device, or were never filled in again.
  LULL_ERROR_NOT_RESIDENT = 9,
  /// The handle was made before the device's context was reset.
  LULL_ERROR_STALE = 10,
  /// Reading or writing a file failed.
  LULL_ERROR_IO = 11,
  /// A backend module was refused.
  LULL_ERROR_BAD_MODULE = 12,
  /// The vendor's runtime or driver reported a failure; its own code and words are attached.
  LULL_ERROR_BACKEND = 13,
  /// A callback of the caller failed.
  LULL_ERROR_CALLBACK = 14,
  /// A bug in lull.
  LULL_ERROR_INTERNAL = 15
} lull_status;

/// The name of a status as written above, "LULL_ERROR_BUSY"; "LULL_ERROR_?" for an unknown value.
/// Thread-safe; never null; the string lives as long as the library.
LULL_API const char* lull_status_name(lull_status status);

/// A short sentence for people: "in use". Same guarantees as lull_status_name.
LULL_API const char* lull_status_text(lull_status status);

#ifdef __cplusplus
}
#endif

#endif  // LULL_STATUS_H
