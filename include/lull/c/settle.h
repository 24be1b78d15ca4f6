#ifndef LULL_C_SETTLE_H
#define LULL_C_SETTLE_H

/// @file
/// Waiting until memory that was released is really back (lull/settle.hpp). Part of <lull/lull.h>.

#include <lull/c/cancel.h>
#include <lull/c/device.h>
#include <lull/export.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Remembers when memory was last released. What uses it keeps it alive. Runs on the machine's
/// steady clock.
typedef struct lull_release_clock lull_release_clock;

LULL_API lull_status lull_release_clock_create(lull_release_clock** releases);
LULL_API void lull_release_clock_destroy(lull_release_clock* releases);

/// What is known of a release, so that a settle can see that it is over (lull::release_gain). Never
/// grows.
typedef struct lull_release_gain {
  uint64_t bytes;              ///< how much comes back
  uint64_t free_before_bytes;  ///< what was free on the device just before
} lull_release_gain;

/// Memory was released on a device.
/// @param device its name; may be null: it is not known where, and the mark counts for every
///        device; then it is one for now, and of nothing that is known
/// @param ago_ns how long ago; 0: now
/// @param gain may be null: not known
LULL_API lull_status lull_release_clock_mark(lull_release_clock* releases, const char* device,
                                             int64_t ago_ns, const lull_release_gain* gain);
/// How long ago the last release was.
/// @param device its name; may be null: on any device
/// @param ago_ns gets LULL_UNKNOWN_NS when there was none
LULL_API lull_status lull_release_clock_last(const lull_release_clock* releases, const char* device,
                                             int64_t* ago_ns);

typedef enum lull_settle_status LULL_ENUM_BASE {
  LULL_SETTLE_SETTLED = 0,
  LULL_SETTLE_TIMED_OUT = 1,
  LULL_SETTLE_SKIPPED = 2,
  LULL_SETTLE_PROBE_FAILED = 3,
  LULL_SETTLE_DEVICES_CHANGED = 4,
  LULL_SETTLE_CANCELLED = 5
} lull_settle_status;

typedef enum lull_settle_skip LULL_ENUM_BASE {
  LULL_SKIP_NONE = 0,
  LULL_SKIP_NOTHING_RELEASED = 1,
  LULL_SKIP_RELEASED_LONG_AGO = 2,
  LULL_SKIP_NO_DEVICE = 3,
  LULL_SKIP_FREE_UNKNOWN = 4
} lull_settle_skip;

typedef enum lull_settle_verdict LULL_ENUM_BASE {
  LULL_VERDICT_WAITING = 0,
  LULL_VERDICT_GAINED = 1,
  LULL_VERDICT_STABLE = 2,
  LULL_VERDICT_NOT_RELEASED = 3,
  LULL_VERDICT_UNKNOWN = 4
} lull_settle_verdict;

typedef enum lull_settle_gain LULL_ENUM_BASE {
  LULL_GAIN_NONE_EXPECTED = 0,
  LULL_GAIN_ARRIVED = 1,
  LULL_GAIN_ALREADY_THERE = 2,
  LULL_GAIN_NOT_SEEN = 3,
  LULL_GAIN_IMPOSSIBLE = 4
} lull_settle_gain;

/// What is known beforehand about one device. Goes in arrays, and so never grows.
typedef struct lull_settle_expectation {
  const char* device;
  uint64_t gain_bytes;           ///< how much was released; LULL_UNKNOWN: not known
  uint64_t baseline_free_bytes;  ///< free before the release; LULL_UNKNOWN: the first sample
} lull_settle_expectation;

/// Called after every sample, for each device, on the thread that settles.
/// @param free_bytes LULL_UNKNOWN where not known
typedef lull_status (*lull_settle_sample_fn)(void* user, int64_t since_start_ns, const char* device,
                                             uint64_t free_bytes);

typedef struct lull_settle_options {
  size_t struct_size;
  int64_t max_wait_ns;                 ///< default 2 s
  int64_t stale_after_ns;              ///< default 15 s
  int64_t first_interval_ns;           ///< above 0; default 10 ms
  int64_t longest_interval_ns;         ///< not below first_interval_ns; default 25 ms
  const lull_release_clock* releases;  ///< default null
  int64_t released_ago_ns;  ///< a release known otherwise; default LULL_UNKNOWN_NS: there is none
  const lull_settle_expectation* expected;  ///< default none
  size_t expected_count;
  const lull_cancel* cancel;        ///< default null
  lull_settle_sample_fn on_sample;  ///< default null
  void* on_sample_user;
} lull_settle_options;
LULL_API void lull_settle_options_init(lull_settle_options* options);

/// What a settle found out.
typedef struct lull_settlement lull_settlement;

typedef struct lull_settlement_info {
  size_t struct_size;
  lull_settle_status status;
  lull_settle_skip skip;
  int64_t elapsed_ns;
  size_t device_count;
  char reason[256];
} lull_settlement_info;

typedef struct lull_device_settlement {
  size_t struct_size;
  lull_settle_verdict verdict;
  lull_settle_gain gain;
  uint64_t before_bytes;  ///< free; LULL_UNKNOWN where not known
  uint64_t after_bytes;   ///< likewise
  uint32_t samples;
  int64_t elapsed_ns;
  char device[32];
} lull_device_settlement;

/// Waits until released memory is back. Blocks for at most max_wait_ns, also when a probe hangs.
/// @param options may be null: then there is nothing to wait for
/// @return LULL_OK also when it did not settle: see the settlement's status
LULL_API lull_status lull_devices_settle(lull_device* const* devices, size_t device_count,
                                         const lull_settle_options* options,
                                         lull_settlement** settlement);
LULL_API lull_status lull_settlement_describe(const lull_settlement* settlement,
                                              lull_settlement_info* info);
/// Devices by index.
/// @return LULL_ERROR_NOT_FOUND for an index past the end
LULL_API lull_status lull_settlement_device(const lull_settlement* settlement, size_t index,
                                            lull_device_settlement* device);
LULL_API void lull_settlement_destroy(lull_settlement* settlement);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SETTLE_H
