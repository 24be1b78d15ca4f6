/// @file
/// A stand-in for libamdhip64.so.5, compiled against its real header. Asking for memory and setting
/// the device make no context here, using it does.

#include <hip/hip_runtime_api.h>

#include <string>
#include <utility>

#include "simgpu/current_device.hpp"
#include "simgpu/inside.hpp"

namespace {

using simgpu::code;

simgpu::world& gpu() {
  return simgpu::world::of(simgpu::vendor::hip);
}
simgpu::thread_state& here() {
  return simgpu::this_thread(simgpu::vendor::hip);
}

hipError_t to_hip(code what) {
  switch (what) {
    case code::ok: return hipSuccess;
    case code::invalid_value: return hipErrorInvalidValue;
    case code::out_of_memory: return hipErrorOutOfMemory;
    case code::no_device: return hipErrorInvalidDevice;
    case code::invalid_handle: return hipErrorInvalidHandle;
    case code::context_destroyed: return hipErrorContextIsDestroyed;
    case code::not_supported: return hipErrorNotSupported;
    case code::not_permitted: return hipErrorStreamCaptureUnsupported;
    case code::registered_already: return hipErrorHostMemoryAlreadyRegistered;
    case code::not_registered: return hipErrorHostMemoryNotRegistered;
    // Of processes, which HIP cannot suspend.
    case code::not_initialized:
    case code::illegal_state:
    case code::operating_system:
    case code::timed_out: break;
  }
  return hipErrorUnknown;
}

template <class Work>
hipError_t run(const char* function, Work&& work) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  const hipError_t result = injected != 0 ? static_cast<hipError_t>(injected) : to_hip(work());
  if (result != hipSuccess) here().last_error = result;
  return result;
}

template <class Work>
hipError_t run_in_context(const char* function, Work&& work) {
  return run(function, [&] {
    const code made = gpu().ensure_context(here().device);
    return made == code::ok ? work() : made;
  });
}

/// hipDeviceAttributeVirtualMemoryManagementSupported of later headers.
constexpr auto attribute_stable_addresses = hipDeviceAttributeMemoryPoolsSupported + 1;

}  // namespace

extern "C" {

hipError_t hipInit(unsigned) {
  return run("hipInit", [] { return code::ok; });
}

hipError_t hipGetDeviceCount(int* count) {
  const simgpu::inside vendor;
  const int injected = gpu().script.enter("hipGetDeviceCount");
  if (injected != 0) return static_cast<hipError_t>(injected);
  *count = gpu().device_count();
  return *count == 0 ? hipErrorNoDevice : hipSuccess;
}

hipError_t hipGetDevice(int* device) {
  return run("hipGetDevice", [&] {
    *device = here().device;
    return code::ok;
  });
}

hipError_t hipSetDevice(int device) {
  return run("hipSetDevice", [&] {
    here().device = device;
    return code::ok;
  });
}

hipError_t hipDeviceGetAttribute(int* value, hipDeviceAttribute_t which, int) {
  return run("hipDeviceGetAttribute", [&] {
    *value = 0;
    if (which == hipDeviceAttributeMemoryPoolsSupported) *value = gpu().made().pools ? 1 : 0;
    if (static_cast<int>(which) == attribute_stable_addresses) {
      *value = gpu().made().stable_addresses ? 1 : 0;
    }
    return code::ok;
  });
}

hipError_t hipDeviceGetName(char* name, int size, hipDevice_t) {
  return run("hipDeviceGetName", [&] {
    name[std::string{"Simulated HIP GPU"}.copy(name, static_cast<std::size_t>(size) - 1)] = '\0';
    return code::ok;
  });
}

hipError_t hipDeviceGetPCIBusId(char* address, int size, int device) {
  return run("hipDeviceGetPCIBusId", [&] {
    const std::string text = gpu().pci_address(device);
    address[text.copy(address, static_cast<std::size_t>(size) - 1)] = '\0';
    return code::ok;
  });
}

const char* hipGetErrorName(hipError_t result) {
  return result == hipErrorOutOfMemory ? "hipErrorOutOfMemory" : "hipErrorSimulated";
}

const char* hipGetErrorString(hipError_t result) {
  return result == hipErrorOutOfMemory ? "out of memory" : "simulated";
}

hipError_t hipGetLastError() {
  return static_cast<hipError_t>(std::exchange(here().last_error, 0));
}

hipError_t hipDeviceSynchronize() {
  return run_in_context("hipDeviceSynchronize", [] {
    gpu().finish_work(here().device);
    return code::ok;
  });
}

/// Like the real one it never fails by itself.
hipError_t hipDeviceReset() {
  return run("hipDeviceReset", [] { return gpu().reset(here().device); });
}

hipError_t hipMalloc(void** address, std::size_t bytes) {
  return run_in_context("hipMalloc", [&] { return gpu().allocate(here().device, bytes, address); });
}

hipError_t hipFree(void* address) {
  return run_in_context("hipFree", [&] { return gpu().free(address); });
}

hipError_t hipMemcpy(void* destination, const void* source, std::size_t bytes, hipMemcpyKind kind) {
  return run_in_context("hipMemcpy", [&] {
    return gpu().copy(here().device, destination, source, bytes, kind == hipMemcpyDeviceToHost);
  });
}

hipError_t hipMemcpyAsync(void* destination, const void* source, std::size_t bytes,
                          hipMemcpyKind kind, hipStream_t stream) {
  return run_in_context("hipMemcpyAsync", [&] {
    return gpu().copy_async(here().device, stream, destination, source, bytes,
                            kind == hipMemcpyDeviceToHost);
  });
}

hipError_t hipMemset(void* address, int value, std::size_t bytes) {
  return run_in_context("hipMemset", [&] { return gpu().fill(address, value, bytes); });
}

hipError_t hipHostMalloc(void** address, std::size_t bytes, unsigned) {
  return run_in_context("hipHostMalloc",
                        [&] { return gpu().pinned_allocate(here().device, bytes, address); });
}

hipError_t hipHostFree(void* address) {
  return run_in_context("hipHostFree", [&] { return gpu().pinned_free(address); });
}

hipError_t hipStreamCreateWithFlags(hipStream_t* stream, unsigned) {
  return run_in_context("hipStreamCreateWithFlags", [&] {
    return gpu().stream_create(here().device, reinterpret_cast<void**>(stream));
  });
}

hipError_t hipStreamDestroy(hipStream_t stream) {
  return run_in_context("hipStreamDestroy", [&] { return gpu().stream_destroy(stream); });
}

hipError_t hipStreamSynchronize(hipStream_t stream) {
  return run_in_context("hipStreamSynchronize", [&] { return gpu().stream_synchronize(stream); });
}

hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned) {
  return run_in_context("hipStreamWaitEvent",
                        [&] { return gpu().stream_wait_event(stream, event); });
}

hipError_t hipEventCreateWithFlags(hipEvent_t* event, unsigned) {
  return run_in_context("hipEventCreateWithFlags", [&] {
    return gpu().event_create(here().device, reinterpret_cast<void**>(event));
  });
}

hipError_t hipEventDestroy(hipEvent_t event) {
  return run_in_context("hipEventDestroy", [&] { return gpu().event_destroy(event); });
}

hipError_t hipEventRecord(hipEvent_t event, hipStream_t stream) {
  return run_in_context("hipEventRecord", [&] { return gpu().event_record(event, stream); });
}

hipError_t hipEventQuery(hipEvent_t event) {
  bool happened = true;
  const hipError_t asked =
      run("hipEventQuery", [&] { return gpu().event_query(event, &happened); });
  if (asked != hipSuccess || happened) return asked;
  here().last_error = hipErrorNotReady;
  return hipErrorNotReady;
}

hipError_t hipEventSynchronize(hipEvent_t event) {
  return run_in_context("hipEventSynchronize", [&] { return gpu().event_synchronize(event); });
}

/// Its third argument's 8 is CUDA's "read only", and here coarse-grained memory, which lull must
/// not ask for by mistake.
hipError_t hipHostRegister(void* address, std::size_t bytes, unsigned flags) {
  return run_in_context("hipHostRegister", [&] {
    if (flags != hipHostRegisterPortable) return code::invalid_value;
    return gpu().host_register(here().device, address, bytes, false);
  });
}

/// Only the books of the runtime know of it (rocclr MemObjMap), so it takes no context.
hipError_t hipHostUnregister(void* address) {
  return run("hipHostUnregister", [&] { return gpu().host_unregister(address); });
}

hipError_t hipMallocAsync(void** address, std::size_t bytes, hipStream_t) {
  return run_in_context("hipMallocAsync",
                        [&] { return gpu().pool_allocate(here().device, bytes, address); });
}

hipError_t hipFreeAsync(void* address, hipStream_t) {
  return run_in_context("hipFreeAsync", [&] { return gpu().pool_free(address); });
}

hipError_t hipDeviceGetDefaultMemPool(hipMemPool_t* pool, int device) {
  return run("hipDeviceGetDefaultMemPool", [&] {
    *pool = reinterpret_cast<hipMemPool_t>(static_cast<std::uintptr_t>(device) + 1);
    return code::ok;
  });
}

hipError_t hipMemPoolTrimTo(hipMemPool_t pool, std::size_t) {
  return run("hipMemPoolTrimTo", [&] {
    return gpu().pool_trim(static_cast<int>(reinterpret_cast<std::uintptr_t>(pool)) - 1);
  });
}

hipError_t hipGraphExecDestroy(hipGraphExec_t graph_exec) {
  return run_in_context("hipGraphExecDestroy", [&] { return gpu().graph_destroy(graph_exec); });
}

hipError_t hipGraphGetNodes(hipGraph_t graph, hipGraphNode_t*, std::size_t* count) {
  return run("hipGraphGetNodes", [&] {
    *count = *reinterpret_cast<std::size_t*>(graph);
    return code::ok;
  });
}

hipError_t hipMemGetAllocationGranularity(std::size_t* bytes, const hipMemAllocationProp*,
                                          hipMemAllocationGranularity_flags) {
  return run("hipMemGetAllocationGranularity", [&] {
    *bytes = simgpu::granularity_bytes;
    return code::ok;
  });
}

hipError_t hipMemAddressReserve(void** address, std::size_t bytes, std::size_t, void* hint,
                                unsigned long long) {
  return run("hipMemAddressReserve",
             [&] { return gpu().vm_reserve(here().current(), bytes, hint, address); });
}

hipError_t hipMemAddressFree(void* address, std::size_t bytes) {
  return run("hipMemAddressFree", [&] { return gpu().vm_release(address, bytes); });
}

hipError_t hipMemCreate(hipMemGenericAllocationHandle_t* handle, std::size_t bytes,
                        const hipMemAllocationProp* properties, unsigned long long) {
  return run("hipMemCreate", [&] {
    std::uint64_t made = 0;
    const code result = gpu().vm_create(properties->location.id, bytes, &made);
    *handle = reinterpret_cast<hipMemGenericAllocationHandle_t>(made);
    return result;
  });
}

hipError_t hipMemRelease(hipMemGenericAllocationHandle_t handle) {
  return run("hipMemRelease",
             [&] { return gpu().vm_destroy(reinterpret_cast<std::uint64_t>(handle)); });
}

hipError_t hipMemMap(void* address, std::size_t bytes, std::size_t,
                     hipMemGenericAllocationHandle_t handle, unsigned long long) {
  return run("hipMemMap",
             [&] { return gpu().vm_map(address, bytes, reinterpret_cast<std::uint64_t>(handle)); });
}

hipError_t hipMemSetAccess(void* address, std::size_t bytes, const hipMemAccessDesc* access,
                           std::size_t count) {
  return run("hipMemSetAccess", [&] {
    code given = code::ok;
    for (std::size_t i = 0; i < count && given == code::ok; ++i) {
      given = gpu().vm_set_access(address, bytes, access[i].location.id);
    }
    return given;
  });
}

hipError_t hipDeviceCanAccessPeer(int* can, int device, int memory_of) {
  return run("hipDeviceCanAccessPeer", [&] {
    *can = gpu().can_access_peer(device, memory_of) ? 1 : 0;
    return code::ok;
  });
}

hipError_t hipMemUnmap(void* address, std::size_t bytes) {
  return run("hipMemUnmap", [&] { return gpu().vm_unmap(address, bytes); });
}

}  // extern "C"
