#include "cuda/api.hpp"

#include <lull/backend.hpp>

#include "common/capture.hpp"

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

std::string cuda_api::find_problem() const {
  if (!driver) return "no NVIDIA driver: " + driver.problem();
  if (!runtime) return "no CUDA runtime: " + runtime.problem();
  if (!needed_driver) return too_old(driver, needed_driver.missing());
  if (!needed_runtime) return too_old(runtime, needed_runtime.missing());
  return {};
}

void cuda_api::check(cudaError_t result, const char* call) const {
  if (result == cudaSuccess) return;
  // The runtime remembers the failure for its next cudaGetLastError, which is the program's to
  // call.
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
