#include <lull/error.hpp>

#include <array>

#include "vocabulary/raw_enum.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

struct status_words {
  const char* name;    // as in the C API
  const char* text;    // for people
  const char* symbol;  // as in the C++ API
};

// In the order of the codes, which are dense from 0.
constexpr std::array<status_words, LULL_ERROR_INTERNAL + 1> words{{
    {"LULL_OK", "no error", "ok"},
    {"LULL_ERROR_INVALID_ARGUMENT", "an argument is outside its range", "invalid_argument"},
    {"LULL_ERROR_NOT_FOUND", "there is no such thing", "not_found"},
    {"LULL_ERROR_UNSUPPORTED", "not available here", "unsupported"},
    {"LULL_ERROR_OUT_OF_DEVICE_MEMORY", "out of device memory", "out_of_device_memory"},
    {"LULL_ERROR_OUT_OF_HOST_MEMORY", "out of host memory", "out_of_host_memory"},
    {"LULL_ERROR_BUSY", "in use", "busy"},
    {"LULL_ERROR_TIMED_OUT", "the deadline passed", "timed_out"},
    {"LULL_ERROR_CANCELLED", "cancelled by the caller", "cancelled"},
    {"LULL_ERROR_NOT_RESIDENT", "the contents are not on the device", "not_resident"},
    {"LULL_ERROR_STALE", "made before the device's context was reset", "stale"},
    {"LULL_ERROR_IO", "reading or writing a file failed", "io"},
    {"LULL_ERROR_BAD_MODULE", "not a usable backend module", "bad_module"},
    {"LULL_ERROR_BACKEND", "the vendor's runtime reported a failure", "backend"},
    {"LULL_ERROR_CALLBACK", "a callback failed", "callback"},
    {"LULL_ERROR_INTERNAL", "a bug in lull", "internal"},
}};

constexpr status_words unknown{"LULL_ERROR_?", "unknown status", "?"};

const status_words& words_for(int code) noexcept {
  return code >= 0 && static_cast<std::size_t>(code) < words.size()
             ? words[static_cast<std::size_t>(code)]
             : unknown;
}

}  // namespace

std::string_view to_string(status code) noexcept {
  return words_for(static_cast<int>(code)).symbol;
}

error::error(status code, const std::string& message) : std::runtime_error(message), code_(code) {}

error::error(status code, const std::string& message, vendor_failure failure)
    : std::runtime_error(message),
      code_(code),
      vendor_(std::make_shared<const vendor_failure>(std::move(failure))) {}

std::string_view error::device() const noexcept {
  return vendor_ ? std::string_view{vendor_->device} : std::string_view{};
}

error error::with_context(std::string_view context) const {
  error outer(code_, detail::text("{}: {}", context, what()));
  outer.vendor_ = vendor_;
  return outer;
}

}  // namespace lull

const char* lull_status_name(lull_status status) {
  return lull::words_for(lull::detail::raw(status)).name;
}

const char* lull_status_text(lull_status status) {
  return lull::words_for(lull::detail::raw(status)).text;
}
