#ifndef LULL_C_SOURCE_H
#define LULL_C_SOURCE_H

/// @file
/// Files that regions are filled from (lull/file_source.hpp). Part of <lull/lull.h>.

#include <lull/c/memory.h>
#include <lull/export.h>
#include <lull/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Opens a file, whose contents must not change, and notes which one it is. Blocks as opening a
/// file does.
/// @return LULL_ERROR_NOT_FOUND; LULL_ERROR_IO
LULL_API lull_status lull_file_source_open(const char* path, lull_file_source** source);
/// The same, of a file that is open for reading. The descriptor is duplicated. What has replaced
/// the file under its name is not noticed.
LULL_API lull_status lull_file_source_adopt(int32_t descriptor, lull_file_source** source);
LULL_API void lull_file_source_destroy(lull_file_source* source);
/// 0 for null.
LULL_API uint64_t lull_file_source_size(const lull_file_source* source);
/// Whether it is the file that it was when it was opened. Blocks as looking at a file does.
/// @return LULL_ERROR_IO, with what has changed
LULL_API lull_status lull_file_source_verify(const lull_file_source* source);

/// Says that the contents are not those of the region's source any more. From then on a plan that
/// discards it offloads it instead.
/// @return LULL_ERROR_BUSY: a transfer is moving it
LULL_API lull_status lull_region_mark_written(lull_region* region);

/// In a refill callback: writes bytes of a file at an offset, read straight into the buffers that
/// the device copies from. Its position is left alone.
LULL_API lull_status lull_refill_target_read_file(const lull_refill_target* target, uint64_t offset,
                                                  int32_t descriptor, uint64_t file_offset,
                                                  uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SOURCE_H
