#include <lull/bytes.hpp>
#include <lull/clock.hpp>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

namespace lull::capi {
namespace {

std::optional<error>& last_error() noexcept {
  thread_local std::optional<error> last;
  return last;
}

}  // namespace

lull_status remember(const error& failure) noexcept {
  last_error() = failure;
  return static_cast<lull_status>(failure.code());
}

void reject_struct_size(const char* name, std::size_t size, std::size_t known) {
  lull::detail::fail(status::invalid_argument,
                     "{}->struct_size is {}; this lull knows {} bytes: set it with the struct's "
                     "_init function or sizeof, and zero what is newer than the library",
                     name, size, known);
}

void expect_callback_ok(lull_status code, const char* callback) {
  if (detail::raw(code) == LULL_OK) return;
  lull::detail::fail(status::callback, "the {} callback returned {}", callback,
                     lull_status_name(code));
}

log_sink make_log_sink(lull_log_fn callback, void* user, lull_log_level threshold) {
  if (callback == nullptr) return {};
  return log_sink(
      [callback, user](log_level level, std::string_view line) {
        callback(user, static_cast<lull_log_level>(level), std::string(line).c_str());
      },
      static_cast<log_level>(detail::raw(threshold)));
}

duration checked_milliseconds(std::int64_t count, std::int64_t lowest, const char* name) {
  if (count < lowest || count > duration::max() / std::chrono::milliseconds{1}) {
    throw error(status::invalid_argument,
                lowest == 0 ? lull::detail::text("{} is {}; it must not be negative", name, count)
                            : lull::detail::text("{} is {}; it must be above 0 ms", name, count));
  }
  return std::chrono::milliseconds{count};
}

time_point deadline_after(std::int64_t timeout_ms) {
  if (timeout_ms == nothing) return no_deadline;
  return steady_clock().deadline_in(checked_milliseconds(timeout_ms, 0, "timeout_ms"));
}

duration checked_duration(std::int64_t ns, std::int64_t lowest, const char* name) {
  if (ns < lowest) {
    lull::detail::fail(status::invalid_argument, "{} is {}; it must {}", name, ns,
                       lowest > 0 ? "be above 0" : "not be negative");
  }
  return duration{ns};
}

time_point deadline_in(std::int64_t timeout_ns, const char* name) {
  return steady_clock().deadline_in(checked_duration(timeout_ns, 0, name));
}

std::int64_t nanoseconds_until(const std::optional<time_point>& moment) {
  if (!moment) return LULL_FOREVER;
  return std::max(duration::zero(), *moment - steady_clock().now()).count();
}

std::int64_t milliseconds_until(const std::optional<time_point>& moment) {
  if (!moment) return nothing;
  const auto left = std::max(duration::zero(), *moment - steady_clock().now());
  return std::chrono::ceil<std::chrono::milliseconds>(left).count();
}

std::stop_token token_of(const lull_cancel* cancel) {
  return cancel != nullptr ? cancel->source.get_token() : std::stop_token{};
}

}  // namespace lull::capi

using lull::capi::guard;
using lull::capi::last_error;
using lull::capi::required;

const char* lull_last_error_message(void) {
  const auto& last = last_error();
  return last ? last->what() : "";
}

lull_status lull_last_error_status(void) {
  const auto& last = last_error();
  return last ? static_cast<lull_status>(last->code()) : LULL_OK;
}

lull_status lull_last_error_vendor(lull_vendor_failure* failure) {
  const auto& last = last_error();
  if (failure == nullptr) return LULL_ERROR_INVALID_ARGUMENT;
  if (!last || last->vendor() == nullptr) return LULL_ERROR_NOT_FOUND;
  const lull::vendor_failure& vendor = *last->vendor();
  lull_vendor_failure value{};
  value.code = vendor.code;
  lull::capi::set_text(value.device, vendor.device);
  lull::capi::set_text(value.call, vendor.call);
  lull::capi::set_text(value.words, vendor.words);
  return guard([&] { lull::capi::write_versioned(failure, value, "failure"); });
}

lull_status lull_format_bytes(uint64_t bytes, char* text, size_t text_size) {
  return guard([&] {
    required(text, "text");
    if (text_size == 0) throw lull::error(lull::status::invalid_argument, "text_size is 0");
    const std::string formatted = lull::format_bytes(bytes);
    const std::size_t length = std::min(formatted.size(), text_size - 1);
    std::memcpy(text, formatted.data(), length);
    text[length] = '\0';
  });
}

lull_status lull_parse_bytes(const char* text, uint64_t* bytes) {
  return guard([&] {
    auto& result = required(bytes, "bytes");
    result = lull::parse_bytes(&required(text, "text"));
  });
}

lull_status lull_cancel_create(lull_cancel** cancel) {
  return guard([&] {
    auto& result = required(cancel, "cancel");
    result = new lull_cancel;
  });
}

lull_status lull_cancel_request(lull_cancel* cancel) {
  return guard([&] { required(cancel, "cancel").source.request_stop(); });
}

void lull_cancel_destroy(lull_cancel* cancel) {
  delete cancel;
}
