#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <array>
#include <charconv>
#include <cmath>

#include "vocabulary/text.hpp"

namespace lull {
namespace {

constexpr std::array<std::string_view, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view blanks = " \t";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// The power of 1024 that a unit stands for, or -1.
int unit_power(std::string_view unit) noexcept {
  if (unit.empty()) return 0;
  std::string letters;
  for (const char c : unit) letters += lower(c);
  if (letters == "b") return 0;
  constexpr std::string_view prefixes = "kmgtpe";
  const auto power = prefixes.find(letters.front());
  const std::string_view rest = std::string_view{letters}.substr(1);
  if (power == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) return -1;
  return static_cast<int>(power) + 1;
}

[[noreturn]] void reject(std::string_view text, std::string_view why) {
  detail::fail(status::invalid_argument,
               "'{}' is not a byte count: {}; write it as 1073741824, 512MiB or 1.5GiB", text, why);
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
  std::size_t unit = 0;
  while (unit + 1 < units.size() && (bytes >> (10 * (unit + 1))) != 0) ++unit;
  if (unit == 0) return detail::text("{} B", bytes);

  const auto in_unit = static_cast<long double>(bytes) / std::pow(1024.0L, unit);
  auto hundredths = static_cast<std::uint64_t>(in_unit * 100 + 0.5L);
  if (hundredths >= 102400 && unit + 1 < units.size()) {
    hundredths = 100;
    ++unit;
  }
  const auto whole = hundredths / 100;
  const auto part = hundredths % 100;
  if (part == 0) return detail::text("{} {}", whole, units[unit]);
  if (part % 10 == 0) return detail::text("{}.{} {}", whole, part / 10, units[unit]);
  return detail::text("{}.{}{} {}", whole, part / 10, part % 10, units[unit]);
}

std::uint64_t parse_bytes(std::string_view text) {
  const std::string_view trimmed = trim(text);
  const auto digits_end = trimmed.find_first_not_of("0123456789.");
  const std::string_view number = trimmed.substr(0, digits_end);
  const std::string_view unit =
      digits_end == std::string_view::npos ? std::string_view{} : trim(trimmed.substr(digits_end));

  const int power = unit_power(unit);
  if (power < 0) reject(text, detail::text("unknown unit '{}'", unit));

  // Whole numbers are read as such: a double would lose bytes above 2^53.
  if (number.find('.') == std::string_view::npos) {
    std::uint64_t value = 0;
    const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (failed == std::errc::result_out_of_range) reject(text, "above 2^64 - 1");
    if (failed != std::errc{} || end != number.data() + number.size()) reject(text, "no number");
    if (power > 0 && value > (UINT64_MAX >> (10 * power))) reject(text, "above 2^64 - 1");
    return value << (10 * power);
  }
  double value = 0;
  const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (failed != std::errc{} || end != number.data() + number.size()) reject(text, "no number");
  const double bytes = std::ldexp(value, 10 * power);
  if (!(bytes < 0x1p64)) reject(text, "above 2^64 - 1");
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace lull
