#ifndef LULL_BACKENDS_CUDA_NVML_HPP
#define LULL_BACKENDS_CUDA_NVML_HPP

/// @file
/// What we use of NVML, in declarations of our own: its header comes with the driver's development
/// package, which few machines have. Checked against NVIDIA's go-nvml and nvidia-ml-py bindings of
/// the same functions; these have not changed since NVML 11 (R470).

#include <cstddef>

#include "common/vendor_fn.hpp"

namespace lull::backends::nvml {

/// nvmlReturn_t. Only the values we tell apart.
enum result : int {
  success = 0,
  not_supported = 3,
  no_permission = 4,
  not_found = 6,
  insufficient_size = 7,
};

struct device_opaque;
using device = device_opaque*;

/// nvmlMemory_t, version 1.
struct memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

/// nvmlProcessInfo_t as the _v3 functions fill it in.
struct process_info {
  unsigned int pid;
  unsigned long long used_gpu_memory;
  unsigned int gpu_instance_id;
  unsigned int compute_instance_id;
};
static_assert(sizeof(process_info) == 24);

/// Some drivers of the series 535 have a fifth member behind those, under the same name of the
/// function: usedGpuCcProtectedMemory, 8 bytes (nvidia-ml-py, c_nvmlProcessInfo_v3_t of that time).
inline constexpr std::size_t process_info_bytes = sizeof(process_info);
inline constexpr std::size_t longer_process_info_bytes = process_info_bytes + 8;

/// usedGpuMemory when the driver cannot tell (NVML_VALUE_NOT_AVAILABLE).
inline constexpr unsigned long long value_not_available = ~0ull;

struct api {
  vendor_library library = vendor_library::open({"libnvidia-ml.so.1"});
  symbol_group needed{library};
  /// Older drivers lack this one: memory is known then, but not whose it is.
  symbol_group processes{library};

  vendor_fn<"nvmlInit_v2", int()> init{needed};
  vendor_fn<"nvmlErrorString", const char*(int)> error_string{needed};
  vendor_fn<"nvmlDeviceGetHandleByPciBusId_v2", int(const char*, device*)> by_pci_address{needed};
  vendor_fn<"nvmlDeviceGetHandleByUUID", int(const char*, device*)> by_uuid{needed};
  vendor_fn<"nvmlDeviceGetMemoryInfo", int(device, memory*)> memory_info{needed};
  vendor_fn<"nvmlDeviceGetComputeRunningProcesses_v3", int(device, unsigned*, process_info*)>
      compute_processes{processes};
};

}  // namespace lull::backends::nvml

#endif  // LULL_BACKENDS_CUDA_NVML_HPP
