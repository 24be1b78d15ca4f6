#include "hip/api.hpp"

#include <lull/backend.hpp>

#include "common/capture.hpp"
#include "common/optional_groups.hpp"

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

hip_api::hip_api() {
  // Every function below has the same signature in these majors.
  const auto library =
      vendor_library::open({"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"});
  if (!library) {
    problem = "no HIP runtime: " + library.problem();
    return;
  }
  if (const char* missing =
          bind(library, init, get_device_count, get_device, set_device, get_attribute, device_name,
               get_pci_address, error_name, error_string, take_last_error, device_synchronize,
               device_reset, malloc, free, memcpy, memcpy_async, memset, pinned_allocate,
               pinned_free, stream_create, stream_destroy, stream_synchronize)) {
    problem = library.name() + " is too old: it lacks " + missing;
    return;
  }
  bind_optional_groups(*this, library, library);
}

void hip_api::check(hipError_t result, const char* call) const {
  if (result == hipSuccess) return;
  // The runtime remembers the failure for its next hipGetLastError, which is the program's to call.
  static_cast<void>(take_last_error());
  throw backend_failure(status_of(result), call, result,
                        std::string{error_name(result)} + ": " + error_string(result));
}

}  // namespace lull::backends
