#ifndef LULL_C_BYTES_H
#define LULL_C_BYTES_H

/// @file
/// Byte counts as people read and write them (lull/bytes.hpp). Part of <lull/lull.h>.

#include <lull/export.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Writes "1.5 GiB" and a zero into `text`, cut to `text_size` bytes (above 0; 16 are enough).
LULL_API lull_status lull_bytes_format(uint64_t bytes, char* text, size_t text_size);

/// Reads "1.5GiB".
/// @return LULL_ERROR_INVALID_ARGUMENT with the text quoted
LULL_API lull_status lull_bytes_parse(const char* text, uint64_t* bytes);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_BYTES_H
