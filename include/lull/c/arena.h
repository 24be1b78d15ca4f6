#ifndef LULL_C_ARENA_H
#define LULL_C_ARENA_H

/// @file
/// Host memory that devices copy at the full speed of the link, where offloaded contents are kept
/// (lull/host_arena.hpp). Part of <lull/lull.h>.

#include <lull/c/device.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_arena lull_arena;

typedef struct lull_arena_options {
  size_t struct_size;
  /// The most memory that it ever holds. Default LULL_NO_LIMIT: what the machine and its control
  /// groups have, less an eighth of it.
  uint64_t budget_bytes;
  uint64_t slice_bytes;          ///< a multiple of 2 MiB, up to 4 GiB; default 64 MiB
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_arena_options;
LULL_API void lull_arena_options_init(lull_arena_options* options);

/// One arena may serve several memory objects and all devices. What uses it keeps it alive.
/// @param options may be null
LULL_API lull_status lull_arena_create(const lull_arena_options* options, lull_arena** arena);
LULL_API void lull_arena_destroy(lull_arena* arena);

typedef struct lull_arena_prepare_options {
  size_t struct_size;
  uint32_t threads;           ///< that populate and pin; default 1
  uint64_t bytes_per_second;  ///< all threads together; default LULL_NO_LIMIT
} lull_arena_prepare_options;
LULL_API void lull_arena_prepare_options_init(lull_arena_prepare_options* options);

/// Starts to populate and pin so much memory in the background, so that the first sleep is as fast
/// as later ones. May create the device's context.
/// @param options may be null
LULL_API lull_status lull_arena_prepare(lull_arena* arena, const lull_device* device,
                                        uint64_t bytes, const lull_arena_prepare_options* options);
/// Blocks until lull_arena_prepare is no longer at work.
LULL_API lull_status lull_arena_wait_prepared(lull_arena* arena);

/// Gives memory that nothing uses back to the system until so much is held.
/// @param given_back_bytes may be null
LULL_API lull_status lull_arena_trim(lull_arena* arena, uint64_t keep_bytes,
                                     uint64_t* given_back_bytes);
/// Unused memory above it is given back at once, used memory when it returns.
LULL_API lull_status lull_arena_set_budget(lull_arena* arena, uint64_t bytes);

typedef struct lull_arena_info {
  size_t struct_size;
  uint64_t budget_bytes;
  uint64_t held_bytes;    ///< of the machine's memory, used or ready to be
  uint64_t used_bytes;    ///< of it, by contents that are off their devices
  uint64_t pinned_bytes;  ///< of it, ready for copies at full speed
  int32_t preparing;      ///< lull_arena_prepare is still at work
  /// Why memory could not be pinned the last time that was tried; empty where it could.
  char not_pinned_because[256];
} lull_arena_info;
LULL_API lull_status lull_arena_describe(const lull_arena* arena, lull_arena_info* info);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_ARENA_H
