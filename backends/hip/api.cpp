#include "hip/api.hpp"

#include <lull/backend.hpp>

#include "common/capture.hpp"

namespace lull::backends {
namespace {

lull_status status_of(hipError_t result) noexcept {
  switch (result) {
    case hipErrorOutOfMemory: return LULL_ERROR_OUT_OF_DEVICE_MEMORY;
    case hipErrorContextIsDestroyed: return LULL_ERROR_STALE;
    case hipErrorNotSupported: return LULL_ERROR_UNSUPPORTED;
    default: return is_capture_code(result) ? LULL_ERROR_BUSY : LULL_ERROR_BACKEND;
  }
}

}  // namespace

const hip_api& hip_api::instance() {
  static const hip_api api;
  return api;
}

std::string hip_api::find_problem() const {
  if (!library) return "no HIP runtime: " + library.problem();
  if (!needed) return library.name() + " is too old: it lacks " + needed.missing();
  return {};
}

void hip_api::check(hipError_t result, const char* call) const {
  if (result == hipSuccess) return;
  // The runtime remembers the failure for its next hipGetLastError, which is the program's to call.
  static_cast<void>(take_last_error());
  throw backend_failure(status_of(result), call, result,
                        std::string{error_name(result)} + ": " + error_string(result));
}

}  // namespace lull::backends
