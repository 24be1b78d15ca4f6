#ifndef LULL_C_SLEEPER_H
#define LULL_C_SLEEPER_H

/// @file
/// Sleeping when idle and waking when work arrives (lull/sleeper.hpp). Part of <lull/lull.h>.

#include <lull/c/cancel.h>
#include <lull/c/device.h>
#include <lull/c/memory.h>
#include <lull/c/report.h>
#include <lull/c/settle.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_sleeper lull_sleeper;

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

typedef enum lull_sleep_state LULL_ENUM_BASE {
  LULL_STATE_AWAKE = 0,
  LULL_STATE_DRAINING = 1,
  LULL_STATE_SLEEPING = 2,
  LULL_STATE_ASLEEP = 3,
  LULL_STATE_WAKING = 4
} lull_sleep_state;

typedef struct lull_sleep_plan {
  size_t struct_size;
  const char* name;  ///< for reports
  lull_eviction_plan contents;
  lull_context_action context;
  lull_backing_kind backing;
  const char* backing_path;  ///< for LULL_BACKING_FILE
} lull_sleep_plan;

/// Prepares the plan of a level. Its name lives as long as the library.
/// @return LULL_ERROR_UNSUPPORTED for a level that this build does not have
LULL_API lull_status lull_sleep_plan_init(lull_sleep_plan* plan, lull_sleep_level level);

/// Whether this build has a level, and these devices can do it together. No device: what this build
/// has.
LULL_API lull_status lull_sleep_level_supported(lull_sleep_level level, lull_device* const* devices,
                                                size_t device_count, int32_t* supported);

/// Called after every transition on the sleeper's thread. The report is valid during the call.
typedef void (*lull_transition_fn)(void* user, const lull_report* report);

typedef struct lull_sleeper_options {
  size_t struct_size;
  /// Sleep after this long without a lease, to within 10 ms. Above 0; default LULL_FOREVER: only
  /// when told to.
  int64_t idle_time_ns;
  const lull_sleep_plan* plan;       ///< default null: that of LULL_LEVEL_DISCARD
  int64_t drain_timeout_ns;          ///< above 0; default 10 s
  int32_t watch_idle;                ///< watch the idle time on the sleeper's own thread; default 0
  lull_transition_fn on_transition;  ///< default null
  void* on_transition_user;
  lull_release_clock* releases;  ///< gets a mark when a sleep freed memory; default null
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_sleeper_options;
LULL_API void lull_sleeper_options_init(lull_sleeper_options* options);

/// lull::participant. Both functions run on the sleeper's thread. A zeroed one with struct_size set
/// is where to begin.
typedef struct lull_participant {
  size_t struct_size;
  const char* name;
  lull_status (*sleep)(void* user);
  lull_status (*wake)(void* user);
  void* user;
} lull_participant;
LULL_API void lull_participant_init(lull_participant* participant);

typedef struct lull_sleeper_snapshot {
  size_t struct_size;
  lull_sleep_state state;
  uint32_t leases;   ///< out now
  uint32_t waiting;  ///< callers that wait for a lease
  int64_t in_state_ns;
  int64_t idle_ns;      ///< since the last lease came back; 0 while one is out
  uint64_t done_bytes;  ///< of the transfer under way
  uint64_t total_bytes;
  uint64_t sleeps;
  uint64_t wakes;
  uint64_t failed_sleeps;
  uint64_t failed_wakes;
  char plan[64];  ///< of the sleep now, or of the next one
} lull_sleeper_snapshot;

/// @param options may be null
LULL_API lull_status lull_sleeper_create(const lull_sleeper_options* options,
                                         lull_sleeper** sleeper);
LULL_API void lull_sleeper_destroy(lull_sleeper* sleeper);
/// Adds a participant, which then sleeps and wakes with this sleeper.
/// @return LULL_ERROR_BUSY when not awake
LULL_API lull_status lull_sleeper_add(lull_sleeper* sleeper, const lull_participant* participant);
/// Adds memory: its regions sleep as the plan says.
/// @return LULL_ERROR_BUSY when not awake
LULL_API lull_status lull_sleeper_manage_memory(lull_sleeper* sleeper, lull_memory* memory);

/// Work in flight. Never grows.
typedef struct lull_lease {
  lull_sleeper* sleeper;  ///< null: it holds nothing
} lull_lease;

/// A lease; wakes first when asleep. Blocks while asleep or in a transition, at most `timeout_ns`.
/// @param cancel may be null
/// @param lease is overwritten: release first what it holds
/// @return LULL_ERROR_TIMED_OUT; LULL_ERROR_CANCELLED; or why the wake failed
LULL_API lull_status lull_sleeper_acquire(lull_sleeper* sleeper, int64_t timeout_ns,
                                          const lull_cancel* cancel, lull_lease* lease);
/// A lease if awake. Never waits, never wakes.
/// @param lease is overwritten: release first what it holds
/// @return LULL_ERROR_BUSY when not awake
LULL_API lull_status lull_sleeper_try_acquire(lull_sleeper* sleeper, lull_lease* lease);
LULL_API void lull_lease_release(lull_lease* lease);

/// Never waits for a transition, never wakes, leaves the idle time alone.
LULL_API lull_status lull_sleeper_observe(const lull_sleeper* sleeper,
                                          lull_sleeper_snapshot* snapshot);
/// Sleeps now. Blocks until asleep.
/// @param plan may be null: that of the options
/// @param report may be null
LULL_API lull_status lull_sleeper_sleep(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                        lull_report** report);
/// Wakes now, without taking a lease. Blocks until awake, as lull_sleeper_acquire.
/// @param cancel may be null
LULL_API lull_status lull_sleeper_wake(lull_sleeper* sleeper, int64_t timeout_ns,
                                       const lull_cancel* cancel);
/// Starts what is due: a sleep, or the sweep of graph caches. Never blocks.
/// @param started gets whether a sleep was; may be null
LULL_API lull_status lull_sleeper_poll(lull_sleeper* sleeper, int32_t* started);
/// How long until lull_sleeper_poll should be called; LULL_FOREVER when there is nothing to wait
/// for.
LULL_API lull_status lull_sleeper_next_deadline(const lull_sleeper* sleeper, int64_t* in_ns);
/// @param idle_time_ns above 0; LULL_FOREVER: sleep only when told to
LULL_API lull_status lull_sleeper_set_idle_time(lull_sleeper* sleeper, int64_t idle_time_ns);
/// What the last transition did.
/// @return LULL_ERROR_NOT_FOUND before the first
LULL_API lull_status lull_sleeper_last_report(const lull_sleeper* sleeper, lull_report** report);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_SLEEPER_H
