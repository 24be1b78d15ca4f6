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
#include <lull/graph_cache.h>
#include <lull/log.h>
#include <lull/status.h>
#include <lull/units.h>
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

// --- Cancelling
// -----------------------------------------------------------------------------------

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

/// A process that holds memory of a device (lull::device_process).
typedef struct lull_device_process {
  int64_t id;           ///< as the platform lists it: in a container perhaps the host's
  uint64_t used_bytes;  ///< LULL_UNKNOWN where not known
} lull_device_process;

/// The processes that hold memory of a device, by id. Creates no context and does not wait for work.
/// @param processes room for `capacity` entries; may be null when that is 0
/// @param count gets how many there are, which may be more than were written
/// @return LULL_ERROR_UNSUPPORTED where the platform cannot tell
LULL_API lull_status lull_device_get_processes(const lull_device* device,
                                               lull_device_process* processes, size_t capacity,
                                               size_t* count);

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

// --- Settling (lull/settle.hpp)
// ----------------------------------------------------------------------

/// Remembers when memory was last released. Made by lull_release_clock_create, given back by
/// lull_release_clock_destroy; what uses it keeps it alive. Runs on the machine's steady clock.
typedef struct lull_release_clock lull_release_clock;

LULL_API lull_status lull_release_clock_create(lull_release_clock** releases);
LULL_API void lull_release_clock_destroy(lull_release_clock* releases);
/// Memory was released on a device, `ago_ms` ago (0: now). Null: it is not known where, and the mark
/// counts for every device; then `ago_ms` must be 0.
LULL_API lull_status lull_release_clock_mark(lull_release_clock* releases, const char* device,
                                             int64_t ago_ms);
/// How long ago the last release was: on one device, or (null) on any. -1 when there was none.
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
  LULL_SETTLE_WAITING = 0,
  LULL_SETTLE_GAINED = 1,
  LULL_SETTLE_STABLE = 2,
  LULL_SETTLE_NOT_RELEASED = 3,
  LULL_SETTLE_UNKNOWN = 4
} lull_settle_verdict;

typedef enum lull_settle_gain LULL_ENUM_BASE {
  LULL_GAIN_NONE_EXPECTED = 0,
  LULL_GAIN_ARRIVED = 1,
  LULL_GAIN_ALREADY_THERE = 2,
  LULL_GAIN_NOT_SEEN = 3,
  LULL_GAIN_IMPOSSIBLE = 4
} lull_settle_gain;

/// What is known beforehand about one device.
typedef struct lull_settle_expectation {
  const char* device;
  uint64_t gain_bytes;           ///< how much was released; 0: not known
  uint64_t baseline_free_bytes;  ///< free before the release; LULL_UNKNOWN: the first sample
} lull_settle_expectation;

/// Called after every sample, for each device, on the thread that settles.
/// @param free_bytes LULL_UNKNOWN where not known
typedef lull_status (*lull_settle_sample_fn)(void* user, int64_t since_start_ns, const char* device,
                                             uint64_t free_bytes);

typedef struct lull_settle_options {
  size_t struct_size;
  int64_t max_wait_ms;                 ///< default 2000
  int64_t stale_after_ms;              ///< default 15000
  int64_t first_interval_ms;           ///< above 0; default 10
  int64_t longest_interval_ms;         ///< not below first_interval_ms; default 25
  const lull_release_clock* releases;  ///< default null
  int64_t released_ago_ms;             ///< a release known otherwise; -1: none (default)
  const lull_settle_expectation* expected;
  size_t expected_count;
  const lull_cancel* cancel;        ///< default null
  lull_settle_sample_fn on_sample;  ///< default null
  void* on_sample_user;
} lull_settle_options;
LULL_API void lull_settle_options_init(lull_settle_options* options);

/// What a settle found out.
typedef struct lull_settlement lull_settlement;  ///< given back by lull_settlement_destroy

typedef struct lull_settle_summary {
  size_t struct_size;
  lull_settle_status status;
  lull_settle_skip skip;
  int64_t elapsed_ns;
  size_t device_count;
  char reason[256];
} lull_settle_summary;

typedef struct lull_device_settlement {
  size_t struct_size;
  lull_settle_verdict verdict;
  lull_settle_gain gain;
  uint64_t before_bytes;  ///< free; LULL_UNKNOWN where not known
  uint64_t after_bytes;
  uint32_t samples;
  int64_t elapsed_ns;
  char device[32];
} lull_device_settlement;

/// Waits until released memory is back. Blocks for at most max_wait_ms, also when a probe hangs.
/// `options` may be null: then there is nothing to wait for.
/// @return LULL_OK also when it did not settle: see the summary's status
LULL_API lull_status lull_settle(const lull_device* const* devices, size_t count,
                                 const lull_settle_options* options, lull_settlement** settlement);
LULL_API lull_status lull_settlement_get_summary(const lull_settlement* settlement,
                                                 lull_settle_summary* summary);
/// @return LULL_ERROR_NOT_FOUND from the first index that there is not
LULL_API lull_status lull_settlement_get_device(const lull_settlement* settlement, size_t index,
                                                lull_device_settlement* device);
LULL_API void lull_settlement_destroy(lull_settlement* settlement);

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

/// Called before a reset. Anything but LULL_OK refuses it, with LULL_ERROR_CALLBACK.
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
  lull_release_clock* releases;  ///< gets a mark when memory was released; default null
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

typedef enum lull_residency LULL_ENUM_BASE {
  LULL_RESIDENT = 0,
  LULL_UNFILLED = 1,
  LULL_OFFLOADED = 2,
  LULL_DISCARDED = 3
} lull_residency;

typedef enum lull_contents_action LULL_ENUM_BASE {
  LULL_KEEP = 0,
  LULL_OFFLOAD = 1,
  LULL_DISCARD = 2
} lull_contents_action;

typedef enum lull_backing_kind LULL_ENUM_BASE {
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
  lull_release_clock* releases;  ///< gets a mark when a sleep freed memory; default null
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
/// Starts what is due: a sleep, or the sweep of graph caches. `started` (may be null) gets whether a
/// sleep was. Never blocks.
LULL_API lull_status lull_sleeper_poll(lull_sleeper* sleeper, int32_t* started);
/// How long until lull_sleeper_poll should be called, rounded up; -1 when there is nothing to wait
/// for.
LULL_API lull_status lull_sleeper_next_deadline(const lull_sleeper* sleeper, int64_t* in_ms);
/// -1: sleep only when told to.
LULL_API lull_status lull_sleeper_set_idle_time(lull_sleeper* sleeper, int64_t idle_time_ms);
/// @return LULL_ERROR_NOT_FOUND before the first transition
LULL_API lull_status lull_sleeper_last_report(const lull_sleeper* sleeper, lull_report** report);

// --- Processes (lull/process.hpp)
// ----------------------------------------------------------------------

typedef struct lull_process lull_process;  ///< given back by lull_process_destroy

typedef enum lull_process_state LULL_ENUM_BASE {
  LULL_PROCESS_LOADING = 0,
  LULL_PROCESS_READY = 1,
  LULL_PROCESS_SLEEPING = 2,
  LULL_PROCESS_AWAKE = 3,
  LULL_PROCESS_STOPPED = 4
} lull_process_state;

/// The child's side: says to the parent in which state this process is. Blocks for at most 100 ms.
/// @param progress 0 to 1; NaN or below 0: none
/// @param written gets whether it was; 0 also without such a parent. May be null.
LULL_API lull_status lull_report_state(lull_process_state state, double progress, int32_t* written);

typedef enum lull_exit_kind LULL_ENUM_BASE {
  LULL_EXIT_EXITED = 0,
  LULL_EXIT_SIGNALLED = 1,
  LULL_EXIT_UNKNOWN = 2
} lull_exit_kind;

/// lull::exit_status. Part of other structs, and so never grows.
typedef struct lull_exit_status {
  lull_exit_kind how;
  int32_t value;  ///< the exit code, or the number of the signal
  int32_t core_dumped;
  int32_t shell_code;  ///< as shells say it: the exit code, 128 + the signal, 255 when unknown
} lull_exit_status;

typedef struct lull_stop_options {
  size_t struct_size;
  int32_t signal;        ///< default SIGTERM
  int64_t grace_ms;      ///< default 10000; 0: killed at once
  int64_t kill_wait_ms;  ///< above 0; default 5000
  /// Called with the process id before a kill, on a thread of its own; default null. When it has not
  /// returned in time it is left behind, so `user` must not end.
  lull_status (*before_kill)(void* user, int32_t id);
  void* before_kill_user;
  int64_t before_kill_timeout_ms;  ///< above 0; default 5000
} lull_stop_options;
LULL_API void lull_stop_options_init(lull_stop_options* options);

typedef enum lull_stream LULL_ENUM_BASE {
  LULL_STREAM_INHERIT = 0,
  LULL_STREAM_NULL = 1,
  LULL_STREAM_PIPE = 2
} lull_stream;

typedef struct lull_variable {
  const char* name;
  const char* value;  ///< null: removed
} lull_variable;

/// A line of the child. `progress` is -1 when it said none.
typedef void (*lull_process_event_fn)(void* user, lull_process_state state, double progress);
/// A line that was skipped. `text` is its beginning, any bytes, `text_size` of them.
typedef void (*lull_rejected_line_fn)(void* user, const char* reason, const char* text,
                                      size_t text_size, uint64_t line_size);

typedef struct lull_process_options {
  size_t struct_size;
  const char* const* arguments;  ///< the program, then its arguments
  size_t argument_count;
  const lull_variable* environment;  ///< on top of this process's; default none
  size_t environment_count;
  int32_t inherit_environment;     ///< default 1
  const char* directory;           ///< where it starts; default null: here
  lull_stream input;               ///< default LULL_STREAM_NULL
  lull_stream output;              ///< default LULL_STREAM_INHERIT
  lull_stream errors;              ///< default LULL_STREAM_INHERIT
  int32_t state_pipe;              ///< default 1
  lull_process_event_fn on_event;  ///< on the child's thread, as the others; default null
  void* on_event_user;
  lull_rejected_line_fn on_rejected;  ///< default null
  void* on_rejected_user;
  const lull_stop_options* stopping;   ///< default null: its defaults
  const char* pid_directory;           ///< default null: none
  lull_release_clock* releases;        ///< gets a mark when the child has ended; default null
  const char* const* release_devices;  ///< which devices are marked; default none: all
  size_t release_device_count;
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
} lull_process_options;
LULL_API void lull_process_options_init(lull_process_options* options);

typedef struct lull_process_snapshot {
  size_t struct_size;
  int32_t id;
  int32_t ended;
  lull_exit_status status;        ///< when it has ended
  int32_t has_event;              ///< whether it has said anything
  lull_process_state last_state;  ///< what it said last
  double last_progress;           ///< -1: none
  uint64_t events;
  uint64_t rejected_lines;
} lull_process_snapshot;

typedef struct lull_stop_result {
  size_t struct_size;
  lull_exit_status status;
  int32_t killed;
  int64_t elapsed_ns;
} lull_stop_result;

/// Starts a child; returns when the program runs.
/// @return LULL_ERROR_NOT_FOUND: no such program or directory; LULL_ERROR_IO
LULL_API lull_status lull_process_start(const lull_process_options* options,
                                        lull_process** process);
/// Kills what still runs, without grace. Blocks for at most kill_wait_ms and what before_kill may take.
LULL_API void lull_process_destroy(lull_process* process);
LULL_API lull_status lull_process_observe(const lull_process* process,
                                          lull_process_snapshot* snapshot);

typedef enum lull_standard_stream LULL_ENUM_BASE {
  LULL_STANDARD_INPUT = 0,
  LULL_STANDARD_OUTPUT = 1,
  LULL_STANDARD_ERRORS = 2
} lull_standard_stream;

/// The parent's end of a stream that is a pipe; the caller closes it. -1 when it is none or was taken
/// before.
LULL_API lull_status lull_process_take_stream(lull_process* process, lull_standard_stream which,
                                              int32_t* descriptor);
/// Blocks until the child has ended, at most `timeout_ms` (-1: no limit). `cancel` and `status` may be
/// null.
/// @return LULL_ERROR_TIMED_OUT; LULL_ERROR_CANCELLED; LULL_ERROR_BUSY: called from its callback
LULL_API lull_status lull_process_wait(lull_process* process, int64_t timeout_ms,
                                       const lull_cancel* cancel, lull_exit_status* status);
/// Asks, waits for the grace period, kills. Blocks. `options` (null: those of the start) and `result`
/// may be null.
LULL_API lull_status lull_process_stop(lull_process* process, const lull_stop_options* options,
                                       lull_stop_result* result);
/// `sent` (may be null) gets 0 when it has ended.
LULL_API lull_status lull_process_signal(lull_process* process, int32_t number, int32_t* sent);

/// Stops the children that a crashed parent left behind, as lull_process_stop does, and removes their
/// pid files. Blocks. Goes on with the others when one cannot be stopped.
/// @param options may be null
/// @param releases gets a mark for every device if any had to be stopped; may be null
/// @param stopped gets how many had to be stopped; may be null
/// @return LULL_OK, or the first failure
LULL_API lull_status lull_stop_orphans(const char* pid_directory, const lull_stop_options* options,
                                       lull_release_clock* releases, size_t* stopped);

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
