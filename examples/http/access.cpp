#include "http/access.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace http {
namespace {

bool same_letters(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

/// "[::1]:8080" and "localhost:8080" without the port.
std::string_view without_port(std::string_view host) noexcept {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

/// An IPv4 address 127.x.y.z, and not a name that begins like one.
bool is_loopback_address(std::string_view host) noexcept {
  return host.starts_with("127.") && std::count(host.begin(), host.end(), '.') == 3 &&
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool names_this_machine(std::string_view host, const access_rules& rules) noexcept {
  const std::string_view name = without_port(host);
  return same_letters(name, "localhost") || name == "[::1]" || is_loopback_address(name) ||
         (!rules.host.empty() && same_letters(name, rules.host));
}

/// Takes as long whichever byte is wrong.
bool same_secret(std::string_view a, std::string_view b) noexcept {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    different |=
        static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(i < b.size() ? b[i] : 0);
  }
  return different == 0;
}

}  // namespace

void check_origin(const access_rules& rules, const request& asked) {
  const std::string* const host = find(asked.headers, "host");
  // Browsers send both, the origin with whatever may change something; what is no browser needs
  // neither.
  if (rules.token.empty() && rules.loopback && host != nullptr &&
      !names_this_machine(*host, rules)) {
    throw refusal(403, fmt::format("this server does not answer to the name '{}'", *host));
  }
  const std::string* const origin = find(asked.headers, "origin");
  if (origin == nullptr) return;
  if (host == nullptr ||
      !(same_letters(*origin, "http://" + *host) || same_letters(*origin, "https://" + *host))) {
    throw refusal(403, fmt::format("pages of '{}' may not ask this server", *origin));
  }
}

void check_token(const access_rules& rules, const request& asked) {
  if (rules.token.empty()) return;
  constexpr std::string_view scheme = "bearer ";
  const std::string* const given = find(asked.headers, "authorization");
  const std::string_view text = given == nullptr ? std::string_view() : *given;
  if (!same_letters(text.substr(0, scheme.size()), scheme) ||
      !same_secret(text.substr(scheme.size()), rules.token)) {
    throw refusal(401, "this needs the header 'Authorization: Bearer' with the server's token");
  }
}

void check_is_json(const request& asked) {
  const std::string* const type = find(asked.headers, "content-type");
  if (type == nullptr && asked.body.empty()) return;
  const std::string_view essence =
      type == nullptr ? std::string_view() : std::string_view(*type).substr(0, type->find(';'));
  if (!same_letters(essence.substr(0, essence.find_last_not_of(" \t") + 1), "application/json")) {
    throw refusal(415, "the Content-Type must be application/json");
  }
}

}  // namespace http
