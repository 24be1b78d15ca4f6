#ifndef LULL_TORCH_H
#define LULL_TORCH_H

/// @file
/// lull under PyTorch: liblull-torch.so, the shared object that PyTorch's CUDAPluggableAllocator
/// loads, and what puts its memory to sleep. The Python package `lull` is made of it
/// (docs/adapters.md); programs in C and C++ may use it too. Not part of <lull/lull.h>.
///
/// There is one such allocator in a process. It is made by the first call that needs it, and kept
/// until the process ends: PyTorch frees its last tensors while the interpreter shuts down. What is
/// allocated has the tag of its thread (lull_thread_set_tag).
///
/// All functions are thread-safe and throw nothing, but for the two that say so. Those that return
/// a lull_status leave why they failed to lull_torch_error.

#include <lull/lull.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

// --- What PyTorch calls -----------------------------------------------------------------------

/// For torch.cuda.memory.change_current_allocator, which looks at no null. The stream does not
/// matter: the memory is there when this returns. May create the device's context. Blocks for the
/// driver, and never for a transition.
/// @param bytes 0 is served as 1
/// @param device its number, from 0
/// @throws std::runtime_error when there is none, in C++, to whoever called PyTorch; also while
///         what has the thread's tag is asleep
LULL_API void* lull_torch_alloc(ssize_t bytes, int device, void* stream);
/// The same for a torch.cuda.MemPool, which gives back what it has in reserve when device memory is
/// short and asks again.
/// @return null: device memory is short
/// @throws std::runtime_error for every other reason
LULL_API void* lull_torch_pool_alloc(ssize_t bytes, int device, void* stream);
/// Gives back what one of the others allocated, awake or asleep. Waits for the device's work. What
/// is being moved goes when that has ended; where the process is suspended, its device memory goes
/// when it is back. Null is fine.
LULL_API void lull_torch_free(void* address, ssize_t bytes, int device, void* stream);

/// The same memory without exceptions, for everybody else.
/// @param address gets where it is; free it with lull_torch_free
/// @return LULL_ERROR_OUT_OF_DEVICE_MEMORY; LULL_ERROR_BUSY: asleep; LULL_ERROR_NOT_FOUND: no such
///         device
LULL_API lull_status lull_torch_try_alloc(uint64_t bytes, int32_t device, void** address);

/// Whether what this thread allocates is memory that can sleep. Off, it gets plain memory of the
/// device, which stays. On at first.
/// @return what it was
LULL_API int32_t lull_torch_set_enabled(int32_t enabled);

// --- Setting up -------------------------------------------------------------------------------

/// Whose devices PyTorch counts: "cuda", the default, or "hip"; "host" needs no GPU. The
/// environment variable LULL_TORCH_BACKEND sets the default.
/// @return LULL_ERROR_BUSY: the allocator is in use with another one
LULL_API lull_status lull_torch_set_backend(const char* backend);
/// Which one that is. Lives as long as the process. Never null.
LULL_API const char* lull_torch_backend(void);
/// The regions, to be looked at. It must not be destroyed. Looks for devices at the first call.
LULL_API lull_status lull_torch_memory(lull_memory** memory);
/// Where contents are kept, to be prepared or bounded (lull_arena_prepare). Must not be destroyed.
LULL_API lull_status lull_torch_arena(lull_arena** arena);

// --- Sleeping and waking ----------------------------------------------------------------------

/// Takes contents off the devices as the plan says for their tags, after all work on the devices
/// has ended; with LULL_CONTEXT_SUSPEND the process too, when nothing in it may call CUDA until the
/// wake. Until then nothing may use those tensors, and allocations with their tags fail. What
/// sleeps already by a milder plan goes deeper. Blocks for the copies. One transition at a time:
/// another waits.
/// @param plan null: that of LULL_LEVEL_OFFLOAD
/// @param contents may be null; gets the report of the transfer, also when it failed; null where
///        there was none
/// @param context may be null; gets the report of suspending the process; null where it was not
/// @return LULL_ERROR_UNSUPPORTED: the plan resets contexts, which would take PyTorch's own away;
///         else as lull_memory_evict and lull_sleeper_sleep. All is as it was.
LULL_API lull_status lull_torch_sleep(const lull_sleep_plan* plan, lull_report** contents,
                                      lull_report** context);
/// Brings everything back to its address, or what has one of the tags. What was discarded has
/// memory again, and whatever happens to be in it. A process that is suspended is restored first.
/// Blocks for the copies.
/// @param tags may be null where count is 0: all of them. One that nothing has is left alone
/// @param contents may be null; as lull_torch_sleep
/// @param context may be null; gets the report of restoring the process; null where it was not
/// @return LULL_ERROR_OUT_OF_DEVICE_MEMORY: with what is missing; else as lull_memory_restore and
///         lull_sleeper_wake. Everything sleeps on, as before.
LULL_API lull_status lull_torch_wake(const char* const* tags, size_t count, lull_report** contents,
                                     lull_report** context);

typedef struct lull_torch_snapshot {
  size_t struct_size;
  int32_t suspended;    ///< the process is off its GPUs
  int32_t moving;       ///< a transition is under way
  uint64_t done_bytes;  ///< of the last transfer, or the one under way
  uint64_t total_bytes;
  uint64_t plain_bytes;  ///< allocated while disabled, which stay
} lull_torch_snapshot;
/// Waits for no transition.
LULL_API lull_status lull_torch_observe(lull_torch_snapshot* snapshot);
/// All memory of a tag. Goes in arrays, and so never grows.
typedef struct lull_torch_tag {
  char tag[64];
  uint64_t region_count;
  uint64_t bytes;  ///< of all of them, wherever they are: the sum of the three below
  uint64_t resident_bytes;
  uint64_t offloaded_bytes;
  uint64_t discarded_bytes;
} lull_torch_tag;
/// What there is of each tag, by their names. Waits for no transition.
/// @param tags gets an entry for each; room for `capacity` of them
/// @param count gets how many there are, which may be more than were written
LULL_API lull_status lull_torch_list_tags(lull_torch_tag* tags, size_t capacity, size_t* count);
/// Whether an allocation with that tag would be refused now, because what has it is asleep.
/// @param tag null or empty: that of threads without one
LULL_API int32_t lull_torch_is_asleep(const char* tag);

/// Why the last of these functions failed that did, on this thread. Empty when none has. Never
/// null. Valid until the next that fails.
LULL_API const char* lull_torch_error(void);
LULL_API lull_status lull_torch_error_status(void);

#ifdef __cplusplus
}
#endif

#endif  // LULL_TORCH_H
