#ifndef LULL_CAPI_HANDLES_HPP
#define LULL_CAPI_HANDLES_HPP

#include <chrono>

#include "capi/device.hpp"
#include "capi/sleeper.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

// For the C API of graph caches, which still counts milliseconds.

namespace lull::capi {

inline constexpr std::int64_t nothing = -1;

inline duration checked_milliseconds(std::int64_t count, std::int64_t lowest, const char* name) {
  if (count < lowest || count > duration::max() / std::chrono::milliseconds{1}) {
    throw error(status::invalid_argument,
                lowest == 0 ? lull::detail::text("{} is {}; it must not be negative", name, count)
                            : lull::detail::text("{} is {}; it must be above 0 ms", name, count));
  }
  return std::chrono::milliseconds{count};
}

inline time_point deadline_after(std::int64_t timeout_ms) {
  if (timeout_ms == nothing) return no_deadline;
  return steady_clock().deadline_in(checked_milliseconds(timeout_ms, 0, "timeout_ms"));
}

inline std::int64_t milliseconds_until(const std::optional<time_point>& moment) {
  if (!moment) return nothing;
  const auto left = std::max(duration::zero(), *moment - steady_clock().now());
  return std::chrono::ceil<std::chrono::milliseconds>(left).count();
}

}  // namespace lull::capi

#endif  // LULL_CAPI_HANDLES_HPP
