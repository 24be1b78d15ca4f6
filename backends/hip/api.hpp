#ifndef LULL_BACKENDS_HIP_API_HPP
#define LULL_BACKENDS_HIP_API_HPP

#include <hip/hip_runtime_api.h>

#include <string>
#include <string_view>

#include "common/device_restorer.hpp"
#include "common/vendor_fn.hpp"

namespace lull::backends {

class hip_own;

/// HIP's functions, types and constants for runtime_backend. All of them come from one library.
/// Where the header overloads a function for C++ the signature is spelled out.
struct hip_api {
  static constexpr const char* name = "hip";
  static constexpr std::string_view device_prefix = "HIP";

  using own = hip_own;
  class device_scope;
  class cleanup_scope;
  using stream = hipStream_t;
  using event = hipEvent_t;
  using graph = hipGraph_t;
  using graph_exec = hipGraphExec_t;
  using pool = hipMemPool_t;
  using device_address = void*;
  using memory_handle = hipMemGenericAllocationHandle_t;
  using memory_properties = hipMemAllocationProp;
  using access = hipMemAccessDesc;

  static constexpr auto device_to_host = hipMemcpyDeviceToHost;
  static constexpr auto host_to_device = hipMemcpyHostToDevice;
  static constexpr unsigned stream_non_blocking = hipStreamNonBlocking;
  static constexpr unsigned event_flags = hipEventDisableTiming | hipEventBlockingSync;
  static constexpr auto not_ready = hipErrorNotReady;
  static constexpr unsigned pinned_portable = hipHostMallocPortable;
  static constexpr unsigned register_portable = hipHostRegisterPortable;
  /// None: CUDA's value for it means coarse-grained memory here (hipExtHostRegisterCoarseGrained).
  static constexpr unsigned register_read_only = 0;
  static constexpr auto memory_pinned = hipMemAllocationTypePinned;
  static constexpr auto location_device = hipMemLocationTypeDevice;
  static constexpr auto access_read_write = hipMemAccessFlagsProtReadWrite;
  static constexpr auto granularity_minimum = hipMemAllocationGranularityMinimum;

  // All functions here have the same signature in these majors.
  vendor_library library =
      vendor_library::open({"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"});

  symbol_group needed{library};
  symbol_group events{library};
  symbol_group registration{library};
  symbol_group pools{library};
  symbol_group graphs{library};
  symbol_group graph_uploads{library};
  symbol_group graph_trims{library};
  symbol_group peers{library};
  symbol_group addresses{library};

  vendor_fn<"hipInit", decltype(::hipInit)> init{needed};
  vendor_fn<"hipGetDeviceCount", decltype(::hipGetDeviceCount)> get_device_count{needed};
  vendor_fn<"hipGetDevice", decltype(::hipGetDevice)> get_device{needed};
  vendor_fn<"hipSetDevice", decltype(::hipSetDevice)> set_device{needed};
  vendor_fn<"hipDeviceGetAttribute", decltype(::hipDeviceGetAttribute)> get_attribute{needed};
  vendor_fn<"hipDeviceGetName", decltype(::hipDeviceGetName)> device_name{needed};
  vendor_fn<"hipDeviceGetPCIBusId", decltype(::hipDeviceGetPCIBusId)> get_pci_address{needed};
  vendor_fn<"hipGetErrorName", decltype(::hipGetErrorName)> error_name{needed};
  vendor_fn<"hipGetErrorString", decltype(::hipGetErrorString)> error_string{needed};
  vendor_fn<"hipGetLastError", decltype(::hipGetLastError)> take_last_error{needed};
  vendor_fn<"hipDeviceSynchronize", decltype(::hipDeviceSynchronize)> device_synchronize{needed};
  vendor_fn<"hipDeviceReset", decltype(::hipDeviceReset)> device_reset{needed};
  vendor_fn<"hipMalloc", hipError_t(void**, std::size_t)> malloc{needed};
  vendor_fn<"hipFree", decltype(::hipFree)> free{needed};
  vendor_fn<"hipMemcpy", decltype(::hipMemcpy)> memcpy{needed};
  vendor_fn<"hipMemcpyAsync", decltype(::hipMemcpyAsync)> memcpy_async{needed};
  vendor_fn<"hipMemset", decltype(::hipMemset)> memset{needed};
  vendor_fn<"hipHostMalloc", hipError_t(void**, std::size_t, unsigned)> pinned_allocate{needed};
  vendor_fn<"hipHostFree", decltype(::hipHostFree)> pinned_free{needed};
  vendor_fn<"hipStreamCreateWithFlags", decltype(::hipStreamCreateWithFlags)> stream_create{needed};
  vendor_fn<"hipStreamDestroy", decltype(::hipStreamDestroy)> stream_destroy{needed};
  vendor_fn<"hipStreamSynchronize", decltype(::hipStreamSynchronize)> stream_synchronize{needed};

  vendor_fn<"hipEventCreateWithFlags", decltype(::hipEventCreateWithFlags)> event_create{events};
  vendor_fn<"hipEventDestroy", decltype(::hipEventDestroy)> event_destroy{events};
  vendor_fn<"hipEventRecord", hipError_t(hipEvent_t, hipStream_t)> event_record{events};
  vendor_fn<"hipEventQuery", decltype(::hipEventQuery)> event_query{events};
  vendor_fn<"hipEventSynchronize", decltype(::hipEventSynchronize)> event_synchronize{events};
  vendor_fn<"hipStreamWaitEvent", decltype(::hipStreamWaitEvent)> stream_wait_event{events};

  vendor_fn<"hipHostRegister", decltype(::hipHostRegister)> host_register{registration};
  vendor_fn<"hipHostUnregister", decltype(::hipHostUnregister)> host_unregister{registration};

  vendor_fn<"hipDeviceGetDefaultMemPool", decltype(::hipDeviceGetDefaultMemPool)> pool_default{
      pools};
  vendor_fn<"hipMemPoolTrimTo", decltype(::hipMemPoolTrimTo)> pool_trim{pools};

  vendor_fn<"hipGraphExecDestroy", decltype(::hipGraphExecDestroy)> graph_exec_destroy{graphs};
  vendor_fn<"hipGraphGetNodes", decltype(::hipGraphGetNodes)> graph_nodes{graphs};
  // Not in the headers of HIP 5; the signatures are those of ROCm 6's hip_runtime_api.h.
  vendor_fn<"hipGraphUpload", hipError_t(hipGraphExec_t, hipStream_t)> graph_upload{graph_uploads};
  vendor_fn<"hipDeviceGraphMemTrim", hipError_t(int)> graph_trim{graph_trims};

  vendor_fn<"hipMemGetAllocationGranularity", decltype(::hipMemGetAllocationGranularity)>
      vm_granularity{addresses};
  vendor_fn<"hipMemAddressReserve", decltype(::hipMemAddressReserve)> vm_reserve{addresses};
  vendor_fn<"hipMemAddressFree", decltype(::hipMemAddressFree)> vm_release{addresses};
  vendor_fn<"hipMemCreate", decltype(::hipMemCreate)> vm_create{addresses};
  vendor_fn<"hipMemRelease", decltype(::hipMemRelease)> vm_destroy{addresses};
  vendor_fn<"hipMemMap", decltype(::hipMemMap)> vm_map{addresses};
  vendor_fn<"hipMemSetAccess", decltype(::hipMemSetAccess)> vm_set_access{addresses};
  vendor_fn<"hipMemUnmap", decltype(::hipMemUnmap)> vm_unmap{addresses};

  vendor_fn<"hipDeviceCanAccessPeer", decltype(::hipDeviceCanAccessPeer)> can_access_peer{peers};

  /// Why the backend cannot be used here. Empty when it can.
  std::string problem = find_problem();

  /// Looks everything up, once per process.
  static const hip_api& instance();

  /// @throws backend_failure for a result that is not success
  void check(hipError_t result, const char* call) const;

 private:
  hip_api() = default;
  [[nodiscard]] std::string find_problem() const;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_HIP_API_HPP
