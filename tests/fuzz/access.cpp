// Who may ask: the headers that a browser or a stranger sends.

#include "http/access.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "expect.hpp"

namespace {

/// Whether a check lets a request pass.
template <class Check>
bool passes(Check check, int status) {
  try {
    check();
    return true;
  } catch (const http::refusal& fault) {
    expect(fault.status() == status, "a refusal says why");
    return false;
  }
}

bool holds(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [](char a, char b) {
           const auto lower = [](char c) {
             return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
           };
           return lower(a) == lower(b);
         }) != text.end();
}

}  // namespace

/// Five lines: Host, Origin, Authorization, Content-Type, and the body; an empty one is absent.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  std::string_view rest(reinterpret_cast<const char*>(bytes), count);
  http::request asked;
  std::array<std::string, 5> lines;
  for (std::string& line : lines) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto& [host, origin, authorization, type, body] = lines;
  if (!host.empty()) asked.headers.emplace_back("host", host);
  if (!origin.empty()) asked.headers.emplace_back("origin", origin);
  if (!authorization.empty()) asked.headers.emplace_back("authorization", authorization);
  if (!type.empty()) asked.headers.emplace_back("content-type", type);
  asked.body = body;

  const http::access_rules open_to_this_machine;
  if (passes([&] { http::check_origin(open_to_this_machine, asked); }, 403)) {
    expect(host.empty() || holds(host, "localhost") || holds(host, "127.") || holds(host, "[::1]"),
           "only names of this machine");
    expect(origin.empty() || holds(origin, host), "only pages of this server");
  }
  const http::access_rules guarded{.token = "secret"};
  if (passes([&] { http::check_token(guarded, asked); }, 401)) {
    expect(authorization.size() == 13 && authorization.ends_with(" secret"), "only with the token");
  }
  if (passes([&] { http::check_is_json(asked); }, 415)) {
    expect((type.empty() && body.empty()) || holds(type, "application/json"), "only JSON");
  }
  return 0;
}
