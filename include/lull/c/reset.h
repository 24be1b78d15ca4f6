#ifndef LULL_C_RESET_H
#define LULL_C_RESET_H

/// @file
/// Resetting a device's GPU context (lull/reset.hpp). Part of <lull/lull.h>.

#include <lull/c/device.h>
#include <lull/c/report.h>
#include <lull/c/settle.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_reset_event {
  size_t struct_size;
  const char* device;  ///< its name
  int32_t dropping;    ///< what lives on the device is to be given up
  int32_t was_reset;   ///< after: whether the context is gone
} lull_reset_event;

/// Called before a reset. Anything but LULL_OK refuses it, with LULL_ERROR_CALLBACK.
typedef lull_status (*lull_before_reset_fn)(void* user, const lull_reset_event* event);
/// Called after a reset, also after one that was refused or failed.
typedef void (*lull_after_reset_fn)(void* user, const lull_reset_event* event);

typedef struct lull_reset_hook_options {
  size_t struct_size;
  const char* name;             ///< for reports and errors; default empty
  lull_before_reset_fn before;  ///< default null
  lull_after_reset_fn after;    ///< default null
  /// Called last before the context goes, when no operation on the device is under way and none can
  /// begin; may refuse the reset as `before` may. Must not wait for another thread. Default null.
  lull_before_reset_fn check;
  void* user;  ///< of all three
} lull_reset_hook_options;
LULL_API void lull_reset_hook_options_init(lull_reset_hook_options* options);

/// Functions that are called around every reset of a device, on the thread that resets:
/// lull::reset_hook.
typedef struct lull_reset_hook lull_reset_hook;

LULL_API lull_status lull_reset_hook_create(const lull_device* device,
                                            const lull_reset_hook_options* options,
                                            lull_reset_hook** hook);
/// When it returns none of the functions runs or will run again; for that it waits for one that
/// runs on another thread.
LULL_API void lull_reset_hook_destroy(lull_reset_hook* hook);

/// The program's own reset of a device, on a thread on which no device is current.
typedef lull_status (*lull_reset_fn)(void* user, const lull_device* device);

typedef struct lull_reset_options {
  size_t struct_size;
  int32_t drop;               ///< give up what lives on the device; default 0: refuse
  int64_t drain_timeout_ns;   ///< above 0; default 10 s
  int64_t settle_timeout_ns;  ///< default 2 s
  lull_reset_fn reset;        ///< instead of the module's; default null
  void* reset_user;
  lull_release_clock* releases;  ///< gets a mark when memory was released; default null
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_reset_options;
LULL_API void lull_reset_options_init(lull_reset_options* options);

/// Destroys the device's context, and measures what is left without making a new one:
/// lull::dev_reset. Blocks.
/// @param options may be null
/// @param report may be null; gets a report, also of a reset that failed: then it says how far it
///        came; null where nothing was begun
/// @return LULL_ERROR_BUSY: something lives on the device; LULL_ERROR_TIMED_OUT
LULL_API lull_status lull_device_reset(const lull_device* device, const lull_reset_options* options,
                                       lull_report** report);
/// Resets several devices at the same time; each succeeds or fails by itself. Blocks.
/// @param options may be null
/// @param results gets a status for each device, also on a failure; may be null
/// @param reports gets a report for each device, also on a failure: then it says how far that
///        device came; may be null
/// @return LULL_OK, or the first failure in the order of the devices
LULL_API lull_status lull_devices_reset(lull_device* const* devices, size_t device_count,
                                        const lull_reset_options* options, lull_status* results,
                                        lull_report** reports);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_RESET_H
