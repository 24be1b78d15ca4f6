#include "musa/api.hpp"

#include <lull/backend.hpp>

#include "common/capture.hpp"
#include "common/optional_groups.hpp"

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

musa_api::musa_api() {
  const auto driver = vendor_library::open({"libmusa.so.1", "libmusa.so"});
  if (!driver) {
    problem = "no Moore Threads driver: " + driver.problem();
    return;
  }
  // The names of SDK 5, 4 and 3.1; the functions below are the same in all of them.
  const auto runtime =
      vendor_library::open({"libmusart.so.5", "libmusart.so.4", "libmusart.so.1", "libmusart.so"});
  if (!runtime) {
    problem = "no MUSA runtime: " + runtime.problem();
    return;
  }
  if (const char* missing = bind(driver, driver_init, driver_error_string, device_get,
                                 device_attribute, context_state)) {
    problem = driver.name() + " is too old: it lacks " + missing;
    return;
  }
  if (const char* missing =
          bind(runtime, get_device_count, get_device, set_device, get_pci_address, error_name,
               error_string, take_last_error, device_synchronize, device_reset, malloc, free,
               memcpy, memcpy_async, memset, pinned_allocate, pinned_free, stream_create,
               stream_destroy, stream_synchronize)) {
    problem = runtime.name() + " is too old: it lacks " + missing;
    return;
  }
  bind(driver, device_name);
  bind_optional_groups(*this, runtime, driver);
}

void musa_api::check(musaError_t result, const char* call) const {
  if (result == musaSuccess) return;
  // The runtime remembers the failure for its next musaGetLastError, which is the program's to call.
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
