#include "capi/values.hpp"

#include <algorithm>

#include "vocabulary/text.hpp"

using lull::detail::fail;

namespace lull::capi {

duration checked_duration(std::int64_t ns, std::int64_t lowest, const char* name) {
  if (ns < lowest) {
    fail(status::invalid_argument, "{} is {}; it must {}", name, ns,
         lowest > 0 ? "be above 0" : "not be negative");
  }
  return duration{ns};
}

time_point deadline_in(std::int64_t timeout_ns, const char* name) {
  return steady_clock().deadline_in(checked_duration(timeout_ns, 0, name));
}

std::int64_t nanoseconds_until(const std::optional<time_point>& moment) {
  if (!moment || *moment == no_deadline) return LULL_FOREVER;
  return std::max(duration::zero(), *moment - steady_clock().now()).count();
}

void reject_number(std::int32_t number, std::int32_t last, const char* name) {
  fail(status::invalid_argument, "{} is {}; its values are 0 to {}", name, number, last);
}

void expect_callback_ok(lull_status code, const char* callback) {
  if (code == LULL_OK) return;
  const auto number = static_cast<std::int32_t>(code);
  if (number < 0 || number > LULL_ERROR_INTERNAL) {
    fail(status::callback, "the {} callback returned {}, which is no lull_status", callback,
         number);
  }
  fail(status::callback, "the {} callback returned {}", callback, lull_status_name(code));
}

lull_status failure_or_callback(lull_status code) noexcept {
  const auto number = static_cast<std::int32_t>(code);
  return number > LULL_OK && number <= LULL_ERROR_INTERNAL ? code : LULL_ERROR_CALLBACK;
}

error callback_failure(lull_status code, const char* why) {
  const auto status = static_cast<lull::status>(code);
  if (why != nullptr) return {status, why};
  const error* const last = last_remembered();
  if (last == nullptr) return {status, lull_status_text(code)};
  if (last->code() == status) return *last;
  if (last->vendor() != nullptr) return {status, last->what(), *last->vendor()};
  return {status, last->what()};
}

}  // namespace lull::capi
