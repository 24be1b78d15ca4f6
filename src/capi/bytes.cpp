#include <lull/bytes.hpp>
#include <lull/c/bytes.h>

#include <algorithm>
#include <cstring>

#include "capi/guard.hpp"

using lull::capi::guard;
using lull::capi::required;

lull_status lull_bytes_format(uint64_t bytes, char* text, size_t text_size) {
  return guard([&] {
    required(text, "text");
    if (text_size == 0) throw lull::error(lull::status::invalid_argument, "text_size is 0");
    const std::string formatted = lull::format_bytes(bytes);
    const std::size_t length = std::min(formatted.size(), text_size - 1);
    std::memcpy(text, formatted.data(), length);
    text[length] = '\0';
  });
}

lull_status lull_bytes_parse(const char* text, uint64_t* bytes) {
  return guard([&] {
    auto& result = required(bytes, "bytes");
    result = lull::parse_bytes(&required(text, "text"));
  });
}
