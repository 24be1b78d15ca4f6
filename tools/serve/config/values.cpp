#include "values.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {
namespace {

template <class... Arguments>
[[noreturn]] void refuse(fmt::format_string<Arguments...> pattern, Arguments&&... arguments) {
  throw std::invalid_argument(fmt::format(pattern, std::forward<Arguments>(arguments)...));
}

std::string lower(std::string_view text) {
  std::string letters(text);
  for (char& c : letters) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return letters;
}

/// The number that a text begins with, and the rest. No sign, no exponent, no nan and no inf.
std::optional<std::pair<double, std::string_view>> number_first(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  const auto [stop, failed] =
      std::from_chars(text.data(), text.data() + end, number, std::chars_format::fixed);
  if (failed != std::errc{} || stop != text.data() + end) return std::nullopt;
  return std::pair{number, text.substr(end)};
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t port = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || failed != std::errc{} || stop != text.data() + text.size()) return {};
  return port;
}

bool is_host(std::string_view text, bool is_ipv6) {
  if (text.empty() || text.size() > 253) return false;
  for (const char c : text) {
    const bool is_digit = (c >= '0' && c <= '9') || c == '.';
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!(is_digit || is_letter || (is_ipv6 ? c == ':' || c == '%' : c == '-' || c == '_'))) {
      return false;
    }
  }
  return true;
}

/// "host:port" or "[address]:port"; without a port the one given.
std::optional<endpoint> host_and_port(std::string_view text,
                                      std::optional<std::uint16_t> otherwise) {
  const bool is_ipv6 = text.starts_with('[');
  std::string_view host;
  std::string_view rest;
  if (is_ipv6) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    rest = text.substr(end + 1);
  } else {
    const std::size_t end = std::min(text.find(':'), text.size());
    host = text.substr(0, end);
    rest = text.substr(end);
  }
  if (!is_host(host, is_ipv6)) return std::nullopt;
  if (rest.empty()) {
    if (!otherwise) return std::nullopt;
    return endpoint{.host = std::string(host), .port = *otherwise};
  }
  const auto port = rest.front() == ':' ? port_number(rest.substr(1)) : std::nullopt;
  if (!port) return std::nullopt;
  return endpoint{.host = std::string(host), .port = *port};
}

}  // namespace

duration parse_span(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 6> units{
      {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}};
  constexpr double longest_seconds = 10 * 365 * 86400.0;
  const auto parts = number_first(text);
  if (parts) {
    for (const auto& [unit, seconds] : units) {
      if (parts->second != unit) continue;
      const double span = parts->first * seconds;
      if (!(span <= longest_seconds)) refuse("'{}' is above ten years", text);
      return std::chrono::round<duration>(std::chrono::duration<double>{span});
    }
  }
  refuse("'{}' is no duration; they look like 30 (seconds), 500ms, 90s, 5m or 2h", text);
}

std::int64_t parse_whole(std::string_view text, std::int64_t least, std::int64_t most) {
  std::int64_t number = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failed != std::errc{} || stop != text.data() + text.size() ||
      number < least || number > most) {
    refuse("'{}' is no whole number from {} to {}", text, least, most);
  }
  return number;
}

bool parse_flag(std::string_view text) {
  const std::string word = lower(text);
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  refuse("'{}' is neither true nor false", text);
}

std::uint64_t parse_size(std::string_view text) {
  try {
    return parse_bytes(text);
  } catch (const error& failure) {
    throw std::invalid_argument(failure.what());
  }
}

margin parse_margin(std::string_view text) {
  if (!text.ends_with('%')) return {.bytes = parse_size(text)};
  const auto parts = number_first(text);
  if (!parts || parts->second != "%" || !(parts->first < 100)) {
    refuse("'{}' is no margin; they look like 1GiB or 5%, below 100%", text);
  }
  return {.share = parts->first / 100};
}

endpoint parse_listen(std::string_view text) {
  if (const auto port = port_number(text)) return {.host = "127.0.0.1", .port = *port};
  if (text.starts_with(':')) {
    if (const auto port = port_number(text.substr(1))) return {.host = "0.0.0.0", .port = *port};
  }
  if (const auto found = host_and_port(text, std::nullopt)) return *found;
  refuse("'{}' is nothing to listen on; write 8080, 127.0.0.1:8080, [::1]:8080 or :8080 (all)",
         text);
}

url parse_url(std::string_view text) {
  constexpr std::string_view scheme = "http://";
  if (lower(text.substr(0, 8)) == "https://") {
    refuse("'{}': servers are spoken to by http:// only", text);
  }
  const bool is_http = lower(text.substr(0, scheme.size())) == scheme;
  const std::string_view rest = is_http ? text.substr(scheme.size()) : std::string_view{};
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const auto where = host_and_port(rest.substr(0, slash), 80);
  std::string_view path = rest.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (!where || where->port == 0 || path.find_first_of(" \t\r\n?#") != std::string_view::npos) {
    refuse("'{}' is no address of a server; they look like http://127.0.0.1:9000", text);
  }
  return {.where = *where, .path = std::string(path)};
}

}  // namespace lull::serve
