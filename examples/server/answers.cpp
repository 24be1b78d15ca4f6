#include "server/answers.hpp"

#include <lull/error.hpp>

namespace example {
namespace {

using nlohmann::json;

json to_json(const std::optional<std::uint64_t>& figure) {
  return figure ? json(*figure) : json(nullptr);  // null: not known or no bound, which is not 0
}

json to_json(const lull::device_report& report) {
  return {{"device", report.device},
          {"moved_regions", report.moved.size()},
          {"copied_bytes", report.copied_bytes},
          {"discarded_bytes", report.discarded_bytes},
          {"refilled_bytes", report.refilled_bytes},
          {"used_before_bytes", to_json(report.before.used_by_process_bytes)},
          {"used_after_bytes", to_json(report.after.used_by_process_bytes)},
          {"known_by", std::string(to_string(report.after.source))}};
}

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

double milliseconds(lull::duration span) noexcept {
  return std::chrono::duration<double, std::milli>(span).count();
}

json to_json(const lull::transition_report& report) {
  json result{{"transition", std::string(to_string(report.way))},
              {"plan", report.plan},
              {"succeeded", report.succeeded},
              {"elapsed_ms", milliseconds(report.elapsed)},
              {"steps", json::array()},
              {"devices", json::array()}};
  if (!report.succeeded) {
    result["failure"] = report.failure;
    result["rolled_back"] = report.rolled_back;
  }
  if (!report.fell_back_from.empty()) result["fell_back_from"] = report.fell_back_from;
  if (!report.problems.empty()) result["problems"] = report.problems;
  for (const lull::step_report& step : report.steps) {
    result["steps"].push_back(
        {{"name", step.name}, {"elapsed_ms", milliseconds(step.elapsed)}, {"bytes", step.bytes}});
  }
  for (const lull::device_report& device : report.devices) {
    result["devices"].push_back(to_json(device));
  }
  return result;
}

json to_json(const lull::graph_limits& limits) {
  return {{"entries", to_json(limits.entries)},
          {"bytes", to_json(limits.bytes)},
          {"idle_seconds",
           limits.idle_time ? json(milliseconds(*limits.idle_time) / 1000) : json(nullptr)}};
}

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

http::answer json_answer(const json& body) {
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
