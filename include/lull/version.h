#ifndef LULL_VERSION_H
#define LULL_VERSION_H

/// @file
/// The version of lull. This is the only place where it is written; the build reads it from here.

#include <lull/export.h>

#define LULL_VERSION_MAJOR 0
#define LULL_VERSION_MINOR 1
#define LULL_VERSION_PATCH 0

/// One comparable number: major * 10000 + minor * 100 + patch.
#define LULL_VERSION (LULL_VERSION_MAJOR * 10000 + LULL_VERSION_MINOR * 100 + LULL_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/// The version of the library that is loaded, as LULL_VERSION. Differs from the macro when a
/// program runs with another shared library than the one it was compiled against.
/// Thread-safe; never fails; never touches a device.
LULL_API int lull_version(void);

/// The same as text, "0.1.0". The string lives as long as the library.
LULL_API const char* lull_version_string(void);

#ifdef __cplusplus
}
#endif

#endif  // LULL_VERSION_H
