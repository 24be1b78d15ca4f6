/// @file
/// A stand-in for libmtml.so, written against the declarations of the MUSA module.

#include "musa/mtml.hpp"

#include <lull/export.h>

#include <cstdint>

#include "simgpu/inside.hpp"
#include "simgpu/world.hpp"

namespace {

namespace mtml = lull::backends::mtml;

constexpr int not_found = 5;

simgpu::world& gpu() {
  return simgpu::world::of(simgpu::vendor::musa);
}

template <class Work>
int run(const char* function, Work&& work) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  return injected != 0 ? injected : work();
}

/// Handles are the ordinal, plus one so that none is null.
template <class Handle>
Handle* handle_of(int device) {
  return reinterpret_cast<Handle*>(static_cast<std::uintptr_t>(device) + 1);
}
int device_of(const void* handle) {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(handle)) - 1;
}

}  // namespace

extern "C" {

LULL_API int mtmlLibraryInit(mtml::library** library) {
  return run("mtmlLibraryInit", [&] {
    *library = handle_of<mtml::library>(0);
    return mtml::success;
  });
}

LULL_API int mtmlLibraryInitDeviceByPciSbdf(const mtml::library*, const char* address,
                                            mtml::device** device) {
  return run("mtmlLibraryInitDeviceByPciSbdf", [&] {
    const auto found = gpu().find_pci(address);
    if (!found) return not_found;
    *device = handle_of<mtml::device>(*found);
    return mtml::success;
  });
}

LULL_API int mtmlLibraryFreeDevice(mtml::device*) {
  return run("mtmlLibraryFreeDevice", [] { return mtml::success; });
}

LULL_API int mtmlDeviceInitMemory(const mtml::device* device, mtml::memory** memory) {
  return run("mtmlDeviceInitMemory", [&] {
    *memory = handle_of<mtml::memory>(device_of(device));
    return mtml::success;
  });
}

LULL_API int mtmlDeviceFreeMemory(mtml::memory*) {
  return run("mtmlDeviceFreeMemory", [] { return mtml::success; });
}

LULL_API int mtmlMemoryGetTotal(const mtml::memory* memory, unsigned long long* bytes) {
  return run("mtmlMemoryGetTotal", [&] {
    const auto seen = gpu().observe(device_of(memory));
    *bytes = gpu().made().answers_zero ? 0 : seen.total_bytes;
    return mtml::success;
  });
}

LULL_API int mtmlMemoryGetUsed(const mtml::memory* memory, unsigned long long* bytes) {
  return run("mtmlMemoryGetUsed", [&] {
    const auto seen = gpu().observe(device_of(memory));
    *bytes = gpu().made().answers_zero ? 0 : seen.used_bytes;
    return mtml::success;
  });
}

}  // extern "C"
