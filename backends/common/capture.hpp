#ifndef LULL_BACKENDS_COMMON_CAPTURE_HPP
#define LULL_BACKENDS_COMMON_CAPTURE_HPP

namespace lull::backends {

/// Whether a vendor's code says that a stream is being captured, which forbids the call for now.
/// The three vendors have the same codes for it: 900, "unsupported", to 908, "wrong thread"
/// (driver_types.h of CUDA, hip_runtime_api.h).
constexpr bool is_capture_code(int code) noexcept {
  return code >= 900 && code <= 908;
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_CAPTURE_HPP
