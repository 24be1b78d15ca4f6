#include <lull/sleeper.hpp>

#include <algorithm>

namespace lull {
namespace {

/// What a later transfer of the same transition did on a device, added to the earlier ones.
void merge(device_report& into, const device_report& later) {
  into.copied_bytes += later.copied_bytes;
  into.discarded_bytes += later.discarded_bytes;
  into.refilled_bytes += later.refilled_bytes;
  into.after = later.after;
}

}  // namespace

transition::transition(const clock& time, std::stop_token stop, progress_callback progress)
    : clock_(&time), stop_(std::move(stop)), progress_(std::move(progress)) {}

void transition::step(std::string_view name, const std::function<void()>& work) {
  const time_point begun = clock_->now();
  const auto record = [&] { steps_.push_back({std::string{name}, clock_->now() - begun, 0}); };
  try {
    work();
  } catch (...) {
    record();
    throw;
  }
  record();
}

void transition::add(transfer_report report) {
  std::move(report.steps.begin(), report.steps.end(), std::back_inserter(steps_));
  for (device_report& device : report.devices) {
    const auto same = std::find_if(devices_.begin(), devices_.end(), [&](const auto& other) {
      return other.device == device.device;
    });
    if (same == devices_.end()) {
      devices_.push_back(std::move(device));
    } else {
      merge(*same, device);
    }
  }
}

void transition::released(const device& from, std::optional<std::uint64_t> bytes) {
  const std::string& name = from.name();
  auto same = std::find_if(devices_.begin(), devices_.end(),
                           [&](const auto& other) { return other.device == name; });
  if (same == devices_.end()) {
    same = devices_.insert(devices_.end(), device_report{});
    same->device = name;
  }
  same->discarded_bytes += bytes.value_or(0);
  released_.push_back(name);
}

/// Moves what was recorded into a report.
void transition::write_to(transition_report& report, const std::optional<error>& failure,
                          bool rolled_back) {
  report.succeeded = !failure;
  report.rolled_back = rolled_back;
  report.failure = failure ? failure->what() : "";
  report.steps = std::move(steps_);
  report.devices = std::move(devices_);
}

}  // namespace lull
