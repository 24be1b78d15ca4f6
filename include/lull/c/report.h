#ifndef LULL_C_REPORT_H
#define LULL_C_REPORT_H

/// @file
/// What a transition, a transfer or a reset did, as measured (lull/report.hpp). Part of
/// <lull/lull.h>.

#include <lull/backend.h>
#include <lull/export.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_report lull_report;

typedef struct lull_report_info {
  size_t struct_size;
  int32_t succeeded;
  int32_t rolled_back;  ///< after a failure: whether all is as it was before
  int32_t was_reset;    ///< of a reset: whether there was a context, which is gone now
  int64_t elapsed_ns;
  uint64_t generation;  ///< of a reset: the device's after it; else LULL_UNKNOWN
  size_t step_count;
  size_t device_count;
  size_t problem_count;     ///< what went wrong without making it fail
  char what[16];            ///< "sleep", "wake", "deepen", "evict", "restore", "swap", "reset"
  char plan[64];            ///< of a sleep and a wake
  char dropped[128];        ///< of a reset: what was given up, "2 allocations (1 MiB)"
  char failure[256];        ///< why it failed
  char fell_back_from[64];  ///< the plan that was asked for, if devices lack what it says; or empty
  size_t moved_count;       ///< regions that came back at another address; see lull_report_moved
} lull_report_info;

typedef struct lull_step_report {
  size_t struct_size;
  int64_t elapsed_ns;
  uint64_t bytes;  ///< what it moved or released; 0 for a step that moves nothing
  char name[64];
} lull_step_report;

typedef struct lull_device_report {
  size_t struct_size;
  uint64_t copied_bytes;
  uint64_t discarded_bytes;
  uint64_t refilled_bytes;
  uint64_t used_before_bytes;  ///< by this process; LULL_UNKNOWN where not known, as the others
  uint64_t used_after_bytes;
  uint64_t free_before_bytes;
  uint64_t free_after_bytes;
  lull_memory_source source;  ///< how the four figures are known
  char device[32];
  /// Of what was copied and refilled, what could not go through pinned memory at full speed.
  uint64_t staged_bytes;
  char staged_because[128];  ///< why; empty where nothing was staged, or it was asked for
} lull_device_report;

/// A region that is somewhere else than before, because a reset has lost its address. Pointers into
/// it are void.
typedef struct lull_moved_region {
  size_t struct_size;
  void* from;
  void* to;
  uint64_t size_bytes;
  char region[128];  ///< its name
  char device[32];
} lull_moved_region;

LULL_API lull_status lull_report_describe(const lull_report* report, lull_report_info* info);
/// Steps by index, in the order they ran.
/// @return LULL_ERROR_NOT_FOUND for an index past the end, as the three below
LULL_API lull_status lull_report_step(const lull_report* report, size_t index,
                                      lull_step_report* step);
/// Devices by index.
LULL_API lull_status lull_report_device(const lull_report* report, size_t index,
                                        lull_device_report* device);
/// Regions that came back at another address by index: only those that were allocated with
/// lull_region_options::may_move.
LULL_API lull_status lull_report_moved(const lull_report* report, size_t index,
                                       lull_moved_region* moved);
/// Problems by index.
/// @param problem gets a sentence that lives as long as the report
LULL_API lull_status lull_report_problem(const lull_report* report, size_t index,
                                         const char** problem);
LULL_API void lull_report_destroy(lull_report* report);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_REPORT_H
