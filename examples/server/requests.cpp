#include "server/requests.hpp"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace example {
namespace {

using http::refusal;
using nlohmann::json;

constexpr std::int64_t most_tokens = 4096;

json parse_object(const std::string& body) {
  if (body.empty()) return json::object();
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) throw refusal(400, "the body must be a JSON object");
  return parsed;
}

/// A member of the request, checked; nothing when it is not there.
template <class T>
std::optional<T> member(const json& object, const char* name, bool (json::*is)() const noexcept,
                        const char* type) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if (!((*found).*is)()) throw refusal(400, fmt::format("'{}' must be {}", name, type));
  return found->template get<T>();
}

/// Empty: none is named.
std::string model_in(const json& object) {
  return member<std::string>(object, "model", &json::is_string, "a string").value_or("");
}

std::string level_named(const std::string& text) {
  if (text == "1") return "offload";
  if (text == "2") return "discard";
  if (text.find_first_not_of("0123456789") == std::string::npos) {
    throw refusal(400, fmt::format("there is no level {}: 1 offloads, 2 discards", text));
  }
  return text;
}

std::string tag_named(const std::string& text) {
  if (text == "weights" || text == "kv") return text;
  if (text == "kv_cache") return "kv";
  throw refusal(400, fmt::format("there is no tag '{}': there are weights and kv", text));
}

void read_level(const json& value, sleep_request& into) {
  if (value.is_string()) {
    into.level = level_named(value.get<std::string>());
  } else if (value.is_number_integer()) {
    into.level = level_named(value.dump());
  } else {
    throw refusal(400, "'level' must be a string, or 1 or 2");
  }
}

void read_tags(const json& value, sleep_request& into) {
  const auto is_string = [](const json& each) { return each.is_string(); };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_string)) {
    throw refusal(400, "'tags' must be a list of strings");
  }
  into.tags.clear();
  for (const json& each : value) into.tags.push_back(tag_named(each.get<std::string>()));
}

}  // namespace

std::string model_in(const http::fields& query) {
  const std::string* const name = http::find(query, "model");
  return name == nullptr ? std::string() : *name;
}

completion_request parse_completion(const std::string& body) {
  const json object = parse_object(body);
  auto prompt = member<std::string>(object, "prompt", &json::is_string, "a string");
  if (!prompt) throw refusal(400, "'prompt' is missing");
  // As wide as JSON's numbers: a narrower one would let 2^32 + 1 pass for 1.
  const auto tokens =
      member<std::int64_t>(object, "n_predict", &json::is_number_integer, "a whole number")
          .value_or(16);
  if (tokens < 1 || tokens > most_tokens) {
    throw refusal(400, fmt::format("'n_predict' must be 1 to {}", most_tokens));
  }
  const auto stream = member<bool>(object, "stream", &json::is_boolean, "true or false");
  return {model_in(object), std::move(*prompt), static_cast<int>(tokens), stream.value_or(false)};
}

sleep_request parse_sleep(const http::request& asked) {
  sleep_request result{.model = model_in(asked.query)};
  for (const auto& [name, value] : asked.query) {
    if (name == "level") result.level = level_named(value);
    if (name == "tags") result.tags.push_back(tag_named(value));
  }
  const json object = parse_object(asked.body);
  if (object.contains("model")) result.model = model_in(object);
  if (const auto level = object.find("level"); level != object.end()) read_level(*level, result);
  if (const auto tags = object.find("tags"); tags != object.end()) read_tags(*tags, result);
  return result;
}

}  // namespace example
