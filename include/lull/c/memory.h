#ifndef LULL_C_MEMORY_H
#define LULL_C_MEMORY_H

/// @file
/// Regions, whose device memory can be taken away and given back while their address stays
/// (lull/memory.hpp). Part of <lull/lull.h>.

#include <lull/c/arena.h>
#include <lull/c/cancel.h>
#include <lull/c/device.h>
#include <lull/c/report.h>
#include <lull/export.h>
#include <lull/log.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_memory lull_memory;
typedef struct lull_region lull_region;

typedef enum lull_residency LULL_ENUM_BASE {
  LULL_RESIDENCY_RESIDENT = 0,
  LULL_RESIDENCY_UNFILLED = 1,
  LULL_RESIDENCY_OFFLOADED = 2,
  LULL_RESIDENCY_DISCARDED = 3
} lull_residency;

typedef enum lull_contents_action LULL_ENUM_BASE {
  LULL_CONTENTS_KEEP = 0,
  LULL_CONTENTS_OFFLOAD = 1,
  LULL_CONTENTS_DISCARD = 2
} lull_contents_action;

typedef enum lull_backing_kind LULL_ENUM_BASE {
  LULL_BACKING_HOST_MEMORY = 0,
  LULL_BACKING_MEMFD = 1,
  LULL_BACKING_FILE = 2
} lull_backing_kind;

typedef struct lull_memory_options {
  size_t struct_size;
  uint64_t chunk_bytes;          ///< 4 KiB to 4 GiB; default 16 MiB
  int32_t poison_unfilled;       ///< default 1 in debug builds of lull, else 0
  uint32_t threads;              ///< that populate and stage, at most, a device; default 0: 8
  lull_log_level log_threshold;  ///< default LULL_LOG_INFO
  lull_log_fn log;               ///< default null: silent
  void* log_user;
  const lull_arena* arena;  ///< where contents in host memory are kept; default null: its own
  /// Large regions are made of handles of this size; default 512 MiB. A swap gives memory back and
  /// obtains it in these steps.
  uint64_t handle_bytes;
} lull_memory_options;
LULL_API void lull_memory_options_init(lull_memory_options* options);

/// @param options may be null
LULL_API lull_status lull_memory_create(const lull_memory_options* options, lull_memory** memory);
LULL_API void lull_memory_destroy(lull_memory* memory);
/// Memory of devices whose regions are gone but which could not be given back. That is tried again
/// at every transfer and every reset. 0 for null.
LULL_API uint64_t lull_memory_leftover_bytes(const lull_memory* memory);

// --- Regions -----------------------------------------------------------------

/// A region to write, in a refill callback.
typedef struct lull_refill_target lull_refill_target;
/// Null for null.
LULL_API void* lull_refill_target_address(const lull_refill_target* target);
/// 0 for null.
LULL_API uint64_t lull_refill_target_size(const lull_refill_target* target);
/// Empty for null.
LULL_API const char* lull_refill_target_name(const lull_refill_target* target);
/// Writes host bytes at an offset, on any device.
LULL_API lull_status lull_refill_target_write(const lull_refill_target* target, uint64_t offset,
                                              const void* host, uint64_t bytes);

/// Says why a refill fails, and is what the callback returns then:
/// `return lull_refill_target_fail(target, LULL_ERROR_IO, "model.gguf: no such file");`. Whoever
/// waits for the transfer gets LULL_ERROR_CALLBACK, as for all that a refill fails with, and these
/// words after the region's name.
/// @param status LULL_ERROR_...; anything else counts as LULL_ERROR_CALLBACK
/// @param why may be null: the words of this thread's last error, for calls of lull that failed
/// @return `status`, or LULL_ERROR_CALLBACK in its place; LULL_ERROR_INVALID_ARGUMENT for a null
///         target
LULL_API lull_status lull_refill_target_fail(const lull_refill_target* target, lull_status status,
                                             const char* why);

/// Writes a region's contents again. Runs on the thread that restores.
typedef lull_status (*lull_refill_fn)(void* user, const lull_refill_target* target);

/// A file that regions are filled from (lull/c/source.h).
typedef struct lull_file_source lull_file_source;

/// Bytes of a file that belong at a place of a region. Goes in arrays, and so never grows.
typedef struct lull_file_piece {
  uint64_t region_offset;
  uint64_t file_offset;
  uint64_t bytes;
} lull_file_piece;

typedef struct lull_region_options {
  size_t struct_size;
  const char* tag;        ///< what plans speak about; default "default"
  const char* name;       ///< for reports and errors; default empty
  lull_refill_fn refill;  ///< default null: a discarded region comes back unfilled
  void* refill_user;
  int32_t refill_alone;  ///< never beside another refill that is to be alone; default 0
  int32_t absent;        ///< begins as discarded, and the first restore brings it; default 0
  lull_device* const* accessible_from;  ///< that use it too, beside its own device; default none
  size_t accessible_from_count;
  /// Holds the contents: the region is filled from it now, which blocks, and after every discard,
  /// in place of `refill`, and needs no backup. Default null.
  const lull_file_source* source;
  const lull_file_piece* pieces;  ///< of the file; default null: all of it, from its beginning
  size_t piece_count;
  /// Sums up what is offloaded, out and back; a difference is LULL_ERROR_IO. Default 0.
  int32_t checksum;
  /// May come back at another address where a reset loses addresses (lull_report_moved); without,
  /// such a reset is refused as long as the region exists. Default 0.
  int32_t may_move;
} lull_region_options;
LULL_API void lull_region_options_init(lull_region_options* options);

typedef struct lull_region_info {
  size_t struct_size;
  lull_residency residency;
  uint32_t leases;
  int32_t moving;  ///< a transfer is under way
  uint64_t size_bytes;
  void* address;
  char name[128];
  char tag[64];
  char device[32];
  uint64_t device_bytes;  ///< what it takes of its device while it is there
} lull_region_info;

/// May create the device's context.
/// @param options may be null
LULL_API lull_status lull_memory_allocate(lull_memory* memory, const lull_device* device,
                                          uint64_t bytes, const lull_region_options* options,
                                          lull_region** region);
/// Regions by index, in the order of allocation.
/// @return LULL_ERROR_NOT_FOUND for an index past the end
LULL_API lull_status lull_memory_region(const lull_memory* memory, size_t index,
                                        lull_region_info* info);

LULL_API void lull_region_destroy(lull_region* region);
LULL_API lull_status lull_region_describe(const lull_region* region, lull_region_info* info);
/// Under a lease it never changes. Null for null.
LULL_API void* lull_region_address(const lull_region* region);
/// 0 for null.
LULL_API uint64_t lull_region_size(const lull_region* region);
/// A handle of its own.
LULL_API lull_status lull_region_device(const lull_region* region, lull_device** device);
LULL_API lull_status lull_region_residency(const lull_region* region, lull_residency* residency);
/// Writes the whole contents of a region that is on its device: lull::region::refill.
LULL_API lull_status lull_region_refill(lull_region* region, lull_refill_fn write, void* user);
/// Changes what writes it again after a discard: lull::region::set_refill.
/// @param refill may be null: nothing does
/// @return LULL_ERROR_BUSY: a transfer is moving it
LULL_API lull_status lull_region_set_refill(lull_region* region, lull_refill_fn refill, void* user);

/// Keeps a region on its device. Never grows.
typedef struct lull_region_lease {
  void* address;  ///< the region's; null: it holds nothing
  uint64_t size_bytes;
  void* opaque;  ///< lull's own
} lull_region_lease;

/// @param lease is overwritten: release first what it holds
/// @return LULL_ERROR_NOT_RESIDENT; LULL_ERROR_BUSY. Never waits.
LULL_API lull_status lull_region_acquire(const lull_region* region, lull_region_lease* lease);
LULL_API void lull_region_lease_release(lull_region_lease* lease);

// --- Transfers ---------------------------------------------------------------

/// Goes in arrays, and so never grows.
typedef struct lull_tag_action {
  const char* tag;
  lull_contents_action action;
} lull_tag_action;

/// What to do with the contents, per tag (lull::eviction_plan). A zeroed one keeps everything. Part
/// of other structs, and so never grows.
typedef struct lull_eviction_plan {
  lull_contents_action otherwise;  ///< for tags that are not listed
  const lull_tag_action* tags;
  size_t tag_count;
} lull_eviction_plan;
/// What a plan does with the contents of a tag. Of a tag that is listed twice the last one counts.
LULL_API lull_status lull_eviction_plan_action(const lull_eviction_plan* plan, const char* tag,
                                               lull_contents_action* action);

/// Called after each chunk on the thread that moves it.
typedef lull_status (*lull_progress_fn)(void* user, const char* region, uint64_t done_bytes,
                                        uint64_t total_bytes);

typedef struct lull_transfer_options {
  size_t struct_size;
  lull_backing_kind backing;  ///< for what is offloaded; default LULL_BACKING_HOST_MEMORY
  const char* backing_path;   ///< for LULL_BACKING_FILE; default null
  lull_progress_fn progress;  ///< default null
  void* progress_user;
  const lull_cancel* cancel;  ///< default null
} lull_transfer_options;
LULL_API void lull_transfer_options_init(lull_transfer_options* options);

/// Takes regions off their devices as the plan says. Blocks for the copies.
/// @param options may be null
/// @param report may be null; gets a report, also of a transfer that failed: then it says how far
///        it came, and the step that failed is its last; null where nothing was begun
LULL_API lull_status lull_memory_evict(lull_memory* memory, const lull_eviction_plan* plan,
                                       const lull_transfer_options* options, lull_report** report);
/// Gives up the backups of offloaded regions that the plan discards and that a refill callback
/// writes again: they are discarded then. The others stay offloaded.
/// @param bytes gets how much that was; may be null
LULL_API lull_status lull_memory_drop_backups(lull_memory* memory, const lull_eviction_plan* plan,
                                              uint64_t* bytes);
/// Brings regions back: those with one of the tags, or all where none is given. Blocks for copies
/// and callbacks.
/// @param options may be null
/// @param report may be null; as lull_memory_evict() says
LULL_API lull_status lull_memory_restore(lull_memory* memory, const char* const* tags,
                                         size_t tag_count, const lull_transfer_options* options,
                                         lull_report** report);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_MEMORY_H
