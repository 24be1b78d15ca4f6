#include "capi/report.hpp"

#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::capi::guard;
using lull::capi::or_unknown;
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

std::unique_ptr<lull_report> make_transfer_report(const char* what) {
  auto report = std::make_unique<lull_report>();
  report->what = what;
  return report;
}

void fill_in(lull_report& to, transfer_report from) noexcept {
  to.rolled_back = from.rolled_back;
  to.elapsed = from.elapsed;
  to.steps = std::move(from.steps);
  to.devices = std::move(from.devices);
}

std::unique_ptr<lull_report> make_reset_report() {
  auto report = std::make_unique<lull_report>();
  report->what = "reset";
  report->devices.emplace_back();
  return report;
}

void fill_in(lull_report& to, reset_report from) noexcept {
  to.was_reset = from.was_reset;
  to.generation = from.generation;
  to.dropped = std::move(from.dropped);
  to.problems = std::move(from.problems);
  to.elapsed = from.elapsed;
  to.steps = std::move(from.steps);
  lull::device_report& seen = to.devices.front();
  seen.device = std::move(from.device);
  seen.before = from.before;
  seen.after = from.after;
}

void mark_failed(lull_report& to, const error& failure) noexcept {
  to.succeeded = false;
  to.rolled_back = to.rolled_back && !to.was_reset;
  try {
    to.failure = failure.what();
  } catch (const std::bad_alloc&) {
    // The status says it, and the thread's last error.
  }
}

std::unique_ptr<lull_report> make_transition_report() {
  return std::make_unique<lull_report>();
}

void fill_in(lull_report& to, transition_report from) noexcept {
  // Short enough to take no memory.
  to.what = to_string(from.way);
  to.plan = std::move(from.plan);
  to.fell_back_from = std::move(from.fell_back_from);
  to.failure = std::move(from.failure);
  to.succeeded = from.succeeded;
  to.rolled_back = from.rolled_back;
  to.elapsed = from.elapsed;
  to.steps = std::move(from.steps);
  to.devices = std::move(from.devices);
  to.problems = std::move(from.problems);
}

}  // namespace lull::capi

lull_status lull_report_describe(const lull_report* report, lull_report_info* info) {
  return guard([&] {
    const lull_report& from = required(report, "report");
    lull_report_info value{};
    value.succeeded = from.succeeded ? 1 : 0;
    value.rolled_back = from.rolled_back ? 1 : 0;
    value.was_reset = from.was_reset ? 1 : 0;
    value.elapsed_ns = from.elapsed.count();
    value.generation = or_unknown(from.generation);
    value.step_count = from.steps.size();
    value.device_count = from.devices.size();
    value.problem_count = from.problems.size();
    for (const auto& each : from.devices) value.moved_count += each.moved.size();
    set_text(value.what, from.what);
    set_text(value.plan, from.plan);
    set_text(value.dropped, from.dropped);
    set_text(value.failure, from.failure);
    set_text(value.fell_back_from, from.fell_back_from);
    write_versioned(info, value, "info");
  });
}

lull_status lull_report_step(const lull_report* report, size_t index, lull_step_report* step) {
  return guard([&] {
    const lull_report& of = required(report, "report");
    lull::capi::expect_versioned(step, "step");
    const auto& from = lull::capi::element(of.steps, index, "steps");
    lull_step_report value{};
    value.elapsed_ns = from.elapsed.count();
    value.bytes = from.bytes;
    set_text(value.name, from.name);
    write_versioned(step, value, "step");
  });
}

lull_status lull_report_device(const lull_report* report, size_t index,
                               lull_device_report* device) {
  return guard([&] {
    const lull_report& of = required(report, "report");
    lull::capi::expect_versioned(device, "device");
    const auto& from = lull::capi::element(of.devices, index, "devices");
    lull_device_report value{};
    value.copied_bytes = from.copied_bytes;
    value.discarded_bytes = from.discarded_bytes;
    value.refilled_bytes = from.refilled_bytes;
    value.used_before_bytes = or_unknown(from.before.used_by_process_bytes);
    value.used_after_bytes = or_unknown(from.after.used_by_process_bytes);
    value.free_before_bytes = or_unknown(from.before.free_bytes);
    value.free_after_bytes = or_unknown(from.after.free_bytes);
    value.source = static_cast<lull_memory_source>(from.after.source);
    set_text(value.device, from.device);
    value.staged_bytes = from.staged_bytes;
    set_text(value.staged_because, from.staged_because);
    write_versioned(device, value, "device");
  });
}

lull_status lull_report_moved(const lull_report* report, size_t index, lull_moved_region* moved) {
  return guard([&] {
    const lull_report& of = required(report, "report");
    lull::capi::expect_versioned(moved, "moved");
    std::size_t before = 0;
    for (const lull::device_report& device : of.devices) {
      if (index - before >= device.moved.size()) {
        before += device.moved.size();
        continue;
      }
      const lull::region_move& from = device.moved[index - before];
      lull_moved_region value{};
      value.from = from.from;
      value.to = from.to;
      value.size_bytes = from.size_bytes;
      set_text(value.region, from.region);
      set_text(value.device, device.device);
      return write_versioned(moved, value, "moved");
    }
    lull::detail::fail(lull::status::not_found, "the report has {} regions that moved", before);
  });
}

lull_status lull_report_problem(const lull_report* report, size_t index, const char** problem) {
  return guard([&] {
    const lull_report& of = required(report, "report");
    auto& result = required(problem, "problem");
    result = lull::capi::element(of.problems, index, "problems").c_str();
  });
}

void lull_report_destroy(lull_report* report) {
  delete report;
}
