#ifndef LULL_TORCH_MEMORY_SAVER_H
#define LULL_TORCH_MEMORY_SAVER_H

/// @file
/// The C calls of torch_memory_saver (its version for CUDA of August 2026), in liblull-torch.so: so
/// that programs written for it can be pointed here (docs/adapters.md). What an allocation does
/// when it is paused is decided when it is made, by its thread's switches at that time.
///
/// All functions are thread-safe; what is set is the calling thread's, where nothing else is said.

#include <lull/export.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/// For a torch.cuda.MemPool, as lull_torch_pool_alloc. Outside of an interesting region it is plain
/// memory, which no pause takes away.
/// @throws std::runtime_error
LULL_API void* tms_torch_malloc(ssize_t bytes, int device, void* stream);
LULL_API void tms_torch_free(void* address, ssize_t bytes, int device, void* stream);

/// Whether what this thread allocates can be paused. At first what the environment variable
/// TMS_INIT_ENABLE says, else no.
LULL_API void tms_set_interesting_region(bool is_interesting_region);
LULL_API bool tms_get_interesting_region(void);
/// The tag of what this thread allocates, of at most 57 bytes: a longer one fails its allocations.
/// At first "default".
LULL_API void tms_set_current_tag(const char* tag);
LULL_API const char* tms_get_current_tag(void);
/// Whether contents are copied to host memory at a pause; else they are dropped. At first what
/// TMS_INIT_ENABLE_CPU_BACKUP says.
LULL_API void tms_set_enable_cpu_backup(bool enable_cpu_backup);
LULL_API bool tms_get_enable_cpu_backup(void);
/// "pinned" or "mmap". Remembered, and else without effect: contents go to lull's pinned memory.
LULL_API void tms_set_cpu_backup_backend(const char* backend);
LULL_API const char* tms_get_cpu_backup_backend(void);
/// Whether contents go to a file at a pause. At first what TMS_INIT_ENABLE_DISK_BACKUP says.
LULL_API void tms_set_enable_disk_backup(bool enable_disk_backup);
LULL_API bool tms_get_enable_disk_backup(void);
/// The folder of these files, for all threads; at first TMS_DISK_BACKUP_DIR, else /tmp. The files
/// have no name.
LULL_API void tms_set_disk_backup_dir(const char* dir);

/// Takes away the memory of what has the tag, as each allocation was made. What is paused stays so.
/// @param tag null or empty: of everything
/// @return 0, or a lull_status: then nothing has changed, and lull_torch_error and a line on
///         standard error say why, since callers do not look
LULL_API int tms_pause(const char* tag);
/// Brings it back to its addresses.
/// @return as tms_pause
LULL_API int tms_resume(const char* tag);

/// Where a paused tensor's contents are in host memory. Here they have no address of their own.
/// @return null
LULL_API uint8_t* tms_get_cpu_backup_pointer(const uint8_t* gpu_address, uint64_t bytes);
/// Remembered, for all threads; lull keeps the host memory for the next pause in any case. At first
/// what TMS_RETAIN_CPU_BACKUP says.
LULL_API void tms_set_retain_cpu_backup(bool retain_cpu_backup);
LULL_API bool tms_get_retain_cpu_backup(void);
/// So much device memory stays free: an allocation that would take of it is refused as if there
/// were none. For all threads; at first 0.
LULL_API void set_memory_margin_bytes(uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif  // LULL_TORCH_MEMORY_SAVER_H
