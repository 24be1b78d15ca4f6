/// @file
/// A stand-in for libcuda.so.1, compiled against its real header.

#include <cuda.h>

#include <string>

#include "simgpu/current_device.hpp"

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
  }
  return CUDA_ERROR_UNKNOWN;
}

template <class Work>
CUresult run(const char* function, Work&& work) {
  const int injected = gpu().script.enter(function);
  return injected != 0 ? static_cast<CUresult>(injected) : to_cuda(work());
}

/// A context's handle depends on its device alone: as with the real driver, a new context gets the
/// value of the one before.
CUcontext handle_of(CUdevice device) {
  return reinterpret_cast<CUcontext>(0x1000 + static_cast<std::uintptr_t>(device) * 16);
}
CUdevice device_of(CUcontext context) {
  return static_cast<CUdevice>((reinterpret_cast<std::uintptr_t>(context) - 0x1000) / 16);
}

void* pointer(CUdeviceptr address) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned) {
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
    const code result = gpu().vm_reserve(bytes, pointer(hint), &reserved);
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
                        std::size_t) {
  return run("cuMemSetAccess",
             [&] { return gpu().vm_set_access(pointer(address), bytes, access->location.id); });
}

CUresult cuMemUnmap(CUdeviceptr address, std::size_t bytes) {
  return run("cuMemUnmap", [&] { return gpu().vm_unmap(pointer(address), bytes); });
}

// The processes of others are known by their state alone.

CUresult cuCheckpointProcessGetState(int pid, CUprocessState* state) {
  return run("cuCheckpointProcessGetState", [&] {
    *state = static_cast<CUprocessState>(gpu().process_state(pid));
    return code::ok;
  });
}

CUresult cuCheckpointProcessLock(int pid, CUcheckpointLockArgs* arguments) {
  return run("cuCheckpointProcessLock", [&] {
    // For ever is no time to wait.
    if (arguments->timeoutMs == 0) return code::invalid_value;
    return gpu().change_process(pid, CU_PROCESS_STATE_RUNNING, CU_PROCESS_STATE_LOCKED);
  });
}

CUresult cuCheckpointProcessCheckpoint(int pid, CUcheckpointCheckpointArgs*) {
  return run("cuCheckpointProcessCheckpoint", [&] {
    return gpu().change_process(pid, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_CHECKPOINTED);
  });
}

CUresult cuCheckpointProcessUnlock(int pid, CUcheckpointUnlockArgs*) {
  return run("cuCheckpointProcessUnlock", [&] {
    return gpu().change_process(pid, CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_RUNNING);
  });
}

}  // extern "C"
