/// @file
/// A stand-in for libmusart.so, compiled against the declarations of the MUSA module (its header is
/// not to be had).

#include <string>
#include <utility>

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

/// The device that a call of this thread is for: of the current context, else the one that was set.
int current() {
  return here().stack.empty() ? here().device : here().stack.back();
}

/// In a context, which is made if there is none: every function of the runtime begins with that.
template <class Work>
musaError_t run(const char* function, Work&& work) {
  const auto in_context = [&] {
    const code made = gpu().ensure_context(current());
    return made == code::ok ? work() : made;
  };
  const simgpu::inside vendor;
  const int injected = gpu().script.enter(function);
  const musaError_t result =
      injected != 0 ? static_cast<musaError_t>(injected) : to_musa(in_context());
  if (result != musaSuccess) here().last_error = result;
  return result;
}

}  // namespace

extern "C" {

// What programs call for themselves; the module does not.
musaError_t musaGetDevice(int* device) {
  return run("musaGetDevice", [&] {
    *device = current();
    return code::ok;
  });
}

musaError_t musaSetDevice(int device) {
  here().device = device;
  here().stack.clear();
  return run("musaSetDevice", [] { return code::ok; });
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
  return run("musaDeviceSynchronize", [] {
    gpu().finish_work(current());
    return code::ok;
  });
}

musaError_t musaMalloc(void** address, std::size_t bytes) {
  return run("musaMalloc", [&] { return gpu().allocate(current(), bytes, address); });
}

musaError_t musaFree(void* address) {
  return run("musaFree", [&] { return gpu().free(address); });
}

musaError_t musaMemcpy(void* destination, const void* source, std::size_t bytes,
                       musaMemcpyKind kind) {
  return run("musaMemcpy", [&] {
    return gpu().copy(current(), destination, source, bytes, kind == musaMemcpyDeviceToHost);
  });
}

musaError_t musaMemcpyAsync(void* destination, const void* source, std::size_t bytes,
                            musaMemcpyKind kind, musaStream_t stream) {
  return run("musaMemcpyAsync", [&] {
    return gpu().copy_async(current(), stream, destination, source, bytes,
                            kind == musaMemcpyDeviceToHost);
  });
}

musaError_t musaMemset(void* address, int value, std::size_t bytes) {
  return run("musaMemset", [&] { return gpu().fill(address, value, bytes); });
}

musaError_t musaMallocHost(void** address, std::size_t bytes) {
  return run("musaMallocHost", [&] { return gpu().pinned_allocate(current(), bytes, address); });
}

musaError_t musaFreeHost(void* address) {
  return run("musaFreeHost", [&] { return gpu().pinned_free(address); });
}

musaError_t musaStreamCreateWithFlags(musaStream_t* stream, unsigned) {
  return run("musaStreamCreateWithFlags",
             [&] { return gpu().stream_create(current(), reinterpret_cast<void**>(stream)); });
}

musaError_t musaStreamDestroy(musaStream_t stream) {
  return run("musaStreamDestroy", [&] { return gpu().stream_destroy(stream); });
}

musaError_t musaStreamWaitEvent(musaStream_t stream, musaEvent_t event, unsigned) {
  return run("musaStreamWaitEvent", [&] { return gpu().stream_wait_event(stream, event); });
}

musaError_t musaEventCreateWithFlags(musaEvent_t* event, unsigned) {
  return run("musaEventCreateWithFlags",
             [&] { return gpu().event_create(current(), reinterpret_cast<void**>(event)); });
}

musaError_t musaEventDestroy(musaEvent_t event) {
  return run("musaEventDestroy", [&] { return gpu().event_destroy(event); });
}

musaError_t musaEventRecord(musaEvent_t event, musaStream_t stream) {
  return run("musaEventRecord", [&] { return gpu().event_record(event, stream); });
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
  return run("musaEventSynchronize", [&] { return gpu().event_synchronize(event); });
}

musaError_t musaHostRegister(void* address, std::size_t bytes, unsigned) {
  return run("musaHostRegister",
             [&] { return gpu().host_register(current(), address, bytes, false); });
}

musaError_t musaHostUnregister(void* address) {
  return run("musaHostUnregister", [&] { return gpu().host_unregister(address); });
}

musaError_t musaStreamSynchronize(musaStream_t stream) {
  return run("musaStreamSynchronize", [&] { return gpu().stream_synchronize(stream); });
}

musaError_t musaMallocAsync(void** address, std::size_t bytes, musaStream_t) {
  return run("musaMallocAsync", [&] { return gpu().pool_allocate(current(), bytes, address); });
}

musaError_t musaFreeAsync(void* address, musaStream_t) {
  return run("musaFreeAsync", [&] { return gpu().pool_free(address); });
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
  return run("musaGraphExecDestroy", [&] { return gpu().graph_destroy(graph_exec); });
}

musaError_t musaGraphGetNodes(musaGraph_t graph, musaGraphNode_t*, std::size_t* count) {
  return run("musaGraphGetNodes", [&] {
    *count = *reinterpret_cast<std::size_t*>(graph);
    return code::ok;
  });
}

}  // extern "C"
