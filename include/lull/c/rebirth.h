#ifndef LULL_C_REBIRTH_H
#define LULL_C_REBIRTH_H

/// @file
/// A process whose image is replaced under the same process id (lull/rebirth.hpp). Part of
/// <lull/lull.h>.

#include <lull/c/process.h>
#include <lull/export.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What one image of a process leaves to the next: descriptors by name, and a blob with a version.
/// Used by one thread at a time.
typedef struct lull_handover lull_handover;

LULL_API lull_status lull_handover_create(lull_handover** handover);
LULL_API void lull_handover_destroy(lull_handover* handover);
/// Has a descriptor be open in the next image, under the same number. It stays the caller's.
LULL_API lull_status lull_handover_add_descriptor(lull_handover* handover, const char* name,
                                                  int32_t descriptor);
/// @param version of the format of the blob
/// @param blob copied; may be null when size_bytes is 0
LULL_API lull_status lull_handover_set_blob(lull_handover* handover, uint32_t version,
                                            const void* blob, size_t size_bytes);
/// @return LULL_ERROR_NOT_FOUND: none of that name was handed over
LULL_API lull_status lull_handover_descriptor(const lull_handover* handover, const char* name,
                                              int32_t* descriptor);
LULL_API uint32_t lull_handover_version(const lull_handover* handover);
/// Valid until the handover is changed or destroyed.
LULL_API const void* lull_handover_blob(const lull_handover* handover);
LULL_API size_t lull_handover_blob_size(const lull_handover* handover);
/// How often the image of this process has been replaced; 0 for one that was not taken.
LULL_API uint64_t lull_handover_rebirths(const lull_handover* handover);

/// What the next image is started with.
typedef struct lull_rebirth_options {
  size_t struct_size;
  /// Default null: the very file that this process runs, also where another has taken its place. A
  /// path: what is there in that moment; it must call lull_rebirth_take().
  const char* program;
  const char* const* arguments;  ///< its own name first; default none: those of this process
  size_t argument_count;
  const lull_variable* environment;  ///< on top of this process's; default none
  size_t environment_count;
} lull_rebirth_options;
LULL_API void lull_rebirth_options_init(lull_rebirth_options* options);

/// To be called at the beginning of main, in every image, before there are other threads: takes
/// what the image before left, and puts back what a replacement changes (the mask of signals, the
/// process's name). Descriptors are the caller's from then on. Once; later calls take nothing.
/// @param before gets what was left; null in the first image
/// @return LULL_ERROR_IO: it cannot be read
LULL_API lull_status lull_rebirth_take(lull_handover** before);
/// Whether lull_rebirth_execute() can be tried: all that can be known beforehand.
/// @param options may be null
/// @return LULL_ERROR_UNSUPPORTED: lull_rebirth_take() was not called, or the system lacks what it
///         takes; LULL_ERROR_NOT_FOUND, LULL_ERROR_IO: the program; LULL_ERROR_INVALID_ARGUMENT:
///         arguments and environment are more than the kernel takes
LULL_API lull_status lull_rebirth_check(const lull_rebirth_options* options);
/// Replaces the image of this process. Does not return where it succeeds; where it fails everything
/// is as before. Any thread, one at a time.
/// @param options may be null
/// @return never LULL_OK; as lull_rebirth_check()
LULL_API lull_status lull_rebirth_execute(const lull_handover* left,
                                          const lull_rebirth_options* options);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_REBIRTH_H
