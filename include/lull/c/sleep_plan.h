#ifndef LULL_C_SLEEP_PLAN_H
#define LULL_C_SLEEP_PLAN_H

/// @file
/// What a sleep does, with the contents of memory and with the GPU context (lull/sleeper.hpp). Part
/// of <lull/lull.h>.

#include <lull/c/device.h>
#include <lull/c/memory.h>
#include <lull/export.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lull_sleep_level LULL_ENUM_BASE {
  LULL_LEVEL_TRIM = 0,
  LULL_LEVEL_OFFLOAD = 1,
  LULL_LEVEL_DISCARD = 2,
  LULL_LEVEL_SUSPEND = 3,
  LULL_LEVEL_RESET = 4,
  LULL_LEVEL_REBIRTH = 5
} lull_sleep_level;

typedef enum lull_context_action LULL_ENUM_BASE {
  LULL_CONTEXT_KEEP = 0,
  LULL_CONTEXT_SUSPEND = 1,
  LULL_CONTEXT_RESET = 2,
  LULL_CONTEXT_REBIRTH = 3
} lull_context_action;

/// What is done with the contents of a tag: lull_eviction_plan_action.
typedef struct lull_sleep_plan {
  size_t struct_size;
  const char* name;  ///< for reports
  lull_eviction_plan contents;
  lull_context_action context;
  lull_backing_kind backing;
  const char* backing_path;  ///< for LULL_BACKING_FILE
  /// Where the devices cannot do what it says about the context: do the nearest that is less, and
  /// say so in the report, instead of refusing. Default 0.
  int32_t fallback;
  /// How much this process may still hold of each device, as measured afterwards. More is told as a
  /// problem, and the next rung of the ladder comes at once. Default LULL_NO_LIMIT.
  uint64_t max_residue_bytes;
} lull_sleep_plan;

/// One step of a ladder. Never grows.
typedef struct lull_sleep_rung {
  int64_t after_ns;  ///< without a lease; not below 0
  const lull_sleep_plan* plan;
} lull_sleep_rung;

/// Prepares the plan of a level. Its name lives as long as the library.
/// @return LULL_ERROR_UNSUPPORTED for a level that this build does not have
LULL_API lull_status lull_sleep_plan_init(lull_sleep_plan* plan, lull_sleep_level level);

/// Whether this build has a level, and these devices can do it together. No device: what this build
/// has.
LULL_API lull_status lull_sleep_level_supported(lull_sleep_level level, lull_device* const* devices,
                                                size_t device_count, int32_t* supported);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SLEEP_PLAN_H
