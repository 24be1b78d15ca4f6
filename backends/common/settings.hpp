#ifndef LULL_BACKENDS_COMMON_SETTINGS_HPP
#define LULL_BACKENDS_COMMON_SETTINGS_HPP

#include <lull/backend.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace lull::backends {

/// Whether reservations of addresses outlive a reset: what is known of the vendor, unless whoever
/// has tried it on this machine says otherwise.
inline constexpr std::string_view addresses_setting = "addresses_outlive_reset";

/// Reads a number below `end`.
/// @throws backend_failure that says what was expected
inline std::uint32_t read_number(std::string_view backend, std::string_view key,
                                 std::string_view value, std::uint32_t end, const char* what) {
  std::uint32_t number = 0;
  const char* const last = value.data() + value.size();
  const auto [stop, bad] = std::from_chars(value.data(), last, number);
  if (bad == std::errc{} && stop == last && number < end) return number;
  std::string message{backend};
  message.append(": ").append(key).append(": '").append(value).append("' is no ").append(what);
  throw backend_failure(LULL_ERROR_INVALID_ARGUMENT, "", 0, message);
}

/// Takes the setting of addresses, if it is the one.
inline bool take_addresses(std::string_view backend, std::string_view key, std::string_view value,
                           bool& addresses_outlive_reset) {
  if (key != addresses_setting) return false;
  addresses_outlive_reset = read_number(backend, key, value, 2, "0 or 1") != 0;
  return true;
}

/// The settings of a backend that has a management library.
struct managed_settings {
  std::chrono::milliseconds retry{
      10'000};  ///< after how long one that did not start is asked again
  bool addresses_outlive_reset = false;
};

/// @param addresses_outlive_reset what is known of the vendor
inline managed_settings read_managed_settings(const lull_backend_setting* settings,
                                              std::uint64_t count, std::string_view backend,
                                              bool addresses_outlive_reset) {
  managed_settings read;
  read.addresses_outlive_reset = addresses_outlive_reset;
  read_settings(settings, count, backend, "management_retry_ms, addresses_outlive_reset",
                [&](std::string_view key, std::string_view value) {
                  if (take_addresses(backend, key, value, read.addresses_outlive_reset))
                    return true;
                  if (key != "management_retry_ms") return false;
                  read.retry = std::chrono::milliseconds{
                      read_number(backend, key, value, UINT32_MAX, "number of milliseconds")};
                  return true;
                });
  return read;
}

}  // namespace lull::backends

#endif  // LULL_BACKENDS_COMMON_SETTINGS_HPP
