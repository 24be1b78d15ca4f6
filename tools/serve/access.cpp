#include "access.hpp"

#include <algorithm>
#include <boost/beast/core/string.hpp>

#include <fmt/format.h>

namespace lull::serve {
namespace {

namespace http = boost::beast::http;

std::string_view value_of(const header_fields& asked, std::string_view name) {
  const auto found = asked.find({name.data(), name.size()});
  if (found == asked.end()) return {};
  return {found->value().data(), found->value().size()};
}

bool same_letters(std::string_view a, std::string_view b) {
  return boost::beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

/// "[::1]:8080" and "localhost:8080" without the port.
std::string_view without_port(std::string_view host) noexcept {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool is_loopback_name(std::string_view name) {
  const bool address = name.starts_with("127.") && std::count(name.begin(), name.end(), '.') == 3 &&
                       name.find_first_not_of("0123456789.") == std::string_view::npos;
  return address || name == "[::1]" || same_letters(name, "localhost");
}

bool is_allowed(const access_rules& rules, std::string_view host) {
  const std::string_view name = without_port(host);
  return std::any_of(rules.allowed_hosts.begin(), rules.allowed_hosts.end(),
                     [&](const std::string& each) {
                       return same_letters(each, name) || same_letters(each, host);
                     });
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

std::optional<refusal> check_origin(const access_rules& rules, const header_fields& asked) {
  constexpr unsigned forbidden = 403;
  const std::string_view host = value_of(asked, "host");
  if (rules.loopback && !host.empty() && !is_loopback_name(without_port(host)) &&
      !is_allowed(rules, host)) {
    return refusal{
        forbidden, fmt::format("this router does not answer to the name '{}'", host), {}};
  }
  const std::string_view origin = value_of(asked, "origin");
  if (origin.empty()) return {};
  const std::size_t scheme = origin.find("://");
  const std::string_view from =
      scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
  const bool page = origin.starts_with("http://") || origin.starts_with("https://");
  if (page && (same_letters(from, host) || is_allowed(rules, from))) return {};
  return refusal{forbidden, fmt::format("pages of '{}' may not ask this router", origin), {}};
}

bool has_token(const access_rules& rules, const header_fields& asked) {
  if (!rules.token) return true;
  constexpr std::string_view scheme = "bearer ";
  const std::string_view given = value_of(asked, "authorization");
  return given.size() > scheme.size() && same_letters(given.substr(0, scheme.size()), scheme) &&
         same_secret(given.substr(scheme.size()), *rules.token);
}

std::optional<refusal> check_change(const access_rules& rules, const header_fields& asked) {
  // Browsers say for which site they ask; what is no browser does not.
  const std::string_view site = value_of(asked, "sec-fetch-site");
  if (!site.empty() && site != "same-origin" && site != "none") {
    return refusal{403, "pages of other sites may not change anything here", {}};
  }
  if (has_token(rules, asked)) return {};
  return refusal{401, "this needs the header 'Authorization: Bearer' with the router's token", {}};
}

}  // namespace lull::serve
