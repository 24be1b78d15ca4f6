#ifndef LULL_VOCABULARY_RAW_ENUM_HPP
#define LULL_VOCABULARY_RAW_ENUM_HPP

#include <cstdint>
#include <cstring>

namespace lull::detail {

/// The number in an enumeration that came from C, where it may be any. Reading it as the
/// enumeration would be undefined when it is none of its values.
template <class Enum>
std::int32_t raw(const Enum& value) noexcept {
  static_assert(sizeof(Enum) == sizeof(std::int32_t));
  std::int32_t number = 0;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_RAW_ENUM_HPP
