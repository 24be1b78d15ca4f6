#include "cuda/api.hpp"

#include <lull/backend.hpp>

#include "common/capture.hpp"
#include "common/optional_groups.hpp"

namespace lull::backends {
namespace {

lull_status status_of(cudaError_t result) noexcept {
  switch (result) {
    case cudaErrorMemoryAllocation: return LULL_ERROR_OUT_OF_DEVICE_MEMORY;
    case cudaErrorContextIsDestroyed: return LULL_ERROR_STALE;
    case cudaErrorNotSupported: return LULL_ERROR_UNSUPPORTED;
    default: return is_capture_code(result) ? LULL_ERROR_BUSY : LULL_ERROR_BACKEND;
  }
}

lull_status status_of(CUresult result) noexcept {
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY: return LULL_ERROR_OUT_OF_DEVICE_MEMORY;
    case CUDA_ERROR_CONTEXT_IS_DESTROYED: return LULL_ERROR_STALE;
    case CUDA_ERROR_NOT_SUPPORTED: return LULL_ERROR_UNSUPPORTED;
    default: return is_capture_code(result) ? LULL_ERROR_BUSY : LULL_ERROR_BACKEND;
  }
}

/// "libcuda.so.1 is too old: it lacks cuMemCreate".
std::string too_old(const vendor_library& library, const char* missing) {
  return library.name() + " is too old: it lacks " + missing;
}

}  // namespace

const cuda_api& cuda_api::instance() {
  static const cuda_api api;
  return api;
}

cuda_api::cuda_api() {
  // The driver first: without one nothing else matters, and a runtime without it is common.
  const auto driver = vendor_library::open({"libcuda.so.1"});
  if (!driver) {
    problem = "no NVIDIA driver: " + driver.problem();
    return;
  }
  // Every function below has the same signature in both majors.
  const auto runtime = vendor_library::open({"libcudart.so.13", "libcudart.so.12"});
  if (!runtime) {
    problem = "no CUDA runtime: " + runtime.problem();
    return;
  }
  if (const char* missing = bind(driver, driver_init, driver_version, driver_error_name,
                                 driver_error_string, device_get, device_name, device_uuid,
                                 device_attribute, context_state, context_retain, context_release,
                                 context_reset, context_push, context_pop, memory_info)) {
    problem = too_old(driver, missing);
    return;
  }
  if (const char* missing = bind(runtime, get_device_count, get_pci_address, runtime_version,
                                 error_name, error_string, take_last_error, device_synchronize,
                                 malloc, free, memcpy, memcpy_async, memset, pinned_allocate,
                                 pinned_free, stream_create, stream_destroy, stream_synchronize)) {
    problem = too_old(runtime, missing);
    return;
  }
  bind(driver, checkpoint_state, checkpoint_lock, checkpoint_save, checkpoint_unlock);
  bind_optional_groups(*this, runtime, driver);
}

void cuda_api::check(cudaError_t result, const char* call) const {
  if (result == cudaSuccess) return;
  // The runtime remembers the failure for its next cudaGetLastError, which is the program's to call.
  static_cast<void>(take_last_error());
  throw backend_failure(status_of(result), call, result,
                        std::string{error_name(result)} + ": " + error_string(result));
}

void cuda_api::check(CUresult result, const char* call) const {
  if (result == CUDA_SUCCESS) return;
  const char* code = nullptr;
  const char* words = nullptr;
  const bool known = driver_error_name(result, &code) == CUDA_SUCCESS &&
                     driver_error_string(result, &words) == CUDA_SUCCESS && code && words;
  throw backend_failure(status_of(result), call, result,
                        known ? std::string{code} + ": " + words : "unknown error");
}

}  // namespace lull::backends
