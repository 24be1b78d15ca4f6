/// @file
/// A stand-in for libcuda.so.1, compiled against its real header.

#include <cuda.h>

#include <algorithm>
#include <string>

#include "simgpu/current_device.hpp"
#include "simgpu/inside.hpp"

namespace {

using simgpu::code;

simgpu::world& gpu() {
  return simgpu::world::of(simgpu::vendor::cuda);
}
simgpu::thread_state& here() {
  return simgpu::this_thread(simgpu::vendor::cuda);
}

CUresult to_cuda(code what) {
  switch (what) {
    case code::ok: return CUDA_SUCCESS;
    case code::invalid_value: return CUDA_ERROR_INVALID_VALUE;
    case code::out_of_memory: return CUDA_ERROR_OUT_OF_MEMORY;
    case code::no_device: return CUDA_ERROR_INVALID_DEVICE;
    case code::invalid_handle: return CUDA_ERROR_INVALID_HANDLE;
    case code::context_destroyed: return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    case code::not_supported: return CUDA_ERROR_NOT_SUPPORTED;
    case code::not_permitted: return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    case code::registered_already: return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    case code::not_registered: return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    case code::not_initialized: return CUDA_ERROR_NOT_INITIALIZED;
    case code::illegal_state: return CUDA_ERROR_ILLEGAL_STATE;
    case code::operating_system: return CUDA_ERROR_OPERATING_SYSTEM;
    case code::timed_out: return CUDA_ERROR_NOT_READY;
  }
  return CUDA_ERROR_UNKNOWN;
}

/// About processes: also when this one is locked.
template <class Work>
CUresult run_always(const char* function, Work&& work) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  return injected != 0 ? static_cast<CUresult>(injected) : to_cuda(work());
}

template <class Work>
CUresult run(const char* function, Work&& work) {
  gpu().wait_until_unlocked();
  return run_always(function, work);
}

/// A context's handle depends on its device alone: as with the real driver, a new context gets the
/// value of the one before.
CUcontext handle_of(CUdevice device) {
  return reinterpret_cast<CUcontext>(0x1000 + static_cast<std::uintptr_t>(device) * 16);
}
CUdevice device_of(CUcontext context) {
  return static_cast<CUdevice>((reinterpret_cast<std::uintptr_t>(context) - 0x1000) / 16);
}

/// Whether the 64 bytes of a call's arguments are zero from an offset on.
bool is_zero_after(const void* arguments, std::size_t offset) {
  const auto* const bytes = static_cast<const char*>(arguments);
  return std::all_of(bytes + offset, bytes + 64, [](char each) { return each == 0; });
}

void* pointer(CUdeviceptr address) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter("cuInit");
  if (injected != 0) return static_cast<CUresult>(injected);
  return gpu().device_count() == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int* version) {
  *version = gpu().made().driver_version;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char** name) {
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    default: *name = "CUDA_ERROR_SIMULATED"; break;
  }
  return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult result, const char** words) {
  *words = result == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "simulated";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return run("cuDeviceGet", [&] {
    *device = ordinal;
    return ordinal < gpu().device_count() ? code::ok : code::no_device;
  });
}

CUresult cuDeviceGetName(char* name, int size, CUdevice) {
  return run("cuDeviceGetName", [&] {
    const std::string text =
        std::string{"Simulated CUDA GPU"} + (gpu().made().slices ? " MIG 1g.10gb" : "");
    name[text.copy(name, static_cast<std::size_t>(size) - 1)] = '\0';
    return code::ok;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  return run("cuDeviceGetUuid_v2", [&] {
    for (std::size_t i = 0; i < sizeof uuid->bytes; ++i) {
      uuid->bytes[i] = static_cast<char>(i * 16 + static_cast<std::size_t>(device));
    }
    return code::ok;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice) {
  return run("cuDeviceGetAttribute", [&] {
    *value = 0;
    if (which == CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) {
      *value = gpu().made().stable_addresses ? 1 : 0;
    }
    if (which == CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED) *value = gpu().made().pools ? 1 : 0;
    if (which == CU_DEVICE_ATTRIBUTE_MPS_ENABLED) *value = gpu().made().shared_contexts ? 1 : 0;
    if (which == CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED) {
      *value = gpu().made().read_only_registration ? 1 : 0;
    }
    return code::ok;
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  return run("cuDevicePrimaryCtxGetState", [&] {
    *flags = 0;
    *active = gpu().context_active(device) ? 1 : 0;
    return code::ok;
  });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return run("cuDevicePrimaryCtxRetain", [&] {
    if (const code made = gpu().ensure_context(device); made != code::ok) return made;
    gpu().retain(device);
    *context = handle_of(device);
    return code::ok;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return run("cuDevicePrimaryCtxRelease_v2", [&] { return gpu().release(device); });
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return run("cuDevicePrimaryCtxReset_v2", [&] { return gpu().reset(device); });
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
  return run("cuCtxPushCurrent_v2", [&] {
    if (!gpu().context_active(device_of(context))) return code::context_destroyed;
    here().stack.push_back(device_of(context));
    return code::ok;
  });
}

CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  return run("cuCtxPopCurrent_v2", [&] {
    if (here().stack.empty()) return code::invalid_value;
    *context = handle_of(here().stack.back());
    here().stack.pop_back();
    return code::ok;
  });
}

CUresult cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* total_bytes) {
  return run("cuMemGetInfo_v2", [&] {
    if (here().stack.empty()) return code::context_destroyed;
    const auto seen = gpu().observe(here().stack.back());
    *total_bytes = seen.total_bytes;
    *free_bytes = seen.total_bytes - seen.used_bytes;
    return code::ok;
  });
}

CUresult cuMemGetAllocationGranularity(std::size_t* bytes, const CUmemAllocationProp*,
                                       CUmemAllocationGranularity_flags) {
  return run("cuMemGetAllocationGranularity", [&] {
    *bytes = simgpu::granularity_bytes;
    return code::ok;
  });
}

CUresult cuMemAddressReserve(CUdeviceptr* address, std::size_t bytes, std::size_t, CUdeviceptr hint,
                             unsigned long long) {
  return run("cuMemAddressReserve", [&] {
    void* reserved = nullptr;
    const code result = gpu().vm_reserve(here().current(), bytes, pointer(hint), &reserved);
    *address = reinterpret_cast<std::uintptr_t>(reserved);
    return result;
  });
}

CUresult cuMemAddressFree(CUdeviceptr address, std::size_t bytes) {
  return run("cuMemAddressFree", [&] { return gpu().vm_release(pointer(address), bytes); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                     const CUmemAllocationProp* properties, unsigned long long) {
  return run("cuMemCreate", [&] {
    std::uint64_t made = 0;
    const code result = gpu().vm_create(properties->location.id, bytes, &made);
    *handle = made;
    return result;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return run("cuMemRelease", [&] { return gpu().vm_destroy(handle); });
}

CUresult cuMemMap(CUdeviceptr address, std::size_t bytes, std::size_t,
                  CUmemGenericAllocationHandle handle, unsigned long long) {
  return run("cuMemMap", [&] { return gpu().vm_map(pointer(address), bytes, handle); });
}

CUresult cuMemSetAccess(CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* access,
                        std::size_t count) {
  return run("cuMemSetAccess", [&] {
    code given = code::ok;
    for (std::size_t i = 0; i < count && given == code::ok; ++i) {
      given = gpu().vm_set_access(pointer(address), bytes, access[i].location.id);
    }
    return given;
  });
}

CUresult cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  return run("cuMemUnmap", [&] { return gpu().vm_unmap(pointer(address), bytes); });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice memory_of) {
  return run("cuDeviceCanAccessPeer", [&] {
    *can = gpu().can_access_peer(device, memory_of) ? 1 : 0;
    return code::ok;
  });
}

CUresult cuCheckpointProcessGetState(int pid, CUprocessState* state) {
  return run_always("cuCheckpointProcessGetState", [&] {
    int now = 0;
    const code seen = gpu().look_at_process(pid, &now);
    *state = static_cast<CUprocessState>(now);
    return seen;
  });
}

CUresult cuCheckpointProcessLock(int pid, CUcheckpointLockArgs* arguments) {
  return run_always("cuCheckpointProcessLock", [&] {
    // For ever is no time to wait, and what is reserved must be zero (cuda.h).
    if (arguments->timeoutMs == 0 || !is_zero_after(arguments, sizeof arguments->timeoutMs)) {
      return code::invalid_value;
    }
    return gpu().lock_process(pid);
  });
}

CUresult cuCheckpointProcessCheckpoint(int pid, CUcheckpointCheckpointArgs* arguments) {
  return run_always("cuCheckpointProcessCheckpoint", [&] {
    return is_zero_after(arguments, 0) ? gpu().save_process(pid) : code::invalid_value;
  });
}

CUresult cuCheckpointProcessRestore(int pid, CUcheckpointRestoreArgs* arguments) {
  return run_always("cuCheckpointProcessRestore", [&] {
    return is_zero_after(arguments, 0) ? gpu().restore_process(pid) : code::invalid_value;
  });
}

CUresult cuCheckpointProcessUnlock(int pid, CUcheckpointUnlockArgs* arguments) {
  return run_always("cuCheckpointProcessUnlock", [&] {
    return is_zero_after(arguments, 0) ? gpu().unlock_process(pid) : code::invalid_value;
  });
}

}  // extern "C"
