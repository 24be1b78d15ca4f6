#include "duration_option.hpp"

#include <lull/error.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace lull::tool {
namespace {

using seconds = std::chrono::duration<double>;

constexpr double longest_seconds = 86400;  // beyond that it is a mistake rather than a wish

constexpr std::array<std::pair<std::string_view, double>, 4> units{
    {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}}};

[[noreturn]] void refuse(const std::string& text) {
  throw error(
      status::invalid_argument,
      fmt::format("'{}' is no duration; they look like 500ms, 2s, 1.5s or 3m, up to 1440m", text));
}

}  // namespace

duration parse_duration(const std::string& text) {
  double count = 0;
  const char* const end = text.data() + text.size();
  const auto [unit, failed] = std::from_chars(text.data(), end, count, std::chars_format::fixed);
  if (failed != std::errc{}) refuse(text);
  for (const auto& [name, factor] : units) {
    if (name != std::string_view(unit, static_cast<std::size_t>(end - unit))) continue;
    // Written so that a NaN is refused too.
    if (!(count >= 0 && count * factor <= longest_seconds)) refuse(text);
    return std::chrono::round<duration>(seconds{count * factor});
  }
  refuse(text);
}

std::string duration_text(duration span) {
  const double count = seconds{span}.count();
  return count != 0 && count < 1 ? fmt::format("{:g}ms", count * 1e3) : fmt::format("{:g}s", count);
}

CLI::Option* add_duration_option(CLI::App& command, const std::string& name, duration& value,
                                 const std::string& description) {
  const auto parse = [&value, name](const std::string& text) {
    try {
      value = parse_duration(text);
    } catch (const error& failure) {
      throw CLI::ValidationError(name, failure.what());
    }
  };
  return command.add_option_function<std::string>(name, parse, description)
      ->default_str(duration_text(value))
      ->type_name("DURATION");
}

}  // namespace lull::tool
