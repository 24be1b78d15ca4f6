#include "musa/api.hpp"

#include <lull/backend.hpp>

#include "common/capture.hpp"

namespace lull::backends {
namespace {

lull_status status_of(musaError_t result) noexcept {
  switch (result) {
    case musaErrorMemoryAllocation: return LULL_ERROR_OUT_OF_DEVICE_MEMORY;
    case musaErrorContextIsDestroyed: return LULL_ERROR_STALE;
    case musaErrorNotSupported: return LULL_ERROR_UNSUPPORTED;
    default: return is_capture_code(result) ? LULL_ERROR_BUSY : LULL_ERROR_BACKEND;
  }
}

lull_status status_of(MUresult result) noexcept {
  switch (result) {
    case MUSA_ERROR_OUT_OF_MEMORY: return LULL_ERROR_OUT_OF_DEVICE_MEMORY;
    case MUSA_ERROR_CONTEXT_IS_DESTROYED: return LULL_ERROR_STALE;
    case MUSA_ERROR_NOT_SUPPORTED: return LULL_ERROR_UNSUPPORTED;
    default: return is_capture_code(result) ? LULL_ERROR_BUSY : LULL_ERROR_BACKEND;
  }
}

}  // namespace

const musa_api& musa_api::instance() {
  static const musa_api api;
  return api;
}

std::string musa_api::find_problem() const {
  const auto too_old = [](const vendor_library& library, const symbol_group& needed) {
    return library.name() + " is too old: it lacks " + needed.missing();
  };
  if (!driver) return "no Moore Threads driver: " + driver.problem();
  if (!runtime) return "no MUSA runtime: " + runtime.problem();
  if (!needed_driver) return too_old(driver, needed_driver);
  if (!needed_runtime) return too_old(runtime, needed_runtime);
  return {};
}

void musa_api::check(musaError_t result, const char* call) const {
  if (result == musaSuccess) return;
  // The runtime remembers the failure for its next musaGetLastError, which is the program's to
  // call.
  static_cast<void>(take_last_error());
  throw backend_failure(status_of(result), call, result,
                        std::string{error_name(result)} + ": " + error_string(result));
}

void musa_api::check(MUresult result, const char* call) const {
  if (result == MUSA_SUCCESS) return;
  const char* words = nullptr;
  const bool known = driver_error_string(result, &words) == MUSA_SUCCESS && words != nullptr;
  throw backend_failure(status_of(result), call, result, known ? words : "unknown error");
}

}  // namespace lull::backends
