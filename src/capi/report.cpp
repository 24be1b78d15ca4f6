#include <lull/report.hpp>

#include "capi/guard.hpp"
#include "capi/handles.hpp"
#include "vocabulary/text.hpp"

using lull::capi::guard;
using lull::capi::required;
using lull::capi::set_text;
using lull::capi::write_versioned;

namespace lull::capi {
namespace {

/// @throws error (not_found) that says how many there are
template <class Value>
const Value& element(const std::vector<Value>& list, std::size_t index, const char* of) {
  if (index < list.size()) return list[index];
  lull::detail::fail(status::not_found, "the report has {} {}", list.size(), of);
}

}  // namespace

lull_report make_report(transfer_report report, std::string what) {
  lull_report result;
  result.what = std::move(what);
  result.elapsed = report.elapsed;
  result.steps = std::move(report.steps);
  result.devices = std::move(report.devices);
  return result;
}

lull_report make_report(transition_report report) {
  lull_report result;
  result.what = report.way == transition_report::direction::sleep ? "sleep" : "wake";
  result.plan = std::move(report.plan);
  result.failure = std::move(report.failure);
  result.succeeded = report.succeeded;
  result.rolled_back = report.rolled_back;
  result.elapsed = report.elapsed;
  result.steps = std::move(report.steps);
  result.devices = std::move(report.devices);
  return result;
}

}  // namespace lull::capi

lull_status lull_report_get_summary(const lull_report* report, lull_report_summary* summary) {
  return guard([&] {
    const lull_report& from = required(report, "report");
    lull_report_summary value{};
    value.succeeded = from.succeeded ? 1 : 0;
    value.rolled_back = from.rolled_back ? 1 : 0;
    value.elapsed_ns = from.elapsed.count();
    value.step_count = from.steps.size();
    value.device_count = from.devices.size();
    set_text(value.what, from.what);
    set_text(value.plan, from.plan);
    set_text(value.failure, from.failure);
    write_versioned(summary, value, "summary");
  });
}

lull_status lull_report_get_step(const lull_report* report, size_t index, lull_step_report* step) {
  return guard([&] {
    const auto& from = lull::capi::element(required(report, "report").steps, index, "steps");
    lull_step_report value{};
    value.elapsed_ns = from.elapsed.count();
    value.bytes = from.bytes;
    set_text(value.name, from.name);
    write_versioned(step, value, "step");
  });
}

lull_status lull_report_get_device(const lull_report* report, size_t index,
                                   lull_device_report* device) {
  return guard([&] {
    const auto& from = lull::capi::element(required(report, "report").devices, index, "devices");
    lull_device_report value{};
    value.copied_bytes = from.copied_bytes;
    value.discarded_bytes = from.discarded_bytes;
    value.refilled_bytes = from.refilled_bytes;
    value.used_before_bytes = from.before.used_by_process_bytes.value_or(LULL_UNKNOWN);
    value.used_after_bytes = from.after.used_by_process_bytes.value_or(LULL_UNKNOWN);
    value.free_before_bytes = from.before.free_bytes.value_or(LULL_UNKNOWN);
    value.free_after_bytes = from.after.free_bytes.value_or(LULL_UNKNOWN);
    value.source = static_cast<lull_memory_source>(from.after.source);
    set_text(value.device, from.device);
    write_versioned(device, value, "device");
  });
}

void lull_report_destroy(lull_report* report) {
  delete report;
}
