#include <lull/c/error.h>
#include <lull/error.hpp>

#include <optional>

#include "capi/guard.hpp"
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

const error* last_remembered() noexcept {
  const auto& last = last_error();
  return last ? &*last : nullptr;
}

void reject_struct_size(const char* name, std::size_t size, std::size_t known) {
  lull::detail::fail(status::invalid_argument,
                     "{}->struct_size is {}; this lull knows {} bytes: set it with the struct's "
                     "_init function or sizeof, and zero what is newer than the library",
                     name, size, known);
}

}  // namespace lull::capi

using lull::capi::last_error;

const char* lull_last_error_message(void) {
  const auto& last = last_error();
  return last ? last->what() : "";
}

lull_status lull_last_error_status(void) {
  const auto& last = last_error();
  return last ? static_cast<lull_status>(last->code()) : LULL_OK;
}

lull_status lull_last_error_vendor(lull_vendor_failure* failure) {
  bool found = false;
  const lull_status code = lull::capi::guard([&] {
    lull::capi::expect_versioned(failure, "failure");
    const auto& last = last_error();
    if (!last || last->vendor() == nullptr) return;
    const lull::vendor_failure& vendor = *last->vendor();
    lull_vendor_failure value{};
    value.code = vendor.code;
    lull::capi::set_text(value.device, vendor.device);
    lull::capi::set_text(value.call, vendor.call);
    lull::capi::set_text(value.words, vendor.words);
    lull::capi::write_versioned(failure, value, "failure");
    found = true;
  });
  return code == LULL_OK && !found ? LULL_ERROR_NOT_FOUND : code;
}
