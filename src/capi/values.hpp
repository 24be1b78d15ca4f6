#ifndef LULL_CAPI_VALUES_HPP
#define LULL_CAPI_VALUES_HPP

#include <lull/clock.hpp>
#include <lull/error.hpp>
#include <lull/log.h>
#include <lull/log.hpp>
#include <lull/status.h>
#include <lull/units.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "capi/guard.hpp"

struct lull_cancel {
  std::stop_source source;
  std::stop_token token = source.get_token();
};

// What C says in numbers and pointers, as values of C++ and back.

namespace lull::capi {

// Durations --------------------------------------------------------------------------------------

/// @throws error (invalid_argument), with `name`, for one below `lowest` nanoseconds
duration checked_duration(std::int64_t ns, std::int64_t lowest, const char* name);

/// C programs have no clock object: what they have runs on the machine's.
/// @param timeout_ns LULL_FOREVER: no_deadline
time_point deadline_in(std::int64_t timeout_ns, const char* name = "timeout_ns");

/// How long until then on the machine's clock; LULL_FOREVER when absent.
std::int64_t nanoseconds_until(const std::optional<time_point>& moment);

// Figures ---------------------------------------------------------------------------------------

inline std::uint64_t or_unknown(const std::optional<std::uint64_t>& figure) noexcept {
  return figure.value_or(LULL_UNKNOWN);
}

inline std::optional<std::uint64_t> figure_from(std::uint64_t given) noexcept {
  return given == LULL_UNKNOWN ? std::nullopt : std::optional(given);
}

// Enumerations -----------------------------------------------------------------------------------

[[noreturn]] void reject_number(std::int32_t number, std::int32_t last, const char* name);

/// The highest value of an enumeration of C++ that C may hand over; they count from 0.
template <class Enum>
inline constexpr Enum last_of{};
template <>
inline constexpr log_level last_of<log_level> = log_level::error;

/// A value of an enumeration that came from C, where it may be any number.
/// @throws error (invalid_argument), with `name`
template <class To, class From>
To enum_from(From given, const char* name) {
  const auto number = static_cast<std::int32_t>(given);
  constexpr auto last = static_cast<std::int32_t>(last_of<To>);
  static_assert(last > 0, "this one needs its last_of");
  if (number < 0 || number > last) reject_number(number, last, name);
  return static_cast<To>(number);
}

// Lists ---------------------------------------------------------------------------------------

/// Calls `take` with each element. `Pointer` is what the list consists of, and must not be null.
/// @throws error (invalid_argument) with "tags is null" or "tags[2] is null"
template <class Pointer, class Take>
void for_each_required(Pointer const* list, std::size_t count, const char* name, Take take) {
  if (count != 0) required(list, name);
  for (std::size_t i = 0; i < count; ++i) {
    if (list[i] == nullptr) {
      throw error(status::invalid_argument,
                  std::string(name) + "[" + std::to_string(i) + "] is null");
    }
    take(list[i]);
  }
}

template <class Text = std::string>
std::vector<Text> texts_of(const char* const* list, std::size_t count, const char* name) {
  std::vector<Text> all;
  for_each_required(list, count, name, [&](const char* each) { all.emplace_back(each); });
  return all;
}

// Callbacks --------------------------------------------------------------------------------------

/// Throws if a callback of the caller failed.
void expect_callback_ok(lull_status code, const char* callback);

/// What a callback that fails in words returns: itself if it is a failure, else
/// LULL_ERROR_CALLBACK.
lull_status failure_or_callback(lull_status code) noexcept;
/// The failure that a callback tells.
/// @param code a failure
/// @param why null: the words of this thread's last error
error callback_failure(lull_status code, const char* why);

/// The sink that the three log fields of an options struct ask for.
template <class Options>
log_sink log_of(const Options& given) {
  const auto threshold = enum_from<log_level>(given.log_threshold, "options->log_threshold");
  if (given.log == nullptr) return {};
  return log_sink(
      [callback = given.log, user = given.log_user](log_level level, std::string_view line) {
        callback(user, static_cast<lull_log_level>(level), std::string(line).c_str());
      },
      threshold);
}

/// The three fields as they are in a default sink.
template <class Options>
void set_default_log(Options& options) noexcept {
  options.log_threshold = static_cast<lull_log_level>(default_log_threshold);
  options.log = nullptr;
  options.log_user = nullptr;
}

inline std::stop_token token_of(const lull_cancel* cancel) {
  return cancel != nullptr ? cancel->token : std::stop_token{};
}

}  // namespace lull::capi

#endif  // LULL_CAPI_VALUES_HPP
