#include "server/requests.hpp"

#include <cstdint>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "server/responses.hpp"

namespace example {
namespace {

using nlohmann::json;

constexpr std::int64_t most_tokens = 4096;
constexpr std::size_t most_body_bytes = std::size_t{4} << 20;

json parse_object(const std::string& body) {
  if (body.empty()) return json::object();
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) throw bad_request("the body must be a JSON object");
  return parsed;
}

/// A member of the request, checked; nothing when it is not there.
template <class T>
std::optional<T> member(const json& object, const char* name, bool (json::*is)() const noexcept,
                        const char* type) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if (!((*found).*is)()) throw bad_request(fmt::format("'{}' must be {}", name, type));
  return found->template get<T>();
}

}  // namespace

bool has_body(const httplib::Request& request) {
  return request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
}

std::optional<std::string> read_body(const httplib::Request& request, httplib::Response& response,
                                     const httplib::ContentReader& reader) {
  std::string body;
  if (!has_body(request)) return body;
  if (request.is_multipart_form_data()) throw bad_request("the body must be a JSON object");
  // Counted here too: cpp-httplib's own limit does not hold for chunked bodies. What is too much is
  // read all the same, so that the client gets to see the answer.
  std::size_t bytes = 0;
  const bool complete = reader([&](const char* text, std::size_t count) {
    bytes += count;
    if (bytes <= most_body_bytes) body.append(text, count);
    return true;
  });
  if (!complete) return std::nullopt;
  if (bytes > most_body_bytes) {
    response.status = 413;
    return std::nullopt;
  }
  return body;
}

completion_request parse_completion(const std::string& body) {
  const json object = parse_object(body);
  auto prompt = member<std::string>(object, "prompt", &json::is_string, "a string");
  if (!prompt) throw bad_request("'prompt' is missing");
  // As wide as JSON's numbers: a narrower one would let 2^32 + 1 pass for 1.
  const auto tokens =
      member<std::int64_t>(object, "n_predict", &json::is_number_integer, "a whole number")
          .value_or(16);
  if (tokens < 1 || tokens > most_tokens) {
    throw bad_request(fmt::format("'n_predict' must be 1 to {}", most_tokens));
  }
  const auto stream = member<bool>(object, "stream", &json::is_boolean, "true or false");
  return {std::move(*prompt), static_cast<int>(tokens), stream.value_or(false)};
}

std::optional<std::string> parse_sleep(const std::string& body) {
  return member<std::string>(parse_object(body), "level", &json::is_string, "a string");
}

}  // namespace example
