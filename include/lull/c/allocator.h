#ifndef LULL_C_ALLOCATOR_H
#define LULL_C_ALLOCATOR_H

/// @file
/// Regions for engines that have an allocator of their own and let it be replaced: two functions
/// with a pointer of the user's, devices by their numbers, memory known by its address. Part of
/// <lull/lull.h>.
///
/// What is allocated is a region (lull/memory.hpp): it sleeps and comes back with everything else
/// of its lull_memory, as the plan says for its tag, at the same address. Engines that hand their
/// allocators no pointer of the user's (PyTorch's CUDAPluggableAllocator) take two functions of the
/// program's own that call these; docs/integrating.md has them.

#include <lull/c/memory.h>
#include <lull/c/registry.h>
#include <lull/export.h>
#include <lull/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lull_allocator lull_allocator;

typedef struct lull_allocator_options {
  size_t struct_size;
  const char* backend;  ///< whose devices are numbered; default "cuda"
  const char* tag;      ///< of threads without a tag; default "default"
  /// Of every region, which it knows by its address. Default null: what was discarded the engine
  /// writes again itself, unseen; from the restore on it counts as contents, which an offload
  /// keeps.
  lull_refill_fn refill;
  void* refill_user;
} lull_allocator_options;
LULL_API void lull_allocator_options_init(lull_allocator_options* options);

/// @param memory where the regions are made; it must outlive the allocator
/// @param registry what finds the devices; not needed any more when this returns
/// @param options may be null
/// @return LULL_ERROR_NOT_FOUND: the registry has no such backend
LULL_API lull_status lull_allocator_create(lull_memory* memory, const lull_registry* registry,
                                           const lull_allocator_options* options,
                                           lull_allocator** allocator);
/// Frees what is still allocated.
LULL_API void lull_allocator_destroy(lull_allocator* allocator);

/// The pair of functions. Memory as it comes, at an address that stays; aligned to 512 bytes. May
/// create the device's context.
/// @param user the lull_allocator
/// @param bytes 0 is served as 1: the address is one of its own
/// @param device its number in the backend, from 0
/// @return null: there is none, and lull_last_error_message says why
LULL_API void* lull_allocator_alloc(void* user, uint64_t bytes, int32_t device);
/// Gives it back. Waits for the device's work, as freeing does. While the region is being moved it
/// goes when that has ended. Null is fine. What is not this allocator's is left alone, and is this
/// thread's last error.
/// @param user the lull_allocator
/// @param bytes not looked at: the region knows
LULL_API void lull_allocator_free(void* user, void* address, uint64_t bytes);

/// The region that an address lies in, also in the middle of it.
/// @return LULL_ERROR_NOT_FOUND: it is not of this allocator
LULL_API lull_status lull_allocator_find(const lull_allocator* allocator, const void* address,
                                         lull_region_info* info);
/// lull_region_set_refill for the region that an address lies in.
/// @param refill may be null: the engine writes it again itself
/// @return LULL_ERROR_NOT_FOUND; LULL_ERROR_BUSY: a transfer is moving it
LULL_API lull_status lull_allocator_set_refill(lull_allocator* allocator, const void* address,
                                               lull_refill_fn refill, void* user);

/// The tag of what this thread allocates from now on, through any allocator: "weights" while it
/// loads, "kv" while it makes a cache.
/// @param tag may be null, or empty: none of its own; at most 63 bytes
LULL_API lull_status lull_thread_set_tag(const char* tag);
/// This thread's tag; empty when it has none. Valid until it is set again. Never null.
LULL_API const char* lull_thread_tag(void);

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_ALLOCATOR_H
