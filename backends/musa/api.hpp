#ifndef LULL_BACKENDS_MUSA_API_HPP
#define LULL_BACKENDS_MUSA_API_HPP

#ifdef LULL_MUSA_SDK
#include <musa.h>
#include <musa_runtime_api.h>
#else
#include "musa/decls.hpp"
#endif

#include <string>
#include <string_view>

#include "common/vendor_fn.hpp"

namespace lull::backends {

class musa_own;
class musa_scope;
class musa_cleanup_scope;

/// MUSA's functions, types and constants for runtime_backend. Where MUSA's header may overload a
/// function for C++, or the release decides on a suffix, the signature is spelled out.
///
/// Every function of the runtime, but for those that put errors into words, may make a context on
/// the device that is current (its functions begin with InitPlatformAndDevice, say traces of it).
/// So what must make none is asked of the driver.
struct musa_api {
  static constexpr const char* name = "musa";
  static constexpr std::string_view device_prefix = "MUSA";

  using own = musa_own;
  using device_scope = musa_scope;
  using cleanup_scope = musa_cleanup_scope;
  using driver_device = MUdevice;
  using context = MUcontext;
  using stream = musaStream_t;
  using event = musaEvent_t;
  using graph = musaGraph_t;
  using graph_exec = musaGraphExec_t;
  using pool = musaMemPool_t;
  using device_address = MUdeviceptr;
  using memory_handle = MUmemGenericAllocationHandle;
  using memory_properties = MUmemAllocationProp;
  using access = MUmemAccessDesc;

  static constexpr auto device_to_host = musaMemcpyDeviceToHost;
  static constexpr auto host_to_device = musaMemcpyHostToDevice;
  static constexpr unsigned stream_non_blocking = musaStreamNonBlocking;
  static constexpr unsigned event_flags = musaEventDisableTiming;
  static constexpr auto not_ready = musaErrorNotReady;
  static constexpr unsigned register_portable = musaHostRegisterPortable;
  static constexpr unsigned register_read_only = 0;  ///< nothing public says that there is one
  static constexpr unsigned pinned_portable = 0;     ///< musaMallocHost takes no flags
  static constexpr auto memory_pinned = MU_MEM_ALLOCATION_TYPE_PINNED;
  static constexpr auto location_device = MU_MEM_LOCATION_TYPE_DEVICE;
  static constexpr auto access_read_write = MU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  static constexpr auto granularity_minimum = MU_MEM_ALLOC_GRANULARITY_MINIMUM;

  /// musaMallocHost in the form of its relatives, which take flags too.
  struct pinned_allocate_fn : vendor_fn<"musaMallocHost", musaError_t(void**, std::size_t)> {
    using vendor_fn::vendor_fn;
    musaError_t operator()(void** address_out, std::size_t bytes, unsigned) const {
      return address(address_out, bytes);
    }
  };

  vendor_library driver = vendor_library::open({"libmusa.so.1", "libmusa.so"});
  // The names of SDK 5, 4 and 3.1; the functions below are the same in all of them.
  vendor_library runtime = driver ? vendor_library::open({"libmusart.so.5", "libmusart.so.4",
                                                          "libmusart.so.1", "libmusart.so"})
                                  : vendor_library{};

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
  symbol_group names{driver};

  // Runtime.
  vendor_fn<"musaGetErrorName", const char*(musaError_t)> error_name{needed_runtime};
  vendor_fn<"musaGetErrorString", const char*(musaError_t)> error_string{needed_runtime};
  vendor_fn<"musaGetLastError", musaError_t()> take_last_error{needed_runtime};
  vendor_fn<"musaDeviceSynchronize", musaError_t()> device_synchronize{needed_runtime};
  vendor_fn<"musaMalloc", musaError_t(void**, std::size_t)> malloc{needed_runtime};
  vendor_fn<"musaFree", musaError_t(void*)> free{needed_runtime};
  vendor_fn<"musaMemcpy", musaError_t(void*, const void*, std::size_t, musaMemcpyKind)> memcpy{
      needed_runtime};
  vendor_fn<"musaMemcpyAsync",
            musaError_t(void*, const void*, std::size_t, musaMemcpyKind, musaStream_t)>
      memcpy_async{needed_runtime};
  vendor_fn<"musaMemset", musaError_t(void*, int, std::size_t)> memset{needed_runtime};
  pinned_allocate_fn pinned_allocate{needed_runtime};
  vendor_fn<"musaFreeHost", musaError_t(void*)> pinned_free{needed_runtime};
  vendor_fn<"musaStreamCreateWithFlags", musaError_t(musaStream_t*, unsigned)> stream_create{
      needed_runtime};
  vendor_fn<"musaStreamDestroy", musaError_t(musaStream_t)> stream_destroy{needed_runtime};
  vendor_fn<"musaStreamSynchronize", musaError_t(musaStream_t)> stream_synchronize{needed_runtime};

  vendor_fn<"musaEventCreateWithFlags", musaError_t(musaEvent_t*, unsigned)> event_create{events};
  vendor_fn<"musaEventDestroy", musaError_t(musaEvent_t)> event_destroy{events};
  vendor_fn<"musaEventRecord", musaError_t(musaEvent_t, musaStream_t)> event_record{events};
  vendor_fn<"musaEventQuery", musaError_t(musaEvent_t)> event_query{events};
  vendor_fn<"musaEventSynchronize", musaError_t(musaEvent_t)> event_synchronize{events};
  vendor_fn<"musaStreamWaitEvent", musaError_t(musaStream_t, musaEvent_t, unsigned)>
      stream_wait_event{events};

  vendor_fn<"musaHostRegister", musaError_t(void*, std::size_t, unsigned)> host_register{
      registration};
  vendor_fn<"musaHostUnregister", musaError_t(void*)> host_unregister{registration};

  vendor_fn<"musaDeviceGetDefaultMemPool", musaError_t(musaMemPool_t*, int)> pool_default{pools};
  vendor_fn<"musaMemPoolTrimTo", musaError_t(musaMemPool_t, std::size_t)> pool_trim{pools};

  vendor_fn<"musaGraphExecDestroy", musaError_t(musaGraphExec_t)> graph_exec_destroy{graphs};
  vendor_fn<"musaGraphGetNodes", musaError_t(musaGraph_t, musaGraphNode_t*, std::size_t*)>
      graph_nodes{graphs};
  vendor_fn<"musaGraphUpload", musaError_t(musaGraphExec_t, musaStream_t)> graph_upload{
      graph_uploads};
  vendor_fn<"musaDeviceGraphMemTrim", musaError_t(int)> graph_trim{graph_trims};

  // Driver.
  vendor_fn<"muInit", MUresult(unsigned)> driver_init{needed_driver};
  vendor_fn<"muGetErrorString", MUresult(MUresult, const char**)> driver_error_string{
      needed_driver};
  vendor_fn<"muDeviceGetCount", MUresult(int*)> get_device_count{needed_driver};
  vendor_fn<"muDeviceGet", MUresult(MUdevice*, int)> device_get{needed_driver};
  vendor_fn<"muDeviceGetPCIBusId", MUresult(char*, int, MUdevice)> get_pci_address{needed_driver};
  vendor_fn<"muDeviceGetName", MUresult(char*, int, MUdevice)> device_name{names};
  vendor_fn<"muDeviceGetAttribute", MUresult(int*, MUdevice_attribute, MUdevice)> device_attribute{
      needed_driver};
  vendor_fn<"muDevicePrimaryCtxGetState", MUresult(MUdevice, unsigned*, int*)> context_state{
      needed_driver};
  // As OpenXLA and IREE look them up: with the suffix where the driver has it.
  vendor_fn<"muDevicePrimaryCtxRetain", MUresult(MUcontext*, MUdevice)> context_retain{
      needed_driver};
  vendor_fn<"muDevicePrimaryCtxRelease_v2", MUresult(MUdevice)> context_release{
      needed_driver, "muDevicePrimaryCtxRelease"};
  vendor_fn<"muDevicePrimaryCtxReset_v2", MUresult(MUdevice)> context_reset{
      needed_driver, "muDevicePrimaryCtxReset"};
  vendor_fn<"muCtxPushCurrent_v2", MUresult(MUcontext)> context_push{needed_driver,
                                                                     "muCtxPushCurrent"};
  vendor_fn<"muCtxPopCurrent_v2", MUresult(MUcontext*)> context_pop{needed_driver,
                                                                    "muCtxPopCurrent"};
  vendor_fn<"muDeviceCanAccessPeer", MUresult(int*, MUdevice, MUdevice)> can_access_peer{peers};

  vendor_fn<"muMemGetAllocationGranularity",
            MUresult(std::size_t*, const MUmemAllocationProp*, MUmemAllocationGranularity_flags)>
      vm_granularity{addresses};
  vendor_fn<"muMemAddressReserve",
            MUresult(MUdeviceptr*, std::size_t, std::size_t, MUdeviceptr, unsigned long long)>
      vm_reserve{addresses};
  vendor_fn<"muMemAddressFree", MUresult(MUdeviceptr, std::size_t)> vm_release{addresses};
  vendor_fn<"muMemCreate", MUresult(MUmemGenericAllocationHandle*, std::size_t,
                                    const MUmemAllocationProp*, unsigned long long)>
      vm_create{addresses};
  vendor_fn<"muMemRelease", MUresult(MUmemGenericAllocationHandle)> vm_destroy{addresses};
  vendor_fn<"muMemMap", MUresult(MUdeviceptr, std::size_t, std::size_t,
                                 MUmemGenericAllocationHandle, unsigned long long)>
      vm_map{addresses};
  vendor_fn<"muMemSetAccess",
            MUresult(MUdeviceptr, std::size_t, const MUmemAccessDesc*, std::size_t)>
      vm_set_access{addresses};
  vendor_fn<"muMemUnmap", MUresult(MUdeviceptr, std::size_t)> vm_unmap{addresses};

  /// Why the backend cannot be used here. Empty when it can.
  std::string problem = find_problem();

  /// Looks everything up, once per process.
  static const musa_api& instance();

  /// @throws backend_failure for a result that is not success
  void check(musaError_t result, const char* call) const;
  void check(MUresult result, const char* call) const;

 private:
  musa_api() = default;
  [[nodiscard]] std::string find_problem() const;
};

}  // namespace lull::backends

#endif  // LULL_BACKENDS_MUSA_API_HPP
