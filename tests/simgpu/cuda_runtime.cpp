/// @file
/// A stand-in for libcudart.so.13, compiled against its real header. It behaves as CUDA 13 does in
/// what matters to lull: cudaSetDevice makes a context, and so does asking for memory.

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <utility>

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

cudaError_t to_cuda(code what) {
  switch (what) {
    case code::ok: return cudaSuccess;
    case code::invalid_value: return cudaErrorInvalidValue;
    case code::out_of_memory: return cudaErrorMemoryAllocation;
    case code::no_device: return cudaErrorInvalidDevice;
    case code::invalid_handle: return cudaErrorInvalidResourceHandle;
    case code::context_destroyed: return cudaErrorContextIsDestroyed;
    case code::not_supported: return cudaErrorNotSupported;
    case code::not_permitted: return cudaErrorStreamCaptureUnsupported;
    case code::registered_already: return cudaErrorHostMemoryAlreadyRegistered;
    case code::not_registered: return cudaErrorHostMemoryNotRegistered;
    case code::not_initialized: return cudaErrorInitializationError;
    case code::illegal_state: return cudaErrorIllegalState;
    case code::operating_system: return cudaErrorOperatingSystem;
    case code::timed_out: return cudaErrorNotReady;
  }
  return cudaErrorUnknown;
}

/// The device that a call of this thread is for: of the current context, else the one that was set.
int current() {
  return here().stack.empty() ? here().device : here().stack.back();
}

template <class Work>
cudaError_t run(const char* function, Work&& work) {
  gpu().wait_until_unlocked();
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  const cudaError_t result = injected != 0 ? static_cast<cudaError_t>(injected) : work();
  if (result != cudaSuccess) here().last_error = result;
  return result;
}

/// As run, in a context, which is made if there is none.
template <class Work>
cudaError_t run_in_context(const char* function, Work&& work) {
  return run(function, [&] {
    const code made = gpu().ensure_context(current());
    return made == code::ok ? to_cuda(work()) : to_cuda(made);
  });
}

/// Attributes that were set, by context and kernel: a reset takes them along.
struct kernel_attributes {
  std::mutex mutex;
  std::map<std::pair<std::uint64_t, const void*>, int> shared_bytes;
};
kernel_attributes& attributes() {
  static auto& all = *new kernel_attributes;
  return all;
}

/// Dynamic shared memory that a kernel may use without asking (CUDA C++ Programming Guide, compute
/// capabilities).
constexpr std::size_t shared_bytes_by_default = 48u << 10;

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return run("cudaGetDeviceCount", [&] {
    if (gpu().made().driver_version / 1000 < gpu().made().runtime_version / 1000) {
      return cudaErrorInsufficientDriver;
    }
    *count = gpu().device_count();
    return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return run("cudaSetDevice", [&] {
    here().device = device;
    here().stack.clear();
    return to_cuda(gpu().ensure_context(device));
  });
}

cudaError_t cudaGetDevice(int* device) {
  return run("cudaGetDevice", [&] {
    *device = current();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* address, int size, int device) {
  return run("cudaDeviceGetPCIBusId", [&] {
    gpu().pci_address(device).copy(address, static_cast<std::size_t>(size) - 1);
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = gpu().made().runtime_version;
  return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t result) {
  switch (result) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorContextIsDestroyed: return "cudaErrorContextIsDestroyed";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    default: return "cudaErrorSimulated";
  }
}

const char* cudaGetErrorString(cudaError_t result) {
  return result == cudaErrorMemoryAllocation ? "out of memory" : "simulated";
}

cudaError_t cudaGetLastError() {
  return static_cast<cudaError_t>(std::exchange(here().last_error, 0));
}

cudaError_t cudaDeviceSynchronize() {
  return run_in_context("cudaDeviceSynchronize", [] {
    gpu().arrive();
    gpu().finish_work(current());
    return code::ok;
  });
}

cudaError_t cudaDeviceReset() {
  return run("cudaDeviceReset", [] { return to_cuda(gpu().reset(current())); });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return run_in_context("cudaMemGetInfo", [&] {
    const auto seen = gpu().observe(current());
    *total_bytes = seen.total_bytes;
    *free_bytes = seen.total_bytes - seen.used_bytes;
    return code::ok;
  });
}

cudaError_t cudaMalloc(void** address, std::size_t bytes) {
  return run_in_context("cudaMalloc", [&] { return gpu().allocate(current(), bytes, address); });
}

cudaError_t cudaFree(void* address) {
  return run_in_context("cudaFree", [&] { return gpu().free(address); });
}

/// To the device it returns when the bytes are staged, and cudaMemset at once (CUDA Runtime API,
/// "API synchronization behavior").
cudaError_t cudaMemcpy(void* destination, const void* source, std::size_t bytes,
                       cudaMemcpyKind kind) {
  return run_in_context("cudaMemcpy", [&] {
    kind == cudaMemcpyDeviceToHost ? gpu().arrive() : gpu().depart();
    return gpu().copy(current(), destination, source, bytes, kind == cudaMemcpyDeviceToHost);
  });
}

cudaError_t cudaMemcpyAsync(void* destination, const void* source, std::size_t bytes,
                            cudaMemcpyKind kind, cudaStream_t stream) {
  return run_in_context("cudaMemcpyAsync", [&] {
    return gpu().copy_async(current(), stream, destination, source, bytes,
                            kind == cudaMemcpyDeviceToHost);
  });
}

cudaError_t cudaMemset(void* address, int value, std::size_t bytes) {
  return run_in_context("cudaMemset", [&] {
    gpu().depart();
    return gpu().fill(address, value, bytes);
  });
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned) {
  return run_in_context("cudaHostAlloc",
                        [&] { return gpu().pinned_allocate(current(), bytes, address); });
}

cudaError_t cudaFreeHost(void* address) {
  return run_in_context("cudaFreeHost", [&] { return gpu().pinned_free(address); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return run_in_context("cudaStreamCreateWithFlags", [&] {
    return gpu().stream_create(current(), reinterpret_cast<void**>(stream));
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return run_in_context("cudaStreamDestroy", [&] { return gpu().stream_destroy(stream); });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return run_in_context("cudaStreamSynchronize", [&] {
    if (stream == nullptr) gpu().arrive();
    return gpu().stream_synchronize(stream);
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return run_in_context("cudaStreamWaitEvent",
                        [&] { return gpu().stream_wait_event(stream, event); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return run_in_context("cudaEventCreateWithFlags", [&] {
    return gpu().event_create(current(), reinterpret_cast<void**>(event));
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return run_in_context("cudaEventDestroy", [&] { return gpu().event_destroy(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return run_in_context("cudaEventRecord", [&] { return gpu().event_record(event, stream); });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return run("cudaEventQuery", [&] {
    bool happened = false;
    const code asked = gpu().event_query(event, &happened);
    return asked == code::ok && !happened ? cudaErrorNotReady : to_cuda(asked);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return run_in_context("cudaEventSynchronize", [&] { return gpu().event_synchronize(event); });
}

cudaError_t cudaHostRegister(void* address, std::size_t bytes, unsigned flags) {
  return run_in_context("cudaHostRegister", [&] {
    return gpu().host_register(current(), address, bytes, (flags & cudaHostRegisterReadOnly) != 0);
  });
}

cudaError_t cudaHostUnregister(void* address) {
  return run_in_context("cudaHostUnregister", [&] { return gpu().host_unregister(address); });
}

cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t) {
  return run_in_context("cudaMallocAsync",
                        [&] { return gpu().pool_allocate(current(), bytes, address); });
}

cudaError_t cudaFreeAsync(void* address, cudaStream_t) {
  return run_in_context("cudaFreeAsync", [&] { return gpu().pool_free(address); });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return run("cudaDeviceGetDefaultMemPool", [&] {
    // One more than the ordinal, so that the pool of device 0 is not null.
    *pool = reinterpret_cast<cudaMemPool_t>(static_cast<std::uintptr_t>(device) + 1);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t) {
  return run("cudaMemPoolTrimTo", [&] {
    return to_cuda(gpu().pool_trim(static_cast<int>(reinterpret_cast<std::uintptr_t>(pool)) - 1));
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph_exec) {
  return run_in_context("cudaGraphExecDestroy", [&] { return gpu().graph_destroy(graph_exec); });
}

/// A simulated graph is a pointer to its number of nodes.
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  return run_in_context("cudaGraphGetNodes", [&] {
    *count = *reinterpret_cast<std::size_t*>(graph);
    return code::ok;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t graph_exec, cudaStream_t stream) {
  return run_in_context("cudaGraphUpload", [&] {
    if (const code live = gpu().stream_use(stream); live != code::ok) return live;
    return gpu().graph_use(graph_exec);
  });
}

cudaError_t cudaDeviceGraphMemTrim(int) {
  return run_in_context("cudaDeviceGraphMemTrim", [] { return code::ok; });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return run_in_context("cudaFuncSetAttribute", [&] {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return code::not_supported;
    const std::lock_guard lock(attributes().mutex);
    attributes().shared_bytes[{gpu().context_id(current()), kernel}] = value;
    return code::ok;
  });
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3, dim3, void**, std::size_t shared_bytes,
                             cudaStream_t) {
  return run_in_context("cudaLaunchKernel", [&] {
    const std::lock_guard lock(attributes().mutex);
    const auto set = attributes().shared_bytes.find({gpu().context_id(current()), kernel});
    const std::size_t allowed = set == attributes().shared_bytes.end()
                                    ? shared_bytes_by_default
                                    : static_cast<std::size_t>(set->second);
    return shared_bytes <= allowed ? code::ok : code::invalid_value;
  });
}

}  // extern "C"
