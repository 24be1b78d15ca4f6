#include "server/json.hpp"

namespace example {
namespace {

using nlohmann::json;

json to_json(const std::optional<std::uint64_t>& figure) {
  return figure ? json(*figure) : json(nullptr);  // null: not known or no bound, which is not 0
}

json to_json(const lull::device_report& report) {
  return {{"device", report.device},
          {"copied_bytes", report.copied_bytes},
          {"discarded_bytes", report.discarded_bytes},
          {"refilled_bytes", report.refilled_bytes},
          {"used_before_bytes", to_json(report.before.used_by_process_bytes)},
          {"used_after_bytes", to_json(report.after.used_by_process_bytes)},
          {"known_by", std::string(to_string(report.after.source))}};
}

}  // namespace

double milliseconds(lull::duration span) noexcept {
  return std::chrono::duration<double, std::milli>(span).count();
}

json to_json(const lull::transition_report& report) {
  json result{
      {"transition", report.way == lull::transition_report::direction::sleep ? "sleep" : "wake"},
      {"plan", report.plan},
      {"succeeded", report.succeeded},
      {"elapsed_ms", milliseconds(report.elapsed)},
      {"steps", json::array()},
      {"devices", json::array()}};
  if (!report.succeeded) {
    result["failure"] = report.failure;
    result["rolled_back"] = report.rolled_back;
  }
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

}  // namespace example
