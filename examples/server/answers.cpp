#include "server/answers.hpp"

#include <lull/error.hpp>

namespace example {
namespace {

std::string_view type_of(int code) noexcept {
  switch (code) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 409: return "busy";
    case 503: return "unavailable_error";
    case 504: return "timeout";
    default: return code < 500 ? "invalid_request_error" : "server_error";
  }
}

int status_for(lull::status code) noexcept {
  using lull::status;
  switch (code) {
    case status::timed_out: return 504;
    case status::busy: return 409;
    case status::unsupported:
    case status::invalid_argument: return 400;
    default: return 503;
  }
}

}  // namespace

http::answer json_answer(const nlohmann::json& body) {
  return {.body = to_text(body)};
}

http::answer error_answer(int code, std::string_view message) {
  http::answer result{
      .status = code,
      .body =
          to_text({{"error", {{"code", code}, {"type", type_of(code)}, {"message", message}}}})};
  if (code == 401) result.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (code == 503) result.headers.emplace_back("Retry-After", "1");
  return result;
}

http::answer error_answer(const std::exception& failure) {
  if (const auto* const ours = dynamic_cast<const lull::error*>(&failure)) {
    return error_answer(status_for(ours->code()), ours->what());
  }
  const auto* const refusal = dynamic_cast<const http::refusal*>(&failure);
  return error_answer(refusal == nullptr ? 500 : refusal->status(), failure.what());
}

}  // namespace example
