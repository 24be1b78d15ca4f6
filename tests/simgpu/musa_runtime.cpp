/// @file
/// A stand-in for libmusart.so, compiled against the declarations of the MUSA module (its header is
/// not to be had).

#include <string>
#include <utility>

#include "musa/decls.hpp"
#include "simgpu/current_device.hpp"

namespace {

using simgpu::code;

simgpu::world& gpu() {
  return simgpu::world::of(simgpu::vendor::musa);
}
simgpu::thread_state& here() {
  return simgpu::this_thread(simgpu::vendor::musa);
}

musaError_t to_musa(code what) {
  switch (what) {
    case code::ok: return musaSuccess;
    case code::invalid_value: return static_cast<musaError_t>(1);
    case code::out_of_memory: return musaErrorMemoryAllocation;
    case code::no_device: return static_cast<musaError_t>(101);
    case code::invalid_handle: return static_cast<musaError_t>(400);
    case code::context_destroyed: return musaErrorContextIsDestroyed;
    case code::not_supported: return musaErrorNotSupported;
    case code::not_permitted: return static_cast<musaError_t>(900);
    case code::registered_already: return static_cast<musaError_t>(712);
    case code::not_registered: return static_cast<musaError_t>(713);
    // Of processes, which MUSA cannot suspend.
    case code::not_initialized:
    case code::illegal_state:
    case code::operating_system:
    case code::timed_out: break;
  }
  return static_cast<musaError_t>(999);
}

template <class Work>
musaError_t run(const char* function, Work&& work) {
  const int injected = gpu().script.enter(function);
  const musaError_t result = injected != 0 ? static_cast<musaError_t>(injected) : to_musa(work());
  if (result != musaSuccess) here().last_error = result;
  return result;
}

template <class Work>
musaError_t run_in_context(const char* function, Work&& work) {
  return run(function, [&] {
    const code made = gpu().ensure_context(here().device);
    return made == code::ok ? work() : made;
  });
}

}  // namespace

extern "C" {

musaError_t musaGetDeviceCount(int* count) {
  const int injected = gpu().script.enter("musaGetDeviceCount");
  if (injected != 0) return static_cast<musaError_t>(injected);
  *count = gpu().device_count();
  return *count == 0 ? musaErrorNoDevice : musaSuccess;
}

musaError_t musaGetDevice(int* device) {
  return run("musaGetDevice", [&] {
    *device = here().device;
    return code::ok;
  });
}

musaError_t musaSetDevice(int device) {
  return run("musaSetDevice", [&] {
    here().device = device;
    return code::ok;
  });
}

musaError_t musaDeviceGetPCIBusId(char* address, int size, int device) {
  return run("musaDeviceGetPCIBusId", [&] {
    const std::string text = gpu().pci_address(device);
    address[text.copy(address, static_cast<std::size_t>(size) - 1)] = '\0';
    return code::ok;
  });
}

const char* musaGetErrorName(musaError_t result) {
  return result == musaErrorMemoryAllocation ? "musaErrorMemoryAllocation" : "musaErrorSimulated";
}

const char* musaGetErrorString(musaError_t result) {
  return result == musaErrorMemoryAllocation ? "out of memory" : "simulated";
}

musaError_t musaGetLastError() {
  return static_cast<musaError_t>(std::exchange(here().last_error, 0));
}

musaError_t musaDeviceSynchronize() {
  return run_in_context("musaDeviceSynchronize", [] {
    gpu().finish_work(here().device);
    return code::ok;
  });
}

musaError_t musaDeviceReset() {
  return run("musaDeviceReset", [] { return gpu().reset(here().device); });
}

musaError_t musaMalloc(void** address, std::size_t bytes) {
  return run_in_context("musaMalloc",
                        [&] { return gpu().allocate(here().device, bytes, address); });
}

musaError_t musaFree(void* address) {
  return run_in_context("musaFree", [&] { return gpu().free(address); });
}

musaError_t musaMemcpy(void* destination, const void* source, std::size_t bytes,
                       musaMemcpyKind kind) {
  return run_in_context("musaMemcpy", [&] {
    return gpu().copy(here().device, destination, source, bytes, kind == musaMemcpyDeviceToHost);
  });
}

musaError_t musaMemcpyAsync(void* destination, const void* source, std::size_t bytes,
                            musaMemcpyKind kind, musaStream_t stream) {
  return run_in_context("musaMemcpyAsync", [&] {
    return gpu().copy_async(here().device, stream, destination, source, bytes,
                            kind == musaMemcpyDeviceToHost);
  });
}

musaError_t musaMemset(void* address, int value, std::size_t bytes) {
  return run_in_context("musaMemset", [&] { return gpu().fill(address, value, bytes); });
}

musaError_t musaMallocHost(void** address, std::size_t bytes) {
  return run_in_context("musaMallocHost",
                        [&] { return gpu().pinned_allocate(here().device, bytes, address); });
}

musaError_t musaFreeHost(void* address) {
  return run_in_context("musaFreeHost", [&] { return gpu().pinned_free(address); });
}

musaError_t musaStreamCreateWithFlags(musaStream_t* stream, unsigned) {
  return run_in_context("musaStreamCreateWithFlags", [&] {
    return gpu().stream_create(here().device, reinterpret_cast<void**>(stream));
  });
}

musaError_t musaStreamDestroy(musaStream_t stream) {
  return run_in_context("musaStreamDestroy", [&] { return gpu().stream_destroy(stream); });
}

musaError_t musaStreamWaitEvent(musaStream_t stream, musaEvent_t event, unsigned) {
  return run_in_context("musaStreamWaitEvent",
                        [&] { return gpu().stream_wait_event(stream, event); });
}

musaError_t musaEventCreateWithFlags(musaEvent_t* event, unsigned) {
  return run_in_context("musaEventCreateWithFlags", [&] {
    return gpu().event_create(here().device, reinterpret_cast<void**>(event));
  });
}

musaError_t musaEventDestroy(musaEvent_t event) {
  return run_in_context("musaEventDestroy", [&] { return gpu().event_destroy(event); });
}

musaError_t musaEventRecord(musaEvent_t event, musaStream_t stream) {
  return run_in_context("musaEventRecord", [&] { return gpu().event_record(event, stream); });
}

musaError_t musaEventQuery(musaEvent_t event) {
  bool happened = true;
  const musaError_t asked =
      run("musaEventQuery", [&] { return gpu().event_query(event, &happened); });
  if (asked != musaSuccess || happened) return asked;
  here().last_error = musaErrorNotReady;
  return musaErrorNotReady;
}

musaError_t musaEventSynchronize(musaEvent_t event) {
  return run_in_context("musaEventSynchronize", [&] { return gpu().event_synchronize(event); });
}

musaError_t musaHostRegister(void* address, std::size_t bytes, unsigned) {
  return run_in_context("musaHostRegister",
                        [&] { return gpu().host_register(here().device, address, bytes, false); });
}

musaError_t musaDeviceCanAccessPeer(int* can, int device, int memory_of) {
  return run("musaDeviceCanAccessPeer", [&] {
    *can = gpu().can_access_peer(device, memory_of) ? 1 : 0;
    return code::ok;
  });
}

musaError_t musaHostUnregister(void* address) {
  return run_in_context("musaHostUnregister", [&] { return gpu().host_unregister(address); });
}

musaError_t musaStreamSynchronize(musaStream_t stream) {
  return run_in_context("musaStreamSynchronize", [&] { return gpu().stream_synchronize(stream); });
}

musaError_t musaMallocAsync(void** address, std::size_t bytes, musaStream_t) {
  return run_in_context("musaMallocAsync",
                        [&] { return gpu().pool_allocate(here().device, bytes, address); });
}

musaError_t musaFreeAsync(void* address, musaStream_t) {
  return run_in_context("musaFreeAsync", [&] { return gpu().pool_free(address); });
}

musaError_t musaDeviceGetDefaultMemPool(musaMemPool_t* pool, int device) {
  return run("musaDeviceGetDefaultMemPool", [&] {
    *pool = reinterpret_cast<musaMemPool_t>(static_cast<std::uintptr_t>(device) + 1);
    return code::ok;
  });
}

musaError_t musaMemPoolTrimTo(musaMemPool_t pool, std::size_t) {
  return run("musaMemPoolTrimTo", [&] {
    return gpu().pool_trim(static_cast<int>(reinterpret_cast<std::uintptr_t>(pool)) - 1);
  });
}

musaError_t musaGraphExecDestroy(musaGraphExec_t graph_exec) {
  return run_in_context("musaGraphExecDestroy", [&] { return gpu().graph_destroy(graph_exec); });
}

musaError_t musaGraphGetNodes(musaGraph_t graph, musaGraphNode_t*, std::size_t* count) {
  return run("musaGraphGetNodes", [&] {
    *count = *reinterpret_cast<std::size_t*>(graph);
    return code::ok;
  });
}

}  // extern "C"
