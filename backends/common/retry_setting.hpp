#ifndef LULL_BACKENDS_COMMON_RETRY_SETTING_HPP
#define LULL_BACKENDS_COMMON_RETRY_SETTING_HPP

#include <lull/backend.hpp>

#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>

namespace lull::backends {

/// Reads the one setting of a backend that has a management library: `management_retry_ms`, after
/// how long one that did not start is asked again. Default: 10 s.
inline std::chrono::milliseconds read_retry(const lull_backend_setting* settings,
                                            std::uint64_t count, std::string_view backend) {
  std::uint32_t retry_ms = 10'000;
  read_settings(settings, count, backend, "management_retry_ms", [&](auto key, auto value) {
    if (key != "management_retry_ms") return false;
    const char* const end = value.data() + value.size();
    const auto [stop, bad] = std::from_chars(value.data(), end, retry_ms);
    if (bad != std::errc{} || stop != end) {
      throw backend_failure(LULL_ERROR_INVALID_ARGUMENT, "", 0,
                            std::string{backend} + ": management_retry_ms: '" + std::string{value} +
                                "' is no number of milliseconds");
    }
    return true;
  });
  return std::chrono::milliseconds{retry_ms};
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_RETRY_SETTING_HPP
