#ifndef LULL_C_REGISTRY_H
#define LULL_C_REGISTRY_H

/// @file
/// Which backends there are, and the devices they bring (lull/registry.hpp). Part of <lull/lull.h>.

#include <lull/backend.h>
#include <lull/c/device.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_registry lull_registry;

typedef struct lull_setting {
  const char* backend;  ///< "host"
  const char* key;      ///< "capacity_bytes"
  const char* value;    ///< "4GiB"
} lull_setting;

typedef struct lull_registry_options {
  size_t struct_size;
  const char* const* module_paths;  ///< files or directories; default none
  size_t module_path_count;
  const lull_setting* settings;  ///< default none
  size_t setting_count;
  int32_t search;                ///< look in the documented places too; default 1
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_registry_options;
LULL_API void lull_registry_options_init(lull_registry_options* options);

typedef enum lull_module_state LULL_ENUM_BASE {
  LULL_MODULE_ACTIVE = 0,
  LULL_MODULE_UNUSABLE = 1,
  LULL_MODULE_SUPERSEDED = 2,
  LULL_MODULE_REFUSED = 3
} lull_module_state;

typedef struct lull_module_info {
  size_t struct_size;
  lull_module_state state;
  int32_t score;
  char backend[32];
  char path[512];
  char reason[512];
} lull_module_info;

/// Loads all modules it finds, which takes milliseconds to a second.
/// @param options may be null
LULL_API lull_status lull_registry_create(const lull_registry_options* options,
                                          lull_registry** registry);
/// The registry of the process; destroying the handle leaves the registry.
LULL_API lull_status lull_registry_shared(lull_registry** registry);
LULL_API void lull_registry_destroy(lull_registry* registry);

LULL_API lull_status lull_registry_find(const lull_registry* registry, const char* name,
                                        lull_device** device);
/// A device as engines count them: lull::registry::find(backend, ordinal).
/// @param backend "cuda"
/// @param ordinal the vendor's own number, from 0
/// @return LULL_ERROR_NOT_FOUND
LULL_API lull_status lull_registry_find_ordinal(const lull_registry* registry, const char* backend,
                                                uint32_t ordinal, lull_device** device);
/// The devices of a comma-separated list.
/// @param list may be null, or empty: LULL_DEVICES, else all
/// @param devices gets a handle for each device; room for `capacity` of them
/// @param count gets how many there are; when that is above `capacity` nothing is handed out and
///        the result is LULL_ERROR_INVALID_ARGUMENT, unless `capacity` is 0, which only asks
LULL_API lull_status lull_registry_select(const lull_registry* registry, const char* list,
                                          lull_device** devices, size_t capacity, size_t* count);

/// Loads a module. One that is refused is no failure of the call: see info->state.
/// @param info may be null
LULL_API lull_status lull_registry_load(lull_registry* registry, const char* file,
                                        lull_module_info* info);
/// Adds a backend that is linked into the program, as lull_registry_load does one in a file.
/// @param ops must outlive every device of it
/// @param info may be null
LULL_API lull_status lull_registry_add(lull_registry* registry, const lull_backend_ops* ops,
                                       lull_module_info* info);
/// @return LULL_ERROR_BUSY while a device handle, region or sleeper of it lives
LULL_API lull_status lull_registry_unload(lull_registry* registry, const char* backend);
/// Modules by index, the built-in ones first.
/// @return LULL_ERROR_NOT_FOUND for an index past the end
LULL_API lull_status lull_registry_module(const lull_registry* registry, size_t index,
                                          lull_module_info* info);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_REGISTRY_H
