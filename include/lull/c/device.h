#ifndef LULL_C_DEVICE_H
#define LULL_C_DEVICE_H

/// @file
/// A device: its facts, its memory as seen without waking it, its context, and plain allocations
/// (lull/device.hpp). Part of <lull/lull.h>.

#include <lull/backend.h>
#include <lull/export.h>
#include <lull/once.h>
#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What uses a device keeps it alive.
typedef struct lull_device lull_device;

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

/// Memory of a device. Figures that the platform cannot tell are LULL_UNKNOWN.
typedef struct lull_memory_info {
  size_t struct_size;
  lull_memory_source source;
  uint64_t total_bytes;
  uint64_t free_bytes;             ///< what can be had now, by any process
  uint64_t used_by_process_bytes;  ///< what this process holds
} lull_memory_info;

/// A process that holds memory of a device. Goes in arrays, and so never grows.
typedef struct lull_device_process {
  int64_t id;           ///< as the platform lists it: in a container perhaps the host's
  uint64_t used_bytes;  ///< LULL_UNKNOWN where the platform cannot tell
} lull_device_process;

/// How long a question to the platform may take unless there is a reason for another limit
/// (lull::default_probe_limit). Healthy libraries answer within milliseconds.
#define LULL_PROBE_TIMEOUT (2 * LULL_SECOND)

LULL_API void lull_device_destroy(lull_device* device);
LULL_API lull_status lull_device_describe(const lull_device* device, lull_device_info* info);

/// @name Questions to the platform They create no context and wait neither for work nor for a
/// reset. They block until the platform's library has answered, at most `timeout_ns`, in whole
/// milliseconds, rounded up: LULL_PROBE_TIMEOUT where nothing else is wanted. A call that hangs is
/// not started a second time: until it returns, later ones end at once.
/// @{
/// @return LULL_ERROR_TIMED_OUT
LULL_API lull_status lull_device_memory(const lull_device* device, int64_t timeout_ns,
                                        lull_memory_info* info);
/// The processes that hold memory of a device, by id.
/// @param processes gets an entry for each; room for `capacity` of them
/// @param count gets how many there are, which may be more than were written
/// @return LULL_ERROR_TIMED_OUT; LULL_ERROR_UNSUPPORTED where the platform cannot tell
LULL_API lull_status lull_device_processes(const lull_device* device, int64_t timeout_ns,
                                           lull_device_process* processes, size_t capacity,
                                           size_t* count);
/// Whether this process has a context on the device. A platform that has not answered in time
/// leaves it at "cannot tell".
LULL_API lull_status lull_device_context_alive(const lull_device* device, int64_t timeout_ns,
                                               lull_tristate* alive);
/// @}

/// Creates the context if there is none. May take seconds.
LULL_API lull_status lull_device_context_create(const lull_device* device);
/// How many contexts came before the present one (lull::device::generation); what was made under
/// another generation is gone.
LULL_API lull_status lull_device_generation(const lull_device* device, uint64_t* generation);
/// The counter itself, for <lull/once.h>: it lives for ever. Null for null.
LULL_API const lull_generation* lull_device_generation_counter(const lull_device* device);
/// Blocks until all work on the device has ended, however long that takes.
LULL_API lull_status lull_device_synchronize(const lull_device* device);

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

#ifdef __cplusplus
}
#endif

#endif  // LULL_C_DEVICE_H
