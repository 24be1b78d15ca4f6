#ifndef LULL_ERROR_HPP
#define LULL_ERROR_HPP

/// @file
/// The one exception type of lull, and the status codes as a C++ enumeration.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>
#include <lull/status.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lull {

/// Why an operation failed. See lull_status for what each code means.
enum class status : std::int32_t {
  ok = LULL_OK,
  invalid_argument = LULL_ERROR_INVALID_ARGUMENT,
  not_found = LULL_ERROR_NOT_FOUND,
  unsupported = LULL_ERROR_UNSUPPORTED,
  out_of_device_memory = LULL_ERROR_OUT_OF_DEVICE_MEMORY,
  out_of_host_memory = LULL_ERROR_OUT_OF_HOST_MEMORY,
  busy = LULL_ERROR_BUSY,
  timed_out = LULL_ERROR_TIMED_OUT,
  cancelled = LULL_ERROR_CANCELLED,
  not_resident = LULL_ERROR_NOT_RESIDENT,
  stale = LULL_ERROR_STALE,
  io = LULL_ERROR_IO,
  bad_module = LULL_ERROR_BAD_MODULE,
  backend = LULL_ERROR_BACKEND,
  callback = LULL_ERROR_CALLBACK,
  internal = LULL_ERROR_INTERNAL,
};

/// The name of a status, "busy". Never fails.
LULL_API std::string_view to_string(status code) noexcept;

/// What the vendor said when a call into its runtime failed.
struct vendor_failure {
  std::string device;     ///< the device's name, "CUDA0"
  std::string call;       ///< the vendor's call, "cuMemCreate"
  std::int64_t code = 0;  ///< the vendor's own code; errno on the host backend
  std::string words;      ///< the vendor's own words
};

/// Thrown by every lull function that fails. what() says what was wrong, where, and what would be
/// right. Copying never throws, so it can be passed between threads by value.
class LULL_API error : public std::runtime_error {
 public:
  error(status code, const std::string& message);
  error(status code, const std::string& message, vendor_failure failure);

  [[nodiscard]] status code() const noexcept { return code_; }

  /// The name of the device concerned; empty when the failure has none.
  [[nodiscard]] std::string_view device() const noexcept;

  /// The vendor's part; null when the failure did not come from a vendor call.
  [[nodiscard]] const vendor_failure* vendor() const noexcept { return vendor_.get(); }

  /// The same failure with a sentence in front of its message: where it happened.
  [[nodiscard]] error with_context(std::string_view context) const;

 private:
  status code_;
  std::shared_ptr<const vendor_failure> vendor_;
};

}  // namespace lull

#endif  // LULL_ERROR_HPP
