#ifndef LULL_BACKENDS_CUDA_API_HPP
#define LULL_BACKENDS_CUDA_API_HPP

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <string>
#include <string_view>

#include "common/vendor_fn.hpp"

namespace lull::backends {

class cuda_own;
class cuda_scope;
struct cuda_cleanup_scope;

/// CUDA's functions, types and constants for runtime_backend. The runtime serves where it can, the
/// driver where only it can: stable addresses, and contexts that must be looked at without making
/// one. The driver's functions are named with the suffix that today's header hides in macros.
struct cuda_api {
  static constexpr const char* name = "cuda";
  static constexpr std::string_view device_prefix = "CUDA";

  using own = cuda_own;
  using device_scope = cuda_scope;
  using cleanup_scope = cuda_cleanup_scope;
  using driver_device = CUdevice;
  using context = CUcontext;
  using stream = cudaStream_t;
  using event = cudaEvent_t;
  using graph = cudaGraph_t;
  using graph_exec = cudaGraphExec_t;
  using pool = cudaMemPool_t;
  using device_address = CUdeviceptr;
  using memory_handle = CUmemGenericAllocationHandle;
  using memory_properties = CUmemAllocationProp;
  using access = CUmemAccessDesc;

  static constexpr auto device_to_host = cudaMemcpyDeviceToHost;
  static constexpr auto host_to_device = cudaMemcpyHostToDevice;
  static constexpr unsigned stream_non_blocking = cudaStreamNonBlocking;
  static constexpr unsigned event_flags = cudaEventDisableTiming | cudaEventBlockingSync;
  static constexpr auto not_ready = cudaErrorNotReady;
  static constexpr unsigned pinned_portable = cudaHostAllocPortable;
  static constexpr unsigned register_portable = cudaHostRegisterPortable;
  static constexpr unsigned register_read_only = cudaHostRegisterReadOnly;
  static constexpr auto memory_pinned = CU_MEM_ALLOCATION_TYPE_PINNED;
  static constexpr auto location_device = CU_MEM_LOCATION_TYPE_DEVICE;
  static constexpr auto access_read_write = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  static constexpr auto granularity_minimum = CU_MEM_ALLOC_GRANULARITY_MINIMUM;

  // The driver first: without one nothing else matters, and a runtime without it is common. All of
  // the runtime's functions here have the same signature in both majors.
  vendor_library driver = vendor_library::open({"libcuda.so.1"});
  vendor_library runtime =
      driver ? vendor_library::open({"libcudart.so.13", "libcudart.so.12"}) : vendor_library{};

  symbol_group needed_driver{driver};
  symbol_group needed_runtime{runtime};
  symbol_group events{runtime};
  symbol_group registration{runtime};
  symbol_group pools{runtime};
  symbol_group graphs{runtime};
  symbol_group graph_uploads{runtime};
  symbol_group graph_trims{runtime};
  symbol_group peers{driver};
  symbol_group addresses{driver};
  symbol_group suspension{driver};

  // Runtime.
  vendor_fn<"cudaGetDeviceCount", decltype(::cudaGetDeviceCount)> get_device_count{needed_runtime};
  vendor_fn<"cudaDeviceGetPCIBusId", decltype(::cudaDeviceGetPCIBusId)> get_pci_address{
      needed_runtime};
  vendor_fn<"cudaRuntimeGetVersion", decltype(::cudaRuntimeGetVersion)> runtime_version{
      needed_runtime};
  vendor_fn<"cudaGetErrorName", decltype(::cudaGetErrorName)> error_name{needed_runtime};
  vendor_fn<"cudaGetErrorString", decltype(::cudaGetErrorString)> error_string{needed_runtime};
  vendor_fn<"cudaGetLastError", decltype(::cudaGetLastError)> take_last_error{needed_runtime};
  vendor_fn<"cudaDeviceSynchronize", decltype(::cudaDeviceSynchronize)> device_synchronize{
      needed_runtime};
  vendor_fn<"cudaMalloc", cudaError_t(void**, std::size_t)> malloc{needed_runtime};
  vendor_fn<"cudaFree", decltype(::cudaFree)> free{needed_runtime};
  vendor_fn<"cudaMemcpy", decltype(::cudaMemcpy)> memcpy{needed_runtime};
  vendor_fn<"cudaMemcpyAsync", decltype(::cudaMemcpyAsync)> memcpy_async{needed_runtime};
  vendor_fn<"cudaMemset", decltype(::cudaMemset)> memset{needed_runtime};
  vendor_fn<"cudaHostAlloc", cudaError_t(void**, std::size_t, unsigned)> pinned_allocate{
      needed_runtime};
  vendor_fn<"cudaFreeHost", decltype(::cudaFreeHost)> pinned_free{needed_runtime};
  vendor_fn<"cudaStreamCreateWithFlags", decltype(::cudaStreamCreateWithFlags)> stream_create{
      needed_runtime};
  vendor_fn<"cudaStreamDestroy", decltype(::cudaStreamDestroy)> stream_destroy{needed_runtime};
  vendor_fn<"cudaStreamSynchronize", decltype(::cudaStreamSynchronize)> stream_synchronize{
      needed_runtime};

  vendor_fn<"cudaEventCreateWithFlags", decltype(::cudaEventCreateWithFlags)> event_create{events};
  vendor_fn<"cudaEventDestroy", decltype(::cudaEventDestroy)> event_destroy{events};
  vendor_fn<"cudaEventRecord", decltype(::cudaEventRecord)> event_record{events};
  vendor_fn<"cudaEventQuery", decltype(::cudaEventQuery)> event_query{events};
  vendor_fn<"cudaEventSynchronize", decltype(::cudaEventSynchronize)> event_synchronize{events};
  vendor_fn<"cudaStreamWaitEvent", decltype(::cudaStreamWaitEvent)> stream_wait_event{events};

  vendor_fn<"cudaHostRegister", decltype(::cudaHostRegister)> host_register{registration};
  vendor_fn<"cudaHostUnregister", decltype(::cudaHostUnregister)> host_unregister{registration};

  vendor_fn<"cudaDeviceGetDefaultMemPool", decltype(::cudaDeviceGetDefaultMemPool)> pool_default{
      pools};
  vendor_fn<"cudaMemPoolTrimTo", decltype(::cudaMemPoolTrimTo)> pool_trim{pools};

  vendor_fn<"cudaGraphExecDestroy", decltype(::cudaGraphExecDestroy)> graph_exec_destroy{graphs};
  vendor_fn<"cudaGraphGetNodes", decltype(::cudaGraphGetNodes)> graph_nodes{graphs};
  vendor_fn<"cudaGraphUpload", decltype(::cudaGraphUpload)> graph_upload{graph_uploads};
  vendor_fn<"cudaDeviceGraphMemTrim", decltype(::cudaDeviceGraphMemTrim)> graph_trim{graph_trims};

  // Driver.
  vendor_fn<"cuInit", CUresult(unsigned)> driver_init{needed_driver};
  vendor_fn<"cuDriverGetVersion", CUresult(int*)> driver_version{needed_driver};
  vendor_fn<"cuGetErrorName", CUresult(CUresult, const char**)> driver_error_name{needed_driver};
  vendor_fn<"cuGetErrorString", CUresult(CUresult, const char**)> driver_error_string{
      needed_driver};
  vendor_fn<"cuDeviceGet", CUresult(CUdevice*, int)> device_get{needed_driver};
  vendor_fn<"cuDeviceGetName", CUresult(char*, int, CUdevice)> device_name{needed_driver};
  vendor_fn<"cuDeviceGetUuid_v2", CUresult(CUuuid*, CUdevice)> device_uuid{needed_driver};
  vendor_fn<"cuDeviceGetAttribute", CUresult(int*, CUdevice_attribute, CUdevice)> device_attribute{
      needed_driver};
  vendor_fn<"cuDevicePrimaryCtxGetState", CUresult(CUdevice, unsigned*, int*)> context_state{
      needed_driver};
  vendor_fn<"cuDevicePrimaryCtxRetain", CUresult(CUcontext*, CUdevice)> context_retain{
      needed_driver};
  vendor_fn<"cuDevicePrimaryCtxRelease_v2", CUresult(CUdevice)> context_release{needed_driver};
  vendor_fn<"cuDevicePrimaryCtxReset_v2", CUresult(CUdevice)> context_reset{needed_driver};
  vendor_fn<"cuCtxPushCurrent_v2", CUresult(CUcontext)> context_push{needed_driver};
  vendor_fn<"cuCtxPopCurrent_v2", CUresult(CUcontext*)> context_pop{needed_driver};
  vendor_fn<"cuMemGetInfo_v2", CUresult(std::size_t*, std::size_t*)> memory_info{needed_driver};

  vendor_fn<"cuMemGetAllocationGranularity",
            CUresult(std::size_t*, const CUmemAllocationProp*, CUmemAllocationGranularity_flags)>
      vm_granularity{addresses};
  vendor_fn<"cuMemAddressReserve",
            CUresult(CUdeviceptr*, std::size_t, std::size_t, CUdeviceptr, unsigned long long)>
      vm_reserve{addresses};
  vendor_fn<"cuMemAddressFree", CUresult(CUdeviceptr, std::size_t)> vm_release{addresses};
  vendor_fn<"cuMemCreate", CUresult(CUmemGenericAllocationHandle*, std::size_t,
                                    const CUmemAllocationProp*, unsigned long long)>
      vm_create{addresses};
  vendor_fn<"cuMemRelease", CUresult(CUmemGenericAllocationHandle)> vm_destroy{addresses};
  vendor_fn<"cuMemMap", CUresult(CUdeviceptr, std::size_t, std::size_t,
                                 CUmemGenericAllocationHandle, unsigned long long)>
      vm_map{addresses};
  vendor_fn<"cuMemSetAccess",
            CUresult(CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t)>
      vm_set_access{addresses};
  vendor_fn<"cuMemUnmap", CUresult(CUdeviceptr, std::size_t)> vm_unmap{addresses};

  vendor_fn<"cuDeviceCanAccessPeer", CUresult(int*, CUdevice, CUdevice)> can_access_peer{peers};

  // Process checkpoint, since the driver of CUDA 12.8. The arguments are structs of 64 bytes,
  // zeroed, whose fields move from release to release (cuda-python issue 2145), so they are
  // declared here.
  struct alignas(8) lock_arguments {
    unsigned timeout_ms = 0;
    unsigned reserved[15] = {};
  };
  struct alignas(8) no_arguments {
    unsigned reserved[16] = {};
  };
  static_assert(sizeof(lock_arguments) == 64 && sizeof(no_arguments) == 64);
  vendor_fn<"cuCheckpointProcessGetState", CUresult(int, int*)> checkpoint_state{suspension};
  vendor_fn<"cuCheckpointProcessLock", CUresult(int, lock_arguments*)> checkpoint_lock{suspension};
  vendor_fn<"cuCheckpointProcessCheckpoint", CUresult(int, no_arguments*)> checkpoint_save{
      suspension};
  vendor_fn<"cuCheckpointProcessRestore", CUresult(int, no_arguments*)> checkpoint_restore{
      suspension};
  vendor_fn<"cuCheckpointProcessUnlock", CUresult(int, no_arguments*)> checkpoint_unlock{
      suspension};

  /// Why the backend cannot be used here: which library or function is missing. Empty when it can.
  std::string problem = find_problem();

  /// Looks everything up, once per process.
  static const cuda_api& instance();

  /// @throws backend_failure for a result that is not success
  void check(cudaError_t result, const char* call) const;
  void check(CUresult result, const char* call) const;

 private:
  cuda_api() = default;
  [[nodiscard]] std::string find_problem() const;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_CUDA_API_HPP
