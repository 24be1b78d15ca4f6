/// @file
/// A stand-in for libnvidia-ml.so.1. Its header is not to be had without the driver's development
/// package, so it is written against the declarations of the CUDA module.

#include "cuda/nvml.hpp"

#include <lull/export.h>

#include <cstring>
#include <string>
#include <vector>

#include "simgpu/inside.hpp"
#include "simgpu/world.hpp"

namespace {

namespace nvml = lull::backends::nvml;

simgpu::world& gpu() {
  return simgpu::world::of(simgpu::vendor::cuda);
}

template <class Work>
int run(const char* function, Work&& work) {
  gpu().wait_until_restored();
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  return injected != 0 ? injected : work();
}

/// The handle of a slice is not that of its GPU.
constexpr std::uintptr_t first_slice = 1000;

nvml::device handle_of(int device) {
  return reinterpret_cast<nvml::device>(static_cast<std::uintptr_t>(device) + 1);
}
nvml::device slice_handle_of(int device) {
  return reinterpret_cast<nvml::device>(static_cast<std::uintptr_t>(device) + first_slice);
}
bool is_slice(nvml::device handle) {
  return reinterpret_cast<std::uintptr_t>(handle) >= first_slice;
}
int device_of(nvml::device handle) {
  const auto value = reinterpret_cast<std::uintptr_t>(handle);
  return static_cast<int>(value - (is_slice(handle) ? first_slice : 1));
}

}  // namespace

extern "C" {

LULL_API int nvmlInit_v2() {
  return run("nvmlInit_v2", [] { return nvml::success; });
}

LULL_API const char* nvmlErrorString(int) {
  return "simulated";
}

LULL_API int nvmlDeviceGetHandleByPciBusId_v2(const char* address, nvml::device* device) {
  return run("nvmlDeviceGetHandleByPciBusId_v2", [&]() -> int {
    const auto found = gpu().find_pci(address);
    if (!found) return nvml::not_found;
    *device = handle_of(*found);
    return nvml::success;
  });
}

/// Knows slices only; the first byte of a simulated UUID is the ordinal.
LULL_API int nvmlDeviceGetHandleByUUID(const char* uuid, nvml::device* device) {
  return run("nvmlDeviceGetHandleByUUID", [&]() -> int {
    const std::string text{uuid};
    if (!gpu().made().slices || !text.starts_with("MIG-")) return nvml::not_found;
    *device = slice_handle_of(std::stoi(text.substr(4, 2), nullptr, 16));
    return nvml::success;
  });
}

LULL_API int nvmlDeviceGetMemoryInfo(nvml::device device, nvml::memory* memory) {
  return run("nvmlDeviceGetMemoryInfo", [&] {
    gpu().follow_processes();
    const auto seen = gpu().observe(device_of(device));
    const bool parent = gpu().made().slices && !is_slice(device);
    const std::uint64_t total = seen.total_bytes * (parent ? 7 : 1);
    *memory = {total, total - seen.used_bytes, seen.used_bytes};
    if (gpu().made().answers_zero) *memory = {};
    return nvml::success;
  });
}

LULL_API int nvmlDeviceGetComputeRunningProcesses_v3(nvml::device device, unsigned* count,
                                                     nvml::process_info* processes) {
  return run("nvmlDeviceGetComputeRunningProcesses_v3", [&]() -> int {
    gpu().follow_processes();
    const auto seen = gpu().observe(device_of(device));
    if (!gpu().made().per_process) return nvml::not_supported;
    // Others are listed first.
    std::vector<nvml::process_info> list;
    for (int i = 0; i < gpu().made().other_processes; ++i) {
      const std::uint64_t held =
          i == 0 && seen.foreign_bytes != 0 ? seen.foreign_bytes : 64U << 20U;
      const int pid = seen.foreign_pid + i;
      // Ours is not among the others, however small it is.
      const int listed = pid == seen.listed_pid ? pid + 100000 : pid;
      list.push_back({static_cast<unsigned>(listed), held, 0, 0});
    }
    for (const auto& [pid, held] : seen.others) {
      list.push_back({static_cast<unsigned>(pid), held, 0, 0});
    }
    if (seen.ours) list.push_back({static_cast<unsigned>(seen.listed_pid), *seen.ours, 0, 0});
    const unsigned room = *count;
    *count = static_cast<unsigned>(list.size());
    if (room < *count) return nvml::insufficient_size;
    const std::size_t stride = gpu().made().list_entry_bytes;
    std::memset(static_cast<void*>(processes), 0, list.size() * stride);
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::memcpy(reinterpret_cast<char*>(processes) + i * stride, &list[i], sizeof list[i]);
    }
    return nvml::success;
  });
}

}  // extern "C"
