#ifndef LULL_BYTES_HPP
#define LULL_BYTES_HPP

/// @file
/// Byte counts: literals, and text that people read and write.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace lull {

/// `using namespace lull::literals` brings 64_MiB and the like.
inline namespace literals {
constexpr std::uint64_t operator""_KiB(unsigned long long n) {
  return n << 10;
}
constexpr std::uint64_t operator""_MiB(unsigned long long n) {
  return n << 20;
}
constexpr std::uint64_t operator""_GiB(unsigned long long n) {
  return n << 30;
}
}  // namespace literals

/// Text in binary units with at most two decimals: "0 B", "1023 B", "1.5 KiB", "15.99 GiB".
/// Rounds half up; never prints a number as large as the next unit ("1024 KiB" is "1 MiB").
LULL_API std::string format_bytes(std::uint64_t bytes);

/// Reads "1073741824", "1GiB", "1.5 GiB", "512m" (units in powers of 1024, with or without "iB" or
/// "B", in any case).
/// @throws error (invalid_argument) that quotes the text: not a number, unknown unit, above 2^64
/// - 1.
LULL_API std::uint64_t parse_bytes(std::string_view text);

}  // namespace lull

#endif  // LULL_BYTES_HPP
