#include "vocabulary/text.hpp"

#include <system_error>

namespace lull::detail {
namespace {

template <class... Number>
void append_number(std::string& result, Number... number) {
  std::array<char, 400> digits{};  // a double in fixed notation has up to 309 before the point
  const auto [end, failed] = std::to_chars(digits.data(), digits.data() + digits.size(), number...);
  result.append(digits.data(), failed == std::errc() ? end : digits.data());
}

}  // namespace

void text_argument::append_to(std::string& result) const {
  switch (kind_) {
    case kind::signed_number: append_number(result, signed_); break;
    case kind::unsigned_number: append_number(result, unsigned_); break;
    case kind::character: result += character_; break;
    case kind::floating: append_number(result, floating_); break;
    case kind::words: result += words_; break;
  }
}

std::string fill_pattern(std::string_view pattern, std::span<const text_argument> arguments) {
  std::string result;
  for (const text_argument& argument : arguments) {
    const std::size_t place = pattern.find("{}");
    result += pattern.substr(0, place);
    argument.append_to(result);
    pattern.remove_prefix(place + 2);
  }
  return result += pattern;
}

void fail_call(status kind, const char* call, int code, const std::string& what) {
  const std::string words = std::generic_category().message(code);
  throw error(kind, text("{}: {} ({})", what, words, call), vendor_failure{"", call, code, words});
}

std::string hex(std::uint64_t value) {
  std::string result = "0x";
  append_number(result, value, 16);
  return result;
}

std::string hex(const void* address) {
  return hex(reinterpret_cast<std::uintptr_t>(address));
}

std::string fixed(double value, int digits) {
  std::string result;
  append_number(result, value, std::chars_format::fixed, digits);
  return result;
}

}  // namespace lull::detail
