/// @file
/// A stand-in for libmusa.so.1, compiled against the declarations of the MUSA module (its header is
/// not to be had).

#include <string>

#include "musa/decls.hpp"
#include "simgpu/current_device.hpp"
#include "simgpu/inside.hpp"

namespace {

using simgpu::code;

simgpu::world& gpu() {
  return simgpu::world::of(simgpu::vendor::musa);
}
simgpu::thread_state& here() {
  return simgpu::this_thread(simgpu::vendor::musa);
}
MUresult to_musa(code what) {
  switch (what) {
    case code::ok: return MUSA_SUCCESS;
    case code::invalid_value: return static_cast<MUresult>(1);
    case code::out_of_memory: return MUSA_ERROR_OUT_OF_MEMORY;
    case code::no_device: return static_cast<MUresult>(101);
    case code::invalid_handle: return static_cast<MUresult>(400);
    case code::context_destroyed: return MUSA_ERROR_CONTEXT_IS_DESTROYED;
    case code::not_supported: return MUSA_ERROR_NOT_SUPPORTED;
    case code::not_permitted: return static_cast<MUresult>(900);
    case code::registered_already: return static_cast<MUresult>(712);
    case code::not_registered: return static_cast<MUresult>(713);
    // Of processes, which MUSA cannot suspend.
    case code::not_initialized:
    case code::illegal_state:
    case code::operating_system:
    case code::timed_out: break;
  }
  return static_cast<MUresult>(999);
}

template <class Work>
MUresult run(const char* function, Work&& work) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  return injected != 0 ? static_cast<MUresult>(injected) : to_musa(work());
}

/// A context's handle depends on its device alone, as that of a primary context does.
MUcontext handle_of(MUdevice device) {
  return reinterpret_cast<MUcontext>(0x1000 + static_cast<std::uintptr_t>(device) * 16);
}
MUdevice device_of(MUcontext context) {
  return static_cast<MUdevice>((reinterpret_cast<std::uintptr_t>(context) - 0x1000) / 16);
}

void* pointer(MUdeviceptr address) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}

}  // namespace

extern "C" {

MUresult muInit(unsigned) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter("muInit");
  if (injected != 0) return static_cast<MUresult>(injected);
  return gpu().device_count() == 0 ? static_cast<MUresult>(100) : MUSA_SUCCESS;
}

MUresult muGetErrorString(MUresult result, const char** words) {
  *words = result == MUSA_ERROR_OUT_OF_MEMORY ? "out of memory" : "simulated";
  return MUSA_SUCCESS;
}

MUresult muDeviceGetCount(int* count) {
  return run("muDeviceGetCount", [&] {
    *count = gpu().device_count();
    return code::ok;
  });
}

MUresult muDeviceGetPCIBusId(char* address, int size, MUdevice device) {
  return run("muDeviceGetPCIBusId", [&] {
    const std::string text = gpu().pci_address(device);
    address[text.copy(address, static_cast<std::size_t>(size) - 1)] = '\0';
    return code::ok;
  });
}

MUresult muDeviceCanAccessPeer(int* can, MUdevice device, MUdevice memory_of) {
  return run("muDeviceCanAccessPeer", [&] {
    *can = gpu().can_access_peer(device, memory_of) ? 1 : 0;
    return code::ok;
  });
}

MUresult muDeviceGet(MUdevice* device, int ordinal) {
  return run("muDeviceGet", [&] {
    *device = ordinal;
    return ordinal < gpu().device_count() ? code::ok : code::no_device;
  });
}

MUresult muDeviceGetName(char* name, int size, MUdevice) {
  return run("muDeviceGetName", [&] {
    name[std::string{"Simulated MUSA GPU"}.copy(name, static_cast<std::size_t>(size) - 1)] = '\0';
    return code::ok;
  });
}

MUresult muDeviceGetAttribute(int* value, MUdevice_attribute which, MUdevice) {
  return run("muDeviceGetAttribute", [&] {
    *value = 0;
    if (which == MU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED) {
      *value = gpu().made().stable_addresses ? 1 : 0;
    }
    return code::ok;
  });
}

MUresult muDevicePrimaryCtxGetState(MUdevice device, unsigned* flags, int* active) {
  return run("muDevicePrimaryCtxGetState", [&] {
    *flags = 0;
    *active = gpu().context_active(device) ? 1 : 0;
    return code::ok;
  });
}

MUresult muDevicePrimaryCtxRetain(MUcontext* context, MUdevice device) {
  return run("muDevicePrimaryCtxRetain", [&] {
    if (const code made = gpu().ensure_context(device); made != code::ok) return made;
    gpu().retain(device);
    *context = handle_of(device);
    return code::ok;
  });
}

MUresult muDevicePrimaryCtxRelease_v2(MUdevice device) {
  return run("muDevicePrimaryCtxRelease_v2", [&] { return gpu().release(device); });
}

MUresult muDevicePrimaryCtxReset_v2(MUdevice device) {
  return run("muDevicePrimaryCtxReset_v2", [&] { return gpu().reset(device); });
}

MUresult muCtxPushCurrent_v2(MUcontext context) {
  return run("muCtxPushCurrent_v2", [&] {
    if (!gpu().context_active(device_of(context))) return code::context_destroyed;
    here().stack.push_back(device_of(context));
    return code::ok;
  });
}

MUresult muCtxPopCurrent_v2(MUcontext* context) {
  return run("muCtxPopCurrent_v2", [&] {
    if (here().stack.empty()) return code::invalid_value;
    *context = handle_of(here().stack.back());
    here().stack.pop_back();
    return code::ok;
  });
}

MUresult muMemGetAllocationGranularity(std::size_t* bytes, const MUmemAllocationProp*,
                                       MUmemAllocationGranularity_flags) {
  return run("muMemGetAllocationGranularity", [&] {
    *bytes = simgpu::granularity_bytes;
    return code::ok;
  });
}

MUresult muMemAddressReserve(MUdeviceptr* address, std::size_t bytes, std::size_t, MUdeviceptr hint,
                             unsigned long long) {
  return run("muMemAddressReserve", [&] {
    void* reserved = nullptr;
    const code result = gpu().vm_reserve(here().current(), bytes, pointer(hint), &reserved);
    *address = reinterpret_cast<std::uintptr_t>(reserved);
    return result;
  });
}

MUresult muMemAddressFree(MUdeviceptr address, std::size_t bytes) {
  return run("muMemAddressFree", [&] { return gpu().vm_release(pointer(address), bytes); });
}

MUresult muMemCreate(MUmemGenericAllocationHandle* handle, std::size_t bytes,
                     const MUmemAllocationProp* properties, unsigned long long) {
  return run("muMemCreate", [&] {
    std::uint64_t made = 0;
    const code result = gpu().vm_create(properties->location.id, bytes, &made);
    *handle = made;
    return result;
  });
}

MUresult muMemRelease(MUmemGenericAllocationHandle handle) {
  return run("muMemRelease", [&] { return gpu().vm_destroy(handle); });
}

MUresult muMemMap(MUdeviceptr address, std::size_t bytes, std::size_t,
                  MUmemGenericAllocationHandle handle, unsigned long long) {
  return run("muMemMap", [&] { return gpu().vm_map(pointer(address), bytes, handle); });
}

MUresult muMemSetAccess(MUdeviceptr address, std::size_t bytes, const MUmemAccessDesc* access,
                        std::size_t count) {
  return run("muMemSetAccess", [&] {
    code given = code::ok;
    for (std::size_t i = 0; i < count && given == code::ok; ++i) {
      given = gpu().vm_set_access(pointer(address), bytes, access[i].location.id);
    }
    return given;
  });
}

MUresult muMemUnmap(MUdeviceptr address, std::size_t bytes) {
  return run("muMemUnmap", [&] { return gpu().vm_unmap(pointer(address), bytes); });
}

}  // extern "C"
