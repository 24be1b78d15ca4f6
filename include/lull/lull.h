#ifndef LULL_LULL_H
#define LULL_LULL_H

/// @file
/// The C API of lull. What each thing does is said at its counterpart in the C++ headers, which are
/// named; here stands what is particular to C.
///
/// Conventions
///  - Every function that can fail returns a lull_status. On failure nothing has changed, outputs
///    are untouched, and the calling thread's last error tells more (lull_last_error_message).
///  - A null pointer where none is allowed is LULL_ERROR_INVALID_ARGUMENT, and the message names
///    the parameter. Destroy and release functions accept null.
///  - Handles are owned by the caller that got them and are given back by the function that is
///    named where they are made. Handles refer to what they need: the order of destruction is free,
///    except that leases come back before their sleeper is destroyed and that memory managed by a
///    sleeper outlives it.
///  - Structs begin with `struct_size`. Options are prepared by their `_init` function, which sets
///    it and the documented defaults; for results the caller sets it to sizeof. A smaller one, of
///    an older header, is accepted: what it lacks has its default. A larger one, of a newer header,
///    is accepted as long as what this library does not know is zero.
///  - Strings that are passed in are copied. Texts in results are cut where too long for their
///    field.
///  - All functions are thread-safe, except that a handle must not be destroyed while another
///    thread uses it. No function creates a GPU context or blocks unless its comment says so.
///  - Callbacks return LULL_OK or a failure, which fails the operation with LULL_ERROR_CALLBACK.
///    They run on the thread that is named; they must not throw or longjmp.

#include <lull/backend.h>
#include <lull/export.h>
#include <lull/status.h>
#include <lull/version.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// --- Errors -----------------------------------------------------------------------------------

/// The message of the last call on this thread that failed; empty when none has. Never null. Valid
/// until the next call on this thread that fails; calls that succeed leave it alone.
LULL_API const char* lull_last_error_message(void);

/// The status of the last call on this thread that failed; LULL_OK when none has.
LULL_API lull_status lull_last_error_status(void);

/// The vendor's part of a failure (lull::vendor_failure).
typedef struct lull_vendor_failure {
  size_t struct_size;
  int64_t code;     ///< the vendor's own code; errno on the host backend
  char device[32];  ///< "CUDA0"
  char call[48];    ///< "cuMemCreate"
  char words[208];  ///< the vendor's words
} lull_vendor_failure;

/// @return LULL_ERROR_NOT_FOUND when the last error of this thread did not come from a vendor call.
///         Does not count as a failure itself: the last error stays.
LULL_API lull_status lull_last_error_vendor(lull_vendor_failure* failure);

// --- Byte counts (lull/bytes.hpp)
// -----------------------------------------------------------------

/// Writes "1.5 GiB" and a zero into `text`, cut to `text_size` bytes (above 0; 16 are enough).
LULL_API lull_status lull_format_bytes(uint64_t bytes, char* text, size_t text_size);

/// Reads "1.5GiB". @return LULL_ERROR_INVALID_ARGUMENT with the text quoted
LULL_API lull_status lull_parse_bytes(const char* text, uint64_t* bytes);

// --- Logging and cancelling
// -----------------------------------------------------------------------

typedef enum lull_log_level {
  LULL_LOG_DEBUG = 0,
  LULL_LOG_INFO = 1,
  LULL_LOG_WARNING = 2,
  LULL_LOG_ERROR = 3
} lull_log_level;

/// Receives one line without newline; the text is valid during the call. May be called from several
/// threads at once.
typedef void (*lull_log_fn)(void* user, lull_log_level level, const char* line);

/// Ends waits and transfers early. Made by lull_cancel_create, given back by lull_cancel_destroy;
/// what uses it keeps it alive.
typedef struct lull_cancel lull_cancel;

LULL_API lull_status lull_cancel_create(lull_cancel** cancel);
/// Everything that was given this object ends with LULL_ERROR_CANCELLED, now and later.
LULL_API lull_status lull_cancel_request(lull_cancel* cancel);
LULL_API void lull_cancel_destroy(lull_cancel* cancel);

// --- Registry and devices (lull/registry.hpp, lull/device.hpp)
// --------------------------------------

typedef struct lull_registry lull_registry;  ///< given back by lull_registry_destroy
typedef struct lull_device lull_device;      ///< given back by lull_device_release

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

typedef enum lull_module_state {
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

typedef struct lull_device_info {
  size_t struct_size;
  lull_device_type type;
  uint64_t capabilities;  ///< lull_capability bits
  char name[32];
  char description[128];
  char pci_address[24];
  char uuid[64];
  char backend[32];
} lull_device_info;

/// Figures that are not known are LULL_UNKNOWN, never 0.
typedef struct lull_memory_info {
  size_t struct_size;
  lull_memory_source source;
  uint64_t total_bytes;
  uint64_t free_bytes;
  uint64_t used_by_process_bytes;
} lull_memory_info;

/// Loads all modules it finds, which takes milliseconds to a second. `options` may be null.
LULL_API lull_status lull_registry_create(const lull_registry_options* options,
                                          lull_registry** registry);
/// The registry of the process; destroying the handle leaves the registry.
LULL_API lull_status lull_registry_shared(lull_registry** registry);
LULL_API void lull_registry_destroy(lull_registry* registry);

LULL_API lull_status lull_registry_find(const lull_registry* registry, const char* name,
                                        lull_device** device);
/// The devices of a comma-separated list; null or empty: LULL_DEVICES, else all.
/// @param devices room for `capacity` handles; may be null when that is 0
/// @param count gets how many there are; when that is above `capacity` nothing is handed out and
///        the result is LULL_ERROR_INVALID_ARGUMENT, unless `capacity` is 0, which only asks
LULL_API lull_status lull_registry_select(const lull_registry* registry, const char* list,
                                          lull_device** devices, size_t capacity, size_t* count);

/// `info` may be null in both. A module that is refused is no failure of the call: see info->state.
LULL_API lull_status lull_registry_load(lull_registry* registry, const char* file,
                                        lull_module_info* info);
LULL_API lull_status lull_registry_add(lull_registry* registry, const lull_backend_ops* ops,
                                       lull_module_info* info);
/// @return LULL_ERROR_BUSY while a device handle, region or sleeper of it lives
LULL_API lull_status lull_registry_unload(lull_registry* registry, const char* backend);
/// Modules by index, the built-in ones first.
/// @return LULL_ERROR_NOT_FOUND from the first index that there is not
LULL_API lull_status lull_registry_module(const lull_registry* registry, size_t index,
                                          lull_module_info* info);

LULL_API void lull_device_release(lull_device* device);
LULL_API lull_status lull_device_get_info(const lull_device* device, lull_device_info* info);
/// Creates no context and does not wait for work.
LULL_API lull_status lull_device_get_memory(const lull_device* device, lull_memory_info* info);

/// @name Plain allocations and copies. May create the device's context; copies block until done.
/// @{
LULL_API lull_status lull_device_allocate(const lull_device* device, uint64_t bytes,
                                          void** address);
LULL_API lull_status lull_device_deallocate(const lull_device* device, void* address,
                                            uint64_t bytes);
LULL_API lull_status lull_device_copy_to_host(const lull_device* device, void* host,
                                              const void* address, uint64_t bytes);
LULL_API lull_status lull_device_copy_from_host(const lull_device* device, void* address,
                                                const void* host, uint64_t bytes);
LULL_API lull_status lull_device_fill(const lull_device* device, void* address, uint8_t value,
                                      uint64_t bytes);
/// @}

// --- Contexts and resets (lull/context.hpp)
// --------------------------------------------------------

typedef struct lull_reset_hook lull_reset_hook;  ///< given back by lull_reset_hook_destroy
typedef struct lull_report lull_report;          ///< given back by lull_report_destroy

/// Whether this process has a context on the device. Creates none, never waits.
LULL_API lull_status lull_device_context_alive(const lull_device* device, lull_tristate* alive);
/// Creates the context if there is none. May take seconds.
LULL_API lull_status lull_device_context_create(const lull_device* device);
/// How often the context was reset; what was made under another generation is gone.
LULL_API lull_status lull_device_generation(const lull_device* device, uint64_t* generation);

typedef struct lull_reset_event {
  size_t struct_size;
  int32_t dropping;   ///< what lives on the device is to be given up
  int32_t was_reset;  ///< after: whether the context is gone
} lull_reset_event;

/// Called before a reset. Anything but LULL_OK refuses it with that status.
typedef lull_status (*lull_before_reset_fn)(void* user, const lull_reset_event* event);
/// Called after a reset, also after one that was refused or failed.
typedef void (*lull_after_reset_fn)(void* user, const lull_reset_event* event);

/// Calls `before` and `after` (each may be null) around every reset of the device: lull::reset_hook.
LULL_API lull_status lull_reset_hook_create(const lull_device* device, const char* name,
                                            lull_before_reset_fn before, lull_after_reset_fn after,
                                            void* user, lull_reset_hook** hook);
/// When it returns neither function runs or will run again; for that it waits for one that runs on
/// another thread.
LULL_API void lull_reset_hook_destroy(lull_reset_hook* hook);

typedef struct lull_reset_options {
  size_t struct_size;
  int32_t drop;               ///< give up what lives on the device; default 0: refuse
  int64_t drain_timeout_ms;   ///< default 10000; above 0
  int64_t settle_timeout_ms;  ///< default 2000
  /// The program's own reset, instead of the module's; default null.
  lull_status (*reset)(void* user);
  void* user;
} lull_reset_options;

LULL_API void lull_reset_options_init(lull_reset_options* options);

/// Destroys the device's context, and measures what is left without making a new one:
/// lull::dev_reset. Blocks. `options` and `report` may be null. The report has no steps when there
/// was no context; what went wrong without making the reset fail is its `failure`.
/// @return LULL_ERROR_BUSY: something lives on the device; LULL_ERROR_TIMED_OUT
LULL_API lull_status lull_device_reset(const lull_device* device, const lull_reset_options* options,
                                       lull_report** report);
/// Resets several devices at the same time.
/// @param results room for `count`; gets a status for each device; may be null
/// @return LULL_OK, or the first failure in the order of the devices
LULL_API lull_status lull_device_reset_all(const lull_device* const* devices, size_t count,
                                           const lull_reset_options* options, lull_status* results);

// --- Memory and regions (lull/memory.hpp)
// ---------------------------------------------------------

typedef struct lull_memory lull_memory;              ///< given back by lull_memory_destroy
typedef struct lull_region lull_region;              ///< given back by lull_region_destroy
typedef struct lull_region_lease lull_region_lease;  ///< given back by lull_region_lease_release

typedef enum lull_residency {
  LULL_RESIDENT = 0,
  LULL_UNFILLED = 1,
  LULL_OFFLOADED = 2,
  LULL_DISCARDED = 3
} lull_residency;

typedef enum lull_contents_action {
  LULL_KEEP = 0,
  LULL_OFFLOAD = 1,
  LULL_DISCARD = 2
} lull_contents_action;

typedef enum lull_backing_kind {
  LULL_BACKING_HOST_MEMORY = 0,
  LULL_BACKING_MEMFD = 1,
  LULL_BACKING_FILE = 2
} lull_backing_kind;

typedef struct lull_tag_action {
  const char* tag;
  lull_contents_action action;
} lull_tag_action;

/// lull::eviction_plan. A zeroed one with struct_size set keeps everything.
typedef struct lull_eviction_plan {
  size_t struct_size;
  lull_contents_action otherwise;  ///< for tags that are not listed
  const lull_tag_action* tags;
  size_t tag_count;
} lull_eviction_plan;

typedef struct lull_memory_options {
  size_t struct_size;
  uint64_t chunk_bytes;          ///< 4 KiB to 4 GiB; default 64 MiB
  int32_t poison_unfilled;       ///< default 1 in debug builds of lull, else 0
  lull_log_level log_threshold;  ///< default LULL_LOG_WARNING
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_memory_options;
LULL_API void lull_memory_options_init(lull_memory_options* options);

/// A region to write, in a refill callback.
typedef struct lull_refill_target lull_refill_target;
LULL_API void* lull_refill_target_address(const lull_refill_target* target);
LULL_API uint64_t lull_refill_target_size(const lull_refill_target* target);
LULL_API const char* lull_refill_target_name(const lull_refill_target* target);
/// Writes host bytes at an offset, on any device.
LULL_API lull_status lull_refill_target_write(const lull_refill_target* target, uint64_t offset,
                                              const void* host, uint64_t bytes);

/// Writes a region's contents again. Runs on the thread that restores.
typedef lull_status (*lull_refill_fn)(void* user, const lull_refill_target* target);

typedef struct lull_region_options {
  size_t struct_size;
  const char* tag;        ///< default "default"
  const char* name;       ///< default empty
  lull_refill_fn refill;  ///< default null
  void* refill_user;
} lull_region_options;
LULL_API void lull_region_options_init(lull_region_options* options);

/// Called after each chunk on the thread that moves it.
typedef lull_status (*lull_progress_fn)(void* user, const char* region, uint64_t done_bytes,
                                        uint64_t total_bytes);

typedef struct lull_transfer_options {
  size_t struct_size;
  lull_backing_kind backing;  ///< default LULL_BACKING_HOST_MEMORY
  const char* backing_path;   ///< for LULL_BACKING_FILE
  lull_progress_fn progress;  ///< default null
  void* progress_user;
  const lull_cancel* cancel;  ///< default null
} lull_transfer_options;
LULL_API void lull_transfer_options_init(lull_transfer_options* options);

typedef struct lull_region_info {
  size_t struct_size;
  lull_residency residency;
  uint32_t leases;
  int32_t moving;
  uint64_t size_bytes;
  char name[128];
  char tag[64];
  char device[32];
} lull_region_info;

/// `options` may be null.
LULL_API lull_status lull_memory_create(const lull_memory_options* options, lull_memory** memory);
LULL_API void lull_memory_destroy(lull_memory* memory);
/// `options` may be null. May create the device's context.
LULL_API lull_status lull_memory_allocate(lull_memory* memory, const lull_device* device,
                                          uint64_t bytes, const lull_region_options* options,
                                          lull_region** region);
/// Blocks for the copies. `options` and `report` may be null.
LULL_API lull_status lull_memory_evict(lull_memory* memory, const lull_eviction_plan* plan,
                                       const lull_transfer_options* options, lull_report** report);
/// Blocks for copies and callbacks. No tags: all. `options` and `report` may be null.
LULL_API lull_status lull_memory_restore(lull_memory* memory, const char* const* tags,
                                         size_t tag_count, const lull_transfer_options* options,
                                         lull_report** report);
/// Regions by index, in the order of allocation.
/// @return LULL_ERROR_NOT_FOUND from the first index that there is not
LULL_API lull_status lull_memory_region(const lull_memory* memory, size_t index,
                                        lull_region_info* info);

LULL_API void lull_region_destroy(lull_region* region);
/// Null and 0 for a null region.
LULL_API void* lull_region_address(const lull_region* region);
LULL_API uint64_t lull_region_size(const lull_region* region);
LULL_API lull_status lull_region_residency(const lull_region* region, lull_residency* residency);
/// @return LULL_ERROR_NOT_RESIDENT, LULL_ERROR_BUSY. Never waits.
LULL_API lull_status lull_region_acquire(const lull_region* region, lull_region_lease** lease);
LULL_API void lull_region_lease_release(lull_region_lease* lease);
LULL_API lull_status lull_region_refill(lull_region* region, lull_refill_fn write, void* user);

// --- Sleeper (lull/sleeper.hpp)
// -------------------------------------------------------------------

typedef struct lull_sleeper lull_sleeper;  ///< given back by lull_sleeper_destroy

typedef enum lull_sleep_level {
  LULL_LEVEL_TRIM = 0,
  LULL_LEVEL_OFFLOAD = 1,
  LULL_LEVEL_DISCARD = 2,
  LULL_LEVEL_SUSPEND = 3,
  LULL_LEVEL_RESET = 4,
  LULL_LEVEL_REBIRTH = 5
} lull_sleep_level;

typedef enum lull_context_action {
  LULL_CONTEXT_KEEP = 0,
  LULL_CONTEXT_SUSPEND = 1,
  LULL_CONTEXT_RESET = 2,
  LULL_CONTEXT_REBIRTH = 3
} lull_context_action;

typedef enum lull_sleep_state {
  LULL_AWAKE = 0,
  LULL_DRAINING = 1,
  LULL_SLEEPING = 2,
  LULL_ASLEEP = 3,
  LULL_WAKING = 4
} lull_sleep_state;

typedef struct lull_sleep_plan {
  size_t struct_size;
  const char* name;             ///< for reports
  lull_eviction_plan contents;  ///< with its own struct_size
  lull_context_action context;
  lull_backing_kind backing;
  const char* backing_path;  ///< for LULL_BACKING_FILE
} lull_sleep_plan;

/// Prepares the plan of a level. The name lives as long as the library.
/// @return LULL_ERROR_UNSUPPORTED for a level that this build does not have
LULL_API lull_status lull_sleep_plan_init(lull_sleep_plan* plan, lull_sleep_level level);

/// Whether this build has a level: 1 or 0.
LULL_API int32_t lull_sleep_level_supported(lull_sleep_level level);

/// Called after every transition on the sleeper's thread. The report is valid during the call.
typedef void (*lull_transition_fn)(void* user, const lull_report* report);

typedef struct lull_sleeper_options {
  size_t struct_size;
  int64_t idle_time_ms;  ///< sleep after this long without a lease; -1: only when told to (default)
  const lull_sleep_plan* plan;       ///< default null: LULL_LEVEL_DISCARD
  int64_t drain_timeout_ms;          ///< above 0; default 10000
  int32_t watch_idle;                ///< watch the idle time on the sleeper's own thread; default 0
  lull_transition_fn on_transition;  ///< default null
  void* on_transition_user;
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_sleeper_options;
LULL_API void lull_sleeper_options_init(lull_sleeper_options* options);

/// lull::participant. Both functions run on the sleeper's thread.
typedef struct lull_participant {
  size_t struct_size;
  const char* name;
  lull_status (*sleep)(void* user);
  lull_status (*wake)(void* user);
  void* user;
} lull_participant;

/// Work in flight. Owned by the caller; a zeroed one holds nothing.
typedef struct lull_lease {
  lull_sleeper* sleeper;
} lull_lease;

typedef struct lull_sleeper_snapshot {
  size_t struct_size;
  lull_sleep_state state;
  uint32_t leases;
  uint32_t waiting;
  int64_t in_state_ns;
  int64_t idle_ns;
  uint64_t done_bytes;
  uint64_t total_bytes;
  uint64_t sleeps;
  uint64_t wakes;
  uint64_t failed_sleeps;
  uint64_t failed_wakes;
  char plan[64];
} lull_sleeper_snapshot;

/// `options` may be null.
LULL_API lull_status lull_sleeper_create(const lull_sleeper_options* options,
                                         lull_sleeper** sleeper);
LULL_API void lull_sleeper_destroy(lull_sleeper* sleeper);
LULL_API lull_status lull_sleeper_add(lull_sleeper* sleeper, const lull_participant* who);
LULL_API lull_status lull_sleeper_manage(lull_sleeper* sleeper, lull_memory* memory);

/// Blocks while asleep or in a transition, at most `timeout_ms` (-1: no limit). `cancel` may be
/// null.
LULL_API lull_status lull_sleeper_acquire(lull_sleeper* sleeper, int64_t timeout_ms,
                                          const lull_cancel* cancel, lull_lease* lease);
/// @return LULL_ERROR_BUSY when not awake. Never waits, never wakes.
LULL_API lull_status lull_sleeper_try_acquire(lull_sleeper* sleeper, lull_lease* lease);
/// Gives a lease back and empties the struct, so that a second release is harmless.
LULL_API void lull_lease_release(lull_lease* lease);

LULL_API lull_status lull_sleeper_observe(const lull_sleeper* sleeper,
                                          lull_sleeper_snapshot* snapshot);
/// Blocks until asleep. `plan` (null: the options' one) and `report` may be null.
LULL_API lull_status lull_sleeper_sleep(lull_sleeper* sleeper, const lull_sleep_plan* plan,
                                        lull_report** report);
/// Blocks until awake, as lull_sleeper_acquire.
LULL_API lull_status lull_sleeper_wake(lull_sleeper* sleeper, int64_t timeout_ms,
                                       const lull_cancel* cancel);
/// Starts the sleep that is due; `started` (may be null) gets whether one was. Never blocks.
LULL_API lull_status lull_sleeper_poll(lull_sleeper* sleeper, int32_t* started);
/// How long until lull_sleeper_poll should be called, rounded up; -1 when there is nothing to wait
/// for.
LULL_API lull_status lull_sleeper_next_deadline(const lull_sleeper* sleeper, int64_t* in_ms);
/// -1: sleep only when told to.
LULL_API lull_status lull_sleeper_set_idle_time(lull_sleeper* sleeper, int64_t idle_time_ms);
/// @return LULL_ERROR_NOT_FOUND before the first transition
LULL_API lull_status lull_sleeper_last_report(const lull_sleeper* sleeper, lull_report** report);

// --- Reports (lull/report.hpp)
// ----------------------------------------------------------------------

typedef struct lull_report_summary {
  size_t struct_size;
  int32_t succeeded;
  int32_t rolled_back;  ///< after a failure: whether all is as it was before
  int64_t elapsed_ns;
  size_t step_count;
  size_t device_count;
  char what[16];  ///< "sleep", "wake", "evict", "restore", "reset"
  char plan[64];  ///< empty for evict and restore
  char failure[256];
} lull_report_summary;

typedef struct lull_step_report {
  size_t struct_size;
  int64_t elapsed_ns;
  uint64_t bytes;
  char name[64];
} lull_step_report;

typedef struct lull_device_report {
  size_t struct_size;
  uint64_t copied_bytes;
  uint64_t discarded_bytes;
  uint64_t refilled_bytes;
  uint64_t used_before_bytes;  ///< by this process; LULL_UNKNOWN where not known
  uint64_t used_after_bytes;
  uint64_t free_before_bytes;
  uint64_t free_after_bytes;
  lull_memory_source source;  ///< how the four figures are known
  char device[32];
} lull_device_report;

LULL_API lull_status lull_report_get_summary(const lull_report* report,
                                             lull_report_summary* summary);
/// @return LULL_ERROR_NOT_FOUND from the first index that there is not
LULL_API lull_status lull_report_get_step(const lull_report* report, size_t index,
                                          lull_step_report* step);
LULL_API lull_status lull_report_get_device(const lull_report* report, size_t index,
                                            lull_device_report* device);
LULL_API void lull_report_destroy(lull_report* report);

#ifdef __cplusplus
}
#endif

#endif  // LULL_LULL_H
