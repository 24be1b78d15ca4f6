#include "answer.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace lull::serve {

using nlohmann::json;

answer answer_of(const refusal& why) {
  constexpr unsigned server_side = 500;
  const char* const type = why.status == 401          ? "authentication_error"
                           : why.status == 429        ? "rate_limit_error"
                           : why.status < server_side ? "invalid_request_error"
                                                      : "server_error";
  answer made = json_answer(
      {{"error", {{"message", why.words}, {"type", type}, {"code", why.status}}}}, why.status);
  if (why.retry_after) {
    made.headers.emplace_back("Retry-After", std::to_string(why.retry_after->count()));
  }
  if (why.status == 401) made.headers.emplace_back("WWW-Authenticate", "Bearer");
  return made;
}

answer json_answer(const json& value, unsigned status) {
  answer made;
  made.status = status;
  made.body = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return made;
}

answer success_answer() {
  return json_answer({{"success", true}});
}

answer text_answer(std::string text) {
  answer made;
  made.body = std::move(text);
  made.type = "text/plain; charset=utf-8";
  return made;
}

answer redirect_answer(const std::string& to) {
  constexpr unsigned found = 302;
  answer made;
  made.status = found;
  made.headers.emplace_back("Location", to);
  return made;
}

answer not_found_answer(std::string_view path) {
  return answer_of({404, fmt::format("there is no {}", path), {}});
}

}  // namespace lull::serve
