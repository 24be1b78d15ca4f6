#include "server/responses.hpp"

#include <lull/error.hpp>

#include "server/json.hpp"

namespace example {
namespace {

constexpr const char* json_type = "application/json";

}  // namespace

void set_json(httplib::Response& response, const nlohmann::json& body) {
  response.set_content(to_text(body), json_type);
}

void set_error(httplib::Response& response, int code, std::string_view type,
               std::string_view message) {
  response.status = code;
  if (code == 503) response.set_header("Retry-After", "1");
  response.set_content(error_body(code, type, message), json_type);
}

void set_error(httplib::Response& response, const std::exception& failure) {
  using lull::status;
  if (const auto* const ours = dynamic_cast<const lull::error*>(&failure)) {
    switch (ours->code()) {
      case status::timed_out: return set_error(response, 504, "timeout", ours->what());
      case status::busy: return set_error(response, 409, "busy", ours->what());
      case status::unsupported:
      case status::invalid_argument:
        return set_error(response, 400, "invalid_request_error", ours->what());
      default: return set_error(response, 503, "unavailable_error", ours->what());
    }
  }
  if (dynamic_cast<const bad_request*>(&failure) != nullptr) {
    return set_error(response, 400, "invalid_request_error", failure.what());
  }
  set_error(response, 500, "server_error", failure.what());
}

void explain(httplib::Response& response) {
  set_error(response, response.status, "invalid_request_error",
            response.status == 413 ? "the body is too large"
                                   : "this is no HTTP request that can be understood");
}

}  // namespace example
